"""The commands about people beside a running server: what they change is felt within a second."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import Any

import pytest

from entrada.cli import main
from walks.conftest import NewVisitor, Serve
from walks.nursery import until
from walks.site import ROLES, Site


def run(site: Site, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """What the command says in JSON, run as a process of its own would be."""
    monkeypatch.setenv("ENTRADA_DATABASE_URL", f"sqlite:///{site.database}")
    monkeypatch.setenv("ENTRADA_ROLES_MAPPING", ROLES)
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        assert main([*words, "--json"]) == 0
    return json.loads(written.getvalue())


def within_a_second(condition: Any) -> None:
    asked_at = time.monotonic()
    until(condition)
    assert time.monotonic() - asked_at <= 1.0


def test_an_operator_ends_gives_and_shuts_out(
    serve: Serve, new_visitor: NewVisitor, monkeypatch: pytest.MonkeyPatch, pat: Any, kim: Any
) -> None:
    """A role reaches the live session, an ended session is out, a disabled person cannot come back."""
    site = serve()
    visitor, other = new_visitor(site), new_visitor(site)
    visitor.sign_in_as(pat)
    other.sign_in_as(kim)
    run(site, monkeypatch, "users", "grant", pat.user_principal_name, "Admin")
    within_a_second(lambda: "Admin" in (visitor.whoami() or {})["roles"])
    told = run(site, monkeypatch, "explain", pat.object_id)
    assert {(grant["role"], grant["source"]) for grant in told["roles"]} == {
        ("Editor", "entra"),
        ("Admin", "manual"),
    }
    (listed,) = run(site, monkeypatch, "sessions", "list", pat.display_name)
    assert listed["object_id"] == pat.object_id
    assert run(site, monkeypatch, "sessions", "end", "--of", pat.user_principal_name) == {"ended": 1}
    within_a_second(lambda: visitor.whoami() is None)
    visitor.sign_in_as(pat)
    run(site, monkeypatch, "users", "disable", pat.user_principal_name)
    within_a_second(lambda: visitor.whoami() is None)
    visitor.begin()
    visitor.approve_as(pat)
    assert visitor.complete().status_code == 403
    assert other.whoami() is not None
