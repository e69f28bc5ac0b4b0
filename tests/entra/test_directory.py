"""What Graph says of a directory: believed in the promised shape alone, asked at Graph alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId
from entrada.entra.directory import (
    Change,
    PersonState,
    group_changes_url,
    people_changes_url,
    read_changes,
    read_people,
)
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpResponse
from entrada.errors import EntraUnavailable, Fixer

GRAPH = "https://graph.microsoft.com"
TOKEN = RawAccessToken("eyJ0eXAi.s3cr3t-bearer_token.AA")
NOW = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
NEXT = f"{GRAPH}/v1.0/users/delta?$deltatoken=n"


def person(number: int) -> ObjectId:
    return ObjectId(f"00000000-0000-4000-8000-{number:012d}")


class Graph:
    """Answers what it is told to, and keeps what was asked."""

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = HttpResponse(status=status, headers=headers, body=content)
        self.asked: list[tuple[str, str, Mapping[str, str], bytes | None]] = []

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HttpResponse:
        self.asked.append((method, url, headers or {}, body))
        return self.answer

    def close(self) -> None:
        pass

    def changes(self, link: str = NEXT) -> Any:
        return read_changes(self, graph_url=GRAPH, access_token=TOKEN, link=link)

    def people(self, *ids: ObjectId) -> Any:
        return read_people(self, graph_url=GRAPH, access_token=TOKEN, object_ids=ids, now=NOW)


def page(*values: Any, **more: Any) -> dict[str, Any]:
    return {"value": list(values), "@odata.deltaLink": NEXT, **more}


def answered(*bodies: tuple[int, Any], **headers: str) -> dict[str, Any]:
    return {
        "responses": [
            {"id": str(number), "status": status, "headers": headers, "body": body}
            for number, (status, body) in enumerate(bodies)
        ]
    }


def test_a_page_of_changes() -> None:
    """Who was disabled, enabled, deleted, or changed otherwise; which members came and went."""
    members = [{"id": person(7)}, {"id": person(8), "@removed": {"reason": "deleted"}}]
    read = Graph(
        200,
        page(
            {"id": person(1), "accountEnabled": False},
            {"id": person(2).upper(), "accountEnabled": True},
            {"id": person(3), "@removed": {"reason": "changed"}},
            {"id": person(4), "displayName": "x"},
            {"id": person(5), "members@delta": members},
        ),
    ).changes()
    assert read.is_last
    assert read.link == NEXT
    assert read.changes == [
        Change(object_id=person(1), is_enabled=False),
        Change(object_id=person(2), is_enabled=True),
        Change(object_id=person(3), is_removed=True),
        Change(object_id=person(4)),
        Change(object_id=person(5), members=frozenset({person(7), person(8)})),
    ]


def test_an_empty_page_names_nobody_and_leads_on() -> None:
    """Graph sends such in the middle of a round."""
    link = f"{GRAPH}/v1.0/users/delta?$skiptoken=s"
    read = Graph(200, {"value": [], "@odata.nextLink": link}).changes()
    assert (read.changes, read.link, read.is_last) == ([], link, False)


def test_where_a_round_begins() -> None:
    """From now on, so that no directory is read whole; fifty groups a query."""
    assert people_changes_url(GRAPH).endswith("users/delta?$select=accountEnabled&$deltatoken=latest")
    url = group_changes_url(GRAPH, [person(2), person(1)])
    assert f"%27{person(1)}%27%20or%20id%20eq%20%27{person(2)}%27" in url
    assert "filter" not in group_changes_url(GRAPH, ())
    with pytest.raises(ValueError, match="50"):
        group_changes_url(GRAPH, [person(number) for number in range(51)])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in to the hotel's network</html>",
        b'{"value": [{"id": "0',
        b"[]",
        {},
        {"value": []},
        {"value": {}, "@odata.deltaLink": NEXT},
        {"value": [], "@odata.deltaLink": "https://evil.example/v1.0/users/delta"},
        {"value": [], "@odata.nextLink": f"{GRAPH}.evil.example/v1.0/users/delta"},
        {"value": [], "@odata.nextLink": 7},
        {"value": [], "@odata.nextLink": NEXT, "@odata.deltaLink": NEXT},
        page("x"),
        page({"accountEnabled": False}),
        page({"id": "everybody", "accountEnabled": False}),
        page({"id": None, "@removed": {"reason": "deleted"}}),
        page({"id": person(1), "members@delta": "all"}),
        page({"id": person(1), "members@delta": ["x"]}),
    ],
)
def test_what_is_no_page_of_changes_is_an_outage(body: Any) -> None:
    """Never an empty page, and never somebody who left."""
    with pytest.raises(EntraUnavailable):
        Graph(200, body).changes()


@pytest.mark.parametrize("enabled", ["false", 0, None, "False", []])
def test_only_false_is_disabled(enabled: Any) -> None:
    """Whatever else stands there says nothing."""
    read = Graph(200, page({"id": person(1), "accountEnabled": enabled, "@removed": "yes"})).changes()
    assert read.changes == [Change(object_id=person(1))]


def test_a_link_that_leads_elsewhere_is_not_followed() -> None:
    """The token goes to Graph alone, whatever was stored; it is begun anew, as for one that is forgotten."""
    graph = Graph(200, page())
    for link in ("https://evil.example/v1.0/users/delta", f"{GRAPH}.evil.example/v1.0/", "", "x" * 20_000):
        assert graph.changes(link) is None
    assert graph.asked == []


def test_refusals_say_what_to_do() -> None:
    """410: begin anew. 403: which permission. 429 and 503: when to come back."""
    assert Graph(410, {"error": {"code": "syncStateNotFound"}}).changes() is None
    for ask in (lambda graph: graph.changes(), lambda graph: graph.people(person(1))):
        with pytest.raises(EntraUnavailable) as refused:
            ask(Graph(403, {"error": {"code": "Authorization_RequestDenied"}}))
        assert refused.value.fixer is Fixer.ADMINISTRATOR
        assert "User.Read.All" in (refused.value.hint or "")
        for status in (429, 503):
            with pytest.raises(EntraUnavailable) as later:
                ask(Graph(status, {}, **{"retry-after": "17"}))
            assert (later.value.retry_after_seconds, later.value.answered) == (17, False)


def test_how_people_stand() -> None:
    """Enabled, disabled, and not there; by Graph's clock, which its response tells."""
    moment = {"signInSessionsValidFromDateTime": "2026-05-04T10:00:00Z"}
    graph = Graph(
        200,
        answered(
            (200, {"id": person(1), "accountEnabled": True, **moment}),
            (200, {"id": person(2), "accountEnabled": False}),
            (404, {"error": {"code": "Request_ResourceNotFound", "message": "…"}}),
        ),
        date="Mon, 04 May 2026 10:30:07 GMT",
    )
    read = graph.people(person(1), person(2), person(3))
    assert read.states == {
        person(1): PersonState(is_enabled=True, sessions_valid_from=datetime(2026, 5, 4, 10, tzinfo=UTC)),
        person(2): PersonState(is_enabled=False),
        person(3): PersonState(is_enabled=None),
    }
    assert (read.unanswered, read.ahead) == (frozenset(), timedelta(seconds=7))
    ((_, _, _, body),) = graph.asked
    assert [one["method"] for one in json.loads(body or b"")["requests"]] == ["GET"] * 3


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("0001-01-01T00:00:00Z", "Mon, 04 May 2026 10:30:07 GMT"),
        ("9999-12-31T23:59:59Z", "Mon, 04 May 2026 10:29:00 GMT"),
        ("2026-05-04T10:00:00Z", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ("2026-05-04T10:00:00Z", "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"),
    ],
)
def test_a_moment_at_the_end_of_time_fails_nothing(said: str, date: str) -> None:
    """What a directory calls never, and the clock of a proxy: whoever is in the same answer is told of."""
    values = {"id": person(1), "accountEnabled": True, "signInSessionsValidFromDateTime": said}
    read = Graph(200, answered((200, values)), date=date).people(person(1))
    moment = read.states[person(1)].sessions_valid_from
    assert moment is not None
    assert read.by_our_clock(moment).tzinfo is UTC


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"id": person(9), "accountEnabled": False}),
        (200, {"id": person(1), "accountEnabled": "false"}),
        (200, {"id": person(1)}),
        (200, {"accountEnabled": False}),
        (200, "<html>"),
        (200, None),
        (404, {"error": {"code": "UnknownError"}}),
        (404, {"error": "gone"}),
        (404, "<html>404</html>"),
        (410, {"error": {"code": "Request_ResourceNotFound"}}),
        (500, {"id": person(1), "accountEnabled": False}),
        ("404", {"error": {"code": "Request_ResourceNotFound"}}),
    ],
)
def test_an_answer_that_does_not_fit_is_none(answer: tuple[Any, Any]) -> None:
    """About somebody else, of another form, from a proxy: nobody has left for that."""
    read = Graph(200, answered(answer)).people(person(1))
    assert (read.states, read.unanswered) == ({}, {person(1)})


@pytest.mark.parametrize("body", [b"<html>", b'{"responses": [', {}, {"responses": {}}, {"responses": ["x"]}])
def test_what_is_no_batch_is_an_outage(body: Any) -> None:
    """Nobody is known to be gone, or to be there."""
    with pytest.raises(EntraUnavailable):
        Graph(200, body).people(person(1))


def test_one_who_is_throttled_is_unanswered_and_says_for_how_long() -> None:
    """The others of the batch are read all the same."""
    answers = answered(
        (429, {"error": {"code": "TooManyRequests"}}),
        (200, {"id": person(2), "accountEnabled": True}),
        **{"Retry-After": "9"},
    )
    read = Graph(200, answers).people(person(1), person(2))
    assert (set(read.states), read.unanswered, read.retry_after_seconds) == ({person(2)}, {person(1)}, 9)
