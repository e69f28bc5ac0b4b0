"""MSAL as it comes in a bare ASGI server: no verification, no storage.

The flow MSAL hands out is kept in a dictionary until the answer comes; the cookie only names it.
The token request blocks, and while it does nobody else is served; BENCH_THREAD=1 makes it in a thread.
BENCH_PER_SIGN_IN=1 makes an application for each sign-in, as applications with a cache per session do.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Any
from urllib.parse import parse_qsl

import msal
import uvicorn

PORT = int(os.environ["BENCH_PORT"])
REDIRECT_URI = f"http://localhost:{PORT}/auth/entra/callback"
SCOPES = ["email"]
IN_A_THREAD = "BENCH_THREAD" in os.environ


def make_application() -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        os.environ["BENCH_CLIENT_ID"],
        client_credential=os.environ["BENCH_CLIENT_SECRET"],
        authority=os.environ["BENCH_AUTHORITY"],
        instance_discovery=False,
    )


shared = None if os.environ.get("BENCH_PER_SIGN_IN") else make_application()
flows: dict[str, dict[str, Any]] = {}


async def app(scope: Any, _: Any, send: Any) -> None:
    client = shared or make_application()
    if scope["path"] == "/start":
        flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT_URI)
        flows[flow["state"]] = flow
        await redirect(send, flow["auth_uri"], f"flow={flow['state']}; Path=/; HttpOnly")
        return
    query = dict(parse_qsl(scope["query_string"].decode()))
    flow = flows.pop(query["state"], {})
    if IN_A_THREAD:
        result = await asyncio.to_thread(client.acquire_token_by_auth_code_flow, flow, query)
    else:
        result = client.acquire_token_by_auth_code_flow(flow, query)
    if "id_token_claims" not in result:
        raise RuntimeError(str(result)[:300])
    await redirect(send, "/", f"session={secrets.token_urlsafe(32)}; Path=/; HttpOnly")


async def redirect(send: Any, location: str, cookie: str) -> None:
    headers = [(b"location", location.encode()), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(app, port=PORT, access_log=False, log_level="warning", lifespan="off", ws="none")
