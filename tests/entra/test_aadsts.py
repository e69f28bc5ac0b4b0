"""Entra's refusals become help: every code has words, and no text a stranger sends gets through raw."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from entrada.entra.aadsts import CODES, ERRORS, TABLE
from entrada.entra.entra_errors import (
    UNREADABLE_ERROR,
    AadstsContext,
    admin_consent_url,
    cause_of,
    help_for,
    read_entra_error,
    reference_page,
)
from entrada.errors import Fixer
from entrada.settings import Names

ROOT = Path(__file__).parents[2]
KNOWN_CODES = ROOT / "tests" / "vectors" / "aadsts-codes.json"
CORRELATION_ID = "0b1f3c52-9d3e-4c0a-8c7f-2f6f2a1f9a11"
TRACE_ID = "5f0e8a4d-1a0b-4f3e-9b93-6a8f0d7c2b00"
CONTEXT = AadstsContext(
    redirect_uri="https://wiki.contoso.test/auth/entra/callback",
    tenant="contoso.test",
    client_id="6f1c2d3e-0000-4000-8000-000000000001",
    admin_consent_url="https://login.microsoftonline.com/contoso.test/adminconsent?client_id=6f1c",
)


def _as_entra_writes(code: str, text: str = "The thing did not work.") -> str:
    return (
        f"AADSTS{code}: {text}\r\nTrace ID: {TRACE_ID}\r\nCorrelation ID: {CORRELATION_ID}\r\n"
        "Timestamp: 2026-11-21 10:00:00Z"
    )


def test_the_reference_page_is_what_the_table_says() -> None:
    """docs/reference/aadsts.md is never stale."""
    page = (ROOT / "docs" / "reference" / "aadsts.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run: python -m entrada.entra.entra_errors > docs/reference/aadsts.md"


def test_every_code_of_the_reference_page_has_help() -> None:
    """No row of the page lacks words, and no code lacks a row."""
    first_cells = re.findall(r"^\| ([0-9][^|]*) \|", reference_page(), re.MULTILINE)
    assert set(re.findall(r"[0-9]+", " ".join(first_cells))) == CODES


def test_every_known_code_is_in_the_table() -> None:
    """The table is as complete as the list of codes that people meet."""
    known = set(json.loads(KNOWN_CODES.read_text(encoding="utf-8")))
    assert len(known) > 90
    assert known - CODES == set()


def test_no_code_stands_in_two_rows() -> None:
    """One code, one help text."""
    codes = [code for entries in TABLE.values() for entry in entries for code in entry.codes]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_has_a_whole_sentence_a_step_and_a_fixer(code: str) -> None:
    """Every help is complete, with and without a context, and leaves no placeholder."""
    for context in (None, AadstsContext(), CONTEXT):
        help_ = help_for("access_denied", code, context=context)
        assert help_.sentence.endswith(".")
        assert help_.cause.endswith(".")
        assert help_.hint
        assert isinstance(help_.fixer, Fixer)
        assert not re.search(r"[{}]|\bNone\b", help_.sentence + help_.hint + help_.cause)


def test_words_for_people_name_no_brand_they_should_not_see() -> None:
    """Microsoft's branding guidance: people never read Azure or Active Directory; nor a code."""
    for error in (*ERRORS, "anything"):
        for code in (None, *CODES):
            assert not re.search(r"Azure|Active Directory|AADSTS|OAuth", help_for(error, code).sentence)


def test_a_wrong_redirect_uri_is_answered_with_the_right_one() -> None:
    """50011 prints exactly the URI to add, and under which platform."""
    hint = help_for("invalid_request", "50011", context=CONTEXT).hint
    assert hint.endswith(" Web: https://wiki.contoso.test/auth/entra/callback")


@pytest.mark.parametrize("code", ["65001", "90094", "90095", "650052"])
def test_missing_consent_is_answered_with_the_link(code: str) -> None:
    """The person can send the link on to an administrator."""
    assert CONTEXT.admin_consent_url is not None
    assert CONTEXT.admin_consent_url in help_for("access_denied", code, context=CONTEXT).hint


def test_braces_in_the_context_are_not_read_again() -> None:
    """A context value is text, never a format."""
    odd = AadstsContext(redirect_uri="https://x.test/{client_id}{0}{consent.__class__}")
    assert "{client_id}{0}{consent.__class__}" in help_for("invalid_request", "50011", context=odd).hint


@pytest.mark.parametrize("error", sorted(ERRORS))
def test_an_unknown_code_falls_back_on_the_error(error: str) -> None:
    """Microsoft may renumber at will."""
    assert help_for(error, "1234567") == help_for(error, None)
    assert help_for(error, None) != help_for("never_heard_of", None)


def test_an_unknown_error_still_gets_words() -> None:
    """Nothing falls through."""
    help_ = help_for("never_heard_of", None)
    assert help_.sentence == "Microsoft gave a reason that this application does not know."
    assert help_ == help_for("", None)


