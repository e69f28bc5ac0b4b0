"""One application at Entra: metadata fetched rarely, codes redeemed once, nothing hoarded, nothing told."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from entrada.entra.application import EntraApplication
from entrada.entra.credential import ClientSecret
from entrada.entra.token_response import TokenError, TokenResponse
from entrada.entra.transport import HttpResponse
from entrada.errors import DiscoveryRefused, EntraUnavailable, TokenRefused
from flows.world import LOGIN, SECRET, TENANT, FakeEntra, answer, application, metadata

REDIRECT_URI = "https://app.contoso.test/auth/entra/callback"


def redeem(app: EntraApplication, entra: FakeEntra) -> TokenResponse | TokenError:
    """One code, from the authorization request to the token answer."""
    request = app.begin(state="s" * 43, redirect_uri=REDIRECT_URI, response_mode="query")
    return app.redeem(
        entra.approve(request.url)["code"],
        state=request.state,
        redirect_uri=REDIRECT_URI,
        code_verifier=request.code_verifier,
        nonce=request.nonce,
    )


def discoveries(entra: FakeEntra) -> int:
    return sum(request.url.endswith("/openid-configuration") for request in entra.sent)


@pytest.fixture
def entra() -> FakeEntra:
    return FakeEntra()


# --- metadata ---


def test_nothing_is_asked_before_it_is_needed(entra: FakeEntra) -> None:
    """Making an application asks Entra for nothing: a start does not depend on it."""
    application(entra)
    assert entra.sent == []


def test_metadata_is_fetched_once_a_day(entra: FakeEntra) -> None:
    """A day of sign-ins costs one discovery; the next day another."""
    app = application(entra)
    for _ in range(24):
        app.metadata()
        entra.clock.advance(minutes=59)
    assert discoveries(entra) == 1
    entra.clock.advance(hours=1)
    app.metadata()
    assert discoveries(entra) == 2


def test_metadata_that_changed_is_used(entra: FakeEntra) -> None:
    """After a day new endpoints are those in use."""
    app = application(entra)
    app.metadata()
    entra.metadata = metadata(end_session_endpoint=f"{LOGIN}/{TENANT}/new/logout")
    entra.clock.advance(hours=24)
    url = app.sign_out_url(post_logout_redirect_uri="https://app.contoso.test/", logout_hint=None)
    assert url is not None
    assert url.startswith(f"{LOGIN}/{TENANT}/new/logout?")


@pytest.mark.parametrize(
    "broken",
    [answer({}, status=500), answer(b"<html>"), answer(metadata(issuer="https://evil.test/v2.0"))],
    ids=["500", "html", "another issuer"],
)
def test_yesterdays_metadata_outlives_a_bad_refresh(entra: FakeEntra, broken: HttpResponse) -> None:
    """An outage or a wrong answer at the refresh changes nothing, and is not asked again at every sign-in."""
    app = application(entra)
    before = app.metadata()
    entra.metadata = broken
    entra.clock.advance(hours=24)
    assert [app.metadata() for _ in range(10)] == [before] * 10
    assert discoveries(entra) == 2
    entra.clock.advance(minutes=5)
    app.metadata()
    assert discoveries(entra) == 3


def test_A33_discovery_recovers_without_a_restart(entra: FakeEntra) -> None:
    """An application that never reached Entra reaches it as soon as it can."""
    app = application(entra)
    entra.down = True
    with pytest.raises(EntraUnavailable):
        app.metadata()
    entra.down = False
    entra.clock.advance(seconds=3)
    assert app.metadata().tenant_id == TENANT


def test_A33_an_outage_is_not_stormed(entra: FakeEntra) -> None:
    """While Entra is down a hundred visitors cause one request in three seconds, and all hear why."""
    app = application(entra)
    entra.down = True
    for _ in range(100):
        with pytest.raises(EntraUnavailable) as refusal:
            app.metadata()
        assert refusal.value.reason == "the connection was refused"
    assert discoveries(entra) == 1


def test_an_outage_told_twice_is_two_errors(entra: FakeEntra) -> None:
    """Each visitor's error is their own: what one thread writes into it, no other one reads."""
    app = application(entra)
    entra.down = True
    told: list[EntraUnavailable] = []
    for _ in range(3):
        with pytest.raises(EntraUnavailable) as refusal:
            app.metadata()
        told.append(refusal.value)
    assert len({id(error) for error in told}) == 3
    assert len({str(error) for error in told}) == 1
    told[1].correlation_id = "mine"
    assert told[2].correlation_id is None


