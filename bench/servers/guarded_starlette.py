"""Starlette with one endpoint, bare or guarded by Entrada."""

from __future__ import annotations

import os

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from entrada import Entrada
from entrada.adapters.starlette import EntradaMiddleware, login_required


async def asked(_: Request) -> Response:
    return JSONResponse({"let in": True})


if os.environ.get("BENCH_GUARDED"):
    app = Starlette(
        routes=[Route("/page", login_required(asked))],
        middleware=[Middleware(EntradaMiddleware, entrada=Entrada.from_environment())],
    )
else:
    app = Starlette(routes=[Route("/page", asked)])

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), log_level="warning", access_log=False
    )
