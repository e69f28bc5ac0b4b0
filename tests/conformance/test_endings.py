"""One suite for `Ending`: what a verified person leads to, in serve and library, in Mage, and in dstack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.accounts.store import AdmissionStore
from entrada.build import build_parts
from entrada.build.auth_routes import build_auth_routes
from entrada.emulator import RunningEmulator, start
from entrada.integrations.dstack import outcome, state
from entrada.integrations.dstack.ending import OutcomeEnding
from entrada.integrations.dstack.outcome import Outcomes
from entrada.integrations.mage.ending import SESSION_COOKIE as MAGE_COOKIE
from entrada.sealing import Sealer
from entrada.settings import load_settings
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.web.ending import Ending
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.session_cookie import SESSION_COOKIE
from entrada.web.sign_in import WebSignIn
from flows.world import PAGE_VISIT, headers_of
from integrations.mage.unit_world import MovableClock, opened_world

SITE = "http://localhost:6789"
GUEST = "gus_fabrikam.test#EXT#@contoso.test"
KEY = "a-key-for-the-endings-of-every-product-0123456789"


@dataclass(kw_only=True)
class Ended:
    """One implementation with its walk. `proof` is the cookie that says that somebody is in."""

    walk: WebSignIn
    proof: str
    cookies: dict[str, str] = field(default_factory=dict)

    def visit(self, target: str, **headers: str) -> WebResponse:
        path, _, query = target.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {
            "host": urlsplit(SITE).netloc,
            **({"cookie": cookie} if cookie else {}),
            **PAGE_VISIT,
            **headers,
        }
        request = WebRequest(method="GET", path=path, query=query, headers=sent)
        start_path = self.walk.site.start_path
        got = self.walk.start(request) if path == start_path else self.walk.callback(request)
        for line in headers_of(got, "set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if value and "Max-Age=0" not in line:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return got

    def begin(self, who: str, query: str = "") -> str:
        """The path with which Entra sends this browser back."""
        begun = self.visit(self.walk.site.start_path + query)
        url = httpx.URL(dict(begun.headers)["location"])
        got = httpx.get(url.copy_merge_params({"login_hint": who, "_emulator_approve": "1"}), trust_env=False)
        back = urlsplit(got.headers["location"])
        return f"{back.path}?{back.query}"

    @property
    def is_in(self) -> bool:
        return any(name.startswith(self.proof) for name in self.cookies)


@dataclass(frozen=True, kw_only=True)
class DstackUsers:
    """dstack's users as the walk sees them: a store of accounts, with what is stored beside them."""

    accounts: AdmissionStore
    sessions: MemorySessionStore
    for_recheck: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.accounts, name)

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        return self.sessions.spend_sign_in(sign_in_id, expires_at=expires_at)


@pytest.fixture(scope="module")
def entra() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


def settings_of(entra: RunningEmulator) -> Any:
    return load_settings(
        {
            **entra.env("entrada"),
            "ENTRADA_PUBLIC_URL": SITE,
            "ENTRADA_ROLES_MAPPING": '{"Admin": "Admin", "Editor": "Editor"}',
            "ENTRADA_SECRET_KEYS": KEY,
            "ENTRADA_DATABASE_URL": "memory:",
        }
    )


def serve_or_library(entra: RunningEmulator, folder: Path, stack: ExitStack) -> Ended:
    auth = build_auth_routes(*settings_of(entra))
    stack.callback(auth.relying_party.close)

    return Ended(walk=auth.sign_in, proof=SESSION_COOKIE)


def mage(entra: RunningEmulator, folder: Path, stack: ExitStack) -> Ended:
    world = opened_world(entra, folder)
    stack.callback(world.close)

    return Ended(walk=world.routes.web_sign_in, proof=MAGE_COOKIE)


