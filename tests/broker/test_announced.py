"""What an operator reads at the start about the addresses that answers come to."""

from __future__ import annotations

import logging

import pytest

from entrada.build.announced import announce_redirect_uris
from entrada.entra.authority import Authority, TenantId

TENANT = TenantId("11111111-1111-4111-8111-111111111111")
ADDRESS = "https://app.example.test/auth/entra/callback"


@pytest.mark.parametrize(("is_broker", "told"), [(True, False), (False, True)])
def test_only_who_asks_entra_itself_is_told_to_register_an_address(
    is_broker: bool, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind a broker nothing is to be done in Entra."""
    authority = Authority(
        login_url="https://login.example.test", graph_url="", tenant=TENANT, is_broker=is_broker
    )
    with caplog.at_level(logging.INFO):
        announce_redirect_uris(logging.getLogger("entrada"), authority, [ADDRESS])
    assert ADDRESS in caplog.text
    assert ("register in Entra" in caplog.text) is told
