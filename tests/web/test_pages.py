"""Every page renders, shows only what it should, and is one that anybody can use."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from entrada.compatibility import UTC
from entrada.entra.entra_errors import AadstsContext, read_entra_error
from entrada.errors import (
    BearerTokenRefused,
    BrokerUnavailable,
    ConfigurationError,
    DiscoveryRefused,
    EntradaError,
    EntraRefused,
    EntraUnavailable,
    Fixer,
    PersonalAccountRefused,
    RoleRequired,
    SignInExpired,
    StateMissing,
    TokenRefused,
    TooManyAttempts,
)
from entrada.storage.sql.failures import BUSY, FULL, READ_ONLY, unavailable
from entrada.web.pages import Pages
from entrada.web.pages.failure_texts import heading_of
from entrada.web.pages.rendering import safe_path, source_hash, static_text, stylesheet
from entrada.web.pages.values import (
    Action,
    Block,
    Cell,
    Fact,
    Field,
    Form,
    MenuItem,
    Notice,
    Page,
    Row,
    Table,
    Tone,
)

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Route
    from playwright.sync_api import Page as Tab

WHEN = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
CORRELATION_ID = "0b1f3c52-9d3e-4c0a-8c7f-2f6f2a1f9a11"
INCIDENT = "7f3c9b2e61d84a0f"
REDIRECT_URI = "https://wiki.contoso.test/auth/entra/callback"
LOGIN = "https://login.microsoftonline.com"
CONTEXT = AadstsContext(
    redirect_uri=REDIRECT_URI,
    tenant="contoso.test",
    client_id="6f1c2d3e-0000-4000-8000-000000000001",
    admin_consent_url=f"{LOGIN}/contoso.test/adminconsent?client_id=6f1c2d3e-0000-4000-8000-000000000001",
)
PAGES = Pages(application_name="Contoso Wiki")

PROBES = (
    "<script>window.reached = 1</script>",
    '<img src=x onerror="window.reached = 1">',
    "\"><svg onload='window.reached = 1'>",
    "' autofocus onfocus='window.reached = 1",
    "</style><script>window.reached = 1</script>",
    "{{ 7 * 7 }}{% raw %}",
)


def refused(
    code: str = "65004", error: str = "access_denied", words: str = "It was declined."
) -> EntraRefused:
    return read_entra_error(
        error, f"AADSTS{code}: {words}\r\nCorrelation ID: {CORRELATION_ID}\r\n", context=CONTEXT
    )


def failure(
    error: EntradaError,
    *,
    retry_path: str | None = None,
    when: datetime = WHEN,
    person: Sequence[Fact] = (),
) -> Page:
    again = [] if retry_path is None else [Action(label="Try again", path=retry_path, first=True)]
    home = Action(label="Go to the sign-in page", path="/auth/login", quiet=True)
    return PAGES.failure(error, actions=[*again, home], person=person, incident=INCIDENT, when=when)


SAMPLES: dict[type[EntradaError], Callable[[], EntradaError]] = {
    BearerTokenRefused: lambda: BearerTokenRefused("aud", "another audience"),
    ConfigurationError: lambda: ConfigurationError("It is not set.", hint="Set it.", setting="client_id"),
    DiscoveryRefused: lambda: DiscoveryRefused("The issuer differs.", hint="Check the tenant."),
    SignInExpired: lambda: SignInExpired(),
    EntraRefused: refused,
    TooManyAttempts: lambda: TooManyAttempts(attempts=3, reason="You declined."),
    TokenRefused: lambda: TokenRefused("nonce", "it is another sign-in's"),
    EntraUnavailable: lambda: EntraUnavailable(reason="timeout after 10 seconds", retry_after_seconds=30),
    BrokerUnavailable: lambda: BrokerUnavailable(reason="timeout after 10 seconds"),
}


def every_error() -> Iterator[type[EntradaError]]:
    """The tree of errors.py, walked; what a test or a command defines for itself is no page's business."""
    waiting = [EntradaError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == "entrada.errors":
            yield kind


ERRORS = sorted(set(every_error()), key=lambda kind: kind.__name__)


def every_page() -> dict[str, Page]:
    """One of each, by the name its screenshot gets."""
    return {
        "login": PAGES.login(start_path="/auth/entra/start?next=%2Freports"),
        "login-notices": PAGES.login(
            start_path="/auth/entra/start",
            notice=Notice(text="Your session ended after eight hours. Sign in to go on."),
            insecure_http=True,
        ),
        "declined": failure(refused(), retry_path="/auth/entra/start"),
        "redirect-uri": failure(refused("50011", "invalid_request", "The redirect URI does not match.")),
        "consent": failure(refused("90094", words="Admin consent is required.")),
        "secret-expired": failure(refused("7000222", "invalid_client", "The provided keys are expired.")),
        "entra-down": failure(
            EntraUnavailable(reason="timeout after 10 seconds", retry_after_seconds=30), retry_path="/"
        ),
        "state-missing": failure(StateMissing(), retry_path="/"),
        "role-required": failure(
            RoleRequired(),
            person=[
                Fact(label="Signed in as", text="Nora Novak (nora@contoso.test)"),
                Fact(label="Roles", text="None"),
            ],
        ),
        "consent-given": PAGES.consent(granted=True, tenant_is_allowed=True, start_path="/auth/entra/start"),
        "consent-one-step-left": PAGES.consent(
            granted=True, tenant_is_allowed=False, start_path="/auth/entra/start"
        ),
        "consent-not-given": PAGES.consent(
            granted=False, tenant_is_allowed=True, start_path="/auth/entra/start"
        ),
        "in-a-frame": PAGES.open_in_window(path="/reports"),
        "form-not-sent": PAGES.form_not_sent(login_path="/auth/login?next=/auth/signed-in"),
        "form-in-a-frame": PAGES.form_not_sent(login_path="/auth/login", framed=True),
        "signed-in-here": PAGES.signed_in_here(name="Ada Lovelace", front_page="/"),
        "signed-out": PAGES.signed_out(login_path="/auth/login"),
        "confirm": PAGES.confirm_sign_out(logout_path="/auth/logout", csrf_token="t", name="Ada Lovelace"),
        "desk": desk(PAGES, "Ada Lovelace"),
        "desk-empty": PAGES.desk(
            "People",
            result="Nobody found.",
            blocks=[
                Block(
                    heading="Accounts",
                    anchor="accounts",
                    table=Table(caption="Accounts", columns=("Name",), rows=[], empty="Nobody fits."),
                )
            ],
        ),
        "note": PAGES.note(
            "Editors only",
            paragraphs=["This page is for people with the role Editor or above."],
            facts=[
                Fact(label="Asked for", text="/editors", exact=True),
                Fact(label="Your role", text="Viewer"),
            ],
            actions=[
                Action(label="Back", path="/", first=True),
                Action(label="Sign out", path="/x", csrf_token="t"),
            ],
            notice=Notice(text="Nothing was changed.", tone=Tone.CAUTION),
        ),
        "long-names": Pages(application_name="Donaudampfschifffahrtsgesellschaftskapitänsverzeichnis").login(
            start_path="/auth/entra/start", label="Mit einem Geschäfts-, Schul- oder Unikonto anmelden"
        ),
    }


def desk(pages: Pages, text: str, *, chips: Sequence[str] = ("This one",)) -> Page:
    """One with every kind of thing that a desk can show, and `text` wherever a stranger's may stand."""
    action = Action(label="End", about=text, path="/x", csrf_token="t", fields=[("id", text)])
    cells = [
        Cell(text=text, path="/auth/admin/person?id=1", soft=text),
        Cell(text="Firefox on Windows", chips=chips),
        Cell(text=text, exact=True),
    ]
    return pages.desk(
        text,
        menu=[
            MenuItem(label="People", path="/auth/admin", is_current=True),
            MenuItem(label="Audit", path="/auth/admin/audit"),
        ],
        notice=Notice(text="Ended."),
        paragraphs=[text],
        search=Form(
            label="Find people",
            path="/auth/admin",
            fields=[
                Field(name="q", label="Name", value=text, kind="search"),
                Field(name="role", label="Role", value=text, options=[("", "Any role"), (text, text)]),
            ],
            button="Find",
            first=True,
        ),
        result="1 person.",
        blocks=[
            Block(
                heading=text,
                anchor="sessions",
                paragraphs=[text],
                facts=[Fact(label="Id", text=text, exact=True)],
                table=Table(
                    caption=text,
                    columns=("Name", "Device", "Id"),
                    rows=[Row(cells=cells, actions=[action]), Row(cells=cells)],
                    empty="None.",
                ),
                forms=[
                    Form(
                        label="Give a role",
                        path="/auth/admin/person",
                        csrf_token="t",
                        hidden=[("id", text)],
                        fields=[
                            Field(
                                name="role",
                                label="Another role",
                                value=text,
                                suggestions=[text],
                                hint="Given by hand, no sign-in takes it back.",
                                required=True,
                            ),
                            Field(name="mapping", label="Mapping", value=text, rows=4, hint="As JSON."),
                        ],
                        button="Give",
                    )
                ],
                actions=[action],
            )
        ],
        actions=[Action(label="Back", path="/", quiet=True)],
        form_action_hosts=[LOGIN],
    )


def text_of(page: Page) -> str:
    """What a person reads: the page without its head and tags."""

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("p", "h1", "h2", "dt", "dd", "li"):
                shown.append(" ")

        def handle_data(self, data: str) -> None:
            shown.append(data)

    shown: list[str] = []
    Reader().feed(page.html.decode().partition("<body>")[2])
    return " ".join("".join(shown).split())


def test_no_page_says_its_heading_twice() -> None:
    """The sentence below a heading says more than the heading."""
    for kind in set(ERRORS) - {EntradaError}:
        error = SAMPLES.get(kind, kind)()
        assert error.sentence.rstrip(".").casefold() != heading_of(error).casefold()


# --- what every page is ---


@pytest.mark.parametrize("name", every_page())
def test_f14_a_page_runs_nothing_but_our_one_script(name: str) -> None:
    """F14: nothing is fetched, only our stylesheet styles, and only the sign-in page has a script: ours."""
    page = every_page()[name]
    html = page.html.decode()
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert html.count("<script") == len(scripts)
    assert scripts == ([static_text("fragment.js")] if name.startswith(("login", "long-names")) else [])
    assert not re.search(r"\s(on[a-z]+|style)\s*=", html)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", html)
    directives = dict(part.strip().partition(" ")[::2] for part in page.content_security_policy.split(";"))
    assert directives.pop("script-src", None) == (source_hash(scripts[0]) if scripts else None)
    assert directives.pop("frame-ancestors") == (
        "*" if name in ("in-a-frame", "form-in-a-frame") else "'none'"
    )
    assert directives.pop("form-action") in ("'none'", "'self'", f"'self' {LOGIN}")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert directives == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
    }


