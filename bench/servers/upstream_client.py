"""A client towards an upstream, alone in its process: one address, over and over, on kept connections.

    python upstream_client.py entrada|aiohttp PORT SECONDS

Prints one line of JSON: requests, and CPU in microseconds for each. Both send the same fields, read the whole
body in pieces, and wait at most a minute for the head of a response.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

AT_ONCE = 16
FIELDS = {
    "Host": "tool.contoso.com",
    "Accept": "text/html",
    "Accept-Language": "en",
    "User-Agent": "bench",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-User": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
}
Ask = Callable[[], Awaitable[None]]


def entrada(port: int) -> Ask:
    from entrada.gateway.upstream import Pool

    pool = Pool(origin=f"http://127.0.0.1:{port}")
    head = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    request = f"GET / HTTP/1.1\r\n{head}\r\n".encode()

    async def ask() -> None:
        upstream, _ = await pool.connection()
        upstream.send_head("GET", request)
        answer = await upstream.head(60)
        assert answer.status == 200
        while await upstream.chunk():
            pass
        pool.give_back(upstream)

    return ask


async def aiohttp(port: int) -> Ask:
    import aiohttp as library  # type: ignore[import-not-found,unused-ignore]  # in the peers' environment

    url = f"http://127.0.0.1:{port}/"
    timeout = library.ClientTimeout(total=None, sock_connect=5, sock_read=60)
    session = library.ClientSession(
        connector=library.TCPConnector(limit=0),
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=library.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )

    async def ask() -> None:
        async with session.get(url, headers=FIELDS, allow_redirects=False) as answer:
            assert answer.status == 200
            async for _ in answer.content.iter_any():
                pass

    return ask


async def main(kind: str, port: int, seconds: float) -> None:
    ask = entrada(port) if kind == "entrada" else await aiohttp(port)
    until = 0.0

    async def over_and_over() -> int:
        asked = 0
        while time.monotonic() < until:
            await ask()
            asked += 1
        return asked

    until = time.monotonic() + seconds / 10  # connections and caches first
    await asyncio.gather(*(over_and_over() for _ in range(AT_ONCE)))
    until, began = time.monotonic() + seconds, time.process_time()
    asked = sum(await asyncio.gather(*(over_and_over() for _ in range(AT_ONCE))))
    print(json.dumps({"requests": asked, "cpu_us": (time.process_time() - began) * 1e6 / asked}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
