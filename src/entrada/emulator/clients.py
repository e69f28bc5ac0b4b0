"""Sign a test client in: the same call for Starlette, FastAPI, Flask and Django test clients.

The client asks the application, the emulator answers as the person, the client brings the answer back, as a
browser would.  What the application sets in between, such as cookies, stays with the client.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from .remote import RemoteEmulator, RemoteError

_MOST_REDIRECTS = 10


def sign_in(
    client: Any, entra: RemoteEmulator, who: str = "ada@contoso.test", *, start: str = "/auth/entra/start"
) -> Any:
    """The application's answer to the callback, after signing in as somebody.

    `start` is the path that sends a browser to Entra, directly or through redirects of its own.

    Raises:
        RemoteError: the application never redirects to the emulator, or Entra shows a page instead.
    """
    location = start
    for _ in range(_MOST_REDIRECTS):
        response = _get(client, location)
        following = _location(response)
        if not following:
            raise RemoteError(
                f"The application answered {response.status_code} at {location}, not a redirect."
            )
        if following.startswith((entra.http_url, entra.https_url)):
            return _bring_back(client, entra, following, who)
        location = _path(following)
    raise RemoteError("The application redirects without end.")


def _bring_back(client: Any, entra: RemoteEmulator, authorization_url: str, who: str) -> Any:
    answer = entra.answer(authorization_url, who)
    path = _path(answer.url)
    return _post(client, path, dict(answer.form)) if answer.form else _get(client, path)


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"


def _location(response: Any) -> str:
    headers = response.headers
    return str(headers.get("location") or headers.get("Location") or "")


def _follows_by_itself(client: Any) -> bool:
    """Starlette's client, which is an httpx client, follows redirects unless told not to."""
    return hasattr(client, "follow_redirects")


def _get(client: Any, path: str) -> Any:
    return client.get(path, follow_redirects=False) if _follows_by_itself(client) else client.get(path)


def _post(client: Any, path: str, fields: dict[str, str]) -> Any:
    if _follows_by_itself(client):
        return client.post(path, data=fields, follow_redirects=False)
    return client.post(path, data=fields)
