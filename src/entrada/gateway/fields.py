"""Which fields of a client's request never go on to an upstream, in whatever spelling.

WSGI, CGI, PHP and some proxies fold names: `X-Forwarded-User`, `x_forwarded_user` and `X.Forwarded.User`
become one variable there. So a name is compared with ours after its letters were made small and every
character that is neither letter nor digit was made a hyphen (D1, D1b). That holds on every path: public ones,
upgrades, errors.

    identity     what `entrada.gateway.identity` asserts, and what others of its kind do
    forwarded    what a hop says about the hop before it; believed only from listed hops (D3), and only as
                 they spell it: `X_Forwarded_For` is what a client has put beside it
    override     a method or path other than that of the request line
    disguised    what folds to a field that frames the request (`Content_Length`), and `Proxy`, which becomes
                 the environment's HTTP_PROXY

Source: RFC 9110, section 7.6; RFC 3875, section 4.1.18.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from entrada.gateway.identity import STYLES

Field = tuple[bytes, bytes]

ASSERTION_FIELD = "X-Entrada-Assertion"

_NOT_ALPHANUMERIC = re.compile(rb"[^a-z0-9]")


@lru_cache(maxsize=2048)
def folded_name(name: bytes) -> bytes:
    """The name as an upstream that folds names takes it."""
    return _NOT_ALPHANUMERIC.sub(b"-", name.lower())


_IDENTITY = frozenset(folded_name(name.encode()) for style in STYLES.values() for name in style) | {
    b"x-forwarded-access-token",
    b"x-forwarded-roles",
    b"x-forwarded-name",
}
# Whole families: what else stands in them would be believed by the same applications.
_IDENTITY_FAMILIES = (
    b"x-entrada-",
    b"x-auth-request-",
    b"remote-",
    b"x-remote-",
    b"x-webauth-",
    b"x-authenticated-",
    b"x-authentik-",
    b"x-ms-client-principal",
    b"x-ms-token-",
)

_FORWARDED = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-original-host",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-sent-from",
    }
)
_FORWARDED_FAMILY = b"x-forwarded-"

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# A reader that folds names takes another spelling of these for the field itself.
_FRAMING = _HOP_BY_HOP | {b"content-length", b"content-type", b"host", b"cookie", b"authorization"}
# A client cannot have these taken from the request by naming them in Connection: they say where it ends, whom
# it is for, and who asks.
_NEVER_BY_NAME = frozenset(
    {b"host", b"content-length", b"cookie", b"authorization", b"content-type", b"expect"}
)


@lru_cache(maxsize=2048)
def is_identity(name: bytes) -> bool:
    """Whether an upstream could take a field of this name for one that says who is asking."""
    folded = folded_name(name)
    return folded in _IDENTITY or folded.startswith(_IDENTITY_FAMILIES)


@lru_cache(maxsize=2048)
def is_forwarded(name: bytes) -> bool:
    """Whether a field of this name says something about the hop before."""
    folded = folded_name(name)
    return folded in _FORWARDED or folded.startswith(_FORWARDED_FAMILY)


@lru_cache(maxsize=2048)
def is_disguised(name: bytes) -> bool:
    """Whether a reader that folds names would take this for a field that is spelt otherwise."""
    folded, lower = folded_name(name), name.lower()
    return lower == b"proxy" or (lower != folded and (folded in _FRAMING or is_forwarded(name)))


def strip(fields: Iterable[Field], *, trusted_hop: bool) -> list[Field]:
    """The end-to-end fields of a request that may go on; ours are added afterwards.

    Also gone: hop-by-hop fields, those that `Connection` names, and what was forwarded by a hop that is not
    trusted.
    """
    fields = list(fields)
    named = connection_options(fields) - _NEVER_BY_NAME
    return [
        (name, value)
        for name, value in fields
        if not (
            _never_goes_on(name)
            or (named and name.lower() in named)
            or (not trusted_hop and is_forwarded(name))
        )
    ]


@lru_cache(maxsize=2048)
def _never_goes_on(name: bytes) -> bool:
    return name.lower() in _HOP_BY_HOP or is_identity(name) or is_disguised(name)


def connection_options(fields: Iterable[Field]) -> frozenset[bytes]:
    """What every Connection field names, in lower case."""
    values = [value for name, value in fields if len(name) == 10 and name.lower() == b"connection"]
    return frozenset(option.strip(b" \t").lower() for value in values for option in value.split(b",")) - {b""}
