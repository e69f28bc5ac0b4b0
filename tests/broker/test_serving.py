"""`entrada serve` with ENTRADA_BROKER=true: one process that signs its own people in and is a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.processes import brokers
from clients.plain_browser import PlainBrowser
from entrada.broker.start import build_broker
from entrada.cli import main
from entrada.cli.serve import listen
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.errors import ConfigurationError
from entrada.settings import load_settings

NewBrowser = Callable[[], PlainBrowser]


@pytest.mark.parametrize(
    ("command", "settings"),
    [("broker", {}), ("serve", {"ENTRADA_BROKER": "true"})],
    ids=["broker", "serve"],
)
def test_the_same_process_serves_its_own_and_is_the_broker(
    command: str,
    settings: dict[str, str],
    running_entra: RunningEmulator,
    tmp_path: Path,
    new_browser: NewBrowser,
) -> None:
    """Its own people have sessions there and proxies ask about them; an installation's have theirs."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world:
        world.start(command=command, ENTRADA_TRUSTED_PROXIES="127.0.0.1", **settings)
        app, ada, vi = world.installation(), new_browser(), new_browser()
        page = world.sign_in(ada, app, "ada@contoso.test", "/private")
        assert page.url == f"{app.url}/private", page.text
        vi.sign_in(f"{world.url}/auth/entra/start?next=/auth/account", "vi@contoso.test")
        assert "vi@contoso.test" in vi.page.text
        asked = {
            "x-original-method": "GET",
            "x-original-host": world.url.removeprefix("http://"),
            "x-original-uri": "/somewhere",
        }
        assert vi.send("GET", f"{world.url}/auth/nginx", headers=asked).status_code == 200
        assert new_browser().send("GET", f"{world.url}/auth/nginx", headers=asked).status_code == 401


def test_serve_alone_is_no_broker(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """Without the setting none of a broker's addresses is there."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world:
        world.start(command="serve")
        with PlainBrowser(running_entra.ca_file) as browser:
            assert browser.open(f"{world.url}/.well-known/openid-configuration").status == 404
            assert browser.open(f"{world.url}/auth/broker/jwks.json").status == 404


def test_a_broker_behind_a_broker_is_refused(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """It asks Entra itself: one sentence, before anything is opened."""
    environment = {
        "ENTRADA_BROKER_URL": "https://login.example.test",
        "ENTRADA_TENANT_ID": "11111111-1111-4111-8111-111111111111",
        "ENTRADA_PUBLIC_URL": "https://other.example.test",
        "ENTRADA_DATABASE_URL": f"sqlite:///{tmp_path}/none.db",
    }
    with pytest.raises(ConfigurationError, match="ENTRADA_BROKER_URL is set, but a broker asks Entra"):
        build_broker(*load_settings(environment), listed=())
    assert not list(tmp_path.iterdir())


def test_a_wrong_list_stops_serve_where_it_is_a_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line and the fix, and status 1."""
    (tmp_path / "entrada.toml").write_text('broker = true\n[[installations]]\nurl = "app.example.test"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0"]) == 1
    said = capsys.readouterr().err
    assert "entrada.toml, line 2: The installation has no tenant." in said
    assert "Add tenant" in said


def test_an_installation_of_the_settings_file_signs_in(
    running_entra: RunningEmulator, tmp_path: Path, new_browser: NewBrowser
) -> None:
    """The operator's list alone lets it in; the command line shows it and changes nothing of it."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world:
        listener = listen("127.0.0.1", 0)
        url = f"http://localhost:{listener.getsockname()[1]}"
        (tmp_path / "entrada.toml").write_text(
            f'[[installations]]\nurl = "{url}"\ntenant = "{CONTOSO_ID}"\n', "utf-8"
        )
        world.start()
        app, browser = world.installation(listener=listener, added=False), new_browser()
        page = world.sign_in(browser, app, "ada@contoso.test", "/private")
        assert page.url == f"{app.url}/private", page.text
        assert not world.store.installations()
