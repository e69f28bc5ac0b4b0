"""uvicorn's server as the gateway runs it: further listeners with applications of their own, and its loop.

Source: uvicorn, `Server.startup`: one protocol object for each connection, made from a configuration.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn


class GatewayServer(uvicorn.Server):
    """`further`: configurations, each for the connections of one listener. `alive` is called every second.

    `on_signal` is told of a signal at once, when the server begins to end; it is then not sent again.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        further: Sequence[tuple[uvicorn.Config, socket.socket]] = (),
        alive: Callable[[], None] = lambda: None,
        on_signal: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._on_signal = on_signal
        self._alive = alive
        self._further = further
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._say_alive()
        await super().startup(sockets=sockets)
        for config, listener in self._further:
            config.load()
            made = await self._loop.create_server(
                lambda config=config: config.http_protocol_class(  # type: ignore[misc]  # as uvicorn does
                    config=config, server_state=self.server_state, app_state={}
                ),
                sock=listener,
                backlog=config.backlog,
            )
            self.servers.append(made)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._on_signal is None:
            super().handle_exit(sig, frame)
            return
        self.force_exit = self.should_exit
        self.should_exit = True
        self._on_signal(sig)

    def _say_alive(self) -> None:
        self._alive()
        if self._loop is not None:
            self._loop.call_later(1.0, self._say_alive)

    def call_soon(self, call: Callable[[], None]) -> None:
        """From any thread: in the loop's, or at once where it does not run yet."""
        loop = self._loop
        if loop is None:
            call()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(call)

    def end(self) -> None:
        """From any thread: finish what is under way, and return from `run`."""
        self.should_exit = True
