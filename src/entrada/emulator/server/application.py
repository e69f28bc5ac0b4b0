"""One request to its answer: find the endpoint, write the request down, apply faults, answer.

Both listeners serve this one application; which one was asked is told by the request's `base_url`.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from ..clock import Clock
from ..faults import wire as wire_faults
from ..faults.catalogue import WIRE_FAULTS
from ..protocol.http import MAX_BODY_BYTES, Request, Response
from ..state.request_log import Entry
from ..state.world import World
from .routes import find_endpoint

Answer = Callable[[], Response]


class Application:
    """One emulator as whoever listens asks it."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def clock(self) -> Clock:
        """The emulator's clock."""
        return self._world.clock

    @property
    def spoiled(self) -> bool:
        """Whether faults are on, so that an answer may take its time."""
        return bool(self._world.faults)

    def answer(self, request: Request) -> Response:
        """The answer, with no regard to faults of the wire."""
        entry, answer = self._received(request)
        return self._answered(entry, _made(answer))

    async def answer_spoiled(self, request: Request) -> Response:
        """The answer when faults are on; the control API itself is never spoiled.

        Raises:
            DropConnection: the connection is to be cut.
        """
        entry, answer = self._received(request)
        name = f"graph:{unquote(request.path)}" if entry.endpoint == "graph" else entry.endpoint
        fault = None if name == "control" else self._world.faults.take(WIRE_FAULTS, name)
        if fault is None:
            return self._answered(entry, _made(answer))
        response = await wire_faults.before(fault, name)
        return self._answered(entry, response or wire_faults.after(fault, _made(answer)))

    def _received(self, request: Request) -> tuple[Entry, Answer]:
        if len(request.body) > MAX_BODY_BYTES:
            endpoint, answer = "unknown", _too_large
        else:
            endpoint, answer = find_endpoint(self._world, request)
        return self._world.log.add(request, endpoint, self._world.clock.now()), answer

    def _answered(self, entry: Entry, response: Response) -> Response:
        entry.status = response.status
        if self._world.changed is not None:
            self._world.changed()
        return response


def _too_large() -> Response:
    return Response(status=413, body=b"The request is too large.")


def _made(answer: Answer) -> Response:
    try:
        return answer()
    except Exception:
        import traceback

        # A defect of the emulator itself: say so instead of looking like one of Entra's failures.
        traceback.print_exc()
        return Response(status=500, body=b"The emulator itself failed; its terminal shows where.")