@pytest.mark.parametrize("name", every_page())
def test_a_page_says_what_it_is(name: str) -> None:
    """Language, title, one main part, one heading of the first rank."""
    html = every_page()[name].html.decode()
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert re.search(r"<title>[^<]+ · [^<]+</title>", html)
    assert html.count("<h1>") == html.count("<main ") == 1


def test_only_pages_with_a_form_may_post() -> None:
    """The sign-in page and failures have none."""
    for name, page in every_page().items():
        allowed = "form-action 'none'" not in page.content_security_policy
        assert allowed == (name in ("confirm", "desk", "note")), name
        assert allowed or b"<form" not in page.html


def test_the_host_a_sign_out_ends_at_may_be_posted_to() -> None:
    """Chromium holds redirects after a post to form-action, so Entra's origin is named; only the origin."""
    page = PAGES.confirm_sign_out(
        logout_path="/auth/logout",
        csrf_token="t",
        name="Ada",
        form_action_hosts=[
            "https://LOGIN.microsoftonline.com/x/oauth2/v2.0/logout?a=b",
            "http://localhost:8400",
        ],
    )
    assert f"form-action 'self' {LOGIN} http://localhost:8400;" in page.content_security_policy


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "https:",
        "https://",
        "javascript:x",
        "https://a b",
        "https://a;script-src *",
        "//a",
        "https://u@a",
    ],
)
def test_a_policy_takes_nothing_but_origins(host: str) -> None:
    """No value can add a directive or a wildcard."""
    with pytest.raises(ValueError, match="origin"):
        PAGES.front_channel_done(framed_by=[host])


