"""FastAPI with one endpoint, bare or guarded by Entrada; another one takes access tokens."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import Depends, FastAPI, Security

from entrada import Entrada
from entrada.adapters.fastapi import current_principal, install

SCOPE = "access_as_user"
app = FastAPI()


async def asked() -> dict[str, bool]:
    return {"let in": True}


def guarded(app: FastAPI) -> None:
    entra = install(app, Entrada.from_environment())
    app.get("/page", dependencies=[Depends(current_principal)])(asked)
    app.get("/asked", dependencies=[Security(entra, scopes=[SCOPE])])(asked)


def bare(app: FastAPI) -> None:
    route: Callable[[Callable[[], Awaitable[dict[str, bool]]]], object] = app.get("/page")
    route(asked)


(guarded if os.environ.get("BENCH_GUARDED") else bare)(app)

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), log_level="warning", access_log=False
    )
