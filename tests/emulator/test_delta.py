"""Graph's delta queries and batches: what a client needs that has to know who left."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.relying_party import Entra
from entrada.emulator.seed import CONTOSO_ID, FINANCE, PLATFORM

USERS = "/users/delta?$select=accountEnabled,displayName"


class Client:
    """Reads delta queries to their end."""

    def __init__(self, entra: Entra) -> None:
        self.entra = entra
        self.token = entra.application_token("User.Read.All", "GroupMember.Read.All")

    def get(self, url: str, **headers: str) -> Any:
        path = url.partition("/v1.0")[2] or url
        address = f"{self.entra.emulator.https_url}/v1.0{path}"
        return self.entra.http.get(address, headers={"Authorization": f"Bearer {self.token}", **headers})

    def round(self, url: str, **headers: str) -> tuple[list[dict[str, Any]], str, int]:
        """Everything up to the delta link, that link, and the number of pages."""
        told: list[dict[str, Any]] = []
        pages = 0
        while True:
            answer = self.get(url, **headers).json()
            told += answer["value"]
            pages += 1
            if "@odata.deltaLink" in answer:
                assert "@odata.nextLink" not in answer
                return told, answer["@odata.deltaLink"], pages
            url = answer["@odata.nextLink"]


@pytest.fixture
def client(entra: Entra) -> Client:
    return Client(entra)


def test_people_who_change_come_and_go(entra: Entra, client: Client) -> None:
    """After the first round a delta link tells who was disabled, added and deleted, each once; others not."""
    everybody, link, _ = client.round(USERS)
    assert len(everybody) == len(entra.emulator.directory.people_of(CONTOSO_ID))
    assert set(everybody[0]) == {"id", "accountEnabled", "displayName"}
    assert client.round(link)[0] == []
    ed = entra.emulator.change_person("ed@contoso.test", enabled=False)
    new = entra.emulator.add_person("zoe@contoso.test")
    vi = entra.emulator.person("vi@contoso.test")
    entra.emulator.remove_person("vi@contoso.test")
    changes, after, _ = client.round(link)
    assert {one["id"] for one in changes} == {ed.object_id, new.object_id, vi.object_id}
    by_id = {one["id"]: one for one in changes}
    assert by_id[ed.object_id]["accountEnabled"] is False
    assert by_id[vi.object_id] == {"id": vi.object_id, "@removed": {"reason": "changed"}}
    assert client.round(after)[0] == []
    assert len(client.round(link)[0]) == 3  # the older link still tells what it told


def test_only_what_is_selected_counts(entra: Entra, client: Client) -> None:
    """A change of something else is none, and neither is a revocation alone, though its moment is told."""
    _, link, _ = client.round("/users/delta?$select=accountEnabled,signInSessionsValidFromDateTime")
    entra.emulator.change_person("ed@contoso.test", job_title="Other")
    entra.emulator.revoke_sessions("ed@contoso.test")
    assert client.round(link)[0] == []
    entra.emulator.change_person("ed@contoso.test", enabled=False)
    (told,) = client.round(link)[0]
    assert told["signInSessionsValidFromDateTime"] > "2020"


def test_pages_and_a_start_from_now(entra: Entra, client: Client) -> None:
    """`Prefer: odata.maxpagesize` makes pages; `$deltatoken=latest` begins without the first round."""
    everybody, _, pages = client.round(USERS, Prefer="odata.maxpagesize=2")
    assert len(everybody) == len({one["id"] for one in everybody})
    assert pages == (len(everybody) + 1) // 2
    nobody, link, _ = client.round(f"{USERS}&$deltatoken=latest")
    assert nobody == []
    entra.emulator.change_person("ed@contoso.test", enabled=False)
    assert len(client.round(link)[0]) == 1


def test_members_of_groups(entra: Entra, client: Client) -> None:
    """A group's direct members are told in `members@delta`: all at first, then who came and who went."""
    groups, link, _ = client.round(f"/groups/delta?$filter=id eq '{PLATFORM}' or id eq '{FINANCE}'")
    ada, mia = (entra.emulator.person(f"{name}@contoso.test") for name in ("ada", "mia"))
    members = {one["id"]: [m["id"] for m in one["members@delta"]] for one in groups}
    assert members == {PLATFORM: [ada.object_id], FINANCE: [mia.object_id]}
    entra.emulator.change_person("ada@contoso.test", groups=["Finance"])
    changes = {one["id"]: one["members@delta"] for one in client.round(link)[0]}
    kind = "#microsoft.graph.user"
    assert changes[FINANCE] == [{"@odata.type": kind, "id": ada.object_id}]
    assert changes[PLATFORM] == [
        {"@odata.type": kind, "id": ada.object_id, "@removed": {"reason": "deleted"}}
    ]