def test_the_stylesheet_asks_nobody() -> None:
    """No imports, fonts or images; nothing that could end the style element."""
    assert not re.search(r"@import|@font-face|url\(|</|https?:", stylesheet())
    assert "/*" not in stylesheet()


def test_the_front_channel_answer_is_framable_by_entra_alone() -> None:
    """E10's page: empty, and for the login host's frame only."""
    page = PAGES.front_channel_done(framed_by=[f"{LOGIN}/common"])
    assert page.content_security_policy == (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {LOGIN}"
    )
    assert text_of(page) == ""
    assert "frame-ancestors 'none'" in PAGES.front_channel_done(framed_by=[]).content_security_policy


# --- signing in and out ---


def test_the_sign_in_page_has_one_way_on() -> None:
    """One link, with the label of the settings."""
    html = PAGES.login(start_path="/auth/entra/start?next=/a&b=1", label="Go on with Contoso").html.decode()
    assert re.findall(r"<a [^>]*href=\"([^\"]*)\"", html) == ["/auth/entra/start?next=/a&amp;b=1"]
    assert "Go on with Contoso" in html
    assert "work or school account" in html


def test_an_application_without_a_name_leaves_no_gap() -> None:
    """No name, no "Sign in to" nobody."""
    nameless = Pages()
    page = nameless.login(start_path="/x")
    assert b"<h1>Sign in</h1>" in page.html
    assert b"<title>Sign in</title>" in page.html
    assert text_of(nameless.note("Editors only")).startswith("Editors only")


