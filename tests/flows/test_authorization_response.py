"""What comes to the redirect URI: exactly one usable answer, or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.errors import ResponseRefused, StateMissing
from entrada.flows.authorization_response import AuthorizationResponse, read_authorization_response

STATE, CODE = "state-of-this-sign-in", "0.AXoA.code"
GOOD = [("code", CODE), ("state", STATE), ("session_state", "c9d1")]


def refused(*pairs: tuple[str, str]) -> ResponseRefused:
    with pytest.raises(ResponseRefused) as refusal:
        read_authorization_response(pairs)
    return refusal.value


def test_a_code_is_read() -> None:
    """Code and state are the answer; what Entra sends besides is left alone."""
    assert read_authorization_response([*GOOD, ("iss", "https://x")]) == AuthorizationResponse(
        state=STATE, code=CODE, issuer="https://x"
    )


def test_an_error_is_read() -> None:
    """Error and description are the answer when Entra refuses."""
    response = read_authorization_response(
        [("error", "access_denied"), ("error_description", "AADSTS65004: no"), ("state", STATE)]
    )
    assert (response.error, response.error_description, response.code) == (
        "access_denied",
        "AADSTS65004: no",
        None,
    )


@pytest.mark.parametrize("pairs", [[("code", CODE)], [("code", CODE), ("state", "")], []])
def test_A1_an_answer_without_state_is_refused(pairs: list[tuple[str, str]]) -> None:
    """Without a state nothing proves that this browser asked."""
    assert isinstance(refused(*pairs), StateMissing)


@pytest.mark.parametrize(
    "name", ["state", "code", "error", "iss", "id_token", "error_description", "access_token"]
)
@pytest.mark.parametrize("same", [True, False])
def test_A8_a_doubled_parameter_is_refused(name: str, same: bool) -> None:
    """A parameter that decides something may stand once only, even with the same value."""
    value = dict(GOOD).get(name, "x")
    refusal = refused(*GOOD, (name, value), (name, value if same else "other"))
    assert name in refusal.sentence


def test_A8_a_doubled_parameter_that_decides_nothing_is_let_be() -> None:
    """Entra may send what we do not know more than once."""
    assert read_authorization_response([*GOOD, ("x", "1"), ("x", "2")]).code == CODE


def test_A9_code_and_error_together_are_the_error() -> None:
    """If both come, the code is not even kept, so that it cannot be redeemed."""
    response = read_authorization_response([*GOOD, ("error", "access_denied")])
    assert response.error == "access_denied"
    assert response.code is None


@pytest.mark.parametrize("pairs", [[], [("code", "")], [("error", "")], [("code", ""), ("error", "")]])
def test_A10_neither_code_nor_error_is_refused(pairs: list[tuple[str, str]]) -> None:
    """An answer must be one or the other."""
    assert "neither" in refused(("state", STATE), *pairs).sentence


@pytest.mark.parametrize(
    "code",
    [
        "c" * 1_000_000,
        "c" * 8_193,
        "a\x00b",
        "a\r\nSet-Cookie: x=y",
        "a b",
        "a\tb",
        "é",
        "\u2028",
        "\ud800",
        "\x7f",
    ],
    ids=lambda code: repr(code)[:12],
)
def test_A18_an_odd_code_is_refused(code: str) -> None:
    """A code that is huge or holds anything unprintable goes nowhere and is not repeated."""
    refusal = refused(("code", code), ("state", STATE))
    assert code not in refusal.sentence


@pytest.mark.parametrize("state", ["s" * 513, "a\nb", "a b", "é"])
def test_A18_an_odd_state_is_refused(state: str) -> None:
    """A state that we cannot have made is refused before any cookie is looked at."""
    assert "state" in refused(("code", CODE), ("state", state)).sentence


def test_A18_the_longest_code_is_taken() -> None:
    """Entra's codes are long; the limit is above them."""
    assert read_authorization_response([("code", "c" * 8_192), ("state", STATE)]).code == "c" * 8_192


@pytest.mark.parametrize("name", ["id_token", "access_token"])
@pytest.mark.parametrize("value", ["eyJ.e30.x", ""])
def test_A26_a_token_from_the_browser_is_refused(name: str, value: str) -> None:
    """Only the code flow is on: an answer that brings a token was not asked for."""
    assert "token" in refused(*GOOD, (name, value)).sentence


def test_A15_what_entra_says_is_cut() -> None:
    """However long error and description are, what is kept of them is bounded."""
    response = read_authorization_response(
        [("error", "e" * 200_000), ("error_description", "<script>" * 25_000), ("state", STATE)]
    )
    assert len(response.error or "") <= 100
    assert len(response.error_description) <= 2_000


def test_a_response_does_not_show_its_code() -> None:
    """The code stays out of a representation."""
    assert CODE not in repr(read_authorization_response(GOOD))


NAMES = st.sampled_from(
    ["state", "code", "error", "error_description", "iss", "id_token", "session_state", "x"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.text(max_size=20)), max_size=8))
def test_any_pairs_are_one_answer_or_refused(pairs: list[tuple[str, str]]) -> None:
    """Whatever a visitor sends is an answer with exactly one of code and error, or `ResponseRefused`."""
    try:
        response = read_authorization_response(pairs)
    except ResponseRefused:
        return
    assert (response.code is None) != (response.error is None)
