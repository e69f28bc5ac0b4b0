"""Authorization responses: the way back to the application, by query, fragment or posted form.

Owns the only places where a browser is sent to an address that came with a request, and takes only
redirect URIs that were checked before.  Source: RFC 6749, 4.1.2; OAuth 2.0 Form Post Response Mode.
"""

from __future__ import annotations

from ..faults.tampering import tamper_document
from ..protocol.aadsts import WITHOUT_ADDRESS
from ..protocol.errors import EntraError, Incident, incident
from ..protocol.http import Response, redirect
from ..protocol.redirect_uris import origin_of
from ..protocol.return_address import ReturnAddress
from ..state.world import World
from . import pages


def respond(world: World, to: ReturnAddress, parameters: dict[str, str], *, issuer: str = "") -> Response:
    """Send the browser back with these parameters and the request's state; only a fault says the issuer."""
    if to.state is not None:
        parameters["state"] = to.state
    changed = tamper_document(
        world,
        "authorization_response",
        dict(parameters),
        right={"iss": issuer},
        response_mode=to.response_mode,
    )
    parameters = {name: str(value) for name, value in changed.items()}
    if to.response_mode == "form_post":
        return pages.posting(to.redirect_uri, parameters, form_target=origin_of(to.redirect_uri))
    return redirect(to.url(parameters))


def error_parameters(happened: Incident, *, world: World, subcode: str = "") -> dict[str, str]:
    """An error as authorization response parameters."""
    parameters = {
        "error": happened.error.error,
        "error_description": happened.description,
    }
    if happened.error.code not in WITHOUT_ADDRESS:
        parameters["error_uri"] = f"{world.http_url}/error?code={happened.error.code}"
    if subcode:
        parameters["error_subcode"] = subcode
    if happened.error.claims:
        parameters["claims"] = happened.error.claims
    return parameters


_SILENT_ERRORS = ("interaction_required", "login_required", "consent_required", "access_denied")


def refuse(
    world: World,
    error: EntraError,
    *,
    to: ReturnAddress | None,
    correlation_id: str,
    silent: bool = False,
    errors_return: bool = False,
    subcode: str = "",
) -> Response:
    """The error where Entra shows it: on its page, or at the redirect URI.

    `silent` is prompt=none, where a page would be shown to nobody; `errors_return` is the emulator's own
    switch `_emulator_errors=redirect`.
    """
    happened = incident(error, clock=world.clock, correlation_id=correlation_id)
    if to is None:
        return pages.error_page(happened)
    parameters = error_parameters(happened, world=world, subcode=subcode)
    if silent and error.stays_on_page and error.error not in _SILENT_ERRORS:
        parameters["error"] = "interaction_required"
    if not error.stays_on_page or silent or errors_return:
        if error.stays_on_page and not silent:
            parameters["error"] = "access_denied"
        return respond(world, to, parameters)
    if to.state is not None:
        parameters["state"] = to.state
    back = (
        ""
        if to.response_mode == "form_post" or not origin_of(to.redirect_uri)
        else to.url({**parameters, "error": "access_denied"})
    )
    return pages.error_page(happened, return_url=back)