def test_many_first_visitors_cause_one_discovery(entra: FakeEntra) -> None:
    """Threads that come at the same moment wait for one fetch."""
    app, gate = application(entra), threading.Barrier(16)

    def visit(_: int) -> str:
        gate.wait()
        return app.metadata().issuer_template

    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(visit, range(16)))) == 1
    assert discoveries(entra) == 1


def test_A32_another_issuer_is_refused_with_both_values(entra: FakeEntra) -> None:
    """Metadata that names another issuer is never used, and both issuers are told."""
    entra.metadata = metadata(issuer="https://evil.test/v2.0")
    with pytest.raises(DiscoveryRefused) as refusal:
        application(entra).begin(state="s" * 43, redirect_uri=REDIRECT_URI, response_mode="query")
    assert "https://evil.test/v2.0" in refusal.value.sentence
    assert f"{LOGIN}/{TENANT}/v2.0" in refusal.value.sentence


def test_an_unknown_tenant_is_told_as_one(entra: FakeEntra) -> None:
    """Entra's answer to a tenant that does not exist names the setting to check."""
    entra.metadata = answer(
        {"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant 'x' not found."}, status=400
    )
    with pytest.raises(DiscoveryRefused) as refusal:
        application(entra).metadata()
    assert refusal.value.setting == "ENTRADA_TENANT_ID"
    assert TENANT in refusal.value.sentence


@pytest.mark.parametrize(
    "broken",
    [
        answer(b""),
        answer(b"null"),
        answer(b"[]"),
        answer(b"\xff"),
        answer(b"[" * 100_000),
        answer({}, status=302),
    ],
    ids=["empty", "null", "array", "bytes", "deep", "302"],
)
def test_discovery_that_is_none_is_unavailable(entra: FakeEntra, broken: HttpResponse) -> None:
    """Whatever stands where the metadata should, the application says that Entra is unavailable."""
    entra.metadata = broken
    with pytest.raises(EntraUnavailable):
        application(entra).metadata()


def test_MSAL_asks_for_nothing_itself(entra: FakeEntra) -> None:
    """A whole redemption asks Entra for our discovery and the token, and for nothing else."""
    redeem(application(entra), entra)
    assert [(request.method, request.url) for request in entra.sent] == [
        ("GET", f"{LOGIN}/{TENANT}/v2.0/.well-known/openid-configuration"),
        ("POST", f"{LOGIN}/{TENANT}/oauth2/v2.0/token"),
    ]


def test_K7_the_code_is_redeemed_with_the_scopes_of_the_request(entra: FakeEntra) -> None:
    """A provider may give no more than the redemption asks for: it asks for all, `openid` included."""
    app = application(entra, scopes=["https://graph.microsoft.com/User.Read"])
    request = app.begin(state="s" * 43, redirect_uri=REDIRECT_URI, response_mode="query")
    asked = parse_qs(urlsplit(request.url).query)["scope"][0].split()
    redeem(app, entra)
    (redemption,) = entra.token_requests()
    assert sorted(redemption.form["scope"].split()) == sorted(asked)
    assert {"openid", "profile", "offline_access", "email"} < set(asked)


@pytest.mark.parametrize(
    "broken",
    [
        json.dumps(metadata())[:-1].encode() + b', "issuer": "https://evil.test/v2.0"}',
        json.dumps(metadata()).encode().replace(b"{", b'{"jwks_uri": "https://evil.test/keys", ', 1),
        json.dumps({**metadata(), "x": {"y": 1}}).encode().replace(b'{"y": 1}', b'{"y": 1, "y": 2}'),
    ],
    ids=["issuer", "jwks_uri", "deep"],
)
def test_discovery_that_names_a_member_twice_is_refused(entra: FakeEntra, broken: bytes) -> None:
    """Two readers could understand it differently; the reader of tokens reads metadata, too."""
    entra.metadata = answer(broken)
    with pytest.raises(EntraUnavailable) as refusal:
        application(entra).metadata()
    assert "twice" in refusal.value.reason


