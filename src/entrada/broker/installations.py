"""The installations that may sign people in here: who they are, where answers go, and for which tenant.

An answer goes to an address that is listed, compared letter for letter, or to one fixed path at an origin
under a domain that the operator owns. Never to an address that only the request names.

Source: RFC 9700, sections 2.1 and 4.1; RFC 8252, section 7.3 (ports of loopback addresses).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NewType
from urllib.parse import urlsplit

from entrada.compatibility import StrEnum
from entrada.entra.authority import TenantId

ClientId = NewType("ClientId", str)
"""An installation's name at this broker; by default its own public URL."""

CALLBACK_PATHS = (
    "/auth/entra/callback",
    "/oauth",
    "/oauth?provider=active_directory",
    "/oauth2/callback",
    "/signin-oidc",
    "/.auth/login/aad/callback",
)
"""Where an installation of Entrada, Mage or dstack may take an answer, below its public URL."""

POST_LOGOUT_PATHS = ("/auth/signed-out", "/", "/sign-in", "/oauth")
BACKCHANNEL_LOGOUT_PATH = "/auth/broker/backchannel-logout"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

DEFAULT_CLAIMS = frozenset({"name", "email", "roles", "groups"})
"""What an installation learns about a person beside their tenant and object id."""

_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PATTERN = re.compile(rf"https://\*(?P<suffix>(?:-{_HOST_LABEL})?(?:\.{_HOST_LABEL}){{2,}})(?::\d{{1,5}})?")
_LABEL = re.compile(_HOST_LABEL)
_BASE_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]{1,64}){1,8}", re.ASCII)
_LONGEST_HOST = 253
"""RFC 1035, section 2.3.4: a longer one is nobody's, and would only fill the database."""
_ADDRESS_CHARACTERS = re.compile(r"[\x21-\x7e]{1,2000}", re.ASCII)


class Standing(StrEnum):
    """Whether an installation may sign people in: listed by the operator, let in later, or not yet."""

    LISTED = "listed"
    APPROVED = "approved"
    WAITING = "waiting"


