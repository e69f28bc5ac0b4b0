"""The session and its cookie, by the server's rules whatever a browser sends: cases F1 to F9 and F14."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from entrada.emulator import RunningEmulator
from entrada.errors import ConfigurationError
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.site import Site, rows_of, wait_until
from walks.visitor import Visitor

FIXED = "A" * 22 + "." + "B" * 43
KEY_ONE = "the-first-key-0123456789-abcdefghij-klm"
KEY_TWO = "the-second-key-9876543210-zyxwvuts-nop"


def test_F1_value_fixed_before_the_sign_in(visitor: Visitor, new_visitor: NewVisitor, pat: Any) -> None:
    """A cookie that somebody planted before the sign-in is not the one after it."""
    visitor.present(FIXED)
    visitor.sign_in_as(pat)
    cookie = visitor.session_cookie
    assert cookie is not None
    assert cookie.value != FIXED
    attacker = new_visitor()
    attacker.present(FIXED)
    assert attacker.whoami() is None
    assert visitor.whoami() is not None


def test_F1_every_sign_in_has_a_new_value(visitor: Visitor, new_visitor: NewVisitor, pat: Any) -> None:
    """Signing in again, as oneself too, makes a new session, and the one before ends at once."""
    values = []
    for _ in range(3):
        visitor.sign_in_as(pat)
        assert visitor.session_cookie is not None
        values.append(visitor.session_cookie.value)
    assert len({value.partition(".")[0] for value in values}) == 3
    assert len({value.partition(".")[2] for value in values}) == 3
    for value in values[:2]:
        old = new_visitor()
        old.present(value)
        assert old.whoami() is None


def test_F1_session_of_somebody_else_is_not_replaced(new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """A cookie with another person's session id but without its secret ends nobody's session."""
    victim, attacker = new_visitor(), new_visitor()
    victim.sign_in_as(pat)
    assert victim.session_cookie is not None
    attacker.present(victim.session_cookie.value.partition(".")[0] + "." + "B" * 43)
    attacker.sign_in_as(kim)
    assert victim.whoami() is not None


def test_F2_only_the_hash_of_the_secret_is_kept(visitor: Visitor, pat: Any, site: Site) -> None:
    """The database holds nothing that opens a session."""
    visitor.sign_in_as(pat)
    assert visitor.session_cookie is not None
    secret = visitor.session_cookie.value.partition(".")[2]
    assert len(secret) == 43
    assert secret not in str(site.rows())
    with_the_file = (site.database or site).read_bytes()  # type: ignore[union-attr]  # a path, see `site`
    assert secret.encode() not in with_the_file


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[:-1],
        lambda value: value + "A",
        lambda value: value[:30] + ("A" if value[30] != "A" else "B") + value[31:],
        lambda value: ("A" if value[0] != "A" else "B") + value[1:],
        lambda value: value.swapcase(),
        lambda value: value.replace(".", ""),
        lambda value: value.partition(".")[0] + ".",
        lambda value: f'"{value}"',
        lambda value: f" {value} x",
        lambda value: value * 2,
        lambda value: value.partition(".")[2] + "." + value.partition(".")[0],
        lambda value: value + "\u00e9",
        lambda value: value * 50,
    ],
)
def test_F2_spoiled_cookie(spoil: Any, new_visitor: NewVisitor, pat: Any) -> None:
    """A value that is not the one that was given, letter by letter, opens nothing and breaks nothing."""
    visitor, other = new_visitor(), new_visitor()
    visitor.sign_in_as(pat)
    assert visitor.session_cookie is not None
    cookie = f"{visitor.cookie_name('entrada_session')}={spoil(visitor.session_cookie.value)}".encode(
        "latin-1"
    )
    for path in ("/auth/me", "/reports", "/auth/login", "/auth/logout", "/auth/account"):
        answer = other.send("GET", path, {"cookie": cookie, "accept": "application/json"})  # type: ignore[dict-item]  # raw bytes
        assert answer.status_code in (200, 303, 401)
        assert "Pat" not in answer.text
    assert visitor.whoami() is not None


def test_F3_cookie_on_plain_http(visitor: Visitor, pat: Any) -> None:
    """On plain-http localhost the cookie is HttpOnly and Lax, ends with the browser, and has no Domain."""
    visitor.sign_in_as(pat)
    assert visitor.session_cookie is not None
    assert visitor.session_cookie.attributes == {"path": "/", "httponly": "", "samesite": "Lax"}


def test_F3_cookie_on_https(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """On https it is Secure and its name begins __Host-; without the prefix nothing is believed."""
    app = emulator.app("Entrada (emulated)")
    address = "https://app.test/auth/entra/callback"
    emulator.change_app(app.client_id, web_redirect_uris=[*app.web_redirect_uris, address])
    visitor = new_visitor(serve(public_url="https://app.test"))
    visitor.sign_in_as(pat)
    cookie = visitor.session_cookie
    assert cookie is not None
    assert cookie.attributes == {"path": "/", "httponly": "", "secure": "", "samesite": "Lax"}
    assert visitor.whoami() is not None
    plain = {"cookie": f"entrada_session={cookie.value}", "accept": "application/json"}
    assert visitor.send("GET", "/auth/me", plain).status_code == 401


def test_F3_plain_http_is_loud(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Plain http warns at the start, and on the sign-in page."""
    with caplog.at_level(logging.WARNING, "entrada"):
        serve()
    assert "is plain http: session cookies go without the Secure flag" in caplog.text