@pytest.mark.parametrize(
    "broken",
    [b'{"id_token": "a", "id_token": "b"}', b'["id_token"]', b'"id_token"', b"null", b"{", b'{"a": NaN}'],
)
def test_a_token_response_is_read_as_strictly(entra: FakeEntra, broken: bytes) -> None:
    """A doubled member, or no object at all: nothing of it reaches MSAL."""
    entra.token_response = lambda form: answer(broken)
    with pytest.raises(EntraUnavailable):
        redeem(application(entra), entra)


# --- secrets ---


def only(secret: str, entra: FakeEntra, *, error: str = "invalid_client") -> None:
    """From here on Entra accepts that secret alone."""

    def redeem_with(form: Mapping[str, str]) -> HttpResponse:
        if form.get("client_secret") != secret:
            return answer({"error": error, "error_description": "AADSTS7000215: Invalid secret."}, status=401)
        return entra.redeem({**form, "client_secret": SECRET})

    entra.token_response = redeem_with


def tried(entra: FakeEntra) -> list[str]:
    return [request.form["client_secret"] for request in entra.token_requests()]


OLD_AND_NEW = [ClientSecret(value="old~secret"), ClientSecret(value="new.secret")]


def test_two_secrets_are_tried_in_turn(entra: FakeEntra) -> None:
    """If Entra no longer takes the first secret, the second is tried with the same code."""
    only("new.secret", entra)
    assert isinstance(redeem(application(entra, credentials=OLD_AND_NEW), entra), TokenResponse)
    assert tried(entra) == ["old~secret", "new.secret"]


def test_the_secret_that_worked_is_tried_first_from_then_on(entra: FakeEntra) -> None:
    """Every later sign-in costs one request, until the other secret is the right one again."""
    app = application(entra, credentials=OLD_AND_NEW)
    only("new.secret", entra)
    redeem(app, entra)
    redeem(app, entra)
    assert tried(entra)[2:] == ["new.secret"]
    only("old~secret", entra)
    assert isinstance(redeem(app, entra), TokenResponse)


def test_two_wrong_secrets_are_one_refusal(entra: FakeEntra) -> None:
    """If no secret is taken, Entra's last refusal is the answer."""
    only("another", entra)
    answered = redeem(application(entra, credentials=OLD_AND_NEW), entra)
    assert isinstance(answered, TokenError)
    assert answered.error == "invalid_client"
    assert "AADSTS7000215" in answered.description


@pytest.mark.parametrize(
    "error", ["invalid_grant", "interaction_required", "unauthorized_client", "server_error"]
)
def test_another_refusal_is_not_tried_with_the_other_secret(entra: FakeEntra, error: str) -> None:
    """Only a refused secret is a reason to send the code once more."""
    only("new.secret", entra, error=error)
    answered = redeem(application(entra, credentials=OLD_AND_NEW), entra)
    assert isinstance(answered, TokenError)
    assert answered.error == error
    assert tried(entra) == ["old~secret"]


def test_an_unavailable_token_endpoint_is_not_tried_again(entra: FakeEntra) -> None:
    """After a 500 the code may be spent: it is not sent again, with no secret."""
    entra.token_response = lambda form: answer({}, status=500)
    with pytest.raises(EntraUnavailable):
        redeem(application(entra, credentials=OLD_AND_NEW), entra)
    assert len(entra.token_requests()) == 1


@pytest.mark.parametrize(
    "secret", ["a+b%c&d=e:f~g", "ünï¢ödé€😀", "a b", "%41", "a\\b\"c'd", "?#/@!$()*,;[]"]
)
def test_A31_a_secret_with_odd_characters_arrives_to_the_letter(entra: FakeEntra, secret: str) -> None:
    """Whatever characters Entra put into a secret, what it receives is the secret."""
    only(secret, entra)
    app = application(entra, credentials=[ClientSecret(value=secret)])
    assert isinstance(redeem(app, entra), TokenResponse)
    assert tried(entra) == [secret]


