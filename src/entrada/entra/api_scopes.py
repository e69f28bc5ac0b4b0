"""What an application asks of one API: scopes, read and spelt in one way.

`Mail.Read` is Graph's, in the cloud of this registration; another API's scopes begin with its App ID URI.
The scopes of a sign-in (`openid`, `offline_access` …) are none of an API's and are left out. A token is for
one API: scopes of two are refused, and so is another cloud's Graph.

Source: Microsoft, "Scopes and permissions in the Microsoft identity platform"; RFC 6749, section 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from entrada.entra.clouds import CLOUDS
from entrada.errors import ApiTokenRefused

SIGN_IN_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
DEFAULT = ".default"
MOST_SCOPES = 40
LONGEST_SCOPE = 300

_SCOPE = re.compile(r"[!#-\[\]-~]+")
_GRAPH_HOSTS = frozenset(cloud.graph_host for cloud in CLOUDS.values())


@dataclass(frozen=True, kw_only=True)
class ApiScopes:
    """Scopes of one API. `words` are whole and sorted, each once."""

    words: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same text for the same scopes."""
        return " ".join(self.words)

    def lacking(self, granted: str | None) -> frozenset[str]:
        """Those that an answer does not grant; Entra names a scope in full or by its last part."""
        if granted is None:
            return frozenset()
        held = {word.rpartition("/")[2].lower() for word in granted.split()}
        names = (word.rpartition("/")[2] for word in self.words)
        return frozenset(name for name in names if name != DEFAULT and name.lower() not in held)


def read_api_scopes(asked: Iterable[str], *, graph_url: str) -> ApiScopes:
    """The scopes of one call of `token_for`. `graph_url` is the origin of this registration's Graph.

    Raises:
        ApiTokenRefused: none, too many, not a scope, or of more than one API.
    """
    if isinstance(asked, str):
        raise _refused("Scopes are given as a list, and this is one text.", hint=f"Write [{asked[:100]!r}].")
    listed = list(asked)
    if len(listed) > MOST_SCOPES:
        raise _refused(f"No more than {MOST_SCOPES} scopes fit into one request.")
    words = {_whole(scope, graph_url) for scope in listed} - {None}
    found = sorted(word for word in words if word is not None)
    if not found:
        raise _refused(
            "No scope of an API is asked for.",
            hint='Name what the API has to allow, such as "Mail.Read"; the sign-in\'s own scopes are none.',
        )
    apis = sorted({_canonical(word.rpartition("/")[0]) for word in found})
    if len(apis) > 1:
        raise _refused(
            f"These scopes are of more than one API ({', '.join(apis)[:200]}), and a token is for one.",
            hint="Ask for one token for each API.",
        )
    if len(found) > 1 and any(word.endswith(f"/{DEFAULT}") for word in found):
        raise _refused(
            f"{DEFAULT} stands for everything that was granted, and goes with no other scope.",
            hint="Ask for it alone, or for the single scopes.",
        )
    return ApiScopes(words=tuple(found))


def _whole(scope: object, graph_url: str) -> str | None:
    """The scope with its API; None for one of the sign-in's."""
    if not isinstance(scope, str) or len(scope) > LONGEST_SCOPE or not _SCOPE.fullmatch(scope):
        raise _refused(
            "What is asked for is not a scope: a text without blanks, such as Mail.Read.",
            hint="Write each scope as a text of its own.",
        )
    api, separator, name = scope.rpartition("/")
    if not separator:
        return None if scope.lower() in SIGN_IN_SCOPES else f"{graph_url}/{scope}"
    if not name or not api.strip("/"):
        raise _refused(f"{scope!r} names no scope behind its API.")
    host = _graph_host(api)
    if host is None:
        return scope
    if _is_other_graph(host, graph_url):
        raise _refused(
            f"{host} is Microsoft Graph of another cloud than this application's.",
            hint="Leave the address away: Mail.Read is of the right one.",
        )
    return None if name.lower() in SIGN_IN_SCOPES else f"{graph_url}/{name}"


def _graph_host(api: str) -> str | None:
    host = (urlsplit(api).hostname or "") if api.lower().startswith("https://") else ""
    return host if host in _GRAPH_HOSTS else None


def _is_other_graph(host: str, graph_url: str) -> bool:
    """An address that is not Microsoft's stands for every cloud's: an emulator, a private end point."""
    own = urlsplit(graph_url).hostname or ""
    return own in _GRAPH_HOSTS and own != host


def _canonical(api: str) -> str:
    return api.rstrip("/").lower()


def _refused(sentence: str, *, hint: str = "See the scopes in this application's code.") -> ApiTokenRefused:
    return ApiTokenRefused(sentence, hint=hint)