def test_microsofts_logo_keeps_its_colours() -> None:
    """Microsoft's branding guidance: the logo is not altered."""
    html = PAGES.login(start_path="/auth/entra/start").html.decode()
    assert re.findall(r"<path fill=\"(#[0-9a-f]{6})\"", html) == ["#f25022", "#7fba00", "#00a4ef", "#ffb900"]


def test_plain_http_is_said() -> None:
    """insecure_http puts a caution on the page, and nothing else does."""
    assert "plain http" in text_of(PAGES.login(start_path="/x", insecure_http=True))
    assert "plain http" not in text_of(PAGES.login(start_path="/x"))


def test_signed_out_does_not_sign_in_again_by_itself() -> None:
    """No refresh, no redirect: only a link."""
    html = PAGES.signed_out(login_path="/auth/login").html.decode()
    assert "http-equiv" not in html
    assert re.findall(r"<a [^>]*href=\"([^\"]*)\"", html) == ["/auth/login"]


def test_e7_signing_out_by_link_asks_first() -> None:
    """E7: the page posts, with the token; going back is a link."""
    html = PAGES.confirm_sign_out(
        logout_path="/auth/logout", csrf_token="tok&en", name="Ada", next_path="/reports"
    ).html.decode()
    assert (
        '<form method="post" action="/auth/logout"><input type="hidden" name="csrf_token" value="tok&amp;en">'
        in html
    )
    assert 'href="/reports"' in html


