"""Access tokens of other APIs in a person's name, asked for at Entra's token endpoint through MSAL.

    redeem_for_api          by the refresh token of their sign-in
    exchange_on_behalf_of   by the access token that they called us with

Source: RFC 6749, section 6; Microsoft, "OAuth 2.0 On-Behalf-Of flow".
"""

from __future__ import annotations

from entrada.entra.api_scopes import ApiScopes
from entrada.entra.application import EntraApplication
from entrada.entra.claims_request import with_capabilities
from entrada.entra.jws import RawAccessToken, RawRefreshToken
from entrada.entra.token_response import AccessTokenResponse, TokenError, read_access_token_response


def redeem_for_api(
    application: EntraApplication, refresh_token: RawRefreshToken, scopes: ApiScopes, *, claims: str = ""
) -> AccessTokenResponse | TokenError:
    """A token for these scopes, or Entra's refusal; most often with a newer refresh token.

    Raises:
        EntraUnavailable: no usable answer.
    """
    data = {"claims": with_capabilities(claims)}
    return read_access_token_response(
        application.ask(
            lambda client: client.acquire_token_by_refresh_token(
                refresh_token, list(scopes.words), data=dict(data)
            )
        )
    )


def exchange_on_behalf_of(
    application: EntraApplication, access_token: RawAccessToken, scopes: ApiScopes, *, claims: str = ""
) -> AccessTokenResponse | TokenError:
    """A token for these scopes in the name of whom `access_token` is for, or Entra's refusal.

    Raises:
        EntraUnavailable: no usable answer.
    """
    return read_access_token_response(
        application.ask(
            lambda client: client.acquire_token_on_behalf_of(
                access_token, list(scopes.words), claims_challenge=with_capabilities(claims)
            )
        )
    )
