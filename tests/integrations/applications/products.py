"""The real products, each in an environment of its own, behind `entrada run`; their applications are those
that the how-to shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.running.runs import running
from clients.products import installed
from docs.pages import blocks
from entrada.emulator import RunningEmulator
from gateway.operation import Serving
from house.tools import ROOT

PAGE = ROOT / "docs/how-to/run-an-application.md"
RECHECK = "3s"
"""Entra is asked again so often; a real installation asks every 15 minutes, or each minute."""
OUT_SECONDS = 10
"""A disabled person is out within that: the look, its answer, and a busy machine."""

VERSIONS = {
    "streamlit": "1.67.0",
    "gradio": "6.31.0",
    "chainlit": "2.12.0",
    "marimo": "0.25.2",
    "panel": "1.9.4",
}
"""Those that the page and the table of products name."""


def application_of(product: str) -> str:
    """The application that the page shows for a product: the block that imports it."""
    (found,) = [block.text for block in blocks(PAGE, "python") if f"import {product}" in block.text]
    return found


def commands_of(product: str) -> Path:
    """The folder of its commands, Python among them."""
    return installed(f"{product}=={VERSIONS[product]}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A product's application behind `entrada run`, as browsers visit it."""

    run: Serving
    entra: RunningEmulator

    @property
    def url(self) -> str:
        return self.run.public_url

    @property
    def hosts(self) -> set[str]:
        return {self.url.partition("://")[2], self.entra.http_url.partition("://")[2]}


COMMANDS = {
    "streamlit": ("streamlit", "run", "app.py"),
    "gradio": ("python", "app.py"),
    "chainlit": ("chainlit", "run", "app.py"),
    "marimo": ("marimo", "run", "app.py"),
    "panel": ("panel", "serve", "app.py"),
}
"""As the page starts them."""


@contextmanager
def behind_the_sign_in(entra: RunningEmulator, folder: Path, product: str) -> Iterator[Place]:
    """The product's application, started as the page says; the command is its environment's."""
    (folder / "app.py").write_text(application_of(product), "utf-8")
    first, *words = COMMANDS[product]
    with running(
        entra,
        folder,
        str(commands_of(product) / first),
        *words,
        environment={"STREAMLIT_SERVER_ENABLE_AGENT_API": "true", "SSL_CERT_FILE": ""},
        seconds=150,
        ENTRADA_RECHECK_EVERY=RECHECK,
    ) as run:
        yield Place(run=run, entra=entra)
