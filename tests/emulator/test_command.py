"""`entrada emulator` and the state it keeps."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from emulator.relying_party import Entra
from entrada.emulator import EmulatorError, start
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID

COMMAND = [sys.executable, "-c", "import sys; from entrada.cli import main; sys.exit(main())", "emulator"]


@contextmanager
def _running(state_dir: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    arguments = [*COMMAND, "--port", "0", "--tls-port", "0", "--state-dir", str(state_dir), *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_run_env_and_stop(tmp_path: Path) -> None:
    """It says where it is, `env` points products at it, SIGTERM ends it with status 0."""
    with _running(tmp_path) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        http_url = first.split()[2]
        assert http_url.startswith("http://localhost:")
        lines = _run("env", "entrada", "--state-dir", str(tmp_path)).stdout.splitlines()
        values = dict(shlex.split(line)[1].split("=", 1) for line in lines)
        assert values["ENTRADA_TENANT_ID"] == CONTOSO_ID
        assert values["ENTRADA_CLIENT_ID"] == CLIENT_ID
        assert values["ENTRADA_AUTHORITY_HOST"] == values["ENTRADA_GRAPH_HOST"]
        assert values["ENTRADA_AUTHORITY_HOST"].startswith("https://localhost:")
        assert values["ENTRADA_INSECURE_ALLOW_EMULATOR"] == "true"
        assert Path(values["ENTRADA_CA_BUNDLE"]) == (tmp_path / "ca.pem").resolve()
        by_port = _run("env", "mage", "--port", http_url.rpartition(":")[2]).stdout
        assert f"export AZURE_HOST={http_url}" in by_port
        assert "ACTIVE_DIRECTORY_ROLES_MAPPING=" in by_port
        # Mage as it comes reads the plain address; entrada inside Mage reads its own names first.
        assert f"export ENTRADA_AUTHORITY_HOST={values['ENTRADA_AUTHORITY_HOST']}" in by_port
        for product in ("dstack", "azure"):
            assert _run("env", product, "--state-dir", str(tmp_path)).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert "Warning" in process.stderr.read()
    assert not (tmp_path / "running.json").exists()
    gone = _run("env", "entrada", "--state-dir", str(tmp_path))
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "Start one" in gone.stderr


def test_default_state_is_the_users(tmp_path: Path) -> None:
    """Without an option the XDG state directory is looked at."""
    found = _run("env", "entrada", XDG_STATE_HOME=str(tmp_path))
    assert found.returncode == 1
    noted = tmp_path / "entrada" / "emulator"
    with start(state_dir=noted):
        assert _run("env", "entrada", XDG_STATE_HOME=str(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("people = [", "is not TOML"),
        ("[[persons]]", "no table 'persons'"),
        ('[[people]]\nuser_principal_name = "x@nowhere.test"', "nowhere.test"),
        ('[[people]]\nuser_principal_name = "x@contoso.test"\nroles = ["King"]', "King"),
        ('[[people]]\nuser_principal_name = "x@contoso.test"\nenabled = 3', "enabled"),
        ("[[people]]\nenabled = true", "user_principal_name"),
        ("people = 3", "[[people]]"),
        ('[[apps]]\ndisplay_name = "x"\nsecrets = [{ value = 1 }]', "value"),
    ],
)
def test_a_bad_directory_file_is_explained(tmp_path: Path, content: str | None, says: str) -> None:
    """Exit status 1, a sentence and a hint, no traceback."""
    file = tmp_path / "directory.toml"
    if content is not None:
        file.write_text(content, "utf-8")
    from entrada.emulator.directory.directory_file import DirectoryFileError

    with pytest.raises(DirectoryFileError) as failure:
        start(directory=file)
    assert says in str(failure.value)
    assert failure.value.hint


def test_the_command_fails_politely(tmp_path: Path) -> None:
    """A taken port, a bad file, a public address: status 1 and two lines; wrong use: status 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = _run("--port", str(port), "--state-dir", str(tmp_path))
    missing = _run(
        "--port", "0", "--tls-port", "0", "--directory", str(tmp_path / "none"), "--state-dir", str(tmp_path)
    )
    public = _run("--host", "0.0.0.0", "--state-dir", str(tmp_path))
    for failed in (busy, missing, public):
        assert failed.returncode == 1
        assert len(failed.stderr.strip().splitlines()) == 2
        assert "Traceback" not in failed.stderr
    assert str(port) in busy.stderr
    assert "--insecure-allow-remote" in public.stderr
    assert _run("env", "nothing").returncode == 2
    assert _run("--port", "x").returncode == 2


