"""An emulator, a site and visitors for the walks.

One emulator and one site serve most tests; the emulator is reset before each, and each test has a browser
and a person of its own. A test that needs other settings, another time or fresh keys asks for `serve`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator.relying_party import Entra
from entrada.build import open_stores
from entrada.emulator import RunningEmulator, start
from walks.refusals import Watch
from walks.site import Site, served
from walks.visitor import Visitor, new_http

NewVisitor = Callable[..., Visitor]
Serve = Callable[..., Site]


@pytest.fixture(scope="package", autouse=True)
def _no_authorities_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """ENTRADA_CA_BUNDLE alone must do, whatever stands here; and reading the system's list takes a while.

    Not for the whole run: other tests install products, and need the authorities for that.
    """
    empty = tmp_path_factory.mktemp("authorities")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            patch.setenv(name, str(empty / "none.pem"))
        patch.setenv("SSL_CERT_DIR", str(empty))
        yield


@pytest.fixture(scope="session")
def emulator() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


@pytest.fixture(autouse=True)
def _as_at_the_start(request: pytest.FixtureRequest) -> None:
    """The directory of the start, no faults, no requests remembered."""
    if "emulator" in request.fixturenames:
        request.getfixturevalue("emulator").reset()


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with new_http() as client:
        yield client


@pytest.fixture
def entra(emulator: RunningEmulator) -> Iterator[Entra]:
    """What an application does that speaks to Entra itself, in place of this library."""
    trust = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=trust, trust_env=False, timeout=20) as client:
        yield Entra(emulator, client)


@pytest.fixture(scope="session")
def site(emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site most tests share: default settings, app roles mapped to roles of the same name."""
    with served(emulator, database=tmp_path_factory.mktemp("site") / "entrada.db") as running:
        yield running


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An SQLite database with every table and nobody in it, as a file's content."""
    file = tmp_path_factory.mktemp("new") / "entrada.db"
    open_stores(f"sqlite:///{file}").close()
    return file.read_bytes()


@pytest.fixture
def serve(emulator: RunningEmulator, tmp_path: Path, new_database: bytes) -> Iterator[Serve]:
    """`serve(ENTRADA_GUESTS="allow")`: a site of its own, gone at the end of the test."""
    with ExitStack() as running:

        def serve_one(**settings: Any) -> Site:
            database = settings.setdefault("database", tmp_path / "entrada.db")
            if database is not None and not database.exists():
                database.write_bytes(new_database)
            return running.enter_context(served(emulator, **settings))

        yield serve_one


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites served from now on wait for Entra half a second rather than ten."""
    monkeypatch.setattr("entrada.entra.pooled_transport.READ_SECONDS", 0.5)


@pytest.fixture
def new_visitor(http: httpx.Client, request: pytest.FixtureRequest) -> NewVisitor:
    """`new_visitor()` is a browser with no past at the shared site, `new_visitor(site)` at another."""

    def make(at: Site | None = None) -> Visitor:
        return Visitor(at or request.getfixturevalue("site"), http)

    return make


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> Visitor:
    return new_visitor()


@pytest.fixture
def pat(emulator: RunningEmulator) -> Any:
    """An editor of Contoso whom nobody has seen before."""
    return emulator.add_person("pat@contoso.test", display_name="Pat Page", roles=["Editor"])


@pytest.fixture
def kim(emulator: RunningEmulator) -> Any:
    """A viewer of Contoso whom nobody has seen before."""
    return emulator.add_person("kim@contoso.test", display_name="Kim Kay", roles=["Viewer"])


NewWatch = Callable[[Visitor], Watch]


@pytest.fixture
def watch(emulator: RunningEmulator, caplog: pytest.LogCaptureFixture) -> NewWatch:
    """`watch(visitor)` remembers what the site keeps now; `.refused(answer, 400, "code")` compares."""
    caplog.set_level("DEBUG")
    return lambda visitor: Watch(visitor, emulator, caplog)
