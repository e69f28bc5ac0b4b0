"""Every failure has a page a person can act on: what happened, who can mend it, the codes, nothing secret."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from entrada.emulator import RunningEmulator, start
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.refusals import text_of
from walks.site import served
from walks.visitor import Visitor, query_of

YOU, ADMINISTRATOR, NOBODY = (
    "You can fix this",
    "Your administrator can fix this",
    "Nothing to fix: waiting helps",
)


def correlation_id_at_microsoft(page: str) -> bool:
    return "Correlation ID at Microsoft" in page


def test_declined_consent(visitor: Visitor, watch: NewWatch) -> None:
    """Declining at Entra: said so, the person can try again, AADSTS65004 for whoever asks."""
    visitor.begin(next="/reports")
    visitor.answer_at_entra(_emulator_decline="1")
    watching = watch(visitor)
    answer = visitor.complete()
    page = watching.refused(answer, 403, "entra_refused", token_requests=0)
    assert "You cancelled at Microsoft" in page
    assert YOU in page
    assert "AADSTS65004" in page
    assert correlation_id_at_microsoft(page)
    assert 'href="/auth/entra/start?next=/reports"' in answer.text


@pytest.mark.parametrize(
    ("person", "code", "sentence", "fixer"),
    [
        ("carla@contoso.test", "53003", "", ADMINISTRATOR),
        ("dan@contoso.test", "50057", "", ADMINISTRATOR),
        ("mallory@fabrikam.test", "50020", "does not belong to the organisation", YOU),
        ("nobody@contoso.test", "50034", "does not belong to the organisation", YOU),
    ],
)
def test_refused_by_entra(
    person: str, code: str, sentence: str, fixer: str, visitor: Visitor, watch: NewWatch
) -> None:
    """Blocked by Conditional Access, disabled, of another organisation, unknown: code and help."""
    visitor.begin()
    visitor.approve_as(person, errors_come_back=True)
    assert f"AADSTS{code}" in query_of(visitor.coming_back)["error_description"]
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 403, "entra_refused", sentence=sentence, token_requests=0)
    assert f"AADSTS{code}" in page
    assert fixer in page
    assert correlation_id_at_microsoft(page)
    assert f" aadsts={code} " in watching.events[0]


def test_not_assigned(visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch) -> None:
    """Somebody without assignment hears it, and the administrator where to assign."""
    emulator.change_app("Entrada (emulated)", assignment_required=True)
    emulator.change_person("pat@contoso.test", roles=[])
    visitor.begin()
    visitor.approve_as(pat, errors_come_back=True)
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 403, "entra_refused", token_requests=0)
    assert "You have not been given access to this application yet." in page
    assert "Users and groups" in page
    assert "AADSTS50105" in page


@pytest.mark.parametrize(
    ("code", "status", "sentence", "hint", "fixer"),
    [
        (7000215, 400, "did not accept this application's own password", "not its Secret ID", ADMINISTRATOR),
        (7000222, 400, "password at Microsoft has expired", "make a new client secret", ADMINISTRATOR),
        (50011, 400, "does not know the address", "/auth/entra/callback", ADMINISTRATOR),
        (700016, 400, "does not know this application", "client ID", ADMINISTRATOR),
        (54005, 400, "", "", YOU),
        (70008, 400, "", "", YOU),
        (501481, 400, "The two halves of this", "", ""),
        (50057, 400, "", "", ADMINISTRATOR),
        (9999999, 400, "", "", ""),
    ],
)
def test_refused_at_the_token_endpoint(
    code: int,
    status: int,
    sentence: str,
    hint: str,
    fixer: str,
    visitor: Visitor,
    emulator: RunningEmulator,
    pat: Any,
    watch: NewWatch,
) -> None:
    """An expired secret, a wrong redirect URI, a used code and others: the code is sent once."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("aadsts", endpoint="token", code=code)
    watching = watch(visitor)
    answer = visitor.complete()
    page = watching.refused(answer, answer.status_code, "entra_refused", token_requests=1)
    assert answer.status_code in (status, 403)
    assert sentence in page
    assert hint in page
    assert fixer in page
    assert f"AADSTS{code}" in page
    assert correlation_id_at_microsoft(page)


