"""What Mage hears where its own Microsoft providers answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from entrada.integrations.mage.provider import git_only, provider_class

SIGN_IN = "http://localhost:6789/sign-in"


class Refused(Exception):
    """As Mage's API error."""


class StockGit:
    """Mage's own provider for Azure DevOps, as far as we meet it."""

    def get_auth_url_response(self, redirect_uri: str | None = None, **_: Any) -> dict[str, Any]:
        return {"url": f"git for {redirect_uri}"}

    async def get_access_token_response(self, code: str, **_: Any) -> dict[str, str]:
        return {"access_token": f"git {code}"}

    async def get_user_info(self, **_: Any) -> dict[str, str]:
        return {"email": "owner@contoso.test"}


def start_url_for(sign_in_url: str | None) -> str:
    return f"start for {sign_in_url}"


GitOnly = git_only(
    StockGit,
    start_url_for=start_url_for,
    is_sign_in_page=lambda url: url == SIGN_IN,
    refusal=Refused,
)


def test_the_button_leads_to_our_walk_and_the_page_has_nothing_to_remember() -> None:
    button = provider_class("active_directory", start_url_for=start_url_for, refusal=Refused)()
    assert button.provider == "active_directory"
    assert button.get_auth_url_response(redirect_uri=SIGN_IN) == {
        "url": f"start for {SIGN_IN}",
        "redirect_query_params": None,
    }


@pytest.mark.parametrize(
    "ask",
    [
        lambda button: button.get_access_token_response("code", redirect_uri=SIGN_IN),
        lambda button: button.get_refresh_token_response("token"),
        lambda button: button.get_user_info(access_token="token"),
    ],
)
def test_nothing_that_somebody_brings_is_redeemed_or_believed(ask: Any) -> None:
    """Faults 1 and 6: no Graph token is a sign-in, no code is redeemed for whoever asks."""
    button = provider_class("active_directory", start_url_for=start_url_for, refusal=Refused)()
    with pytest.raises(Refused):
        asyncio.run(ask(button))


def test_azure_devops_keeps_git_and_is_no_way_in() -> None:
    """The same hole by another name: on the sign-in page it is our button, and its token signs nobody in."""
    git = GitOnly()
    assert git.get_auth_url_response(redirect_uri="/version-control") == {"url": "git for /version-control"}
    assert git.get_auth_url_response(redirect_uri=SIGN_IN)["url"] == f"start for {SIGN_IN}"
    answer = asyncio.run(git.get_access_token_response("code", redirect_uri="/version-control"))
    assert answer == {"access_token": "git code"}
    with pytest.raises(Refused):
        asyncio.run(git.get_access_token_response("code", redirect_uri=SIGN_IN))
    with pytest.raises(Refused):
        asyncio.run(git.get_user_info(access_token="token"))
