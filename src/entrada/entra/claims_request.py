"""What an API or Entra wants a next sign-in to bring: a claims request, a JSON object in text.

    read_claims_challenge   WWW-Authenticate of an API's 401 -> the claims request in it, or None
    with_capabilities       that, with the word that this application answers such challenges (cp1)
    asking_for              a claims request for an authentication context
    auth_contexts_in        the authentication contexts that a claims request asks of a sign-in

Source: Microsoft, "Claims challenges, claims requests, and client capabilities"; OpenID Connect Core 1.0,
section 5.5; RFC 9110, section 11.6.1; RFC 6750, section 3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from entrada.entra.token_response import LARGEST_CLAIMS

_LONGEST_FIELD = 16_000
_PARAMETER = re.compile(  # from the beginning of a name alone, or each of its letters would be tried for one
    r"(?<![A-Za-z0-9_-])(?P<name>[A-Za-z0-9_-]+)[ \t]*=[ \t]*"
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[A-Za-z0-9!#$%&\'*+.^_`|~:/=-]*))'
)
_CHALLENGE_BEGINS = re.compile(r"(?:^|,)[ \t]*(?=[A-Za-z][A-Za-z0-9_-]*[ \t]+[A-Za-z0-9_-]+[ \t]*=)")
_CONTEXT = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


def read_claims_challenge(www_authenticate: str) -> str | None:
    """The claims request of a Bearer challenge with error="insufficient_claims"; None if there is none."""
    for challenge in _CHALLENGE_BEGINS.split(www_authenticate[:_LONGEST_FIELD]):
        scheme, _, rest = challenge.strip().partition(" ")
        if scheme.lower() != "bearer":
            continue
        found = {
            each["name"].lower(): each["quoted"] if each["quoted"] is not None else each["token"]
            for each in _PARAMETER.finditer(rest)
        }
        if found.get("error") == "insufficient_claims":
            return _decoded(found.get("claims", ""))
    return None


def with_capabilities(claims: str) -> str:
    """`claims`, empty or a claims request, and that a claims challenge will be understood."""
    asked = read_claims(claims)
    access_token = asked.get("access_token")
    asked["access_token"] = {
        **(access_token if isinstance(access_token, dict) else {}),
        "xms_cc": {"values": ["cp1"]},
    }
    return _text(asked)


def asking_for(auth_context: str) -> str:
    """The claims request that asks a sign-in, and its tokens, for an authentication context.

    Raises:
        ValueError: no such thing can be asked for.
    """
    if not _CONTEXT.fullmatch(auth_context):
        raise ValueError("an authentication context is a short word such as c1")
    wanted = {"acrs": {"essential": True, "value": auth_context}}
    return _text({"id_token": wanted, "access_token": wanted})


def auth_contexts_in(claims: str) -> frozenset[str]:
    """Those that must stand in the ID token."""
    part = read_claims(claims).get("id_token")
    asked = part.get("acrs") if isinstance(part, dict) else None
    if not isinstance(asked, dict) or asked.get("essential") is not True:
        return frozenset()
    return frozenset({asked["value"]}) if isinstance(asked.get("value"), str) else frozenset()


def read_claims(claims: str) -> dict[str, Any]:
    """The object in this text; anything else reads as empty."""
    try:
        value = json.loads(claims) if claims and len(claims) <= LARGEST_CLAIMS else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _decoded(encoded: str) -> str | None:
    """JSON as it stands, or in base64 of either alphabet, padded or not."""
    text = encoded.replace('\\"', '"')
    if not text.startswith("{"):
        plain = encoded.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            text = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    asked = read_claims(text)
    return _text(asked) if asked else None


def _text(asked: dict[str, Any]) -> str:
    return json.dumps(asked, separators=(",", ":"), sort_keys=True)