def test_secret_that_has_really_expired(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """The registration's secret expired yesterday: said so, without the secret."""
    emulator.change_app(
        "Entrada (emulated)", secrets=[{"value": "yesterdays-secret", "expires": 1_000_000.0}]
    )
    visitor = new_visitor(serve(ENTRADA_CLIENT_SECRET="yesterdays-secret"))
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 400, "entra_refused")
    assert "AADSTS7000222" in page
    assert "yesterdays-secret" not in page + str([record.getMessage() for record in watching.records])


def test_wrong_redirect_uri(visitor: Visitor, emulator: RunningEmulator) -> None:
    """Entra itself stops a redirect URI that is not registered; nobody comes back."""
    emulator.change_app(
        "Entrada (emulated)", web_redirect_uris=["https://elsewhere.test/auth/entra/callback"]
    )
    visitor.begin()
    page = visitor.open(f"{visitor.at_entra}&login_hint=ada@contoso.test&_emulator_approve=1")
    assert page.status_code in (200, 400)
    assert "AADSTS50011" in page.text


@pytest.mark.parametrize(
    ("endpoint", "fault", "parameters", "status", "said"),
    [
        ("token", "drop", {}, 503, "the connection was lost"),
        ("token", "hang", {}, 503, "no response within"),
        ("token", "server_error", {"status": 500}, 503, "HTTP 500"),
        ("token", "server_error", {"status": 503}, 503, "HTTP 503"),
        ("token", "too_many_requests", {"retry_after": 42}, 503, "42 seconds"),
        ("token", "body", {"status": 418, "text": "{}"}, 502, ""),
        ("keys", "drop", {}, 503, "the connection was lost"),
        ("keys", "hang", {}, 503, "no response within"),
        ("keys", "server_error", {"status": 500}, 503, "HTTP 500"),
        ("keys", "html", {}, 503, ""),
        ("keys", "empty", {}, 503, ""),
        ("keys", "half_json", {}, 503, ""),
        ("keys", "body", {"text": '{"keys": []}'}, 503, "no usable key"),
        ("keys", "oversized", {}, 502, "larger than"),
        ("keys", "redirect", {}, 503, "HTTP 307"),
    ],
)
def test_entra_fails_at_the_end(
    impatient: None,
    endpoint: str,
    fault: str,
    parameters: dict[str, Any],
    status: int,
    said: str,
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
    watch: NewWatch,
) -> None:
    """Entra fails while the code is redeemed or the keys are fetched: a page in bounded time, no session."""
    visitor = new_visitor(serve())
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail(fault, endpoint=endpoint, **parameters)
    watching = watch(visitor)
    answer = visitor.complete()
    page = watching.refused(answer, status, token_requests=1)
    assert said in page
    assert NOBODY in page
    if "retry_after" in parameters:
        assert answer.headers["retry-after"] == "42"
    visitor.site.clock.pass_by(seconds=6)
    assert visitor.sign_in_as(pat).status_code == 303


@pytest.mark.parametrize(
    ("fault", "parameters", "said"),
    [
        ("drop", {}, "the connection was lost"),
        ("hang", {}, "no response within"),
        ("server_error", {"status": 500}, "HTTP 500"),
        ("too_many_requests", {"retry_after": 42}, "HTTP 429"),
        ("html", {}, "not JSON"),
        ("null", {}, "not a JSON object"),
        ("half_json", {}, "not JSON"),
        ("oversized", {}, "larger than"),
        ("redirect", {}, "HTTP 307"),
    ],
)
def test_entra_fails_at_the_start(
    impatient: None,
    fault: str,
    parameters: dict[str, Any],
    said: str,
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
    watch: NewWatch,
) -> None:
    """Entra's metadata cannot be read: a page instead of a redirect, and the next try in a moment works."""
    visitor = new_visitor(serve())
    emulator.fail(fault, endpoint="discovery", **parameters)
    watching = watch(visitor)
    answer = visitor.open("/auth/entra/start?next=/reports")
    page = watching.refused(answer, answer.status_code, "entra_unavailable", token_requests=0)
    assert answer.status_code in (502, 503)
    assert said in page
    assert NOBODY in page
    assert answer.headers.get("retry-after") == ("42" if parameters.get("retry_after") else None)
    visitor.site.clock.pass_by(seconds=5)
    assert visitor.sign_in_as(pat).status_code == 303