def test_a_desk_says_everything_that_it_is_given() -> None:
    """Menu, result, table, forms and facts; a table without rows says so."""
    text = text_of(every_page()["desk"])
    for words in ("Ada Lovelace", "1 person.", "Firefox on Windows", "This one", "Given by hand"):
        assert words in text
    assert "Nobody fits." in text_of(every_page()["desk-empty"])


# --- failures ---


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_page(kind: type[EntradaError]) -> None:
    """What happened, what to do, who can do it, and where to look it up."""
    error = SAMPLES.get(kind, kind)()
    text = text_of(failure(error))
    assert error.sentence in text
    assert error.hint in text
    assert {
        Fixer.PERSON: "You can fix this",
        Fixer.ADMINISTRATOR: "Your administrator can fix this",
        Fixer.NOBODY: "Nothing to fix: waiting helps",
    }[error.fixer] in text
    for evidence in (INCIDENT, "2026-11-21 10:00:05 UTC", error.code):
        assert evidence in text
    if kind is not EntradaError:
        assert "<h1>Something went wrong</h1>" not in failure(error).html.decode()


def test_K30_who_can_fix_it_follows_from_the_cause() -> None:
    """Beside "Check DNS" or "Free space" nobody reads that waiting helps; beside a busy database they do."""
    for error, words in (
        (EntraUnavailable(reason="x"), "Nothing to fix: waiting helps"),
        (EntraUnavailable(reason="no such name", hint="Check DNS."), "Your administrator can fix this"),
        (unavailable(FULL), "Your administrator can fix this"),
        (unavailable(READ_ONLY), "Your administrator can fix this"),
        (unavailable(BUSY), "Nothing to fix: waiting helps"),
    ):
        assert words in text_of(failure(error)), error


def test_a_refusal_of_entra_shows_code_cause_and_ids() -> None:
    """The AADSTS code with its cause and fix, `error`, and Entra's correlation id; never error_uri."""
    text = text_of(failure(refused()))
    for shown in (
        "AADSTS65004",
        "access_denied",
        CORRELATION_ID,
        "The person cancelled, or declined the consent prompt.",
    ):
        assert shown in text
    assert "Try again when you like" in text
    assert "error?code=" not in text


def test_ids_that_stand_by_themselves_are_not_said_twice() -> None:
    """Trace and correlation id appear once each, beside their labels; the sentence before them stays."""
    trace = "5e1f3c52-9d3e-4c0a-8c7f-2f6f2a1f9a22"
    error = read_entra_error(
        "access_denied",
        f"AADSTS65004: It was declined.\r\nTrace ID: {trace}\r\nCorrelation ID: {CORRELATION_ID}\r\n"
        "Timestamp: 2026-11-21 10:00:04Z",
        context=CONTEXT,
    )
    text = text_of(failure(error))
    assert "AADSTS65004: It was declined. Trace ID at Microsoft" in text
    assert (text.count(trace), text.count(CORRELATION_ID)) == (1, 1)


def test_a_wrong_redirect_uri_shows_the_right_one_whole() -> None:
    """The address stands by itself, ready to be copied."""
    html = every_page()["redirect-uri"].html.decode()
    assert f'<code class="address">{REDIRECT_URI}</code>' in html


def test_the_evidence_of_other_errors() -> None:
    """Failed check, reason, waiting time, setting, attempts."""
    for kind, shown in (
        (TokenRefused, "Failed check nonce"),
        (BrokerUnavailable, "What happened timeout after 10 seconds"),
        (EntraUnavailable, "What happened timeout after 10 seconds Try again after 30 seconds"),
        (ConfigurationError, "Setting ENTRADA_CLIENT_ID"),
        (TooManyAttempts, "Attempts 3"),
    ):
        assert shown in text_of(failure(SAMPLES[kind]()))


