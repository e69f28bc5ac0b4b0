"""The `state` parameter: in dstack's shape, and of our making only."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from entrada.flows.authorization_response import LARGEST_STATE_CHARACTERS
from entrada.integrations.dstack.state import PURPOSE, State, read_state, write_state
from entrada.sealing import Sealer

SEALER = Sealer([b"k" * 32], purpose=PURPOSE)
TEXT = "s" * 43


def written(local_port: int | None = None) -> str:
    return write_state(State(text=TEXT, local_port=local_port), SEALER)


def document_of(state: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.b64decode(state, validate=True))
    return document


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize("local_port", [None, 1, 8080, 65_535])
def test_what_was_written_is_read(local_port: int | None) -> None:
    """Text and port come back, within the length that an answer may have, in dstack's two members."""
    state = written(local_port)
    assert read_state(state, SEALER) == State(text=TEXT, local_port=local_port)
    assert len(state) <= LARGEST_STATE_CHARACTERS
    assert document_of(state).keys() == {"value", "local_port"}
    assert document_of(state)["local_port"] == local_port


@pytest.mark.parametrize("port", [None, 9, 8081, "8080", True, 8080.0])
def test_A3_another_port_is_not_ours(port: object) -> None:
    """A state whose port was changed is nobody's: no page hands a code to a port nobody asked for."""
    document = document_of(written(8080))
    assert read_state(encoded({**document, "local_port": port}), SEALER) is None


@pytest.mark.parametrize(
    "state",
    [
        "",
        "x",
        "====",
        "ü",
        encoded([]),
        encoded("text"),
        encoded({}),
        encoded({"value": "x", "local_port": None}),
        encoded({"value": None, "local_port": None}),
        encoded({"value": "x", "local_port": None, "more": 1}),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 40_000).decode(),
        written() + "=",
        " " + written(),
    ],
)
def test_A2_anything_else_is_not_ours(state: str) -> None:
    """What we did not write is read as nothing, and raises nothing."""
    assert read_state(state, SEALER) is None


def test_another_key_or_purpose_does_not_open() -> None:
    """A state of another server's key, or sealed for another purpose, is not ours."""
    assert read_state(written(), Sealer([b"o" * 32], purpose=PURPOSE)) is None
    assert read_state(written(), Sealer([b"k" * 32], purpose="pending sign-in")) is None