def test_told_twice_it_listens_for_others(tmp_path: Path) -> None:
    """I1: with both options it does, and warns."""
    with _running(tmp_path, "--host", "0.0.0.0", "--insecure-allow-remote") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert "others may reach" in process.stderr.read()


def test_keys_and_certificates_stay(tmp_path: Path) -> None:
    """Two runs on one state directory have the same authority and keys; secret files are private."""

    def look() -> tuple[bytes, list[str]]:
        with start(state_dir=tmp_path) as emulator:
            keys = httpx.get(f"{emulator.http_url}/common/discovery/v2.0/keys", trust_env=False).json()[
                "keys"
            ]
            return emulator.ca_file.read_bytes(), [key["kid"] for key in keys]

    assert look() == look()
    for name in ("ca-key.pem", "tls.pem", "signing-keys.pem", "sealing.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def test_the_authority_vouches_for_this_machine_only(tmp_path: Path) -> None:
    """Name constraints allow localhost and loopback addresses alone, and https verifies with it."""
    from cryptography import x509

    with start(state_dir=tmp_path) as emulator:
        authority = x509.load_pem_x509_certificate(emulator.ca_file.read_bytes())
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
        assert constraints.critical
        names = [str(name.value) for name in constraints.value.permitted_subtrees or ()]
        assert names == ["localhost", "127.0.0.0/8", "::1/128"]
        context = ssl.create_default_context(cafile=emulator.ca_file)
        for host in ("localhost", "127.0.0.1"):
            url = emulator.https_url.replace("localhost", host)
            assert httpx.get(f"{url}/_emulator/state", verify=context, trust_env=False).status_code == 200


def test_state_is_kept_when_asked(tmp_path: Path) -> None:
    """With a state file changes of the directory survive; without one they do not."""
    file = tmp_path / "state.json"
    with start(state_file=file) as emulator:
        emulator.add_person("zoe@contoso.test", roles=["Editor"])
        emulator.change_app(CLIENT_ID, display_name="Renamed")
        httpx.get(f"{emulator.http_url}/_emulator/state", trust_env=False)
        assert "zoe@contoso.test" in file.read_text("utf-8")
    with start(state_file=file) as emulator:
        zoe = emulator.person("zoe@contoso.test")
        app = emulator.app(CLIENT_ID)
        assert app.display_name == "Renamed"
        assert emulator.directory.roles_of(app, zoe.object_id) == ["Editor"]
        assert len(app.secrets) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with start() as emulator, pytest.raises(Exception, match="Nobody"):
        emulator.person("zoe@contoso.test")
    file.write_text("{}", "utf-8")
    with pytest.raises(Exception, match="state file"):
        start(state_file=file)


def test_one_s_own_directory(tmp_path: Path) -> None:
    """A TOML file adds tenants, groups, apps and people; ids follow from names and stay the same."""
    file = tmp_path / "directory.toml"
    file.write_text(
        """
        [[tenants]]
        domain = "acme.test"
        display_name = "Acme"

        [[groups]]
        tenant = "acme.test"
        display_name = "Makers"

        [[apps]]
        tenant = "acme.test"
        display_name = "Tool"
        client_id = "ac000000-0000-4000-8000-000000000001"
        secrets = ["tool-secret"]
        app_roles = ["Owner"]
        web_redirect_uris = ["http://localhost/tool"]

        [[people]]
        user_principal_name = "wile@acme.test"
        display_name = "Wile E."
        groups = ["Makers"]
        roles = ["Tool/Owner"]
        """,
        "utf-8",
    )
    with start(directory=file) as emulator:
        wile = emulator.person("wile@acme.test")
        assert emulator.directory.roles_of(emulator.app("Tool"), wile.object_id) == ["Owner"]
        assert emulator.person("ada@contoso.test")
        emulator.remove_person("wile@acme.test")
        emulator.reset()
        assert emulator.person("wile@acme.test").object_id == wile.object_id
    file.write_text('seeded = false\n[[tenants]]\ndomain = "solo.test"')
    with start(directory=file) as emulator:
        assert emulator.people == []


def test_it_is_ready_quickly_and_ends_at_once(tmp_path: Path) -> None:
    """Starting again and stopping do not wait for idle connections or for keys to be made."""
    with start(state_dir=tmp_path):
        pass
    begun = time.monotonic()
    emulator = start(state_dir=tmp_path)
    context = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=context, trust_env=False) as client:
        client.get(f"{emulator.https_url}/_emulator/state")
        emulator.stop()
    assert time.monotonic() - begun < 5
    emulator.stop()


