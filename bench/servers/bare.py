"""The floor: the same exchange by hand. No library for the protocol, no verification, no storage.

One kept-alive TLS connection to the token endpoint, state in a dictionary, the ID token only taken apart.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import urlopen

import uvicorn

PORT = int(os.environ["BENCH_PORT"])
AUTHORITY = os.environ["BENCH_AUTHORITY"]
CLIENT = {"client_id": os.environ["BENCH_CLIENT_ID"], "client_secret": os.environ["BENCH_CLIENT_SECRET"]}
REDIRECT_URI = f"http://localhost:{PORT}/auth/entra/callback"
TLS = ssl.create_default_context(cafile=os.environ["BENCH_CA_FILE"])
with urlopen(f"{AUTHORITY}/v2.0/.well-known/openid-configuration", context=TLS) as answer:
    METADATA = json.load(answer)
TOKEN = urlsplit(METADATA["token_endpoint"])

pending: dict[str, str] = {}
sessions: dict[str, dict[str, Any]] = {}
idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []


async def app(scope: Any, _: Any, send: Any) -> None:
    if scope["path"] == "/start":
        await begin(send)
    else:
        await complete(dict(parse_qsl(scope["query_string"].decode())), send)


async def begin(send: Any) -> None:
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    pending[state] = verifier
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": CLIENT["client_id"],
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid profile offline_access email",
        "state": state,
        "nonce": secrets.token_urlsafe(32),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    await redirect(
        send, f"{METADATA['authorization_endpoint']}?{urlencode(query)}", f"pending={state}; Path=/"
    )


async def complete(query: dict[str, str], send: Any) -> None:
    form = urlencode(
        {
            **CLIENT,
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": REDIRECT_URI,
            "code_verifier": pending.pop(query["state"]),
        }
    ).encode()
    tokens = json.loads(await post(form))
    part = tokens["id_token"].split(".")[1]
    session = secrets.token_urlsafe(32)
    sessions[session] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    await redirect(send, "/", f"session={session}; Path=/; HttpOnly")


async def post(form: bytes) -> bytes:
    head = (
        f"POST {TOKEN.path} HTTP/1.1\r\nhost: {TOKEN.netloc}\r\ncontent-length: {len(form)}\r\n"
        "content-type: application/x-www-form-urlencoded\r\n\r\n"
    ).encode()
    while idle:
        reader, writer = idle.pop()
        if not reader.at_eof():
            break
        writer.close()
    else:
        reader, writer = await asyncio.open_connection("localhost", TOKEN.port, ssl=TLS)
    writer.write(head + form)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    idle.append((reader, writer))
    return body


async def redirect(send: Any, location: str, cookie: str) -> None:
    headers = [(b"location", location.encode()), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(app, port=PORT, access_log=False, log_level="warning", lifespan="off", ws="none")
