"""The issuer of a response, on its way through `dstack login`."""

from __future__ import annotations

import base64

import pytest

from entrada.integrations.dstack.carried import code_and_issuer, with_issuer


@pytest.mark.parametrize("code", ["0.AbC-_", "a.b", "with spaces & = signs", "\xe9"])
def test_what_is_carried_arrives(code: str) -> None:
    """Code and issuer, whatever they hold; and a code alone is handed on as it is."""
    issuer = "https://login.example.com/?a=b&c"
    assert code_and_issuer(with_issuer(code, issuer)) == {"code": code, "iss": issuer}
    assert code_and_issuer(with_issuer(code, None)) == {"code": code}


@pytest.mark.parametrize(
    "made_up",
    [
        "with-iss.",
        "with-iss.***",
        "with-iss.\xe9",
        "with-iss." + base64.urlsafe_b64encode(b"code=x").decode(),
        "with-iss." + base64.urlsafe_b64encode(b"code=x&code=y&iss=z").decode(),
        "with-iss." + base64.urlsafe_b64encode(b"\xff").decode(),
    ],
)
def test_what_somebody_made_up_is_a_code_as_it_stands(made_up: str) -> None:
    """It goes the way of any code that nobody issued."""
    assert code_and_issuer(made_up) == {"code": made_up}