def test_browsers_may_be_sent_to_https() -> None:
    """For clients that accept no http endpoint, discovery names none."""
    with start(browser_over_https=True) as emulator:
        context = ssl.create_default_context(cafile=emulator.ca_file)
        url = f"{emulator.https_url}/contoso.test/v2.0/.well-known/openid-configuration"
        assert "http://" not in httpx.get(url, verify=context, trust_env=False).text


def test_a_failed_start_leaves_nothing(tmp_path: Path) -> None:
    """A taken port is an error with a hint, and nothing keeps listening."""
    with start() as emulator:
        port = int(emulator.http_url.rpartition(":")[2])
        with pytest.raises(EmulatorError) as failure:
            start(port=port, state_dir=tmp_path)
        assert failure.value.hint
    with start(port=port) as again:
        assert again.http_url.endswith(str(port))


def test_importing_the_package_is_cheap_and_pulls_in_nothing_else() -> None:
    """The emulator imports nothing of the rest of entrada, and its package imports no server by itself."""
    script = (
        "import sys, json, entrada.emulator;"
        "light = not {'asyncio', 'cryptography'} & set(sys.modules);"
        "import entrada.emulator.starting, entrada.emulator.pytest_plugin, entrada.emulator.clients;"
        "ours = [name for name in sys.modules if name.startswith('entrada.')];"
        "print(json.dumps([light, [name for name in ours if not name.startswith('entrada.emulator')]]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(answer.stdout) == [True, []]


@pytest.mark.parametrize(
    ("home", "says"),
    [
        pytest.param(None, "--state-dir", id="K55 no HOME, no such user"),
        pytest.param("", "--state-dir", id="K55 HOME is empty"),
        pytest.param("somewhere", "--state-dir", id="K55 HOME is relative"),
        pytest.param("/proc/1/nobody", "--state-dir", id="K55 HOME cannot be written"),
    ],
)
@pytest.mark.parametrize("command", [(), ("env", "entrada")], ids=["run", "env"])
def test_k55_without_a_home(
    command: tuple[str, ...],
    home: str | None,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unknown user id without a home gets a sentence that names --state-dir, never a traceback."""

    def no_such_user(_uid: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    from entrada.cli import main

    assert main(["emulator", *command]) == 1
    told = capsys.readouterr().err
    assert (says in told) or (command and home and "entrada emulator" in told)
    assert "Traceback" not in told


def test_k55_the_demo_without_a_home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`entrada demo` says the same in its own words."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    from entrada.cli import main

    assert main(["demo", "--once"]) == 1
    told = capsys.readouterr().err
    assert "XDG_STATE_HOME" in told
    assert "Traceback" not in told


def test_k64_a_reset_brings_the_first_keys_back(tmp_path: Path) -> None:
    """Rotated, dropped and withdrawn keys: after reset() the set is that of the start, in the file too."""
    with start(state_dir=tmp_path) as emulator:
        keys = emulator._world.keys
        before = [key.kid for key in keys.published]
        file = (tmp_path / "signing-keys.pem").read_bytes()
        for change in (
            emulator.rotate_keys,
            lambda: emulator.rotate_keys(keep_old=False),
            emulator.withdraw_key,
        ):
            change()
            assert [key.kid for key in keys.published] != before
            emulator.reset()
            assert [key.kid for key in keys.published] == before
            assert keys.current.kid == before[0]
        assert (tmp_path / "signing-keys.pem").read_bytes() == file


def test_k41_the_usual_ports_are_not_written() -> None:
    """Addresses say a port only where a browser would: 443 of https and 80 of http are left out."""
    from entrada.emulator.starting import _url

    assert _url("https", 443, usual=443) == "https://localhost"
    assert _url("http", 80, usual=80) == "http://localhost"
    assert _url("https", 80, usual=443) == "https://localhost:80"


def test_k41_tokens_can_be_issued_as_the_live_service() -> None:
    """With `issue_as_live` metadata and tokens name the live issuers; endpoints stay here."""
    with start(issue_as_live=True) as emulator:
        trust = ssl.create_default_context(cafile=emulator.ca_file)
        with httpx.Client(verify=trust, trust_env=False) as client:
            entra = Entra(emulator, client)
            live = f"https://login.microsoftonline.com/{CONTOSO_ID}/v2.0"
            document = client.get(entra.url("v2.0/.well-known/openid-configuration")).json()
            assert document["issuer"] == entra.claims()["iss"] == live
            assert document["token_endpoint"].startswith(emulator.https_url)
            older = client.get(entra.url(".well-known/openid-configuration")).json()
            assert older["issuer"] == f"https://sts.windows.net/{CONTOSO_ID}/"
            keys = client.get(entra.url("discovery/v2.0/keys")).json()["keys"]
            assert {key["issuer"] for key in keys} == {live}
