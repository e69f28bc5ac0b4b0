"""What an installation asks for when it sends a person here, read strictly.

First whether the answer may go back there at all: until client and address are known, a person reads a page.
Then the request itself, whose mistakes go back to the installation in the specification's own codes.

Source: OpenID Connect Core 1.0, sections 3.1.2.1 and 3.1.2.6; RFC 6749, section 4.1.1; RFC 7636, section 4.3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from entrada.broker.installations import Installation
from entrada.broker.oauth_errors import OAuthError, invalid_request
from entrada.errors import InstallationRefused

PARAMETERS = frozenset(
    {"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt"}
    | {"code_challenge", "code_challenge_method", "login_hint", "domain_hint", "max_age"}
)
"""What is read of a request; anything else is ignored, `claims` for one."""

SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
RESPONSE_MODES = ("query", "form_post")

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_LONGEST_STATE = 2_048
_LONGEST_NONCE = 512
_LONGEST_HINT = 320
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


@dataclass(frozen=True, kw_only=True)
class ReturnAddress:
    """Where the answer goes, and how: known to belong to the installation."""

    redirect_uri: str
    response_mode: str
    state: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """A request that can be carried out. `max_age_seconds` None: any sign-in at Entra will do.

    `prompt=login` is a `max_age` of 0, too: only `auth_time` shows that somebody really signed in anew.

    `code_challenge` None: without PKCE, which this installation may leave out.
    """

    client_id: str
    return_address: ReturnAddress
    scopes: frozenset[str]
    code_challenge: str | None
    nonce: str | None = field(default=None, repr=False)
    prompt: str | None = None
    login_hint: str | None = None
    domain_hint: str | None = None
    max_age_seconds: int | None = None


def read_client_id(pairs: Sequence[tuple[str, str]]) -> str:
    """The client that the request names, once.

    Raises:
        InstallationRefused: none, or several.
    """
    named = [value for name, value in pairs if name == "client_id"]
    if len(named) != 1 or not named[0]:
        raise InstallationRefused("This sign-in request does not say which application it comes from.")
    return named[0]


def read_return_address(pairs: Sequence[tuple[str, str]], installation: Installation | None) -> ReturnAddress:
    """Where the answer may go.

    Raises:
        InstallationRefused: the client is unknown or waits to be let in, or the address is not its own.
    """
    if installation is None:
        raise InstallationRefused
    if not installation.is_let_in:
        raise InstallationRefused(
            "This application has asked to be let in, and an administrator has not answered yet.",
            hint="Try again once the administrator of this sign-in service has said yes.",
        )
    addresses = [value for name, value in pairs if name == "redirect_uri"]
    if len(addresses) != 1 or not installation.takes_answers_at(addresses[0]):
        raise InstallationRefused(
            "This sign-in request names an address that does not belong to the application it comes from.",
            hint="If someone sent you this link, do not use it. Administrator: the redirect URI must be "
            "listed with the installation, letter for letter.",
        )
    states = [value for name, value in pairs if name == "state"]
    modes = [value for name, value in pairs if name == "response_mode"]
    usable_state = len(states) == 1 and 0 < len(states[0]) <= _LONGEST_STATE
    return ReturnAddress(
        redirect_uri=addresses[0],
        response_mode=modes[0] if len(modes) == 1 and modes[0] in RESPONSE_MODES else "query",
        state=states[0] if usable_state else None,
    )


def read_authorization_request(
    pairs: Sequence[tuple[str, str]], *, installation: Installation, return_address: ReturnAddress
) -> AuthorizationRequest:
    """The request, its client and return address being known.

    Raises:
        OAuthError: goes back to the installation.
    """
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise invalid_request(f"{_named(repeated[0])} is there more than once")
    given = dict(pairs)
    for name, error in _NOT_SUPPORTED.items():
        if name in given:
            raise OAuthError(error, f"{name} is not supported")
    if given.get("response_mode", "query") not in RESPONSE_MODES:
        raise invalid_request("response_mode must be query or form_post")
    if "state" in given and return_address.state is None:
        raise invalid_request("state is empty or too long")
    if given.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code")
    prompt = _prompt(given)
    return AuthorizationRequest(
        client_id=installation.client_id,
        return_address=return_address,
        scopes=_scopes(given),
        code_challenge=_code_challenge(given, installation),
        nonce=_bounded(given, "nonce", _LONGEST_NONCE),
        prompt=prompt,
        login_hint=_hint(given, "login_hint"),
        domain_hint=_hint(given, "domain_hint"),
        max_age_seconds=0 if prompt == "login" else _max_age(given),
    )


def _scopes(given: Mapping[str, str]) -> frozenset[str]:
    asked = frozenset(given.get("scope", "").split(" "))
    if "openid" not in asked:
        raise OAuthError("invalid_scope", "scope must hold openid")
    return asked & SCOPES  # unknown ones are left out: OpenID Connect Core 1.0, 3.1.2.1


def _code_challenge(given: Mapping[str, str], installation: Installation) -> str | None:
    if installation.may_leave_out_pkce and not {"code_challenge", "code_challenge_method"} & given.keys():
        return None
    if given.get("code_challenge_method") != "S256":
        raise invalid_request("PKCE is required: code_challenge_method must be S256")
    challenge = given.get("code_challenge", "")
    if not _CHALLENGE.fullmatch(challenge):
        raise invalid_request("code_challenge must be 43 characters of base64url")
    return challenge


def _prompt(given: Mapping[str, str]) -> str | None:
    if "prompt" not in given:
        return None
    asked = [word for word in given["prompt"].split(" ") if word]
    if not asked or not PROMPTS.issuperset(asked):
        raise invalid_request("prompt must be none, login, consent or select_account")
    if "none" in asked and len(asked) > 1:
        raise invalid_request("prompt none stands alone")
    # Entra takes one; the stronger demand counts.
    return next(word for word in ("login", "select_account", "consent", "none") if word in asked)


def _max_age(given: Mapping[str, str]) -> int | None:
    if "max_age" not in given:
        return None
    text = given["max_age"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise invalid_request("max_age must be whole seconds")
    return int(text)


def _hint(given: Mapping[str, str], name: str) -> str | None:
    """A hint that can be passed on; it only saves typing, so an odd one is left out."""
    text = given.get(name, "")
    return text if 0 < len(text) <= _LONGEST_HINT and text.isprintable() else None


def _bounded(given: Mapping[str, str], name: str, limit: int) -> str | None:
    if name not in given:
        return None
    text = given[name]
    if not 0 < len(text) <= limit or not (text.isascii() and text.isprintable()):
        raise invalid_request(f"{name} is empty, too long or not ASCII")
    return text


def _named(name: str) -> str:
    """A parameter's name for a description, which may hold ASCII only."""
    return name if name.isascii() and name.replace("_", "").isalnum() and len(name) <= 40 else "a parameter"