class Proof(StrEnum):
    """How an installation shows at the token endpoint that it is itself.

    `pkce`: a public client, whose listed address and code verifier are its proof.
    """

    PKCE = "pkce"
    SECRET = "secret"  # noqa: S105  # the name of a method
    KEY = "key"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One application behind this broker.

    `redirect_uris` are compared letter for letter. `origin_pattern` is `https://*.apps.example.com`: exactly
    one more label, with one of `CALLBACK_PATHS`. `secret_hashes` are SHA-256 of the secrets, newest
    first. `jwks` are public keys for `private_key_jwt`. `groups` None: every group that Entra names.
    `roles_claim` is a second name under which it is told the roles. `roles_mapping` says what an app role or
    a group is there: with it, only what it gives is told; None: app roles as Entra names them.
    """

    client_id: ClientId
    tenant_id: TenantId
    redirect_uris: tuple[str, ...] = ()
    origin_pattern: str | None = None
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    proof: Proof = Proof.PKCE
    secret_hashes: tuple[bytes, ...] = field(default=(), repr=False)
    jwks: tuple[dict[str, Any], ...] = ()
    claims: frozenset[str] = DEFAULT_CLAIMS
    groups: frozenset[str] | None = None
    roles_claim: str | None = None
    roles_mapping: Mapping[str, tuple[str, ...]] | None = None
    insecure_without_pkce: bool = False
    """Takes sign-in requests without a code challenge too, at the word of a secret or key alone."""
    standing: Standing = Standing.LISTED
    asked_at: datetime | None = None
    asked_from: str | None = None

    @property
    def is_let_in(self) -> bool:
        return self.standing is not Standing.WAITING

    @property
    def may_leave_out_pkce(self) -> bool:
        """Never for a public installation: PKCE is all the proof it has."""
        return self.insecure_without_pkce and self.proof is not Proof.PKCE

    def takes_answers_at(self, redirect_uri: str) -> bool:
        """Whether an answer may go there."""
        if not _ADDRESS_CHARACTERS.fullmatch(redirect_uri):
            return False
        if redirect_uri in self.redirect_uris:
            return True
        if self.origin_pattern is None:
            return False
        origin, slash, rest = _origin_and_rest(redirect_uri)
        return bool(slash) and slash + rest in CALLBACK_PATHS and origin_matches(self.origin_pattern, origin)

    def logout_address_for(self, redirect_uri: str) -> str | None:
        """Where a sign-in whose answer went to this address of its own is told of its end; None: nowhere."""
        if self.backchannel_logout_uri is not None or self.origin_pattern is None:
            return self.backchannel_logout_uri
        origin, _, _ = _origin_and_rest(redirect_uri)
        return origin + BACKCHANNEL_LOGOUT_PATH if origin_matches(self.origin_pattern, origin) else None

    def takes_people_back_at(self, post_logout_redirect_uri: str) -> bool:
        if post_logout_redirect_uri in self.post_logout_redirect_uris:
            return True
        if self.origin_pattern is None:
            return False
        origin, slash, rest = _origin_and_rest(post_logout_redirect_uri)
        return slash + rest in POST_LOGOUT_PATHS and origin_matches(self.origin_pattern, origin)


def installation_at(
    public_url: str,
    *,
    tenant_id: TenantId,
    standing: Standing = Standing.LISTED,
    asked_at: datetime | None = None,
    asked_from: str | None = None,
) -> Installation:
    """An installation of Entrada, Mage or dstack at its public URL, which is its client id.

    Behind a path, such as Mage's base path, the path is part of it: answers go below it alone.

    Raises:
        ValueError: not an https address, nor an http one on this machine.
    """
    url = read_public_url(public_url)
    return Installation(
        client_id=ClientId(url),
        tenant_id=tenant_id,
        redirect_uris=tuple(url + path for path in CALLBACK_PATHS),
        post_logout_redirect_uris=tuple(url + path for path in POST_LOGOUT_PATHS),
        backchannel_logout_uri=url + BACKCHANNEL_LOGOUT_PATH,
        standing=standing,
        asked_at=asked_at,
        asked_from=asked_from,
    )


def read_public_url(text: str) -> str:
    """The URL as it is compared: lower case but for its path, no usual port, no trailing slash.

    Raises:
        ValueError: says what is wrong with it.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError("this is not a URL") from None
    host = parts.hostname or ""
    if "?" in text or "#" in text or "@" in parts.netloc:
        raise ValueError("only scheme, host, port and a base path belong here")
    path = parts.path.removesuffix("/")
    if path and not _BASE_PATH.fullmatch(path):
        raise ValueError("a base path is made of letters, digits and . _ ~ - between single slashes")
    is_name = len(host) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, host.split(".")))
    is_host = host in LOOPBACK_HOSTS or is_name
    if parts.scheme not in ("https", "http") or not is_host:
        raise ValueError("write it as https://host")
    if parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        raise ValueError("people's codes travel there: it must be https (http on this machine only)")
    usual = {"https": 443, "http": 80}[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, usual) else f":{port}") + path


def is_listable(address: str) -> bool:
    """Whether a code or a logout token may be sent there: https, or http to this very machine.

    Without a user (`http://localhost@elsewhere`) and without a fragment, which would swallow the answer.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not _ADDRESS_CHARACTERS.fullmatch(address) or not host or "@" in parts.netloc or "#" in address:
        return False
    return "\\" not in address and (
        parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)
    )


def read_origin_pattern(text: str) -> str:
    """A pattern such as `https://*.apps.example.com`: a star for one label under two fixed ones or more.

    Raises:
        ValueError: wider than that, or not https.
    """
    if not _PATTERN.fullmatch(text):
        raise ValueError(
            "write one star as the first label of an https host under your own domain, such as https://*.apps.example.com"
        )
    return text


def origin_matches(pattern: str, origin: str) -> bool:
    """Whether the star stands for exactly one label."""
    before, _, after = pattern.partition("*")
    if not (origin.startswith(before) and origin.endswith(after)):
        return False
    label = origin[len(before) : len(origin) - len(after)]
    return _LABEL.fullmatch(label) is not None


def _origin_and_rest(url: str) -> tuple[str, str, str]:
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host, slash, path


def find_installation(installations: Sequence[Installation], client_id: str) -> Installation | None:
    return next((one for one in installations if one.client_id == client_id), None)