def test_F3_plain_http_elsewhere_is_refused(serve: Serve) -> None:
    """Plain http that is not this machine stops the start with a sentence."""
    with pytest.raises(ConfigurationError, match="plain http"):
        serve(public_url="http://app.test")


@pytest.mark.parametrize("position", ["before", "after"])
def test_F4_K3_two_cookies_of_one_name(position: str, visitor: Visitor, pat: Any) -> None:
    """A second cookie of the name, planted by a neighbouring host, is nobody's, and locks nobody out."""
    visitor.sign_in_as(pat)
    assert visitor.session_cookie is not None
    own, planted = (
        f"{visitor.cookie_name('entrada_session')}={visitor.session_cookie.value}",
        f"{visitor.cookie_name('entrada_session')}={FIXED}",
    )
    both = f"{planted}; {own}" if position == "before" else f"{own}; {planted}"
    assert visitor.send("GET", "/auth/me", {"cookie": both}).status_code == 200
    assert visitor.send("GET", "/auth/me", {"cookie": planted}).status_code == 401


@pytest.mark.parametrize(
    "noise",
    [
        "=nameless",
        "; ; ;",
        "a",
        '"',
        "entrada_session",
        "entrada_session_0=x; entrada_session_9999999999=y",
        "; ".join(f"c{number}=v" for number in range(200)),
        "entrada_pending_=x; entrada_pending_zz=; entrada_refusals=x",
        "x=\\303\\251; y=%00",
    ],
)
def test_F4_odd_cookies_beside_it(noise: str, visitor: Visitor, pat: Any) -> None:
    """Whatever else stands in the Cookie header, the session is found and nothing breaks."""
    visitor.sign_in_as(pat)
    assert visitor.session_cookie is not None
    own = f"{visitor.cookie_name('entrada_session')}={visitor.session_cookie.value}"
    for cookie in (f"{noise}; {own}", f"{own}; {noise}"):
        assert visitor.send("GET", "/auth/me", {"cookie": cookie}).status_code == 200
        started = visitor.send("GET", "/auth/entra/start", {"cookie": cookie, "accept": "text/html"})
        assert started.status_code == 303


def test_F4_K22_pending_cookies_of_strangers_stay_and_crowd_nobody_out(visitor: Visitor, pat: Any) -> None:
    """Pending cookies that are not ours may be another application's: they stay, and ours works."""
    name = visitor.cookie_name("entrada_pending")
    planted = "; ".join(f"{name}_{number:010d}={'x' * 300}" for number in range(10))
    answer = visitor.send("GET", "/auth/entra/start", {"cookie": planted, "accept": "text/html"})
    (kept,) = answer.headers.get_list("set-cookie")
    assert kept.startswith(f"{name}_")
    assert "Max-Age=0" not in kept


