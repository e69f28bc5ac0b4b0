"""Every AADSTS code that the project explains to people can be met here."""

from __future__ import annotations

import pytest

from emulator.relying_party import Entra, answered, code_of
from entrada.emulator.protocol.aadsts import AADSTS

EXPLAINED = (
    16000, 28002, 50002, 50005, 50011, 50012, 50020, 50033, 50034, 50053, 50055, 50056,
    50057, 50058, 50072, 50074, 50076, 50078, 50079, 50087, 50089, 50105, 50126, 50131,
    50132, 50133, 50140, 50144, 50147, 50158, 50173, 50194, 50196, 50199, 51004, 53000,
    53001, 53002, 53003, 53004, 53010, 53011, 54005, 65001, 65004, 70000, 70001, 70008,
    70011, 70043, 70044, 80012, 90002, 90006, 90012, 90015, 90024, 90033, 90038, 90055,
    90072, 90090, 90094, 90095, 500011, 500021, 500022, 500113, 500208, 500212, 500213, 501481,
    501491, 530003, 530032, 530035, 650052, 650056, 650057, 700005, 700016, 700025, 700027, 700054,
    700082, 700084, 900382, 900432, 900561, 900971, 7000112, 7000215, 7000218, 7000222, 9002325, 9002326,
    9002327,
)  # fmt: skip


@pytest.mark.parametrize("code", EXPLAINED)
def test_a_code_can_be_switched_on(entra: Entra, code: int) -> None:
    """At both endpoints, with the table's error and status."""
    entra.emulator.fail("aadsts", endpoint="token", code=code)
    body = entra.token(grant_type="client_credentials")
    assert code_of(body) == code
    assert body.json()["error"] == AADSTS[code].error
    assert body.status_code == AADSTS[code].status
    entra.emulator.fail("aadsts", endpoint="authorize", code=code, shown="redirect")
    assert answered(entra.authorize())["error_description"].startswith(f"AADSTS{code}: ")


def test_tenants_of_other_clouds(entra: Entra) -> None:
    """A tenant of another cloud is known by name and sent elsewhere: 90038."""
    from entrada.emulator.directory.records import Tenant

    entra.emulator.directory.put(Tenant(tenant_id="a" * 8, domain="gov.test", cloud="usgov"))
    page = entra.authorize(tenant="gov.test")
    assert code_of(page) == 90038
    assert "usgov" in page.text


def test_long_requests(entra: Entra) -> None:
    """90015 for a query beyond all measure."""
    assert code_of(entra.authorize(state="x" * 20_000)) == 90015