# --- answers ---


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17),
        ("0", 0),
        ("999999", 3600),
        ("9" * 10, None),
        ("99999", 3600),
        ("-1", None),
        ("soon", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_passed_on_within_an_hour(entra: FakeEntra, text: str, seconds: int | None) -> None:
    """A sane number of seconds is kept, bounded; anything else is no number."""
    entra.token_response = lambda form: answer({}, status=429, **{"retry-after": text})
    with pytest.raises(EntraUnavailable) as refusal:
        redeem(application(entra), entra)
    assert refusal.value.retry_after_seconds == seconds


def test_an_error_answer_is_bounded(entra: FakeEntra) -> None:
    """However much Entra says, what is kept of it is little."""
    entra.token_response = lambda form: answer(
        {"error": "e" * 10_000, "error_description": "d" * 100_000}, status=400
    )
    answered = redeem(application(entra), entra)
    assert isinstance(answered, TokenError)
    assert (len(answered.error), len(answered.description)) == (100, 2000)


def test_a_token_of_another_sign_in_is_refused(entra: FakeEntra) -> None:
    """B24: MSAL compares the nonce first; its complaint is our refusal."""

    def another_nonce(form: Mapping[str, str]) -> HttpResponse:
        return entra.tokens({"nonce": "another"})

    entra.token_response = another_nonce
    with pytest.raises(TokenRefused) as refusal:
        redeem(application(entra), entra)
    assert refusal.value.check == "nonce"


# --- nothing is hoarded, nothing is told ---


def test_two_hundred_sign_ins_leave_no_token_behind(entra: FakeEntra) -> None:
    """MSAL's cache, which would keep every token of every person, stays empty."""
    app = application(entra)
    for number in range(200):
        assert isinstance(redeem(app, entra), TokenResponse), number
    assert app._discovery.known is not None
    for client in app._discovery.known.clients:
        cache = client.token_cache
        kept = [
            entry for kind in vars(type(cache).CredentialType).values() if isinstance(kind, str)
            for entry in cache.search(kind)
        ]  # fmt: skip
        assert kept == []
        assert not any(cache._cache.values())


ODD_ANSWERS: list[Any] = [
    {"token_type": "Bearer", "access_token": "hush-access", "refresh_token": "hush-refresh"},
    {"token_type": "Bearer", "access_token": "hush-access", "id_token": "hush.id.token", "scope": 5},
    {"token_type": "mac", "access_token": "hush-access", "id_token": "hush"},
    {"error": "x", "access_token": "hush-access"},
    ["hush"],
    "hush",
]


@pytest.mark.parametrize("odd", [None, *ODD_ANSWERS], ids=lambda odd: json.dumps(odd)[:20])
def test_J1_no_logger_writes_a_token_answer(
    entra: FakeEntra, odd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With everything logged, MSAL's oddest complaints included, no token, code or secret is written."""
    if odd is not None:
        entra.token_response = lambda form: answer(odd)
    seen = [SECRET, "an-opaque-access-token", "a-refresh-token", "hush"]
    with caplog.at_level(logging.DEBUG), suppress(EntraUnavailable, TokenRefused):
        redeem(application(entra), entra)
    seen += [request.form["code"] for request in entra.token_requests()]
    seen += [request.form["code_verifier"] for request in entra.token_requests()]
    written = " ".join(f"{entry.getMessage()} {entry.args}" for entry in caplog.records)
    assert [secret for secret in seen if secret in written] == []


def test_J1_what_is_secret_stays_out_of_representations(entra: FakeEntra) -> None:
    """Requests and answers can be printed without telling a verifier or a token."""
    app = application(entra)
    request = app.begin(state="s" * 43, redirect_uri=REDIRECT_URI, response_mode="query")
    answered = redeem(app, entra)
    members = {name: value for name, value in vars(app).items() if name != "_transport"}
    shown = f"{request!r} {answered!r} {app!r} {members!r}"
    assert request.code_verifier not in shown
    assert "an-opaque-access-token" not in shown
    assert "eyJ" not in shown
    assert SECRET not in shown
