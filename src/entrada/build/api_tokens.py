"""From a relying party to the tokens with which an application calls other APIs as its people."""

from __future__ import annotations

from entrada.flows.api_tokens import ApiTokens
from entrada.flows.on_behalf_of import OnBehalfOf
from entrada.flows.relying_party import RelyingParty
from entrada.web.token_callers import TokenCallers


def build_api_tokens(relying_party: RelyingParty, callers: TokenCallers | None) -> ApiTokens | None:
    """None where nobody calls other APIs: the sign-in goes through a broker, or sessions keep nothing."""
    if relying_party.session_tokens is None:
        return None
    identification = relying_party.sign_in.identification
    return ApiTokens(
        graph_url=identification.application.authority.graph_url,
        session_tokens=relying_party.session_tokens,
        on_behalf_of=OnBehalfOf(
            identification=identification, bearer=None if callers is None else callers.check
        ),
    )