def dstack(entra: RunningEmulator, folder: Path, stack: ExitStack) -> Ended:
    values, found = settings_of(entra)
    sessions, clock = MemorySessionStore(), MovableClock()
    accounts = MemoryAccountStore(sessions=sessions)
    users: Any = DstackUsers(accounts=accounts, sessions=sessions)
    parts = build_parts(
        values,
        found,
        application_name="dstack",
        urls=[SITE],
        callback_paths=["/auth/entra/callback"],
        spent=users,
        key_file=None,
        clock=clock,
    )
    stack.callback(parts.close)
    ending = OutcomeEnding(
        parts=parts,
        store=users,
        outcomes=Outcomes(sealer=Sealer(parts.secret_keys, purpose=outcome.PURPOSE), clock=clock),
        state_sealer=Sealer(parts.secret_keys, purpose=state.PURPOSE),
        ui_page=b"<!doctype html>dstack",
    )

    return Ended(walk=parts.web_sign_in(ending), proof="entrada_done")


@pytest.fixture(params=[serve_or_library, mage, dstack], ids=lambda made: made.__name__)
def ended(request: pytest.FixtureRequest, entra: RunningEmulator, tmp_path: Path) -> Iterator[Ended]:
    entra.reset()
    with ExitStack() as stack:
        yield request.param(entra, tmp_path, stack)


def test_a_verified_person_is_in(ended: Ended) -> None:
    """The response carries the proof, and nothing of the sign-in that was under way is left."""
    got = ended.visit(ended.begin("ada@contoso.test"))
    assert got.status in (200, 303), got.body
    assert ended.is_in
    assert not any("pending" in name for name in ended.cookies)


def test_a_person_who_is_not_let_in_gets_no_proof(ended: Ended) -> None:
    """Refused by the application: a page that says who was refused (K29), 403, and no proof."""
    got = ended.visit(ended.begin(GUEST))
    assert got.status == 403
    assert b"Signed in as" in got.body
    assert b"gus" in got.body.lower()
    assert b"Use another account" in got.body
    assert not ended.is_in


def test_a_response_counts_once(ended: Ended) -> None:
    """The same response in a second browser with the same cookie brings no second proof."""
    back = ended.begin("ada@contoso.test")
    kept = dict(ended.cookies)
    ended.visit(back)
    ended.cookies = kept
    got = ended.visit(back)
    assert got.status == 400
    assert not ended.is_in


def test_another_browser_finishes_nothing(ended: Ended) -> None:
    """Without the pending cookie the response is refused: nothing is verified, so nobody is in."""
    back = ended.begin("ada@contoso.test")
    ended.cookies.clear()
    with pytest.raises(Exception, match="no sign-in under way"):
        ended.visit(back)
    assert not ended.is_in


def test_K25_a_prefetch_uses_nothing_up(ended: Ended) -> None:
    """The browser looks ahead; the person's own visit still signs in."""
    back = ended.begin("ada@contoso.test")
    assert ended.visit(back, **{"sec-purpose": "prefetch"}).status == 503
    assert not ended.is_in
    ended.visit(back)
    assert ended.is_in


def test_A17_a_loop_is_cut(ended: Ended) -> None:
    """Three refusals of one kind in a row, and Entra is not asked again by itself."""
    for _ in range(3):
        begun = ended.visit(ended.walk.site.start_path)
        url = httpx.URL(dict(begun.headers)["location"])
        got = httpx.get(url.copy_merge_params({"_emulator_decline": "1"}), trust_env=False)
        back = urlsplit(got.headers["location"])
        assert ended.visit(f"{back.path}?{back.query}").status == 403
    with pytest.raises(Exception, match="3 times in a row"):
        ended.visit(ended.walk.site.start_path)


def test_K24_another_name_leads_home_first(ended: Ended) -> None:
    """Before any cookie, and with what was asked for."""
    got = ended.visit(f"{ended.walk.site.start_path}?prompt=login", host="127.0.0.1:6789")
    assert dict(got.headers)["location"] == f"{SITE}{ended.walk.site.start_path}?prompt=login&here=1"
    assert ended.cookies == {}


def test_a_state_is_never_made_twice(ended: Ended) -> None:
    """Whoever makes the state, the walk or the ending: unguessable and new each time."""
    ending: Ending = ended.walk.ending
    states = {ending.new_state() for _ in range(20)} - {None}
    assert len(states) in (0, 20)
    assert all(len(text or "") >= 32 for text in states)
