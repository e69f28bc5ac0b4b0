"""What "refuse" means at dstack: no token, nobody new, 4xx in words, and nothing secret in the log."""

from __future__ import annotations

from typing import Any

import httpx

from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_SECRET
from integrations.dstack.visitor import Visitor
from walks.refusals import text_of
from walks.visitor import query_of


class Watch:
    """What dstack kept when the watch began, to compare with afterwards."""

    def __init__(self, visitor: Visitor, emulator: RunningEmulator) -> None:
        self._visitor = visitor
        self._emulator = emulator
        self._users = users_of(visitor)
        self._redemptions = redemptions(emulator)
        self._log = len(visitor.dstack.log)

    def refused(
        self, answer: httpx.Response, status: int = 400, *, sentence: str = "", token_requests: int = 0
    ) -> str:
        """The words of the answer, after all that "refuse" means was checked."""
        words = words_of(answer)
        assert answer.status_code == status, (
            f"{answer.status_code}: {words}\n{self._visitor.dstack.log[-3000:]}"
        )
        assert "creds" not in words
        assert users_of(self._visitor) == self._users, "something was kept"
        assert redemptions(self._emulator) - self._redemptions == token_requests
        assert sentence in words, words
        self.nothing_secret(words)
        return words

    def nothing_secret(self, words: str = "") -> None:
        """Neither the answer nor dstack's log since then holds what opens a door."""
        secrets = [CLIENT_SECRET, *(cookie.value for cookie in self._visitor.jar.cookies.values())]
        if self._visitor.coming_back:
            code = query_of(self._visitor.coming_back).get("code")
            secrets += [code] if code else []
        for text in (words, self.log):
            # dstack's own log wraps its lines.
            assert not any(secret in text.replace("\n", "") for secret in secrets)

    @property
    def log(self) -> str:
        """What dstack has said since the watch began."""
        return self._visitor.dstack.log[self._log :]


def words_of(answer: httpx.Response) -> str:
    """A page as a person reads it, or JSON as it is."""
    return text_of(answer) if answer.headers.get("content-type", "").startswith("text/html") else answer.text


def users_of(visitor: Visitor) -> list[dict[str, Any]]:
    """Everybody dstack knows, as its administrator sees them."""
    users: list[dict[str, Any]] = visitor.dstack.api.post("/api/users/list").json()
    return sorted(users, key=lambda user: str(user["id"]))


def redemptions(emulator: RunningEmulator) -> int:
    return sum(request.endpoint == "token" for request in emulator.requests)
