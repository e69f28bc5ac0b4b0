"""Every address that Mage 0.9.80 has a handler for, and what it must answer under `entrada mage start`.

An address that a newer Mage adds is not here, so the comparison with Mage's own rules fails until somebody
has looked at it and written down what it must ask. Patterns are Mage's, letter for letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What an address is, and so what it answers to whom."""

    PAGE = auto()  # the same for everybody, holds nothing of a project
    FILE = auto()  # a file of those pages
    HEALTH = auto()  # whether Mage runs
    API = auto()  # a session, and Mage asks for rights
    READ = auto()  # a session of somebody who may see the project
    CHANGE = auto()  # reading and changing differ
    SOCKET = auto()  # a session of somebody who may see the project, and our Origin
    SHELL = auto()  # a session of somebody who may change the project, and our Origin
    STREAM = auto()  # as a socket, over plain HTTP
    TRIGGER = auto()  # a trigger's own token, and nothing else


OPEN = {
    Kind.PAGE: "as built, the same for everybody; what it shows comes from the API",
    Kind.FILE: "part of those pages",
    Kind.HEALTH: "load balancers have no session, and the sign-in page asks before anybody has one",
    Kind.TRIGGER: "programs have no session; Mage asks for the token of that one trigger",
}
"""The kinds that ask for no session, and why."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """`tried` is an address that the pattern finds; `methods` are those its handler has."""

    pattern: str
    handler: str
    kind: Kind
    tried: str
    methods: tuple[str, ...] = ("GET",)


_PAGES = {
    "/?": "/",
    "/files": "/files",
    "/overview": "/overview",
    "/oauth": "/oauth",
    "/pipelines": "/pipelines",
    "/pipelines/(.*)": "/pipelines/x/edit",
    "/pipeline-runs": "/pipeline-runs",
    "/settings": "/settings",
    "/settings/(.*)": "/settings/account/profile",
    "/sign-in": "/sign-in",
    "/terminal": "/terminal",
    "/triggers": "/triggers",
    "/manage": "/manage",
    "/manage/(.*)": "/manage/users",
    "/templates": "/templates",
    "/version-control": "/version-control",
    "/global-data-products": "/global-data-products",
    r"/global-data-products/(?P<uuid>\w+)": "/global-data-products/x",
    "/global-hooks": "/global-hooks",
    r"/global-hooks/(?P<uuid>[\w\-\%2f\.]+)": "/global-hooks/x",
    r"/templates/(?P<uuid>[\w\-\%2f\.]+)": "/templates/x",
}
_FILES = {
    "/_next/static/(.*)": "/_next/static/chunks/x.js",
    "/fonts/(.*)": "/fonts/x",
    "/images/(.*)": "/images/x",
    "/monaco-editor/(.*)": "/monaco-editor/x",
    "/(favicon.ico)": "/favicon.ico",
}
_LIST, _DETAIL = ("GET", "POST"), ("GET", "PUT", "DELETE")
_PK = r"(?P<pk>[\w\-\%2f\.]+)"


def _api(pattern: str, handler: str, tried: str, methods: tuple[str, ...]) -> Address:
    return Address(pattern=pattern, handler=handler, kind=Kind.API, tried=tried, methods=methods)


ADDRESSES = (
    Address(pattern=r"/api/status(?:es)?", handler="ApiListHandler", kind=Kind.HEALTH, tried="/api/status"),
    *(
        Address(
            pattern=pattern,
            handler={
                "/pipeline-runs": "PipelineRunsPageHandler",
            }.get(pattern, "MainPageHandler"),
            kind=Kind.PAGE,
            tried=tried,
        )
        for pattern, tried in _PAGES.items()
    ),
    *(
        Address(pattern=pattern, handler="StaticFileHandler", kind=Kind.FILE, tried=tried)
        for pattern, tried in _FILES.items()
    ),
    Address(
        pattern=r"/event-streams/(?P<uuid>[\w\-\%2f\.]+)",
        handler="EventStreamHandler",
        kind=Kind.STREAM,
        tried="/event-streams/x",
    ),
    Address(pattern="/websocket/", handler="WebSocketServer", kind=Kind.SOCKET, tried="/websocket/"),
    Address(
        pattern="/websocket/terminal",
        handler="TerminalWebsocketServer",
        kind=Kind.SHELL,
        tried="/websocket/terminal",
    ),
    Address(
        pattern="/api/events",
        handler="ApiEventHandler",
        kind=Kind.CHANGE,
        tried="/api/events",
        methods=("POST",),
    ),
    Address(
        pattern="/api/event_matchers",
        handler="ApiEventMatcherListHandler",
        kind=Kind.CHANGE,
        tried="/api/event_matchers",
        methods=_LIST,
    ),
    Address(
        pattern=r"/api/event_matchers/(?P<event_matcher_id>\w+)",
        handler="ApiEventMatcherDetailHandler",
        kind=Kind.CHANGE,
        tried="/api/event_matchers/1",
        methods=_DETAIL,
    ),
    Address(
        pattern=r"/api/pipelines/(?P<pipeline_uuid>\w+)/blocks/(?P<block_uuid>[\w\-\%2f\.]+)/analyses",
        handler="ApiPipelineBlockAnalysisHandler",
        kind=Kind.READ,
        tried="/api/pipelines/x/blocks/y/analyses",
    ),
    Address(
        pattern=r"/api/pipeline_schedules/(?P<pipeline_schedule_id>\w+)/pipeline_runs/(?P<token>\w+)",
        handler="ApiTriggerPipelineHandler",
        kind=Kind.TRIGGER,
        tried="/api/pipeline_schedules/1/pipeline_runs/guessed",
        methods=("POST",),
    ),
    Address(
        pattern=r"/api/pipeline_schedules/(?P<pipeline_schedule_id>\w+)/api_trigger",
        handler="ApiTriggerPipelineHandler",
        kind=Kind.TRIGGER,
        tried="/api/pipeline_schedules/1/api_trigger",
        methods=("POST",),
    ),
    Address(
        pattern="/api/runs", handler="ApiRunHandler", kind=Kind.TRIGGER, tried="/api/runs", methods=("POST",)
    ),
    Address(
        pattern=r"/api/runs/(?P<token>\w+)",
        handler="ApiRunHandler",
        kind=Kind.TRIGGER,
        tried="/api/runs/guessed",
        methods=("POST",),
    ),
    Address(
        pattern=r"/api/pipelines/(?P<pipeline_uuid>\w+)/block_outputs/"
        r"(?P<block_uuid>[\w\-\%2f\.(/.*)?]+)/downloads",
        handler="ApiDownloadHandler",
        kind=Kind.READ,
        tried="/api/pipelines/x/block_outputs/y/downloads",
    ),
    Address(
        pattern=r"/api/downloads/(?P<token>[\w/%.-]+)",
        handler="ApiResourceDownloadHandler",
        kind=Kind.READ,
        tried="/api/downloads/a.b.c",
    ),
    _api(
        r"/api/(?P<resource>file_contents)/(?P<pk>.+)",
        "ApiResourceDetailHandler",
        "/api/file_contents/a%2Fb",
        _DETAIL,
    ),
    _api(
        rf"/api/(?P<resource>pipelines)/{_PK}/(?P<child>blocks)/(?P<child_pk>.+)",
        "ApiChildDetailHandler",
        "/api/pipelines/x/blocks/y",
        _DETAIL,
    ),
    _api(
        r"/api/(?P<resource>files)/(?P<pk>.+)/(?P<child>file_versions)",
        "ApiChildListHandler",
        "/api/files/x/file_versions",
        _LIST,
    ),
    *(
        _api(
            rf"/api/(?P<resource>{resource})/(?P<pk>.+)",
            "ApiResourceDetailHandler",
            f"/api/{resource}/a%2Fb",
            _DETAIL,
        )
        for resource in ("page_block_layouts", "block_outputs", "git_custom_branches")
    ),
    _api(
        rf"/api/(?P<resource>\w+)/{_PK}/(?P<child>\w+)/(?P<child_pk>[\w\-\%2f\.]+)",
        "ApiChildDetailHandler",
        "/api/users/1/oauths/github",
        _DETAIL,
    ),
    _api(
        rf"/api/(?P<resource>\w+)/{_PK}/(?P<child>\w+)",
        "ApiChildListHandler",
        "/api/users/1/oauths",
        _LIST,
    ),
    _api(rf"/api/(?P<resource>\w+)/{_PK}", "ApiResourceDetailHandler", "/api/users/1", _DETAIL),
    _api(r"/api/(?P<resource>\w+)", "ApiResourceListHandler", "/api/oauth_access_tokens", _LIST),
    _api(r"/api/(?P<resource>\w+)/(?P<pk>.+)", "ApiResourceDetailHandler", "/api/users/a/b/c/d/e", _DETAIL),
)