def test_the_code_never_changes_the_error() -> None:
    """Behaviour hangs on `error`, so a code must leave it as it came."""
    refusals = [read_entra_error("access_denied", _as_entra_writes(code)) for code in sorted(CODES)]
    assert {refusal.error for refusal in refusals} == {"access_denied"}
    assert {refusal.code for refusal in refusals} == {"entra_refused"}


def test_an_error_answer_is_read() -> None:
    """Code, trace and correlation id come out of the description; the rest is help."""
    refusal = read_entra_error("access_denied", _as_entra_writes("65004"))
    assert (refusal.error, refusal.aadsts) == ("access_denied", "65004")
    assert (refusal.correlation_id, refusal.trace_id) == (CORRELATION_ID, TRACE_ID)
    assert refusal.sentence == help_for("access_denied", "65004").sentence
    assert refusal.fixer is Fixer.PERSON


def test_the_members_of_a_token_answer_go_before_its_description() -> None:
    """The token endpoint names code and ids in members of their own."""
    refusal = read_entra_error(
        "invalid_client",
        "AADSTS50011: other",
        error_codes=[7000215, 50011],
        correlation_id=CORRELATION_ID.upper(),
        trace_id="not a guid",
    )
    assert (refusal.aadsts, refusal.correlation_id, refusal.trace_id) == ("7000215", CORRELATION_ID, None)


@pytest.mark.parametrize(
    "codes", [[None], [{}], [True], ["<b>"], [10**5000], [-50011], ["1" * 100_000], "50011", b"50011", []]
)
def test_misshapen_codes_are_left_alone(codes: object) -> None:
    """Whatever JSON brought, nothing breaks and nothing strange is kept."""
    assert read_entra_error("invalid_client", None, error_codes=codes).aadsts is None  # type: ignore[arg-type]


def test_a15_the_description_is_one_line_without_control_characters() -> None:
    """A15: <script>, CRLF and terminal sequences: one line, nothing invisible."""
    refusal = read_entra_error(
        "access_denied",
        "AADSTS65004: a\r\nSet-Cookie: x=1\x00\x1b[31mred\x1b[0m \x1b]0;title\x07\u202egnp.exe\u2028"
        " <script>1</script>",
    )
    assert refusal.description == "AADSTS65004: a Set-Cookie: x=1 red gnp.exe <script>1</script>"


def test_a15_a_huge_description_is_cut_before_it_is_read() -> None:
    """A15: 200 kB costs nothing and leaves at most 500 characters."""
    for filler in ("x", "AADSTS", "\x1b]", "\x1b[", "Correlation ID: ", "A1-", "\U0001f600"):
        refusal = read_entra_error("access_denied", filler * 200_000)
        assert len(refusal.description) <= 500
    late = read_entra_error("access_denied", "x" * 200_000 + _as_entra_writes("65004"))
    assert (late.aadsts, late.correlation_id) == (None, None)


@pytest.mark.parametrize("digits", ["1", "123", "1234567890", "٥٠٠١١", "50011x"])
def test_only_four_to_nine_digits_are_a_code(digits: str) -> None:
    """No other number, and no other script's digits, reaches a page or a log."""
    expected = "50011" if digits == "50011x" else None
    assert read_entra_error("access_denied", f"AADSTS{digits}: no").aadsts == expected


@pytest.mark.parametrize(
    "guid", ["0b1f3c52", CORRELATION_ID + "0", "<script>", CORRELATION_ID.replace("-", "")]
)
def test_only_a_guid_is_a_correlation_id(guid: str) -> None:
    """An id that is not an id is left out rather than shown."""
    assert read_entra_error("access_denied", f"Correlation ID: {guid}").correlation_id is None


@pytest.mark.parametrize("error", ["", " ", "<script>", "a\r\nb", "x" * 65, "é", "a b"])
def test_an_error_that_is_no_name_is_not_repeated(error: str) -> None:
    """`error` is shown and logged, so it has to look like one."""
    assert read_entra_error(error, None).error == UNREADABLE_ERROR


def test_cause_of() -> None:
    """The detail panel tells an expert why."""
    assert cause_of("7000222") == "The client secret has expired."
    assert cause_of("1234567") is None
    assert cause_of(None) is None


def test_the_admin_consent_link() -> None:
    """The link names the tenant and the application, and nothing else."""
    link = admin_consent_url(
        login_url="https://login.microsoftonline.us",
        tenant="contoso.test",
        client_id="a&b",
        redirect_uri=None,
    )
    assert link == "https://login.microsoftonline.us/contoso.test/adminconsent?client_id=a%26b"


def test_help_names_a_setting_as_the_administrator_did() -> None:
    """Somebody who followed Mage's page has never heard of ENTRADA_CLIENT_SECRET."""
    names = Names(used={"client_secret": "ACTIVE_DIRECTORY_CLIENT_SECRET"})
    _, hint = read_entra_error("invalid_client", "AADSTS7000215: wrong").told(names)
    assert "ACTIVE_DIRECTORY_CLIENT_SECRET" in hint
    assert "ENTRADA_CLIENT_SECRET" not in hint