def test_trying_again_is_offered_only_where_the_caller_says_so() -> None:
    """No retry link without a retry path; the sign-in page is always one click away."""
    assert "Try again" not in re.findall(r">([^<]+)</a>", failure(RoleRequired()).html.decode())
    html = failure(PersonalAccountRefused(), retry_path="/auth/entra/start").html.decode()
    assert re.findall(r"<a [^>]*href=\"([^\"]*)\"", html) == ["/auth/entra/start", "/auth/login"]


def test_details_lie_open_for_an_administrator() -> None:
    """A photograph of the page has everything on it when somebody else has to act."""
    assert b"<details open>" in failure(RoleRequired()).html
    assert b"<details>" in failure(StateMissing()).html


def test_time_is_shown_in_utc() -> None:
    """Whatever zone the moment came in."""
    there = WHEN.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert "2026-11-21 10:00:05 UTC" in text_of(failure(StateMissing(), when=there))


# --- hostile text ---


def pages_of(text: str) -> dict[str, Page]:
    """Every field that a stranger's text can reach, filled with it."""
    pages = Pages(application_name=text)
    entra = EntraRefused(
        text,
        hint=text,
        fixer=Fixer.PERSON,
        error=text,
        aadsts=text,
        description=text,
        correlation_id=text,
        trace_id=text,
    )
    ways: dict[str, Any] = {
        "actions": [Action(label=text, path=text), Action(label=text, path=text, quiet=True)],
        "person": [Fact(label=text, text=text)],
    }
    return {
        "login": pages.login(start_path=text, label=text, notice=Notice(text=text)),
        "entra": pages.failure(entra, incident=text, when=WHEN, **ways),
        "token": pages.failure(TokenRefused(text, text, hint=text), incident=text, when=WHEN, **ways),
        "down": pages.failure(EntraUnavailable(reason=text), incident=text, when=WHEN, **ways),
        "setting": pages.failure(
            ConfigurationError(text, hint=text, setting=text), incident=text, when=WHEN, **ways
        ),
        "signed-out": pages.signed_out(login_path=text),
        "confirm": pages.confirm_sign_out(logout_path=text, csrf_token=text, name=text, next_path=text),
        "desk": desk(pages, text),
        "note": pages.note(
            text,
            paragraphs=[text],
            facts=[Fact(label=text, text=text, exact=True)],
            actions=[Action(label=text, path=text), Action(label=text, path=text, csrf_token=text)],
            notice=Notice(text=text),
        ),
    }


@pytest.mark.parametrize("probe", PROBES)
def test_a15_c24_markup_in_any_field_is_text(probe: str) -> None:
    """A15, C24, F14: names, e-mail, descriptions and everything else are escaped."""
    ours = {name: _tags(page) for name, page in pages_of("x").items()}
    for name, page in pages_of(probe).items():
        assert _tags(page) == ours[name], name
        assert " ".join(probe.split()) in text_of(page), name


def _tags(page: Page) -> list[tuple[str, list[str]]]:
    """Every element with the names of its attributes: text must not add any."""

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, [name for name, _ in attrs]))

    found: list[tuple[str, list[str]]] = []
    Reader().feed(page.html.decode())
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gnp.\u202eexe", "gnp. exe"),
        ("a\u2066b\u2069c\u202dd", "a b c d"),
        ("nul\x00\x1b[31mred\x85", "nul [31mred"),
        ("half \ud83d a pair", "half a pair"),
        ("\U0001f600 می‌روم", "\U0001f600 می‌روم"),
    ],
)
def test_c24_marks_that_mislead_are_taken_out(text: str, shown: str) -> None:
    """C24: reading-direction overrides, NUL, terminal sequences, lone surrogates; honest text stays."""
    for name, page in pages_of(text).items():
        assert shown in text_of(page), name


