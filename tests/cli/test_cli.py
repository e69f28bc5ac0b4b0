"""The command line: exit statuses, sentences instead of tracebacks, and what serving needs."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from entrada import __version__
from entrada.cli import COMMANDS, main, serve
from entrada.cli.serve import listen, public_url_of, server_config
from entrada.errors import ConfigurationError
from entrada.settings import Settings, aliases_of, load_settings, native_name
from entrada.storage.sql.engine import connect


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty directory, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, info in Settings.model_fields.items():
        for variable in (native_name(name), *aliases_of(info)):
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["settings", "--format", "xml"], ["serve", "--port", "many"]], ids=str
)
def test_wrong_use_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command or option is told with how to use it."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: entrada" in capsys.readouterr().err


FILES = {
    "settings": ["serve", "--settings"],
    "ENTRADA_CLIENT_SECRET_FILE": [],
    "ENTRADA_CLIENT_CERTIFICATE_PATH": [],
    "ENTRADA_CA_BUNDLE": [],
    "keys": [],
}
KINDS = {"absent": "No such file or directory", "folder": "Is a directory", "bytes": ""}


@pytest.mark.parametrize(
    ("named", "kind", "words"),
    [
        (named, kind, words)
        for named in FILES
        for kind, words in KINDS.items()
        if (named, kind) != ("keys", "absent")  # it is made then
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_the_words_of_the_system(
    named: str, kind: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name and what is wrong with it, never the name of an exception of Python's."""
    file = Path("entrada.keys" if named == "keys" else "it")
    if kind == "folder":
        file.mkdir()
    elif kind == "bytes":
        file.write_bytes(b"\xff\xfa" * 40)
    monkeypatch.setenv("ENTRADA_TENANT_ID", "11111111-2222-3333-4444-555555555555")
    monkeypatch.setenv("ENTRADA_CLIENT_ID", "66666666-7777-8888-9999-aaaaaaaaaaaa")
    if named not in ("ENTRADA_CLIENT_SECRET_FILE", "ENTRADA_CLIENT_CERTIFICATE_PATH"):
        monkeypatch.setenv("ENTRADA_CLIENT_SECRET", "abc~1234567890abcdefghijklmnopqrstuvwxyz")
    if named.startswith("ENTRADA_"):
        monkeypatch.setenv(named, str(file))
    assert main([*FILES[named], str(file)] if FILES[named] else ["serve", "--port", "0"]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert str(file) in said
    assert "Error" not in said


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`entrada --help` lists what there is, without importing it all."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`entrada --version` prints the one version there is."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"entrada {__version__}\n"


def test_settings_needs_no_web_server() -> None:
    """Listing the settings imports neither Starlette nor SQLAlchemy: the base install suffices."""
    program = (
        "import sys; from entrada.cli import main; main(['settings', '--format', 'markdown']); "
        "print({'starlette', 'uvicorn', 'sqlalchemy', 'jinja2'} & set(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stderr == "set()\n"


@pytest.mark.parametrize("words", [["emulator"], ["emulator", "env", "entrada"], ["serve"]], ids=" ".join)
def test_a_missing_extra_is_a_sentence(words: list[str]) -> None:
    """A command that its extra was not installed for says which one, also when it notices only as it runs."""
    program = (
        "import sys; sys.modules['httptools'] = None; "
        "from entrada.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60, check=False
    )
    extra = words[0] if words[0] == "emulator" else "server"
    assert (ran.returncode, ran.stderr) == (
        1,
        f"entrada: `entrada {words[0]}` needs httptools, which is not installed.\n"
        f'  Install it with: pip install "./entrada[{extra}]"\n',
    )


def run(tmp_path: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`entrada …` as a process of its own, with only these settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "entrada.cli", *words],
        cwd=tmp_path,
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


CANNOT_START = {
    "ENTRADA_TENANT_ID": {},
    "ENTRADA_CLIENT_ID": {"ENTRADA_TENANT_ID": "contoso.com"},
    "AZURE_HOST": {"AZURE_HOST": "https://login.microsoftonline.de"},
    "ENTRADA_SECRET_KEYS": {"ENTRADA_SECRET_KEYS": "hush-hush-hush"},
}


@pytest.mark.parametrize("named", CANNOT_START)
def test_serve_stops_at_once_with_one_sentence_and_a_hint(
    named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """A start that cannot work ends with status 1, the setting's name and the fix, and no secret."""
    for name, value in {"ENTRADA_DATABASE_URL": "memory:", **CANNOT_START[named]}.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--port", str(free_port)]) == 1
    sentence, hint = capsys.readouterr().err.splitlines()
    assert sentence.startswith("entrada: ")
    assert named in sentence
    assert hint.startswith("  ")
    assert "hush" not in sentence + hint


def test_a_process_that_cannot_start_shows_no_traceback(tmp_path: Path, free_port: int) -> None:
    """Seen from outside: status 1, nothing on stdout, no traceback."""
    ran = run(tmp_path, "serve", "--port", str(free_port))
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


def test_ctrl_c_while_a_command_is_being_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the server takes most of the first second, in which people change their minds."""

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("entrada.cli.importlib.import_module", interrupted)
    assert main(["serve"]) == 130


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    """`entrada settings | head -1` ends quietly."""
    program = f"{sys.executable} -m entrada.cli settings --format json | head -c 1"
    ran = subprocess.run(["sh", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


# --- serving ---


def test_a_port_that_is_taken_is_a_sentence(free_port: int) -> None:
    """The address and another port to choose are named."""
    with listen("127.0.0.1", free_port), pytest.raises(ConfigurationError) as refusal:
        listen("127.0.0.1", free_port)
    assert str(free_port) in refusal.value.sentence
    assert "--port" in refusal.value.hint


@pytest.mark.parametrize(
    ("host", "port", "wrong"),
    [("127.0.0.1", 65_536, "port"), ("127.0.0.1", -1, "port"), ("192.0.2.1", 0, "--host")],
)
def test_an_address_that_cannot_be_is_a_sentence(host: str, port: int, wrong: str) -> None:
    """A port beyond 65535, a negative one, or another machine's address; the hint names what is wrong."""
    with pytest.raises(ConfigurationError) as refusal:
        listen(host, port)
    assert f"{host}:{port}" in refusal.value.sentence
    assert wrong in refusal.value.hint


@pytest.mark.parametrize("port", ["65536", "-1", "eight", "8_0", "", "٣"])
@pytest.mark.parametrize(
    "words",
    [["serve", "--port"], ["broker", "--port"], ["demo", "--port"], ["emulator", "--tls-port"]],
    ids=lambda words: words[0],
)
def test_a_port_that_is_none_is_wrong_use(
    words: list[str], port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command takes it, not even one that would choose another port: status 2 and the range."""
    with pytest.raises(SystemExit) as ended:
        main([*words[:-1], f"{words[-1]}={port}"])
    assert ended.value.code == 2
    assert "from 0 to 65535" in capsys.readouterr().err


def test_a_broker_whose_port_is_taken_is_a_sentence(tmp_path: Path, free_port: int) -> None:
    """What was not started yet is closed without a traceback."""
    registration = {
        "ENTRADA_TENANT_ID": "c0000000-0000-4000-8000-000000000001",
        "ENTRADA_CLIENT_ID": "b0000000-0000-4000-8000-000000000001",
        "ENTRADA_CLIENT_SECRET": "aB8~Q.abcdefghijklmnopqrstuvwxyz0123456",
    }
    with listen("127.0.0.1", free_port):
        ran = run(tmp_path, "broker", "--port", str(free_port), **registration)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "entrada: Entrada cannot listen on" in ran.stderr


def test_k33_postgresql_without_its_driver_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """K33: the first sentence is about the database, and the hint can be pasted into a shell."""
    for module in [name for name in sys.modules if "psycopg" in name or name.endswith("sql.postgresql")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="driver is not installed") as refusal:
        connect("postgresql://somebody@localhost/name")
    assert 'pip install "./entrada[postgres]"' in refusal.value.hint


def test_the_default_listens_on_this_machine_only() -> None:
    """Without --host nobody else's machine reaches the server."""
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers(), summary="")
    assert parser.parse_args(["serve"]).host == "127.0.0.1"


def test_IPv6_loopback_can_be_listened_on() -> None:
    """--host ::1 works where the machine has IPv6."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = listen("::1", 0)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener:
        assert listener.family == socket.AF_INET6


def test_J1_the_server_logs_no_accesses_and_believes_no_proxy() -> None:
    """A callback's query holds a code, so there is no access log; forwarded headers are not believed."""
    config = server_config(lambda: None)
    assert config.access_log is False
    assert config.proxy_headers is False
    assert config.server_header is False


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_the_public_url_may_be_left_out(host: str) -> None:
    """For trying things out, http://localhost:PORT is used."""
    settings, found = load_settings({})
    assert public_url_of(settings, found, host, 8123).public_url == "http://localhost:8123"


def test_for_other_peoples_browsers_the_public_url_must_be_said() -> None:
    """Listening on every address says nothing about the address people use."""
    settings, found = load_settings({})
    assert public_url_of(settings, found, "0.0.0.0", 8123).public_url is None


def test_a_public_url_that_is_set_is_used() -> None:
    """The setting wins over what is listened on."""
    settings, found = load_settings({"ENTRADA_PUBLIC_URL": "https://app.contoso.test"})
    assert public_url_of(settings, found, "127.0.0.1", 8123).public_url == "https://app.contoso.test"


def test_form_post_on_plain_loopback_is_refused() -> None:
    """The assumed http address cannot carry form_post, whose cookie needs https."""
    settings, found = load_settings({"ENTRADA_RESPONSE_MODE": "form_post"})
    with pytest.raises(ConfigurationError) as refusal:
        public_url_of(settings, found, "127.0.0.1", 8123)
    assert refusal.value.setting == "ENTRADA_PUBLIC_URL"


def test_json_for_scripts_is_json(tmp_path: Path) -> None:
    """A script reads stdout and finds nothing but JSON there."""
    ran = run(tmp_path, "settings", "--format", "json", ENTRADA_INSECURE_ALLOW_EMULATOR="1")
    assert ran.returncode == 0
    assert json.loads(ran.stdout)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
@pytest.mark.parametrize("words", [("settings",), ("settings", "--format", "markdown"), ("--help",)])
def test_k56_a_terminal_that_knows_few_characters(
    tmp_path: Path, encoding: str, words: tuple[str, ...]
) -> None:
    """K56: what the terminal's encoding lacks is a question mark, and never a traceback."""
    ran = run(tmp_path, *words, PYTHONIOENCODING=encoding, ENTRADA_DEFAULT_ROLE="Ω→")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_k56_an_error_in_such_a_terminal(tmp_path: Path) -> None:
    """K56: the sentence of an error is written, too."""
    ran = run(tmp_path, "settings", PYTHONIOENCODING="ascii", ENTRADA_TENANT_ID="…")
    assert ran.returncode == 1
    assert "ENTRADA_TENANT_ID" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_log_level_is_a_setting(tmp_path: Path) -> None:
    """ENTRADA_LOG_LEVEL=error leaves the warnings of a start out; a wrong one is refused by name."""
    few = {"ENTRADA_CLIENT_SECRET": "x", "ENTRADA_TENANT_ID": "contoso.com"}
    assert "WARNING" in run(tmp_path, "serve", "--port", "0", **few).stderr
    assert "WARNING" not in run(tmp_path, "serve", "--port", "0", ENTRADA_LOG_LEVEL="error", **few).stderr
    assert "ENTRADA_LOG_LEVEL" in run(tmp_path, "serve", ENTRADA_LOG_LEVEL="loud", **few).stderr
