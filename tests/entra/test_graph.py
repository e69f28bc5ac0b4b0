"""Groups asked of Graph: only the configured ones, only at the configured host, all of the truth or none."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from entrada.entra.authority import ObjectId
from entrada.entra.credential_ends import read_credential_ends
from entrada.entra.graph import resolve_group_names, resolve_groups
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpResponse
from entrada.errors import EntraUnavailable, Fixer

GRAPH = "https://graph.microsoft.com"
SECRET = "eyJ0eXAi.s3cr3t-bearer_token.AA"
TOKEN = RawAccessToken(SECRET)


def group(index: int) -> ObjectId:
    return ObjectId(f"00000000-0000-0000-0000-{index:012d}")


class Graph:
    """A directory that answers as Graph does, keeps what was asked, and answers otherwise when told to."""

    def __init__(
        self, *, member_of: frozenset[ObjectId] = frozenset(), names: Mapping[str, str] | None = None
    ) -> None:
        self.member_of = member_of
        self.names = names or {}
        self.asked: list[tuple[str, str, Mapping[str, str], bytes | None]] = []
        self.answers: list[HttpResponse] = []
        self.failure: EntraUnavailable | None = None

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HttpResponse:
        self.asked.append((method, url, headers or {}, body))
        if self.failure:
            raise self.failure
        if self.answers:
            return self.answers.pop(0)
        return self._check_member_groups(body) if body else self._list_groups(url)

    def _check_member_groups(self, body: bytes) -> HttpResponse:
        asked = json.loads(body)["groupIds"]
        if len(asked) > 20:
            return HttpResponse(status=400, headers={}, body=b"{}")
        return answer({"value": [found for found in asked if found in self.member_of]})

    def _list_groups(self, url: str) -> HttpResponse:
        condition = parse_qs(urlsplit(url).query)["$filter"][0]
        wanted = condition.removeprefix("displayName eq '").removesuffix("'").replace("''", "'")
        # Graph compares without regard to case.
        found = [(key, name) for key, name in self.names.items() if name.lower() == wanted.lower()]
        return answer({"value": [{"id": key, "displayName": name} for key, name in found]})

    def close(self) -> None: ...


def answer(document: Any, *, status: int = 200, **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=status, headers=named, body=json.dumps(document).encode())


def groups_of(graph: Graph, asked: frozenset[ObjectId]) -> frozenset[ObjectId]:
    return resolve_groups(graph, graph_url=GRAPH, access_token=TOKEN, group_ids=asked)


def ids_of(graph: Graph, *names: str) -> Mapping[str, ObjectId]:
    return resolve_group_names(graph, graph_url=GRAPH, access_token=TOKEN, names=names)


def refusal(graph: Graph) -> EntraUnavailable:
    with pytest.raises(EntraUnavailable) as refused:
        groups_of(graph, frozenset({group(1)}))
    return refused.value


def test_C19_only_the_configured_groups_are_asked_for() -> None:
    """Of 250 memberships, Graph is asked about the three that mean something here."""
    graph = Graph(member_of=frozenset(group(index) for index in range(250)))
    wanted = frozenset({group(3), group(200), group(999)})
    assert groups_of(graph, wanted) == {group(3), group(200)}
    ((method, url, headers, body),) = graph.asked
    assert (method, url) == ("POST", f"{GRAPH}/v1.0/me/checkMemberGroups")
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(body or b"") == {"groupIds": sorted(wanted)}


def test_C19_twenty_ids_are_asked_for_at_a_time() -> None:
    """45 configured groups take three calls and none is left out."""
    everything = frozenset(group(index) for index in range(45))
    graph = Graph(member_of=everything)
    assert groups_of(graph, everything) == everything
    assert [len(json.loads(body or b"")["groupIds"]) for *_, body in graph.asked] == [20, 20, 5]


def test_nothing_configured_asks_nothing() -> None:
    """Without mapped groups, Graph is left alone."""
    graph = Graph()
    assert groups_of(graph, frozenset()) == frozenset()
    assert graph.asked == []


def test_C19_a_group_that_was_not_asked_for_does_not_count() -> None:
    """An answer cannot put a person into a group beyond the question."""
    graph = Graph()
    graph.answers = [answer({"value": [group(1), group(2)]})]
    assert groups_of(graph, frozenset({group(1)})) == {group(1)}


def test_C8_ids_in_capitals_are_the_same_groups() -> None:
    """Graph's spelling of a GUID does not matter."""
    wanted = ObjectId("abcdefab-0000-0000-0000-000000000000")
    graph = Graph()
    graph.answers = [answer({"value": [wanted.upper()]})]
    assert groups_of(graph, frozenset({wanted})) == {wanted}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"value":null}',
        b'{"value":{}}',
        b'{"value":"x"}',
        b'{"value":[5]}',
        b'{"value":["ada"]}',
        b'{"value":[null]}',
        b'{"value":[],"value":[]}',
        b'{"value":["00000000-0000-0000-0000-0000000000',
    ],
)
def test_C20_an_answer_that_cannot_be_read_refuses(body: bytes) -> None:
    """A broken answer is an outage, never "no groups"."""
    graph = Graph()
    graph.answers = [HttpResponse(status=200, headers={}, body=body)]
    assert refusal(graph).code == "entra_unavailable"


