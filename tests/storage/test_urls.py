"""From ENTRADA_DATABASE_URL to a database, or to a sentence about it that gives nothing away."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path

import pytest

from entrada.errors import ConfigurationError, EntradaError
from entrada.storage.sql import connect

PASSWORD = "correct-horse-battery"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is not a database URL"),
        ("entrada.db", "is not a database URL"),
        (f"postgresql://ada:{PASSWORD}@host:port/name", "is not a database URL"),
        (f"mysql://ada:{PASSWORD}@host/name", "a kind of database that Entrada does not know"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        (f"sqlite://ada:{PASSWORD}@host/entrada.db", "options or a host"),
        ("sqlite:///entrada.db?mode=ro", "options or a host"),
        (f"postgresql://ada:{PASSWORD}@host/name?sslmod=require", "an option 'sslmod'"),
        (f"postgresql://ada:{PASSWORD}@one:port,two:5432/name", "is not a database URL"),
    ],
)
def test_a_url_that_names_no_database_is_refused(url: str, said: str) -> None:
    """One sentence that names the setting, and examples of what to write."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        connect(url)
    assert refused.value.setting == "ENTRADA_DATABASE_URL"
    assert "sqlite:///entrada.db" in refused.value.hint or "sslrootcert" in refused.value.hint
    assert PASSWORD not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{PASSWORD}@127.0.0.1:1/name",
        f"postgres://ada:{PASSWORD}@127.0.0.1:1/name",
        f"postgresql://ada:{PASSWORD}@127.0.0.1:port/name",
        f"mysql://ada:{PASSWORD}@host/name",
        f"sqlite://ada:{PASSWORD}@host/entrada.db",
        f"{PASSWORD}",
    ],
)
def test_the_password_is_in_no_message_trace_or_repr(url: str) -> None:
    """Neither the sentence, the hint, the whole traceback nor the repr of anything has it."""
    shown = []
    try:
        database = connect(url, wait=timedelta(seconds=1))
        shown += [repr(database), str(database), database.name]
        database.migrate()
    except EntradaError as failure:
        shown += [failure.sentence, failure.hint, repr(failure), *traceback.format_exception(failure)]
    assert shown
    assert PASSWORD not in "".join(shown)


def test_a_relative_url_is_a_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays that file when the working directory changes later, and odd letters are only letters."""
    monkeypatch.chdir(tmp_path)
    database = connect("sqlite:///a b #é.db")
    monkeypatch.chdir("/")
    database.migrate()
    database.close()
    assert [file.name for file in tmp_path.iterdir()] == ["a b #é.db"]
