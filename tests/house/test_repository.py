"""The files that are checked in: pinned requirements, no trace of a machine, pages that hold together."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from entrada.compatibility import tomllib

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def script(project_root: Path, name: str) -> ModuleType:
    """A module of scripts/, imported from its file."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, project_root / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def normal(name: str) -> str:
    """A package name as the index compares it. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    return {normal(name): version for name, version in PIN.findall(path.read_text("utf-8"))}


@pytest.mark.parametrize("name", ["runtime", "dev", "bench"])
def test_requirements_carry_hashes_and_no_address(name: str, project_root: Path) -> None:
    """Every line of a requirements file is a pin or a hash: no index, no link, no path, no option."""
    text = (project_root / f"requirements/{name}.txt").read_text("utf-8")
    for line in text.splitlines():
        assert re.fullmatch(
            r"[a-z0-9._-]+(\[[a-z,]+\])?==[^\s/:]+( ; [^/:]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        ), line
    assert len(PIN.findall(text)) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))


def test_dev_requirements_hold_every_runtime_pin(project_root: Path) -> None:
    """Installing dev.txt installs runtime.txt: scripts/install relies on it."""
    runtime = pins(project_root / "requirements/runtime.txt")
    dev = pins(project_root / "requirements/dev.txt")
    assert runtime.items() <= dev.items()


def test_requirements_follow_pyproject(project_root: Path) -> None:
    """Whatever pyproject.toml and requirements/dev.in ask for is pinned: `make requirements` was run."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["server"], *extras["emulator"]]
    names = {normal(re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0]) for requirement in wanted}
    assert names <= pins(project_root / "requirements/runtime.txt").keys()
    by_hand = (project_root / "requirements/dev.in").read_text("utf-8")
    tools = {normal(name) for name in re.findall(r"^([A-Za-z][\w.-]*)", by_hand, re.MULTILINE)}
    assert tools <= pins(project_root / "requirements/dev.txt").keys()


SAFE_FROM = {
    "starlette": (1, 3, 1),  # CVE-2024-47874, -2025-54121, -2025-62727, -2026-48710, -2026-54282
    "jinja2": (3, 1, 6),  # CVE-2024-56201, -2024-56326, -2025-27516
    "pyjwt": (2, 15),  # CVE-2024-53861, -2026-32597, -2026-48526
    "cryptography": (46, 0, 5),  # CVE-2024-12797, -2026-26007
    "urllib3": (2, 8),  # CVE-2025-50181, -2025-66418, -2026-21441, -2026-44431, -2026-97689
    "tornado": (6, 4, 2),  # CVE-2024-52804; Mage pins this very version
}
PINNED_BY_A_PRODUCT = {"pyjwt", "cryptography", "urllib3"}
"""Inside Mage the base has to live with what Mage pins, so their bounds there are old."""


@pytest.mark.parametrize("extra", ["server", "mage", "dstack"])
def test_K50_lower_bounds_leave_out_versions_with_known_holes(extra: str, project_root: Path) -> None:
    """What an extra asks for is not older than the fixes; the server asks for all of them."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["optional-dependencies"][extra]
    bounds = dict(re.findall(r"^([A-Za-z0-9-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(lines), re.MULTILINE))
    lowest = {normal(name): tuple(map(int, bound.split("."))) for name, bound in bounds.items()}
    assert all(lowest[name] >= SAFE_FROM[name] for name in lowest.keys() & SAFE_FROM.keys())
    if extra == "server":
        assert lowest.keys() >= {"starlette", "jinja2", *PINNED_BY_A_PRODUCT}


def test_K35_no_invented_address_and_no_name_of_an_index(project_root: Path) -> None:
    """Until there is a release, installing is from a checkout, and no address of a repository is named."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    assert "urls" not in project
    told = [*project_root.glob("*.md"), *(project_root / "docs").rglob("*.md")]
    told += (project_root / "src").rglob("*.py")
    for file in told:
        text = file.read_text("utf-8")
        assert not re.search(r"pip install[^\n`]*[ \"']entrada\b", text), file
        assert "/entrada-auth/" not in text, file


def test_system_packages_name_a_probe_a_package_and_a_reason(project_root: Path) -> None:
    """Each line of scripts/system-packages.txt has its three columns, the package a Debian name."""
    lines = (project_root / "scripts/system-packages.txt").read_text("utf-8").splitlines()
    for line in (line for line in lines if line.strip() and not line.startswith("#")):
        probes, package, reason = (column.strip() for column in line.split("|"))
        assert probes
        assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package), line
        assert len(reason) > 10, line


@pytest.mark.parametrize(
    "line",
    [
        "see /home/someone/project",
        "/Users/someone/notes.md",
        "cache: /root" + "/.cache/pip",
        "--index-url https://packages.example/",
        "https://packages.example/simple",
        '"resolved": "https://registry.example/a.tgz"',
    ],
)
def test_a_trace_of_a_machine_is_found(line: str, project_root: Path) -> None:
    """check_house reports home directories and package indexes."""
    assert script(project_root, "check_house").traces_in("docs/some-page.md", line)


@pytest.mark.parametrize("line", ["mounted at /home/src", "/auth/rooted/", "pip install entrada"])
def test_an_innocent_line_is_no_trace(line: str, project_root: Path) -> None:
    """check_house lets ordinary text be."""
    assert script(project_root, "check_house").traces_in("docs/some-page.md", line) == []


def test_broken_links_are_found(project_root: Path) -> None:
    """check_docs reports links to missing files and headings, and follows neither code nor the web."""
    check_docs = script(project_root, "check_docs")
    page = project_root / "docs" / "README.md"
    good = "[a](README.md) [b](../LICENSE) [c](https://example.org/x) `[d](gone.md)` [e](../README.md)"
    assert check_docs.broken_links(page, good) == []
    for bad in ("gone.md", "../CONTRIBUTING.md#no-such-heading", "/etc/passwd", "../../outside.md"):
        assert len(check_docs.broken_links(page, f"[x]({bad})")) == 1, bad


def test_an_index_that_misses_a_page_is_found(project_root: Path) -> None:
    """check_docs wants each page in the index of docs/, a decision in the index of decisions."""
    check_docs = script(project_root, "check_docs")
    of_all, of_decisions = project_root / "docs/how-to/none.md", project_root / "docs/adr/9999-none.md"
    assert check_docs.missing_from_index([of_all, of_decisions]) == [
        "docs/README.md does not link to docs/how-to/none.md",
        "docs/adr/README.md does not link to docs/adr/9999-none.md",
    ]


def test_anchors_are_made_as_on_github(project_root: Path) -> None:
    """Headings become anchors in GitHub's way, repeated ones numbered, none from inside code."""
    text = "# One, *two* & `three_four`\n## Same\n## Same\n```\n# no heading\n```\n"
    assert script(project_root, "check_docs").anchors(text) == {"one-two--three_four", "same", "same-1"}
