"""What `from entrada import …` promises: little, documented, and cheap to import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import entrada
from entrada import AppPrincipal, Entrada, EntradaError, UserPrincipal

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "python.md"
BUDGET_SECONDS = 0.030


def test_every_promised_name_is_there_and_nothing_else_shows() -> None:
    """`dir` and `__all__` are the same list, and each name of it can be imported."""
    assert dir(entrada) == sorted(entrada.__all__)
    assert all(hasattr(entrada, name) for name in entrada.__all__)
    with pytest.raises(AttributeError):
        _ = entrada.nothing_of_the_kind  # type: ignore[attr-defined]


def test_every_promised_name_is_documented_and_nothing_else_is() -> None:
    """The reference page has a heading for each public name, and for each public member of the classes."""
    page = PAGE.read_text("utf-8")
    assert set(re.findall(r"^## `(\w+)`", page, re.M)) == set(entrada.__all__)
    for kind in (Entrada, UserPrincipal, AppPrincipal, EntradaError):
        assert kind.__doc__
        public = {name for name in dir(kind) if not name.startswith("_") and name not in dir(Exception)}
        public |= {*getattr(kind, "__dataclass_fields__", ())}
        section = page.split(f"## `{kind.__name__}`")[1].split("\n## ")[0]
        assert public - set(re.findall(r"^\| `(\w+)", section, re.M)) == set(), kind


def test_importing_the_package_costs_next_to_nothing() -> None:
    """Under 30 ms of processor time: it is imported by applications that may never sign anybody in."""
    script = (
        "import sys, time; before = time.process_time(); import entrada; "
        "print(time.process_time() - before, 'pydantic' in sys.modules, 'msal' in sys.modules)"
    )
    taken = []
    for _ in range(5):
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        seconds, *heavy = ran.stdout.split()
        assert heavy == ["False", "False"]
        taken.append(float(seconds))
    assert min(taken) < BUDGET_SECONDS


REAL = {
    "ENTRADA_TENANT_ID": "aaaabbbb-0000-cccc-1111-dddd2222eeee",
    "ENTRADA_CLIENT_ID": "00001111-aaaa-2222-bbbb-3333cccc4444",
    "ENTRADA_CLIENT_SECRET": "8nQ8Q~a-secret-of-today_0123456789.abcd",
}


def test_k34_the_three_variables_of_the_readme_are_enough(tmp_path: Path) -> None:
    """K34: on this machine the public URL may be left out, as with `entrada serve`."""
    made = Entrada.from_environment({**REAL, "ENTRADA_DATABASE_URL": f"sqlite:///{tmp_path / 'e.db'}"})
    try:
        assert made.auth.site.urls == ["http://localhost:8000"]
    finally:
        made.close()


def test_it_reads_entrada_toml_as_the_command_line_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file in the working directory counts, and its name on the pages beats the application's own."""
    monkeypatch.chdir(tmp_path)
    Path("entrada.toml").write_text('public_url = "https://wiki.contoso.com"\napplication_name = "Wiki"\n')
    made = Entrada.from_environment({**REAL, "ENTRADA_DATABASE_URL": "memory:"}, application_name="x")
    try:
        assert made.auth.site.urls == ["https://wiki.contoso.com"]
        login = made.auth.pages.login(start_path="/auth/entra/start").html
        assert b"Wiki" in login
    finally:
        made.close()


def test_k34_a_missing_setting_is_a_sentence_with_its_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K34: what Python prints at the end of a traceback is the whole of it, in the person's own names."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EntradaError) as refused:
        Entrada.from_environment({"ACTIVE_DIRECTORY_CLIENT_ID": REAL["ENTRADA_CLIENT_ID"]})
    assert str(refused.value).startswith("ENTRADA_TENANT_ID is not set.\n  It is the Directory (tenant) ID")


def test_a_start_that_fails_leaves_no_database_open(tmp_path: Path) -> None:
    """Whoever mends the setting and tries again in the same process finds the file free."""
    database = tmp_path / "entrada.db"
    with pytest.raises(EntradaError):
        Entrada.from_environment({"ENTRADA_DATABASE_URL": f"sqlite:///{database}"})
    database.unlink()