def test_a_forgotten_token_is_gone(entra: Entra, client: Client) -> None:
    """A token that is unknown, of another collection or from before a reset: 410, and where to begin."""
    _, link, _ = client.round(USERS)
    token = link.partition("$deltatoken=")[2]
    for url in (
        "/users/delta?$deltatoken=x",
        "/users/delta?$skiptoken=x",
        f"/groups/delta?$deltatoken={token}",
    ):
        answer = client.get(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "syncStateNotFound")
        assert answer.headers["location"].endswith("delta?$deltatoken=")
    assert client.round(client.get("/users/delta?$deltatoken=x").headers["location"])[0]
    entra.emulator.reset()
    again = Client(entra)
    assert again.get(link).status_code == 410


def test_delta_needs_its_permission_and_can_be_throttled(entra: Entra, client: Client) -> None:
    """403 without User.Read.All; 429 with Retry-After on demand, and the token is still good afterwards."""
    _, link, _ = client.round(USERS)
    entra.emulator.fail("too_many_requests", endpoint="graph:/v1.0/users/delta", retry_after=7)
    busy = client.get(link)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "7")
    assert client.get(link).status_code == 200
    entra.emulator.fail("graph_error", endpoint="graph:/v1.0/users/delta", status=410, code="resyncRequired")
    assert client.get(link).status_code == 410
    client.token = entra.application_token("GroupMember.Read.All")
    assert client.get(USERS).status_code == 403


def test_a_batch_answers_each_by_itself(entra: Entra, client: Client) -> None:
    """Up to twenty requests in one; one that fails or is throttled leaves the others alone."""
    ids = [p.object_id for p in entra.emulator.directory.people_of(CONTOSO_ID)][:3]
    select = "$select=id,signInSessionsValidFromDateTime"
    asked = [{"id": str(n), "method": "GET", "url": f"/users/{one}?{select}"} for n, one in enumerate(ids)]
    asked.append({"id": "nobody", "method": "GET", "url": "/users/nobody"})
    entra.emulator.fail(
        "graph_error", endpoint=f"graph:/v1.0/users/{ids[1]}", status=429, code="TooManyRequests"
    )
    answer = entra.graph(client.token, "/$batch", method="POST", body={"requests": asked}).json()
    told = {one["id"]: one for one in answer["responses"]}
    assert [told[key]["status"] for key in ("0", "1", "2", "nobody")] == [200, 429, 200, 404]
    assert told["1"]["headers"]["Retry-After"]
    assert told["0"]["body"]["id"] == ids[0]


@pytest.mark.parametrize(
    "requests",
    [
        None,
        [],
        "x",
        [{"id": "1"}],
        [{"id": "1", "method": "GET", "url": "/me"}] * 2,
        [{"method": "GET", "url": "/me"}],
        [{"id": str(n), "method": "GET", "url": "/me"} for n in range(21)],
        [{"id": "1", "method": "POST", "url": "/$batch", "body": {}}],
        [{"id": "1", "method": "GET", "url": "https://elsewhere.example/me"}],
    ],
)
def test_a_batch_that_cannot_be_read_is_refused(entra: Entra, client: Client, requests: object) -> None:
    """None, too many, doubled or missing ids, a batch within a batch, another host: 400."""
    answer = entra.graph(client.token, "/$batch", method="POST", body={"requests": requests})
    assert answer.status_code == 400
