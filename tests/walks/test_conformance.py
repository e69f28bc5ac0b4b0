"""The OpenID conformance suite's client modules, as faults of the emulator with the same names.

Accept or reject as the suite says, and where Entrada is stricter (an unsigned or wrongly signed ID token from
the token endpoint, which the suite lets pass), as Entrada says.

Source: OpenID Foundation conformance suite, profiles Basic RP, Config RP and Form Post RP.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from entrada.emulator import RunningEmulator, start
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.visitor import Visitor

PREFIX = "oidcc-client-test"

TAKEN, REFUSED, NO_START = "taken", "refused", "no start"

BASIC = {
    "": TAKEN,
    "-invalid-iss": REFUSED,
    "-missing-sub": REFUSED,
    "-invalid-aud": REFUSED,
    "-missing-iat": REFUSED,
    "-kid-absent-single-jwks": TAKEN,
    "-kid-absent-multiple-jwks": REFUSED,
    "-idtoken-sig-rs256": TAKEN,
    "-idtoken-sig-none": REFUSED,
    "-invalid-sig-rs256": REFUSED,
    "-userinfo-invalid-sub": TAKEN,  # userinfo is never asked: the ID token is enough
    "-nonce-invalid": REFUSED,
    "-scope-userinfo-claims": TAKEN,
}
"""Also in the profile: -client-secret-basic, which MSAL does not speak; Entra takes both."""
CONFIG = {
    "-discovery-openid-config": TAKEN,
    "-discovery-jwks-uri-keys": TAKEN,
    "-discovery-issuer-mismatch": NO_START,
    "-idtoken-sig-none": REFUSED,
    "-signing-key-rotation-just-before-signing": TAKEN,
    "-signing-key-rotation": TAKEN,
}
COMPREHENSIVE = {
    "-missing-aud": REFUSED,
    "-invalid-sig-es256": REFUSED,
    "-invalid-sig-hs256": REFUSED,
    "-invalid-athash": REFUSED,
    "-invalid-chash": REFUSED,
    "-nonce-unless-code-flow": TAKEN,  # the request must carry a nonce, and does
    "-aggregated-claims": TAKEN,
    "-distributed-claims": TAKEN,
}
FAPI = {
    "invalid-authorization-response-iss": REFUSED,
    "remove-authorization-response-iss": REFUSED,
    "ensure-authorization-response-with-invalid-state-fails": REFUSED,
    "ensure-authorization-response-with-invalid-missing-state-fails": REFUSED,
    "invalid-expired-exp": REFUSED,
    "invalid-missing-exp": REFUSED,
    "invalid-missing-nonce": REFUSED,
    "invalid-null-alg": REFUSED,
    "invalid-secondary-aud": REFUSED,
    "valid-aud-as-array": TAKEN,
    "invalid-alternate-alg": REFUSED,
    "token-endpoint-response-without-expires_in": TAKEN,
    "token-type-case-insensitivity": TAKEN,
    "iat-is-week-in-past": REFUSED,
}
MODULES = {PREFIX + name: outcome for name, outcome in {**BASIC, **CONFIG, **COMPREHENSIVE}.items()} | FAPI


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """An emulator of this module's own: some modules rotate its keys."""
    with start() as running:
        yield running


def expect(outcome: str, visitor: Visitor, answer: Any, watch: Any, emulator: RunningEmulator) -> None:
    if outcome == TAKEN:
        assert answer.status_code == 303, answer.text
        assert visitor.whoami() is not None
    else:
        watch.refused(answer, 400)
        assert visitor.whoami() is None
    assert not any(request.endpoint == "userinfo" for request in emulator.requests)


@pytest.mark.parametrize(("module", "outcome"), MODULES.items())
def test_module_by_query(
    module: str,
    outcome: str,
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
    kim: Any,
    watch: NewWatch,
) -> None:
    """Each module with the answer in the query, at a site that has no keys yet."""
    visitor = new_visitor(serve())
    if "rotation" in module:
        # The site knows the old keys by then.
        assert new_visitor(visitor.site).sign_in_as(kim).status_code == 303
    emulator.fail(module)
    if outcome == NO_START:
        watching = watch(visitor)
        watching.refused(visitor.open("/auth/entra/start"), 503, "discovery_refused")
        return
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    expect(outcome, visitor, visitor.complete(), watching, emulator)
    if module.endswith("-signing-key-rotation"):
        # The old keys are gone since: the second sign-in has to fetch the new ones.
        assert new_visitor(visitor.site).sign_in_as(kim).status_code == 303


@pytest.mark.parametrize(("module", "outcome"), BASIC.items())
def test_module_by_form_post(
    module: str,
    outcome: str,
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
    watch: NewWatch,
) -> None:
    """The Basic modules with the answer in a form: the Form Post profile."""
    visitor = form_visitor(serve, new_visitor, emulator)
    emulator.fail(PREFIX + module)
    visitor.begin()
    where, fields = visitor.approve_by_form(pat)
    watching = watch(visitor)
    answer = visitor.post_from_elsewhere(where, fields, origin=emulator.http_url)
    expect(outcome, visitor, answer, watching, emulator)


def test_form_post_error(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """oidcc-client-test-form-post-error: an error in a form ends with a page that says so."""
    visitor = form_visitor(serve, new_visitor, emulator)
    emulator.fail(f"{PREFIX}-form-post-error")
    visitor.begin()
    where, fields = visitor.approve_by_form(pat)
    assert (fields["error"], "code" in fields) == ("login_required", False)
    watching = watch(visitor)
    answer = visitor.post_from_elsewhere(where, fields, origin=emulator.http_url)
    assert "AADSTS50058" in watching.refused(answer, 400, "entra_refused")


def form_visitor(serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator) -> Visitor:
    app = emulator.app("Entrada (emulated)")
    address = "https://app.test/auth/entra/callback"
    emulator.change_app(app.client_id, web_redirect_uris=[*app.web_redirect_uris, address])
    return new_visitor(serve(public_url="https://app.test", ENTRADA_RESPONSE_MODE="form_post"))
