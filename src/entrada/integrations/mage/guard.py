"""Which of Mage's handlers opens to whom: asked before any of Mage's own code sees the request.

The table names every handler that Mage registers. What it does not name is closed to everybody, so that a
handler which a newer Mage brings waits until somebody has looked at it; `entrada mage check` names it.
What Mage asks by itself, it asks as before: the guard adds, and takes nothing away.

    nothing     the same for everybody, or somebody else's question: each with its reason
    session     whose rights Mage itself asks about, request by request
    viewer      somebody who may see the project
    editor      somebody who may change it

Source: Mage 0.9.80, server/server.py, read and run.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import urlsplit

from entrada.errors import RequestRefused
from entrada.web.messages import WebRequest
from entrada.web.same_origin import require_same_origin


class Asks(IntEnum):
    """What a handler asks for; each more than the one before."""

    NOTHING = 0
    SESSION = 1
    VIEWER = 2
    EDITOR = 3
    CLOSED = 4


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`reading` is asked for GET and HEAD, `changing` for everything else.

    `any_site`: other sites may send requests here, because no cookie counts.
    """

    reading: Asks
    changing: Asks
    why: str
    any_site: bool = False
    is_api: bool = False
    is_page: bool = False


_SERVER = "mage_ai.server"
_PAGE = Rule(
    reading=Asks.NOTHING,
    changing=Asks.CLOSED,
    why="a page as built, the same for everybody; what it shows comes from the API",
    any_site=True,
    is_page=True,
)
_FILE = Rule(
    reading=Asks.NOTHING,
    changing=Asks.CLOSED,
    why="a file of Mage's pages, the same for everybody",
    any_site=True,
)
_API = Rule(reading=Asks.SESSION, changing=Asks.SESSION, why="Mage asks what this person may do", is_api=True)
_TRIGGER = Rule(
    reading=Asks.NOTHING,
    changing=Asks.NOTHING,
    why="for programs: Mage asks for the token of one trigger, and neither cookie nor session counts",
    any_site=True,
)
_SEEN_BY_VIEWERS = Rule(reading=Asks.VIEWER, changing=Asks.EDITOR, why="Mage itself asks nobody here")
CLOSED = Rule(reading=Asks.CLOSED, changing=Asks.CLOSED, why="not in the table: closed")
OURS = Rule(reading=Asks.NOTHING, changing=Asks.NOTHING, why="an address of ours", any_site=True)

RULES: Mapping[str, Rule] = {
    f"{_SERVER}.server.MainPageHandler": _PAGE,
    f"{_SERVER}.server.PipelineRunsPageHandler": _PAGE,
    f"{_SERVER}.server.ManagePageHandler": _PAGE,
    f"{_SERVER}.static.files.StaticFileHandler": _FILE,
    "tornado.web.ErrorHandler": Rule(
        reading=Asks.NOTHING, changing=Asks.NOTHING, why="there is nothing at this address", any_site=True
    ),
    f"{_SERVER}.api.v1.ApiListHandler": _API,
    f"{_SERVER}.api.v1.ApiResourceListHandler": _API,
    f"{_SERVER}.api.v1.ApiResourceDetailHandler": _API,
    f"{_SERVER}.api.v1.ApiChildListHandler": _API,
    f"{_SERVER}.api.v1.ApiChildDetailHandler": _API,
    f"{_SERVER}.api.triggers.ApiTriggerPipelineHandler": _TRIGGER,
    f"{_SERVER}.api.runs.ApiRunHandler": _TRIGGER,
    f"{_SERVER}.api.blocks.ApiPipelineBlockAnalysisHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.api.downloads.ApiDownloadHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.api.downloads.ApiResourceDownloadHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.api.events.ApiEventHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.api.events.ApiEventMatcherListHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.api.events.ApiEventMatcherDetailHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.events.stream.EventStreamHandler": _SEEN_BY_VIEWERS,
    f"{_SERVER}.websocket_server.WebSocketServer": _SEEN_BY_VIEWERS,
    f"{_SERVER}.terminal_server.TerminalWebsocketServer": Rule(
        reading=Asks.EDITOR,
        changing=Asks.CLOSED,
        why="opening it shows what the shell has written, and starts one; Mage asks this of each command",
    ),
    f"{_SERVER}.server.PrometheusMetricsHandler": _SEEN_BY_VIEWERS,
}

OPEN_OF_THE_API: Mapping[tuple[str, str], str] = {
    ("GET", "status"): "whether Mage runs: for load balancers, and for its pages before anybody signed in",
    ("GET", "statuses"): "the same",
    ("GET", "oauths"): "the sign-in page asks which buttons to show",
    ("GET", "oauths/*"): "the sign-in page of another provider ends here",
    ("POST", "sessions"): "signing in with a password",
    ("PUT", "sessions/*"): "signing out, when Mage's page has dropped its token already",
}
"""What of the API asks for no session: method and resource, a star for one name after it."""


def rule_of(handler: type[object], *, ours: Collection[type[object]]) -> Rule:
    """The rule of a handler class. Ours answer for themselves, but for what they leave to Mage's API."""
    if handler not in ours:
        return RULES.get(_name(handler), CLOSED)
    made_of = (RULES.get(_name(each)) for each in handler.__mro__)
    return next((rule for rule in made_of if rule is not None and rule.is_api), OURS)


def asked(rule: Rule, *, method: str, api_path: Sequence[str]) -> Asks:
    """What this request needs. `api_path` are the names in an API's address, as Mage's rule found them."""
    if rule.is_api and (method, _shape(api_path)) in OPEN_OF_THE_API:
        return Asks.NOTHING
    return rule.reading if method in ("GET", "HEAD") else rule.changing


def require_our_origin(request: WebRequest, *, urls: Collection[str]) -> None:
    """Lets pass what a page of ours, or no browser at all, has sent; and a link that somebody follows.

    Ours are the configured addresses; and, for the way in when those do not work, the very address that the
    request came to, if it is one that no other site can have for a name of its own.

    Raises:
        RequestRefused: another site made the browser send this.
    """
    origin = request.headers.get("origin")
    own = _own_address(request.headers.get("host", ""))
    origins = {*urls} | {f"{scheme}://{own}" for scheme in ("http", "https") if own}
    if origin is not None and origin not in origins:
        raise RequestRefused(
            "Another site sent your browser here, so nothing was opened and nothing changed.",
            hint="Open Mage yourself, at the address in $[public_url].",
        )
    if request.method != "GET" or request.headers.get("sec-fetch-mode") != "navigate":
        require_same_origin(request, origins=origins, form_token=None)


def _shape(names: Sequence[str]) -> str:
    return "/".join([*names[:1], *("*" for _ in names[1:])])


def _own_address(host: str) -> str:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return host.lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return ""
    return host.lower()


def _name(handler: type[object]) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"
