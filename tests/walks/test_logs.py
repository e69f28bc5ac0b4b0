"""J1: after a full run of sign-ins good and bad, no log holds what opens a door, at whatever level."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest

from entrada.emulator import RunningEmulator
from entrada.entra.pooled_transport import PooledTransport
from entrada.entra.transport import HttpResponse
from walks.conftest import NewVisitor, Serve
from walks.refusals import OURS, logged
from walks.visitor import Visitor, query_of

SECRET_PARAMETERS = ("client_secret", "code", "code_verifier", "client_assertion", "refresh_token")
TOKENS = ("id_token", "access_token", "refresh_token")


@pytest.fixture
def sent_and_received(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every secret that crosses the wire between the site and Entra, as it is while it happens."""
    seen: set[str] = set()
    send = PooledTransport.send

    def listen(self: PooledTransport, method: str, url: str, **given: Any) -> HttpResponse:
        asked: Mapping[str, list[str]] = parse_qs((given.get("body") or b"").decode())
        seen.update(value for name in SECRET_PARAMETERS for value in asked.get(name, ()))
        answer = send(self, method, url, **given)
        try:
            told = json.loads(answer.body)
        except ValueError:
            return answer
        if isinstance(told, dict):
            seen.update(told[name] for name in TOKENS if isinstance(told.get(name), str) and told[name])
        return answer

    monkeypatch.setattr(PooledTransport, "send", listen)
    return seen


def good_and_bad(visitor: Visitor, emulator: RunningEmulator, person: Any) -> set[str]:
    """One sign-in of each kind; the secrets that the browser saw."""
    seen: set[str] = set()

    def sign_in(*faults: tuple[str, dict[str, Any]]) -> None:
        visitor.begin(next="/reports")
        seen.update(cookie.value for cookie in visitor.pending.values())
        seen.add(query_of(visitor.approve_as(person)).get("code", ""))
        for fault, parameters in faults:
            emulator.fail(fault, **parameters)
        visitor.complete()
        visitor.complete()  # and again, by the Back button
        emulator.clear_faults()
        if visitor.session_cookie:
            seen.add(visitor.session_cookie.value)
            seen.add(visitor.session_cookie.value.partition(".")[2])

    sign_in()
    visitor.open("/editors")
    visitor.open("/auth/account")
    for spoiled in (
        {"signature": "none"},
        {"signature": "corrupt"},
        {"signature": "hs256"},
        {"signature": "unknown_key"},
        {"set": {"nonce": "other"}},
        {"set": {"iss": "https://evil.test/"}},
        {"set": {"aud": "other"}},
        {"remove": ["sub"]},
        {"set": {"exp": 1}},
        {"duplicate": {"sub": "x"}},
        {"header_set": {"crit": ["x"]}},
        {"target": "token_response", "remove": ["id_token"]},
        {"target": "token_response", "set": {"token_type": "DPoP"}},
        {"target": "token_response", "remove": ["access_token"]},
        {"target": "token_response", "set": {"client_info": "///"}},
        {"target": "token_response", "set": {"expires_in": "soon"}},
    ):
        sign_in(("tamper", spoiled))
    for fault in (
        "drop",
        "server_error",
        "too_many_requests",
        "half_json",
        "html",
        "null",
        "array",
        "redirect",
    ):
        sign_in((fault, {"endpoint": "token"}))
        sign_in((fault, {"endpoint": "graph"}), ("tamper", {"set": {"hasgroups": True}}))
    for code in (7000215, 7000222, 54005, 70008, 65001, 50196):
        sign_in(("aadsts", {"endpoint": "token", "code": code}))
    visitor.begin()
    visitor.answer_at_entra(_emulator_decline="1")
    visitor.complete()
    visitor.open("/auth/entra/callback?code=a-code-out-of-nowhere&state=x")
    seen.add("a-code-out-of-nowhere")
    visitor.open("/auth/login")
    sign_in()
    visitor.open(visitor.sign_out().headers["location"])
    return seen - {""}


def test_J1_nothing_secret_in_any_log(
    sent_and_received: set[str],
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All loggers at DEBUG with arguments and tracebacks, stdout and stderr: no secret, one line an event."""
    before = {name: logging.getLogger(name).level for name in ("msal", "urllib3", "uvicorn", "sqlalchemy")}
    caplog.set_level(logging.DEBUG)
    for name in before:
        caplog.set_level(logging.DEBUG, logger=name)
    group = emulator.add_group("Night shift").object_id
    site = serve(ENTRADA_ROLES_MAPPING=json.dumps({"Editor": "Editor", group: "Viewer"}))
    secrets = good_and_bad(new_visitor(site), emulator, pat) | sent_and_received
    assert len(secrets) > 150
    assert any(secret.startswith("emu~") for secret in secrets)
    assert any(secret.count(".") == 2 for secret in secrets)

    ours = [record for record in caplog.records if not record.name.startswith(OURS)]
    shown = [logged(record) for record in ours]
    output = capfd.readouterr()
    for secret in secrets:
        assert not [text for text in (*shown, output.out, output.err) if secret in text]
    events = [record.getMessage() for record in ours if record.name == "entrada.events"]
    assert sum(line.startswith("sign_in_completed ") for line in events) >= 2
    assert sum(line.startswith("sign_in_refused ") for line in events) >= 40
    assert all(len(line.splitlines()) == 1 for line in events)
    assert any(record.name.startswith("msal") for record in ours), "nothing was listening"
