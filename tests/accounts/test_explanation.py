"""Whose entries of the audit trail an explanation reads."""

from __future__ import annotations

import pytest

from entrada.accounts.explanation import audit_of_stranger

GUID = "0F8FAD5B-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("called", ["nora", "", "Anne-Marie von Alten-Groß-Hoch-Wald 1", GUID[:-1]])
def test_a_stranger_is_found_by_part_of_a_name(called: str) -> None:
    """A name with as many dashes as an object ID is none."""
    query = audit_of_stranger(called)
    assert (query.called, list(query.object_ids)) == (called, [])


def test_a_stranger_is_found_by_object_id() -> None:
    """As Entra writes it, whatever letters were typed."""
    query = audit_of_stranger(GUID)
    assert (query.called, query.object_ids) == (None, [GUID.lower()])