def test_F5_idle_limit(serve: Serve, new_visitor: NewVisitor, pat: Any) -> None:
    """Without a request for the idle time, and the two minutes that one may stay unwritten, it is over."""
    site = serve(ENTRADA_SESSION_IDLE="30m", ENTRADA_SESSION_ABSOLUTE="8h")
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    for _ in range(4):
        site.clock.pass_by(minutes=29)
        assert visitor.whoami() is not None
    site.clock.pass_by(minutes=32)
    assert visitor.whoami() is None
    assert visitor.session_cookie is not None


def test_F5_absolute_limit(serve: Serve, new_visitor: NewVisitor, pat: Any) -> None:
    """However busy, a session ends at its absolute limit."""
    site = serve(ENTRADA_SESSION_IDLE="30m", ENTRADA_SESSION_ABSOLUTE="2h")
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    for _ in range(7):
        site.clock.pass_by(minutes=17)
        assert visitor.whoami() is not None
    site.clock.pass_by(minutes=2)
    assert visitor.whoami() is None


def test_F5_limits_hold_across_a_restart(serve: Serve, new_visitor: NewVisitor, pat: Any) -> None:
    """A restarted site knows when a session was last used and when it ends."""
    limits = {"ENTRADA_SESSION_IDLE": "30m", "ENTRADA_SESSION_ABSOLUTE": "2h"}
    first = serve(**limits)
    visitor = new_visitor(first)
    visitor.sign_in_as(pat)
    first.clock.pass_by(minutes=25)
    assert visitor.whoami() is not None
    second = serve(**limits, clock=first.clock, public_url=first.public_url)
    again = new_visitor(second)
    again.jar = visitor.jar
    first.clock.pass_by(minutes=25)
    assert again.whoami() is not None
    first.clock.pass_by(minutes=75)
    assert again.whoami() is None


def test_F5_page_says_how_long(visitor: Visitor, pat: Any) -> None:
    """`/auth/me` tells both limits."""
    visitor.sign_in_as(pat)
    session = visitor.whoami()["session"]
    assert session["signed_in_at"] < session["idle_expires_at"] <= session["absolute_expires_at"]