def test_c24_a_huge_name_does_not_fill_the_page() -> None:
    """C24: 10 kB of name is cut."""
    page = desk(PAGES, "n" * 10_000, chips=["r" * 10_000] * 1_000)
    assert len(page.html) < 80_000


@pytest.mark.parametrize(
    "path",
    [
        *("", "x", " /x", "/x y", "/x\n", "/\x00", "/\ud800", "/" + "x" * 5_000),
        *("//evil.test", "/\\evil.test", "/\t/evil.test", "/a\\b", "https://evil.test"),
        *("javascript:alert(1)", "data:text/html,x"),
    ],
)
def test_e4_a_link_never_leaves_the_origin(path: str) -> None:
    """E4, E13: a path that is none becomes the front page; the page still comes."""
    assert safe_path(path) == "/"
    html = PAGES.signed_out(login_path=path).html.decode()
    assert re.findall(r"<a [^>]*href=\"([^\"]*)\"", html) == ["/"]


@pytest.mark.parametrize(
    "path", ["/", "/a?b=c&d=%2F", "/a//b", "/ä", "/%5C", "/a#b", "/?next=https://x.test"]
)
def test_an_honest_path_stays(path: str) -> None:
    """Queries, fragments and doubled slashes further on are nobody's business."""
    assert safe_path(path) == path


# --- in a browser ---

ORIGIN = "https://wiki.contoso.test"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 760}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 760}},
    "phone": {"color_scheme": "light", "viewport": {"width": 320, "height": 640}, "device_scale_factor": 2},
    "phone-dark": {
        "color_scheme": "dark",
        "viewport": {"width": 320, "height": 640},
        "device_scale_factor": 2,
    },
    "zoomed": {"color_scheme": "light", "viewport": {"width": 550, "height": 380}, "device_scale_factor": 2},
    "forced-colors": {"forced_colors": "active", "viewport": {"width": 1100, "height": 760}},
}