@pytest.mark.parametrize("status", [201, 204, 302, 307, 400, 401, 404, 500, 502, 503, 504])
def test_C20_any_status_but_200_refuses(status: int) -> None:
    """Nothing but a whole answer lets a person in, and the status is named for the administrator."""
    graph = Graph()
    graph.answers = [answer({"value": []}, status=status, location="https://mallory.test/")]
    assert str(status) in refusal(graph).reason
    assert len(graph.asked) == 1


def test_C20_a_failure_in_the_second_call_refuses_all() -> None:
    """Half of the groups are not an answer."""
    everything = frozenset(group(index) for index in range(25))
    graph = Graph()
    graph.answers = [answer({"value": []}), answer({}, status=500)]
    with pytest.raises(EntraUnavailable):
        groups_of(graph, everything)


def test_C20_no_connection_refuses() -> None:
    """What the transport says is passed on."""
    graph = Graph()
    graph.failure = EntraUnavailable(reason="timeout")
    assert refusal(graph).reason == "timeout"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17),
        ("0", 0),
        ("999999", 3600),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("١", None),
        ("9" * 50, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_C20_throttling_says_when_to_come_back(status: int, header: str, seconds: int | None) -> None:
    """Retry-After in seconds is passed on, bounded; anything else is not guessed at."""
    graph = Graph()
    graph.answers = [answer({}, status=status, retry_after=header)]
    assert refusal(graph).retry_after_seconds == seconds


def test_a_missing_permission_is_named_for_the_administrator() -> None:
    """403 says which permission to add and where."""
    graph = Graph()
    graph.answers = [
        answer({"error": {"code": "Authorization_RequestDenied"}}, status=403, request_id="abc-1")
    ]
    refused = refusal(graph)
    assert refused.fixer is Fixer.ADMINISTRATOR
    assert "GroupMember.Read.All" in refused.hint
    assert refused.correlation_id == "abc-1"


def test_an_odd_request_id_is_dropped() -> None:
    """What goes into a log is only what looks like an identifier."""
    graph = Graph()
    graph.answers = [answer({}, status=500, request_id="a\r\nb")]
    assert refusal(graph).correlation_id is None


@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
def test_the_bearer_token_is_in_no_error_and_no_log(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, also if Graph echoes the token."""
    graph = Graph()
    graph.answers = [answer({"error": SECRET, "value": SECRET}, status=status, request_id=SECRET, x=SECRET)]
    with caplog.at_level(logging.DEBUG):
        refused = refusal(graph)
    said = "".join(traceback.format_exception(refused)) + repr(vars(refused)) + caplog.text
    assert SECRET not in said


@pytest.mark.parametrize("bad", ["", "a b", "a\r\nX-Evil: 1", "é", "a\x00"])
def test_a_token_that_could_smuggle_a_header_is_not_sent(bad: str) -> None:
    """Only the characters of a bearer token leave this process."""
    graph = Graph()
    with pytest.raises(EntraUnavailable):
        resolve_groups(
            graph, graph_url=GRAPH, access_token=RawAccessToken(bad), group_ids=frozenset({group(1)})
        )
    with pytest.raises(EntraUnavailable):
        read_credential_ends(graph, graph_url=GRAPH, access_token=RawAccessToken(bad), client_id="a")
    assert graph.asked == []


# --- names ---


def test_a_name_stands_for_the_one_group_that_bears_it() -> None:
    """The whole directory is asked, with the name quoted."""
    graph = Graph(names={group(1): "Ops & Dev's", group(2): "Other"})
    assert ids_of(graph, "Ops & Dev's") == {"Ops & Dev's": group(1)}
    ((method, url, _, body),) = graph.asked
    assert (method, body) == ("GET", None)
    parts = urlsplit(url)
    assert (f"{parts.scheme}://{parts.netloc}", parts.path) == (GRAPH, "/v1.0/groups")
    assert parse_qs(parts.query) == {
        "$filter": ["displayName eq 'Ops & Dev''s'"],
        "$select": ["id,displayName"],
        "$top": ["100"],
    }


def test_a_name_that_no_group_bears_is_left_out() -> None:
    """A mapping key that is an app role is not a missing group."""
    assert ids_of(Graph(names={group(1): "Other"}), "Mage.Edit", "Other") == {"Other": group(1)}


def test_two_groups_of_one_name_are_refused() -> None:
    """Anyone may make a group of any name: which was meant cannot be told, and the page says what to do."""
    with pytest.raises(EntraUnavailable) as refused:
        ids_of(Graph(names={group(1): "Admins", group(2): "Admins"}), "Admins")
    assert refused.value.fixer is Fixer.ADMINISTRATOR
    assert "object id" in refused.value.hint


def test_C18_a_group_whose_name_differs_in_case_is_another_group() -> None:
    """Graph's filter ignores case; ours does not."""
    assert ids_of(Graph(names={group(1): "admins"}), "Admins") == {}
    graph = Graph(names={group(1): "admins", group(2): "Admins"})
    assert ids_of(graph, "Admins") == {"Admins": group(2)}


def test_groups_without_readable_names_mean_a_missing_permission() -> None:
    """With too few permissions Graph answers groups with displayName null; that is not "no such group"."""
    graph = Graph()
    graph.answers = [answer({"value": [{"id": group(1), "displayName": None}]})]
    with pytest.raises(EntraUnavailable) as refused:
        ids_of(graph, "Admins")
    assert "GroupMember.Read.All" in refused.value.hint


@pytest.mark.parametrize("host", ["https://mallory.test", GRAPH])
def test_no_address_of_an_answer_is_ever_called(host: str) -> None:
    """A next page, wherever it lies, is not fetched; an answer with one is refused."""
    graph = Graph()
    graph.answers = [answer({"value": [], "@odata.nextLink": f"{host}/v1.0/groups?$skiptoken=x"})]
    with pytest.raises(EntraUnavailable):
        ids_of(graph, "Admins")
    assert len(graph.asked) == 1


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_a_name_of_an_impossible_length_is_refused(name: str) -> None:
    """Graph's own limit is 256 characters."""
    with pytest.raises(EntraUnavailable):
        ids_of(Graph(), name)


@pytest.mark.parametrize(
    "value", [[5], [{"id": 5, "displayName": "Admins"}], [{"displayName": "Admins"}], "x"]
)
def test_a_list_of_something_else_refuses(value: Any) -> None:
    """Half an answer names no group."""
    graph = Graph()
    graph.answers = [answer({"value": value})]
    with pytest.raises(EntraUnavailable):
        ids_of(graph, "Admins")