@pytest.mark.parametrize(
    "change",
    [
        "secret_hash = x''",
        "secret_hash = zeroblob(32)",
        "secret_hash = substr(secret_hash, 1, 31)",
        "secret_hash = 'text'",
        "absolute_expires_at = 'soon'",
        "absolute_expires_at = 0",
        "user_id = 'nobody'",
        "idle_expires_at = 999999999999999999",
        "id = 'gone'",
    ],
)
def test_F7_altered_row(change: str, serve: Serve, new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """A session whose row was altered is none, other sessions go on, and signing in again works."""
    site = serve()
    visitor, other = new_visitor(site), new_visitor(site)
    visitor.sign_in_as(pat)
    other.sign_in_as(kim)
    assert visitor.session_cookie is not None
    session_id = visitor.session_cookie.value.partition(".")[0]
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as connection, connection:
        connection.execute(f"UPDATE entrada_session SET {change} WHERE id = ?", [session_id])
        connection.execute("UPDATE entrada_revocation SET epoch = epoch + 1")
    # This process trusts what it knows for half a second.
    wait_until(lambda: visitor.whoami() is None, seconds=1)
    assert other.whoami() is not None
    assert visitor.sign_in_as(pat).status_code == 303
    assert visitor.whoami() is not None


def test_F7_rows_swapped_between_people(serve: Serve, new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """The hash of one session in the row of another opens neither with the wrong cookie."""
    site = serve()
    one, two = new_visitor(site), new_visitor(site)
    one.sign_in_as(pat)
    two.sign_in_as(kim)
    assert site.database is not None
    rows = rows_of(site.database, "SELECT id, secret_hash FROM entrada_session")
    with closing(sqlite3.connect(site.database)) as connection, connection:
        for (session_id, _), (_, secret_hash) in zip(rows, reversed(rows), strict=True):
            connection.execute(
                "UPDATE entrada_session SET secret_hash = ? WHERE id = ?", [secret_hash, session_id]
            )
        connection.execute("UPDATE entrada_revocation SET epoch = epoch + 1")
    wait_until(lambda: one.whoami() is None and two.whoami() is None, seconds=1)


def test_F8_keys_changed_while_people_sign_in(
    serve: Serve, new_visitor: NewVisitor, pat: Any, kim: Any, watch: NewWatch
) -> None:
    """With the new key first, what the old one sealed still opens; once it is gone, one starts again."""
    before = serve(ENTRADA_SECRET_KEYS=KEY_ONE)
    both = serve(ENTRADA_SECRET_KEYS=f"{KEY_TWO},{KEY_ONE}", public_url=before.public_url)
    after = serve(ENTRADA_SECRET_KEYS=KEY_TWO, public_url=before.public_url)

    def moved(visitor: Visitor, to: Site) -> Visitor:
        other = new_visitor(to)
        other.jar = visitor.jar
        other.coming_back = visitor.coming_back
        return other

    first = new_visitor(before)
    first.begin()
    first.approve_as(pat)
    assert moved(first, both).complete().status_code == 303
    second = new_visitor(before)
    second.begin()
    second.approve_as(kim)
    late = moved(second, after)
    watching = watch(late)
    watching.refused(late.complete(), 400, "state_missing", token_requests=0)
    assert late.sign_in_as(kim).status_code == 303


def test_F8_session_outlives_a_change_of_keys(serve: Serve, new_visitor: NewVisitor, pat: Any) -> None:
    """Sessions do not hang on the sealing key: a new key signs nobody out."""
    site = serve(ENTRADA_SECRET_KEYS=KEY_ONE)
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    other = new_visitor(serve(ENTRADA_SECRET_KEYS=KEY_TWO, public_url=site.public_url))
    other.jar = visitor.jar
    assert other.whoami() is not None


@pytest.mark.parametrize("keys", ["short", "a" * 64, "x," + KEY_ONE, f"{KEY_ONE},"])
def test_F9_weak_key(keys: str, serve: Serve) -> None:
    """A key that is short, guessable or empty stops the start, and the sentence does not repeat it."""
    with pytest.raises(ConfigurationError) as refused:
        serve(ENTRADA_SECRET_KEYS=keys)
    assert refused.value.setting == "ENTRADA_SECRET_KEYS"
    assert keys not in str(refused.value)


def test_F9_two_installs_do_not_share_sessions(
    serve: Serve, new_visitor: NewVisitor, tmp_path: Any, pat: Any
) -> None:
    """Two installs with keys made by themselves open neither each other's sessions nor sign-ins."""
    one = serve(database=tmp_path / "one.db")
    two = serve(database=tmp_path / "two.db")
    assert (tmp_path / "one.keys").read_bytes() != (tmp_path / "two.keys").read_bytes()
    assert (tmp_path / "one.keys").stat().st_mode & 0o077 == 0
    visitor = new_visitor(one)
    visitor.sign_in_as(pat)
    other = new_visitor(two)
    other.jar = visitor.jar
    assert other.whoami() is None


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "\u202egnp.exe",
        "💩" * 100,
        "N" * 10_000,
        "a\u0000b\r\nset-cookie: x=1",
        "{{ 1337 * 1337 }}",
        "=HYPERLINK(1)",
    ],
    ids=["script", "image", "direction", "emoji", "long", "lines", "template", "formula"],
)
def test_F14_name_of_a_stranger(name: str, visitor: Visitor, emulator: RunningEmulator, pat: Any) -> None:
    """Whatever a name holds, pages show it escaped and in one line, and `/auth/me` is JSON."""
    emulator.fail("tamper", set={"name": name, "preferred_username": name, "email": name})
    assert visitor.sign_in_as(pat).status_code == 303
    me = visitor.whoami()
    assert me["object_id"] == pat.object_id
    assert len(me["name"]) <= 1_000
    for path in ("/auth/account", "/auth/logout"):
        page = visitor.open(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "1787569" not in page.text
        assert "\u202e" not in page.text
        assert "\x00" not in page.text