def test_many_wait_for_one_answer(
    impatient: None, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """While Entra hangs, those who wait are answered together: nobody queues for a wait of their own."""
    site = serve()
    visitors = [new_visitor(site) for _ in range(12)]
    emulator.fail("hang", endpoint="discovery", times=None)
    began = time.monotonic()
    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = list(pool.map(lambda visitor: visitor.open("/auth/entra/start"), visitors))
    assert {answer.status_code for answer in answers} == {503}
    assert time.monotonic() - began < 3.0


def test_asking_again_and_again_does_not_keep_it_down(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """Somebody who asks every second, as a load balancer does, does not stretch the pause after a failure."""
    emulator.fail("server_error", endpoint="discovery")
    visitor = new_visitor(serve())
    statuses = []
    for _ in range(5):
        statuses.append(visitor.open("/readyz").status_code)
        visitor.site.clock.pass_by(seconds=1)
    assert statuses == [503, 503, 503, 200, 200]


@pytest.mark.parametrize("fault", ["drop", "hang", "server_error", "html", "wrong_issuer"])
def test_metadata_of_yesterday_still_works(
    impatient: None,
    fault: str,
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
) -> None:
    """After a day, metadata that cannot be read anew, or is wrong now, stops nobody: the old is used on."""
    visitor = new_visitor(serve())
    visitor.sign_in_as(pat)
    emulator.fail(fault, endpoint="discovery", times=None)
    visitor.site.clock.pass_by(hours=25)
    emulator.clock(25 * 3600)
    assert visitor.sign_in_as(pat).status_code == 303
    asked = sum(request.endpoint == "discovery" for request in emulator.requests)
    assert visitor.sign_in_as(pat).status_code == 303
    assert sum(request.endpoint == "discovery" for request in emulator.requests) == asked
    assert visitor.open("/readyz").status_code == 200


def test_unknown_tenant(serve: Serve, new_visitor: NewVisitor, watch: NewWatch) -> None:
    """A tenant that Entra does not know: the page names the setting."""
    visitor = new_visitor(serve(ENTRADA_TENANT_ID="99999999-7777-4666-8555-444433332222"))
    watching = watch(visitor)
    page = watching.refused(visitor.open("/auth/entra/start"), 503, "discovery_refused")
    assert "ENTRADA_TENANT_ID" in page
    assert ADMINISTRATOR in page


def test_entra_gone_and_back(tmp_path: Any, http: Any) -> None:
    """Entra stops and comes back: who is signed in goes on, others get a page, then all is well again."""
    state = tmp_path / "emulator"
    first = start(state_dir=state)
    ports = {
        "port": int(first.http_url.rpartition(":")[2]),
        "tls_port": int(first.https_url.rpartition(":")[2]),
    }
    with served(first, database=tmp_path / "entrada.db") as site:
        ada, ed = Visitor(site, http), Visitor(site, http)
        ada.sign_in_as("ada@contoso.test")
        ed.begin()
        ed.approve_as("ed@contoso.test")
        first.stop()
        assert ada.whoami() is not None
        assert ada.open("/editors").status_code == 200
        down = ed.complete()
        assert down.status_code == 503
        assert "Microsoft cannot be reached right now" in text_of(down)
        assert NOBODY in text_of(down)
        assert ed.open("/auth/login").status_code == 200
        with start(state_dir=state, **ports):
            assert ed.sign_in_as("ed@contoso.test").status_code == 303
            assert ed.whoami() is not None


def test_a_script_hears_json(serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator) -> None:
    """What a script asks for is answered with JSON that it can read: a code, a sentence, a hint."""
    emulator.fail("server_error", endpoint="discovery")
    answer = new_visitor(serve()).fetch("/auth/entra/start")
    assert answer.status_code == 503
    assert answer.json().keys() == {"error", "message", "hint", "incident"}
    assert answer.json()["error"] == "entra_unavailable"


def test_database_fails(serve: Serve, new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """Without its database the site lets nobody in, says so on a page, and recovers by itself."""
    site = serve()
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    other = new_visitor(site)
    other.begin()
    other.approve_as(kim)
    assert site.database is not None
    with closing(sqlite3.connect(site.database, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE entrada_spent_sign_in RENAME TO elsewhere")
        answer = other.complete()
        assert answer.status_code == 503
        assert "Not available right now" in text_of(answer)
        connection.execute("ALTER TABLE elsewhere RENAME TO entrada_spent_sign_in")
    assert other.sign_in_as(kim).status_code == 303
    assert visitor.whoami() is not None
