"""Starting and coming back at the real dstack: cases A1 to A9, A22, A24 and A34 of the catalogue."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from clients.dstack import Dstack
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import FABRIKAM_ID
from entrada.flows.pending import seal_pending, unseal_pending
from entrada.sealing import Sealer
from integrations.dstack.conftest import EXTRA_URL, SECRET_KEY, NewPerson, NewVisitor
from integrations.dstack.refusals import Watch, redemptions, users_of, words_of
from integrations.dstack.visitor import CALLBACK, Visitor, is_dstacks_page
from walks.visitor import query_of, with_query

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def pat(new_person: NewPerson) -> Any:
    return new_person("Viewer")


@pytest.fixture
def kim(new_person: NewPerson) -> Any:
    return new_person("Viewer")


def other_state(state: str, **changes: Any) -> str:
    """A state as dstack reads it, changed."""
    return base64.b64encode(json.dumps({**json.loads(base64.b64decode(state)), **changes}).encode()).decode()


def changed_cookie(visitor: Visitor, **changes: Any) -> None:
    """The sign-in that this browser has under way, changed as only the server could."""
    sealer = Sealer([SECRET_KEY.encode()], purpose="pending sign-in")
    ((place, cookie),) = [item for item in visitor.jar.cookies.items() if "entrada_pending" in item[0][1]]
    pending = unseal_pending(cookie.value, tag=place[1].rpartition("_")[2], sealer=sealer)
    assert pending is not None
    sealed = seal_pending(replace(pending, **changes), sealer)
    visitor.jar.cookies[place] = replace(cookie, value=sealed)


def test_A1_no_state(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """An answer without state is refused with a page, and no token request leaves."""
    visitor.begin()
    visitor.approve_as(pat)
    watch = Watch(visitor, emulator)
    watch.refused(visitor.complete(with_query(visitor.coming_back, without=("state",))))


def test_A1_no_state_by_script(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """The endpoint behind the page refuses it as well."""
    visitor.begin()
    code = query_of(visitor.approve_as(pat))["code"]
    watch = Watch(visitor, emulator)
    for body in (
        {"code": code},
        {"code": code, "state": ""},
        {"code": code, "state": None},
        {},
        [],
        "x",
        None,
    ):
        answer = visitor.fetch("/api/auth/entra/callback", body)
        assert answer.status_code in (400, 422), f"{body}: {answer.status_code}"
        watch.refused(answer, answer.status_code)


@pytest.mark.parametrize(
    "state", ["nobody-sent-this", "é", "x" * 600, "'; DROP TABLE users; --", "e30=", "W10="]
)
def test_A2_unknown_state(state: str, visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """An answer with a state nobody was given is refused, and no token request leaves."""
    visitor.begin()
    visitor.approve_as(pat)
    watch = Watch(visitor, emulator)
    watch.refused(visitor.complete(with_query(visitor.coming_back, state=state)))
    code = query_of(visitor.coming_back)["code"]
    watch.refused(visitor.ask_to_complete(code=code, state=state))


def test_A2_tampered_state(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """A state that says the same about another port, or another value, is refused."""
    visitor.begin()
    given = query_of(visitor.approve_as(pat))
    watch = Watch(visitor, emulator)
    for changes in ({"local_port": 8080}, {"value": "0" * 32}):
        state = other_state(given["state"], **changes)
        watch.refused(visitor.ask_to_complete(code=given["code"], state=state))
    assert visitor.complete().status_code == 200, "what was tried with it did not spend the sign-in"


def test_A3_state_of_another_browser(new_visitor: NewVisitor, pat: Any, emulator: RunningEmulator) -> None:
    """A link with an answer to somebody else's sign-in signs nobody in and redeems nothing."""
    attacker, victim = new_visitor(), new_visitor()
    attacker.begin()
    link = attacker.approve_as(pat)
    watch = Watch(victim, emulator)
    watch.refused(victim.complete(link))


