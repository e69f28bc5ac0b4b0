"""Who asks at the token endpoint: client id and its proof, by secret, Basic, or signed assertion.

Source: RFC 6749, 2.3; RFC 7523; Microsoft, "Microsoft identity platform application authentication
certificate credentials" and "Workload identity federation".
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from dataclasses import dataclass
from urllib.parse import unquote_plus

from ..directory.records import App
from ..protocol.errors import EntraError
from ..protocol.http import Parameters, Request
from ..state.world import World
from .admission import find_application

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NONE, SECRET, ASSERTION = "0", "1", "2"


@dataclass(frozen=True, kw_only=True)
class AuthenticatedClient:
    """The application and how it proved itself, as `azpacr` says it: 0 not at all, 1 secret, 2 assertion."""

    app: App
    method: str

    @property
    def confidential(self) -> bool:
        """Whether the application proved who it is."""
        return self.method != NONE


def authenticate(world: World, request: Request, form: Parameters, segment: str) -> AuthenticatedClient:
    """The client that asks, its proof checked when it sent one.

    Raises:
        EntraError: 900144, 700016, 7000112, 7000215, 7000222, 700025 or the assertion's errors.
    """
    basic_id, basic_secret = _basic(request)
    client_id = form.get("client_id") or basic_id
    app = find_application(world, client_id, where=segment)
    if basic_id and basic_id != client_id:
        raise EntraError(700016, f"The client id was '{client_id[:100]}', the directory '{segment[:100]}'.")
    if not app.enabled:
        raise EntraError(7000112, f"The application is '{app.client_id}'.")
    secret = form.get("client_secret") or basic_secret
    if world.faults:
        _insist_on_basic(world, bool(basic_secret))
    if form.get("client_assertion"):
        from .client_assertion import check_assertion

        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise EntraError(90023, "The parameter is 'client_assertion_type'.")
        check_assertion(world, app, form.get("client_assertion"), base_url=request.base_url)
        return AuthenticatedClient(app=app, method=ASSERTION)
    if not secret:
        return AuthenticatedClient(app=app, method=NONE)
    if not (app.secrets or app.certificates or app.federated_credentials or app.web_redirect_uris):
        raise EntraError(700025, f"The application is '{app.client_id}'.")
    _check_secret(world, app, secret)
    return AuthenticatedClient(app=app, method=SECRET)


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, separator, secret = b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    # RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
    return (unquote_plus(name), unquote_plus(secret)) if separator else ("", "")


def _check_secret(world: World, app: App, secret: str) -> None:
    now = world.clock.now()
    given = secret.encode()
    matching = [known for known in app.secrets if hmac.compare_digest(known.value.encode(), given)]
    if not matching:
        raise EntraError(7000215, f"The application is '{app.client_id}'.")
    if all((known.expires and known.expires < now) or known.starts > now for known in matching):
        raise EntraError(7000222, f"The application is '{app.client_id}'.")


def _insist_on_basic(world: World, used_basic: bool) -> None:
    """The conformance module that accepts HTTP Basic alone."""
    if not used_basic and world.faults.take(("aadsts",), "token", auth="post", code=7000218) is not None:
        raise EntraError(7000218)
