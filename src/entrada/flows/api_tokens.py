"""The walk of a call to another API in a person's name: principal → with what they came → a token.

    tokens.token_for(principal, ["Mail.Read"])                      a token, or what it takes to get one
    tokens.token_for(principal, ["Mail.Read"], challenge=field)     the same after the API refused the last

Who is signed in by a cookie has tokens by the refresh token of that sign-in (`session_tokens`); who called
with an access token has them by that one (`on_behalf_of`). An application that calls for itself has nobody to
act for. Nobody else's token is ever found: the principal says with what its caller came, and that is looked
at anew.

Source: Microsoft, "Microsoft identity platform and OAuth 2.0 authorization code flow" and "On-Behalf-Of
flow".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from entrada.accounts.principal import Principal, UserPrincipal, evidence_of
from entrada.entra.api_scopes import read_api_scopes
from entrada.entra.api_token import ApiToken
from entrada.entra.claims_request import read_claims_challenge
from entrada.errors import ApiTokenRefused
from entrada.flows.on_behalf_of import OnBehalfOf
from entrada.flows.session_tokens import SessionTokens
from entrada.sessions.session import SessionId


@dataclass(frozen=True, kw_only=True)
class ApiTokens:
    """`graph_url` is where scopes without an API belong."""

    graph_url: str
    session_tokens: SessionTokens
    on_behalf_of: OnBehalfOf

    def token_for(
        self, principal: Principal | None, scopes: Iterable[str], *, challenge: str | None = None
    ) -> ApiToken:
        """A token for these scopes of one API. May ask Entra and the database.

        `challenge` is the WWW-Authenticate of the API's 401: the token it was sent is dropped, and the next
        one answers the claims that it asks for.

        Raises:
            InteractionRequired: the person has to go through Entra once more.
            ApiTokenRefused: there is none for this caller, or in this way.
            EntraRefused: Entra gives none, and the person cannot change that.
            BearerTokenRefused, AdmissionRefused: the caller's own token is no longer good.
            Unavailable: Entra or the database did not answer.
        """
        asked = read_api_scopes(scopes, graph_url=self.graph_url)
        claims = "" if challenge is None else _claims_of(challenge)
        person = _person(principal)
        evidence = evidence_of(person)
        if evidence.access_token is not None:
            return self.on_behalf_of.token_for(person, evidence.access_token, asked, claims=claims)
        if evidence.session_id is None:
            raise ApiTokenRefused(
                "This principal does not say with which session, or which token, its caller came.",
                hint="Hand over the one that a guard or current_principal gave for this request, not one "
                "that was made, copied or stored elsewhere.",
            )
        return self.session_tokens.token_for(person, SessionId(evidence.session_id), asked, claims=claims)


def _person(principal: Principal | None) -> UserPrincipal:
    if principal is None:
        raise ApiTokenRefused(
            "Nobody is signed in, so there is nobody to act for.",
            hint="Put a guard such as login_required in front of what calls another API.",
        )
    if isinstance(principal, UserPrincipal):
        return principal
    raise ApiTokenRefused(
        "There is no person to act for: this caller is an application, or an agent, that calls for itself.",
        hint="Let people call here, or call the other API in this application's own name.",
    )


def _claims_of(challenge: str) -> str:
    claims = read_claims_challenge(challenge)
    if claims is None:
        raise ApiTokenRefused(
            "What the API answered is no claims challenge.",
            hint="Hand over WWW-Authenticate of an answer 401 that says insufficient_claims; for another 401 "
            "a new token does not help.",
        )
    return claims