def test_A3_with_a_sign_in_of_ones_own_under_way(new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """Such a link does not disturb the sign-in that the browser has under way itself."""
    attacker, victim = new_visitor(), new_visitor()
    attacker.begin()
    victim.begin()
    assert victim.complete(attacker.approve_as(pat)).status_code == 400
    victim.approve_as(kim)
    assert victim.complete().json()["email"] == kim.user_principal_name


def test_A3_a_forged_port_gets_no_code(new_visitor: NewVisitor, pat: Any, dstack: Dstack) -> None:
    """A state with a port that nobody asked for does not make the page hand the code to that port."""
    visitor = new_visitor()
    visitor.begin()
    given = query_of(visitor.approve_as(pat))
    forged = other_state(given["state"], local_port=9)
    page = visitor.open(with_query(visitor.coming_back, state=forged), sec_fetch_site="cross-site")
    assert page.status_code == 400, (
        "dstack's own page would read the port from it, and go there with the code"
    )


def test_A4_replay(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """An answer used once is refused the second time, though the cookies are put back."""
    visitor.begin()
    kept = dict(visitor.jar.cookies)
    visitor.approve_as(pat)
    assert visitor.complete().status_code == 200
    for cookies in ({}, kept):
        visitor.jar.cookies.update(cookies)
        Watch(visitor, emulator).refused(visitor.complete())


def test_A4_the_outcome_is_handed_over_once(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """The token goes to dstack's page once: what that page asked for, asked again, gets nothing."""
    visitor.begin()
    given = query_of(visitor.approve_as(pat))
    assert is_dstacks_page(visitor.open(visitor.coming_back, sec_fetch_site="cross-site"))
    kept = dict(visitor.jar.cookies)
    answer = {"code": given["code"], "state": given["state"]}
    assert visitor.ask_to_complete(**answer).status_code == 200
    for cookies in ({}, kept):
        visitor.jar.cookies.update(cookies)
        Watch(visitor, emulator).refused(visitor.ask_to_complete(**answer))


def test_A5_same_answer_twice_at_once(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """The same answer eight times at the same moment: one token request, one of them is let in."""
    visitor.begin()
    given = query_of(visitor.approve_as(pat))
    before, together = redemptions(emulator), threading.Barrier(8)

    def come_back(_: int) -> httpx.Response:
        together.wait()
        return visitor.ask_to_complete(code=given["code"], state=given["state"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(come_back, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert all("already used" in words_of(answer) for answer in answers if answer.status_code == 400)
    assert redemptions(emulator) - before == 1
    assert [user["email"] for user in users_of(visitor)].count(pat.user_principal_name) == 1


@pytest.mark.parametrize("early", [-timedelta(minutes=61), timedelta(minutes=5)])
def test_A6_too_late(early: timedelta, visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """After an hour, or before it was begun, the answer is refused, with a way to start again."""
    visitor.begin()
    changed_cookie(visitor, begun_at=int((datetime.now(UTC) + early).timestamp()))
    visitor.approve_as(pat)
    Watch(visitor, emulator).refused(visitor.complete(), sentence="again")


@pytest.mark.parametrize(
    "begun_elsewhere",
    [
        {"client_id": "99999999-7777-4666-8555-444433332222"},
        {"authority_url": f"https://login.microsoftonline.com/{FABRIKAM_ID}"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_A7_begun_for_another_tenant_or_application(
    begun_elsewhere: dict[str, str], visitor: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """What was begun for another tenant or application, with the same key, is not finished here."""
    visitor.begin()
    changed_cookie(visitor, **begun_elsewhere)
    visitor.approve_as(pat)
    Watch(visitor, emulator).refused(visitor.complete())


@pytest.mark.parametrize(
    "changes", [{"nonce": "another"}, {"sent_nonce": "another"}, {"code_verifier": "x" * 43}]
)
def test_A7_nonce_and_verifier_of_another(
    changes: dict[str, str], visitor: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """The nonce and the verifier that dstack's sign-in uses are its own: others are refused."""
    visitor.begin()
    changed_cookie(visitor, **changes)
    visitor.approve_as(pat)
    answer = visitor.complete()
    assert answer.status_code >= 400
    Watch(visitor, emulator).nothing_secret(words_of(answer))
    assert pat.user_principal_name not in {user["email"] for user in users_of(visitor)}


@pytest.mark.parametrize("name", ["state", "code", "error", "iss"])
def test_A8_twice(name: str, visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """A parameter that comes twice is refused before anything is asked."""
    visitor.begin()
    visitor.approve_as(pat)
    value = query_of(visitor.coming_back).get(name, "access_denied")
    url = f"{visitor.coming_back}&{httpx.QueryParams({name: value})}"
    url += f"&{httpx.QueryParams({name: value})}" if name in ("error", "iss") else ""
    watch = Watch(visitor, emulator)
    watch.refused(visitor.open(url, sec_fetch_site="cross-site"))


def test_A9_code_and_error(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """An answer with both is an error, and the code is not redeemed."""
    visitor.begin()
    visitor.approve_as(pat)
    watch = Watch(visitor, emulator)
    url = with_query(visitor.coming_back, error="access_denied", error_description="AADSTS65004: declined")
    answer = visitor.complete(url)
    assert answer.status_code in (400, 403)
    watch.refused(answer, answer.status_code)


@pytest.mark.parametrize("header", ["host", "x_forwarded_host", "x_forwarded_proto", "forwarded", "origin"])
def test_A22_no_header_names_the_redirect_uri(header: str, visitor: Visitor, dstack: Dstack) -> None:
    """The redirect URI is the configured one, whatever a request says about its host."""
    values = {
        "x_forwarded_proto": "https",
        "forwarded": "host=evil.test;proto=https",
        "origin": "https://evil.test",
    }
    answer = visitor.fetch("/api/auth/entra/authorize", {}, **{header: values.get(header, "evil.test")})
    if answer.status_code == 200:
        assert query_of(answer.json()["authorization_url"])["redirect_uri"] == dstack.address + CALLBACK
    else:
        assert answer.status_code in (400, 403)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://evil.test",
        "http://localhost:1",
        "http://localhost",
        "javascript:alert(1)",
        "//evil.test",
        "http://[",
        5,
    ],
)
def test_A22_base_url_is_from_the_list(base_url: Any, visitor: Visitor, dstack: Dstack) -> None:
    """A page under an address that is not configured begins at the one that is; a command line is refused."""
    answer = visitor.ask_to_begin(base_url=base_url)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"authorization_url": f"{dstack.address}/auth/entra/start"}
    started = visitor.open(answer.json()["authorization_url"])
    assert query_of(started.headers["location"])["redirect_uri"] == dstack.address + CALLBACK
    assert visitor.ask_to_begin(base_url=base_url, local_port=8080).status_code == 400


def test_a_further_address_has_a_redirect_uri_of_its_own(visitor: Visitor) -> None:
    """A page under an address of DSTACK_ENTRA_EXTRA_URLS is answered there, with cookies for https only."""
    answer = visitor.ask_to_begin(base_url=EXTRA_URL)
    sent = query_of(answer.json()["authorization_url"])
    assert sent["redirect_uri"] == EXTRA_URL + CALLBACK
    answer = visitor.fetch(
        "/api/auth/entra/authorize", {"base_url": EXTRA_URL}, host=urlsplit(EXTRA_URL).netloc
    )
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-entrada_pending")
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}


def test_A24_five_tabs(visitor: Visitor, pat: Any) -> None:
    """Five sign-ins begun in one browser finish in any order, each with the person's account."""
    begun = []
    for _ in range(5):
        visitor.begin()
        begun.append(visitor.approve_as(pat))
    signed_in = [visitor.complete(begun[n]) for n in (3, 0, 4, 1, 2)]
    assert [answer.status_code for answer in signed_in] == [200] * 5
    assert len({answer.json()["id"] for answer in signed_in}) == 1


def test_A34_two_people_in_one_browser(visitor: Visitor, pat: Any, kim: Any, dstack: Dstack) -> None:
    """The second sign-in is wholly the second person's."""
    first, second = visitor.sign_in_as(pat), visitor.sign_in_as(kim)
    assert first["id"] != second["id"]
    assert first["creds"]["token"] != second["creds"]["token"]
    bearer = {"authorization": f"Bearer {second['creds']['token']}"}
    assert (
        dstack.api.post("/api/users/get_my_user", headers=bearer).json()["email"] == kim.user_principal_name
    )


@pytest.mark.parametrize("port", [0, -1, 65536, 1.5, "8080x", [1], True])
def test_a_port_that_is_none(port: Any, visitor: Visitor) -> None:
    """`dstack login` can name a port between 1 and 65535, nothing else."""
    assert visitor.ask_to_begin(local_port=port).status_code in (400, 422)