# The luminance of every text against what lies behind it, by the formula of WCAG 2.2, in the page itself.
FAINT_TEXTS = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([walker.currentNode.data.trim(), ratio]);
  }
  return faint;
}"""

# What the keyboard is on, and how its focus shows.
FOCUSED = """() => {
  const style = getComputedStyle(document.activeElement);
  return [document.activeElement.innerText, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A tab, the addresses it asked for, and what the browser said on its console."""

    tab: Tab
    asked: list[str]
    complaints: list[str]


OpenPages = Callable[..., Visit]


@pytest.fixture
def open_pages(browser: Browser) -> Iterator[OpenPages]:
    """`open_pages({name: page}, **look)`: a tab that can reach these pages and nothing else."""
    contexts = []

    def open_(pages: dict[str, Page], **look: Any) -> Visit:
        context = browser.new_context(**look)
        contexts.append(context)
        visit = Visit(tab=context.new_page(), asked=[], complaints=[])

        def answer(route: Route) -> None:
            visit.asked.append(route.request.url)
            page = pages.get(route.request.url.removeprefix(f"{ORIGIN}/"))
            if page is None:
                route.fulfill(status=404, body="")
                return
            headers = {
                "content-type": "text/html; charset=utf-8",
                "content-security-policy": page.content_security_policy,
            }
            route.fulfill(status=200, headers=headers, body=page.html)

        def note(message: ConsoleMessage) -> None:
            visit.complaints.append(message.text)

        context.route("**/*", answer)
        visit.tab.on("console", note)
        return visit

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.browser
@pytest.mark.parametrize("look", LOOKS)
def test_pages_look_right_and_ask_nobody(
    look: str, open_pages: OpenPages, shot: Callable[[Tab, str], Path]
) -> None:
    """In every look: readable, no sideways scrolling, no request leaves, no complaint of the browser."""
    pages = every_page()
    if look not in ("light", "dark", "phone"):
        pages = {name: pages[name] for name in ("login-notices", "redirect-uri", "desk", "long-names")}
    visit = open_pages(pages, **LOOKS[look])
    tab = visit.tab
    for name in pages:
        tab.goto(f"{ORIGIN}/{name}")
        shot(tab, f"page-{name}-{look}")
        assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
        if look != "forced-colors":
            assert tab.evaluate(FAINT_TEXTS) == [], name
    assert visit.asked == [f"{ORIGIN}/{name}" for name in pages]
    assert visit.complaints == []


@pytest.mark.browser
def test_the_keyboard_reaches_everything_and_shows_where_it_is(open_pages: OpenPages) -> None:
    """One press of Tab to the button; every stop has a ring."""
    tab = open_pages(every_page()).tab
    for name, stops in {
        "login": ["Sign in with Microsoft Entra ID"],
        "declined": ["Try again", "Go to the sign-in page", "Details for your administrator"],
        "confirm": ["Sign out", "Stay signed in"],
        "desk": ["People", "Audit"],
    }.items():
        tab.goto(f"{ORIGIN}/{name}")
        for label in stops:
            tab.keyboard.press("Tab")
            text, style, width_px = tab.evaluate(FOCUSED)
            assert (text, style) == (label, "solid"), name
            assert width_px >= 2, name


@pytest.mark.browser
def test_a_screen_reader_hears_names_and_places(open_pages: OpenPages) -> None:
    """Landmarks, headings and the names of controls, as the accessibility tree has them."""
    tab = open_pages(every_page()).tab
    tab.goto(f"{ORIGIN}/login")
    heading = tab.get_by_role("main").get_by_role("heading", level=1).inner_text()
    assert " ".join(heading.split()) == "Sign in to Contoso Wiki"
    assert tab.get_by_role("link").all_inner_texts() == ["Sign in with Microsoft Entra ID"]
    assert tab.get_by_role("img").count() == 0
    assert tab.get_by_role("contentinfo").count() == 1
    tab.goto(f"{ORIGIN}/declined")
    assert tab.get_by_role("region", name="You can fix this").count() == 1


@pytest.mark.browser
def test_the_button_has_microsofts_measures(open_pages: OpenPages) -> None:
    """41 px high, 12 px around the logo, 15 px semibold, in both colour schemes."""
    tab = open_pages(every_page()).tab
    tab.goto(f"{ORIGIN}/login")
    looks = """() => {
      const button = document.querySelector(".microsoft"), style = getComputedStyle(button);
      const logo = button.querySelector("svg").getBoundingClientRect();
      const text = button.querySelector("span").getBoundingClientRect();
      return [button.offsetHeight, logo.width, text.left - logo.right, style.paddingLeft, style.fontSize,
        style.fontWeight, style.backgroundColor, style.color, style.borderColor];
    }"""
    measures = [41, 21, 12, "12px", "15px", "600"]
    tab.emulate_media(color_scheme="light")
    assert tab.evaluate(looks) == [*measures, "rgb(255, 255, 255)", "rgb(94, 94, 94)", "rgb(140, 140, 140)"]
    tab.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert tab.evaluate(looks)[:8] == [*measures, "rgb(47, 47, 47)", "rgb(255, 255, 255)"]
    assert (
        tab.evaluate("() => getComputedStyle(document.querySelector('.microsoft')).transitionProperty")
        == "none"
    )


@pytest.mark.browser
def test_f14_nothing_a_stranger_wrote_runs(open_pages: OpenPages) -> None:
    """F14: even without the policy, no probe reaches a real browser's interpreter."""
    unguarded = "default-src * 'unsafe-inline' data:"
    pages = {
        name: Page(html=page.html, content_security_policy=unguarded)
        for name, page in pages_of(" ".join(PROBES)).items()
    }
    tab = open_pages(pages).tab
    for name in pages:
        tab.goto(f"{ORIGIN}/{name}")
        assert tab.evaluate("() => window.reached") is None, name
