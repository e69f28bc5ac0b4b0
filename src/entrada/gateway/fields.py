"""Which fields of a client's request never go on to an upstream, in whatever spelling.

Names are folded as upstreams fold them (D1, D1b; `entrada.adapters.identity_fields`). That holds on every
path: public ones, upgrades, errors.

    identity     what `entrada.gateway.identity` asserts, and what others of its kind do
    forwarded    what a hop says about the hop before it; believed only from listed hops (D3), and only as
                 they spell it: `X_Forwarded_For` is what a client has put beside it
    override     a method or path other than that of the request line
    disguised    what folds to a field that frames the request (`Content_Length`), and `Proxy`, which becomes
                 the environment's HTTP_PROXY

Source: RFC 9110, section 7.6; RFC 3875, section 4.1.18.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from entrada.adapters.identity_fields import folded_name, is_identity

Field = tuple[bytes, bytes]

ASSERTION_FIELD = "X-Entrada-Assertion"

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
        b"x-scheme",
        b"x-url-scheme",
        b"front-end-https",
    }
)
_FORWARDED_FAMILY = b"x-forwarded-"

# Some frameworks and servers take these for the path, or for how much of it is not theirs (Gunicorn believes
# SCRIPT_NAME of this machine), and few proxies take a client's away: they go on from no hop.
_OTHER_PATHS = frozenset(
    {b"x-original-url", b"x-rewrite-url", b"script-name", b"x-script-name", b"path-info"}
)

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
    return (
        name.lower() in _HOP_BY_HOP
        or folded_name(name) in _OTHER_PATHS
        or is_identity(name)
        or is_disguised(name)
    )


def connection_options(fields: Iterable[Field]) -> frozenset[bytes]:
    """What every Connection field names, in lower case."""
    values = [value for name, value in fields if len(name) == 10 and name.lower() == b"connection"]
    return frozenset(option.strip(b" \t").lower() for value in values for option in value.split(b",")) - {b""}
