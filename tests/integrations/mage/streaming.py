"""Run beside Mage: the guard before a handler that streams without end, in an application of Tornado's.

Prints after how many seconds a stream was cut, once its session had ended; once the database had not answered
any more; and whether that of another session went on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError
from tornado.iostream import StreamClosedError
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from entrada.accounts.identity import UserId
from entrada.errors import StoreUnavailable
from entrada.integrations.mage.dispatch import Guard, put_before
from entrada.integrations.mage.guard import Asks
from entrada.integrations.mage.sessions import OpenSession
from entrada.web.messages import WebResponse

alive = {"ends", "stays"}
answers = True


class EventStreamHandler(RequestHandler):
    async def get(self) -> None:
        while True:
            self.write("data: x\n\n")
            await self.flush()
            await asyncio.sleep(0.05)


EventStreamHandler.__module__ = "mage_ai.server.events.stream"


def open_sessions(tokens: Collection[str]) -> list[OpenSession]:
    if not answers:
        raise StoreUnavailable("the database is away")
    return [OpenSession(token=one, user_id=UserId("1@"), user_number=1) for one in alive & set(tokens)]


async def main() -> None:
    global answers
    app = Application([("/stream", EventStreamHandler)])
    guard = Guard(
        urls=["http://localhost"],
        open_sessions=open_sessions,
        may=lambda _: Asks.EDITOR,
        decode=lambda text: text,
        token_of=lambda _: None,
        refused_page=lambda _, __: WebResponse(status=403),
        ended_page=lambda _: WebResponse(status=303),
    )
    put_before(app, guard, ours=())
    socket, port = bind_unused_port()
    from tornado.httpserver import HTTPServer

    HTTPServer(app).add_socket(socket)
    ends, stays = (asyncio.create_task(streamed(port, token)) for token in ("ends", "stays"))
    await asyncio.sleep(1)
    assert not ends.done()
    assert not stays.done()
    alive.discard("ends")
    began = time.monotonic()
    await ends
    cut = time.monotonic() - began
    went_on = not stays.done()
    answers, began = False, time.monotonic()
    await stays
    print(json.dumps([cut, time.monotonic() - began, went_on]))


async def streamed(port: int, token: str) -> None:
    client: Any = AsyncHTTPClient(force_instance=True)
    try:
        await client.fetch(
            f"http://localhost:{port}/stream",
            headers={"OAUTH-TOKEN": token},
            streaming_callback=lambda _: None,
            request_timeout=60,
        )
    except (HTTPError, StreamClosedError):
        return  # it was cut
    raise AssertionError("the stream came to an end of its own")


if __name__ == "__main__":
    asyncio.run(main())
