"""Which of Mage's addresses are answered by us, as Tornado's handlers. No rules here.

The walks ask Entra and a database, synchronously: they run in a bounded pool of threads, never on Mage's
loop. Mage's log of requests is told the path alone: what stands behind it is Entra's code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from entrada.adapters.tornado import request_of, send, summary
from entrada.integrations.mage.addresses import (
    BACKCHANNEL_PATH,
    CALLBACK_PATH,
    FRONT_CHANNEL_PATH,
    SCRIPT_PATH,
    SESSIONS_PATH,
    SIGN_IN_PATH,
    START_PATH,
)
from entrada.integrations.mage.routes import MageRoutes, token_in
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse

WALKS_AT_ONCE = 16

Answer = Callable[[WebRequest], WebResponse | None]


def rules_for(
    routes: MageRoutes,
    *,
    page_handler: type[Any],
    list_handler: type[Any],
    detail_handler: type[Any],
    routes_prefix: str,
    callback_paths: Sequence[str],
    decode: Callable[[str], str | None],
) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Tornado's rules for our addresses; what we do not answer goes to Mage's own handler.

    `decode` gives the token that an encoded one holds.
    """
    pool = ThreadPoolExecutor(max_workers=WALKS_AT_ONCE, thread_name_prefix="entrada")

    class Ours(RequestHandler):
        """An address that Mage does not have."""

        _request_summary = summary

        def initialize(self, answer: Answer, methods: Sequence[str]) -> None:
            self._answer, self._methods = answer, methods

        async def prepare(self) -> None:
            if self.request.method not in self._methods:
                send(
                    self,
                    WebResponse(status=405, headers=[("allow", ", ".join(self._methods)), *SAFE_HEADERS]),
                )
                return
            answer = await in_pool(pool, self._answer, self)
            send(self, answer or WebResponse(status=404, headers=SAFE_HEADERS))

    class Shared(page_handler):  # type: ignore[misc]  # a class of Mage's
        """A page of Mage's that we look at first."""

        _request_summary = summary

        def initialize(self, answer: Answer, methods: Sequence[str]) -> None:
            self._answer, self._methods = answer, methods

        async def prepare(self) -> None:
            if self.request.method in self._methods:
                answer = await in_pool(pool, self._answer, self)
                if answer is not None:
                    send(self, answer)

        def post(self, *_: str) -> None:
            self.send_error(405)

        def check_xsrf_cookie(self) -> None:
            """Entra's form_post comes from another site; the pending sign-in is what binds it."""

    class SignOut(detail_handler):  # type: ignore[misc]  # a class of Mage's
        async def put(self, resource: str, pk: str, **kwargs: str) -> None:
            answer = await in_pool(pool, routes.sign_out, self)
            if answer is not None:
                send(self, answer)
                return
            await super().put(resource, pk, **kwargs)

    class SignIn(list_handler):  # type: ignore[misc]  # a class of Mage's
        """Mage's own sign-in with a password: our cookie is set as well, so that signing out ends it."""

        def write(self, chunk: Any) -> None:
            encoded = token_in(chunk) if isinstance(chunk, str | bytes) else None
            token = None if encoded is None else decode(encoded)
            if token is not None:
                request = request_of(self)
                pool.submit(routes.forget_session, request)
                self.add_header("Set-Cookie", routes.session_cookie(request, token))
            super().write(chunk)

    get, callback = ("GET", "HEAD"), ("GET", "POST")
    prefix = routes_prefix
    return [
        (prefix + START_PATH, Ours, {"answer": routes.start, "methods": get}),
        (prefix + FRONT_CHANNEL_PATH, Ours, {"answer": routes.front_channel, "methods": get}),
        (prefix + BACKCHANNEL_PATH, Ours, {"answer": routes.backchannel, "methods": ("POST",)}),
        (prefix + SCRIPT_PATH, Ours, {"answer": routes.script, "methods": get}),
        *(
            (prefix + path, Ours, {"answer": routes.callback, "methods": callback})
            for path in callback_paths
            if path != CALLBACK_PATH
        ),
        (prefix + CALLBACK_PATH, Shared, {"answer": routes.callback, "methods": callback}),
        (prefix + SIGN_IN_PATH, Shared, {"answer": routes.sign_in, "methods": get}),
        (prefix + rf"/api/(?P<resource>{SESSIONS_PATH.rpartition('/')[2]})", SignIn, {}),
        (
            prefix + rf"/api/(?P<resource>{SESSIONS_PATH.rpartition('/')[2]})/(?P<pk>[\w\-\%2f\.]+)",
            SignOut,
            {},
        ),
    ]


async def in_pool(pool: ThreadPoolExecutor, answer: Answer, handler: RequestHandler) -> WebResponse | None:
    """What `answer` makes of this handler's request, run in the pool of threads."""
    request = request_of(handler)
    answered: WebResponse | None = await IOLoop.current().run_in_executor(pool, answer, request)
    return answered
