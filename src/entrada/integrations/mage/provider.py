"""What Mage's sign-in page and its API hear from us where its own Microsoft providers answered.

The button stays Mage's and leads to our walk. Nothing here redeems a code or believes a token: stock Mage
signed in whoever brought a Graph token of any application and any tenant.

Two of Mage's providers are the same hole. `azure_devops` is also how people connect Git to Azure DevOps; that
part stays Mage's own.

Source: Mage 0.9.80, authentication/providers and api/resources/OauthResource.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ACTIVE_DIRECTORY = "active_directory"
AZURE_DEVOPS = "azure_devops"


@dataclass(frozen=True, kw_only=True)
class ButtonOnly:
    """Made by Mage anew for every request, without arguments: see `provider_class`.

    `refusal` is an error that Mage's API shows as one.
    """

    provider: str
    start_url_for: Callable[[str | None], str]
    refusal: Callable[[], Exception]

    def get_auth_url_response(self, redirect_uri: str | None = None, **_: Any) -> Mapping[str, Any]:
        """Where the button leads. None: there is nothing for Mage's page to write down until the answer."""
        return {"url": self.start_url_for(redirect_uri), "redirect_query_params": None}

    async def get_access_token_response(self, code: str, **_: Any) -> Mapping[str, Any]:
        """Refuse: codes are redeemed by our walk alone."""
        del code
        raise self.refusal()

    async def get_refresh_token_response(self, refresh_token: str) -> Mapping[str, Any]:
        """Refuse: refreshing is done by our re-check alone."""
        del refresh_token
        raise self.refusal()

    async def get_user_info(self, **_: Any) -> Mapping[str, Any]:
        """Refuse: no token that a caller brings says who somebody is."""
        raise self.refusal()


def provider_class(
    name: str, *, start_url_for: Callable[[str | None], str], refusal: Callable[[], Exception]
) -> Callable[[], ButtonOnly]:
    """What Mage calls to make the provider of that name, anew for every request."""
    return lambda: ButtonOnly(provider=name, start_url_for=start_url_for, refusal=refusal)


def git_only(
    stock: type[Any],
    *,
    start_url_for: Callable[[str | None], str],
    is_sign_in_page: Callable[[str | None], bool],
    refusal: Callable[[], Exception],
) -> type[Any]:
    """Mage's own class for Git; on the sign-in page a button like the other, and never a sign-in."""

    class GitOnly(stock):  # type: ignore[misc]  # a class of Mage's
        def get_auth_url_response(self, redirect_uri: str | None = None, **kwargs: Any) -> Any:
            if is_sign_in_page(redirect_uri):
                return {"url": start_url_for(redirect_uri), "redirect_query_params": None}
            return super().get_auth_url_response(redirect_uri=redirect_uri, **kwargs)

        async def get_access_token_response(self, code: str, **kwargs: Any) -> Any:
            """Refuse: codes are redeemed by our walk alone."""
            if is_sign_in_page(kwargs.get("redirect_uri")):
                raise refusal()
            return await super().get_access_token_response(code, **kwargs)

        async def get_user_info(self, **_: Any) -> Any:
            """Refuse: no token that a caller brings says who somebody is."""
            raise refusal()

    return GitOnly
