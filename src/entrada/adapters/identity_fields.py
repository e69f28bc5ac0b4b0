"""Which fields of a request say who is asking, in whatever spelling an application could take for them.

WSGI, CGI, PHP and some proxies fold names: `X-Forwarded-User`, `x_forwarded_user` and `X.Forwarded.User`
become one variable there. So a name is compared after its letters were made small and every character that is
neither letter nor digit was made a hyphen.

Source: RFC 3875, section 4.1.18.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NOT_ALPHANUMERIC = re.compile(rb"[^a-z0-9]")
_NAMES = frozenset(
    b"x-forwarded-" + name
    for name in (b"user", b"email", b"preferred-username", b"groups", b"roles", b"name", b"access-token")
)
# Whole families: what else stands in them would be believed by the same applications.
_FAMILIES = (
    b"x-entrada-",
    b"x-auth-request-",
    b"remote-",
    b"x-remote-",
    b"x-webauth-",
    b"x-authenticated-",
    b"x-authentik-",
    b"x-ms-client-principal",
    b"x-ms-token-",
    b"x-pomerium-",
    b"x-goog-authenticated-user-",
    b"x-goog-iap-",
    b"x-amzn-oidc-",
    b"cf-access-",
    b"tailscale-",
)


@lru_cache(maxsize=2048)
def folded_name(name: bytes) -> bytes:
    """The name as an application that folds names takes it."""
    return _NOT_ALPHANUMERIC.sub(b"-", name.lower())


@lru_cache(maxsize=2048)
def is_identity(name: bytes) -> bool:
    """Whether an application could take a field of this name for one that says who is asking."""
    folded = folded_name(name)
    return folded in _NAMES or folded.startswith(_FAMILIES)
