"""deploy/: the Dockerfiles' own lines, run where the makers' images are only imitated (K72).

An image is stood in for by an environment with the Python and the product that it has. COPY puts files into a
folder in the place of `/`; RUN runs as it is written, in a shell.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clients import mage
from clients.dstack import NEWEST as DSTACK
from clients.products import installed
from docs.test_docs_run import _KNOWN_NAMES, _NAMES_OF_PRODUCTS
from entrada.emulator import start
from house import tools

DEPLOY = tools.ROOT / "deploy"
PRODUCTS = ("mage", "dstack")
VERSIONS = {"mage": mage.REQUIREMENT.partition("==")[2], "dstack": DSTACK}


def instructions(product: str, name: str) -> list[str]:
    """What follows `name` in the product's Dockerfile, in order."""
    text = (DEPLOY / product / "Dockerfile").read_text("utf-8")
    return re.findall(rf"^{name} (.+)$", text, re.MULTILINE)


def build(product: str, root: Path, environment: dict[str, str]) -> None:
    """COPY and RUN, with `root` in the place of the container's `/`."""
    for line in instructions(product, "COPY"):
        *sources, target = line.split()
        place = root / target.lstrip("/")
        for source in sources:
            goal = place / Path(source).name if target.endswith("/") else place
            goal.parent.mkdir(parents=True, exist_ok=True)
            if (tools.ROOT / source).is_dir():
                shutil.copytree(tools.ROOT / source, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(tools.ROOT / source, goal)
    (root / "usr/local/bin").mkdir(parents=True)
    for line in instructions(product, "RUN"):
        there = line.replace("/opt/", f"{root}/opt/").replace("/usr/local/bin", f"{root}/usr/local/bin")
        answer = subprocess.run(
            ["sh", "-c", there], env=environment, capture_output=True, text=True, timeout=160, check=False
        )
        assert answer.returncode == 0, f"{line}\n{answer.stdout[-2000:]}{answer.stderr[-2000:]}"


@pytest.mark.parametrize("product", PRODUCTS)
def test_K72_the_image_is_the_version_that_is_tried(product: str) -> None:
    """A newer image is tried before the Dockerfile names it."""
    (image,) = instructions(product, "FROM")
    assert image.endswith(f":{VERSIONS[product]}")


@pytest.mark.parametrize("product", PRODUCTS)
def test_K72_what_is_copied_is_in_the_checkout(product: str) -> None:
    """And is let through by .dockerignore."""
    let_through = (tools.ROOT / ".dockerignore").read_text("utf-8")
    for line in instructions(product, "COPY"):
        for source in line.split()[:-1]:
            assert (tools.ROOT / source).exists(), source
            assert f"!{source.partition('/')[0]}\n" in let_through


@pytest.mark.parametrize("product", PRODUCTS)
def test_K72_the_compose_file_sets_what_there_is(product: str) -> None:
    """Its variables are settings or the product's own, and the secret is a file that git ignores."""
    text = (DEPLOY / product / "compose.yaml").read_text("utf-8")
    block = text.partition("environment:\n")[2].partition("    secrets:")[0]
    names = set(re.findall(r"^      ([A-Z_]+):", block, re.MULTILINE))
    assert names
    assert names <= _KNOWN_NAMES | _NAMES_OF_PRODUCTS
    assert "ENTRADA_CLIENT_SECRET_FILE: /run/secrets/client_secret" in block
    assert "client_secret\n" in (DEPLOY / ".gitignore").read_text("utf-8")


@pytest.mark.parametrize(
    "file", sorted(DEPLOY.glob("*/compose.yaml")), ids=lambda file: str(file.parent.name)
)
def test_K72_what_stands_in_for_a_variable_has_no_brace(file: Path) -> None:
    """Compose ends it at the first closing one, and puts the next behind what was set, such as a mapping."""
    assert not re.findall(r"\$\{[^}]*\{", file.read_text("utf-8"))


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_K72_the_lines_for_mage_make_a_mage_with_entrada(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Python 3.10 beside Mage's pins: nothing is in conflict, and what it makes starts."""
    if tools.find_python(mage.PYTHON_OF_THE_IMAGE) is None:
        pytest.skip(f"no Python {mage.PYTHON_OF_THE_IMAGE} on this machine")
    beside = ("pip", mage.POSTGRES_DRIVER)
    commands = installed(mage.REQUIREMENT, name="mage-image", beside=beside, python=mage.PYTHON_OF_THE_IMAGE)
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}
    build("mage", tmp_path, environment)
    checked = subprocess.run(
        [commands / "pip3", "check"], capture_output=True, text=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stdout
    monkeypatch.setattr(mage, "mage_commands", lambda **_: commands)
    with start() as emulator, mage.running_mage(emulator, with_entrada=True) as running:
        assert "Redirect URI" in running.log


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_K72_the_lines_for_dstack_put_the_plug_in_into_its_tool(tmp_path: Path) -> None:
    """Where dstack is a tool of uv's: the plug-in fits, and the configuration switches it on."""
    uv = Path(sys.executable).parent
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{tmp_path}/usr/local/bin:{uv}:{os.environ['PATH']}",
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "tool-commands"),
        **{name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))},
    }
    python = tools.find_python("3.11") or sys.executable
    subprocess.run(
        ["uv", "--quiet", "tool", "install", "--python", python, f"dstack[server]=={DSTACK}"],
        env=environment,
        check=True,
        timeout=160,
    )
    build("dstack", tmp_path, environment)
    assert "- entrada" in (tmp_path / "root/.dstack/server/config.yml").read_text("utf-8")
