"""make, scripts/ and .ci/run: what a person or a CI system meets before any Python of ours runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CONTRACT_TARGETS = {"demo", "serve", "emulator", "test", "check", "fix", "bench", "docs"}
UNIX_TOOLS = [
    "sh",
    "make",
    "cat",
    "cmp",
    "dirname",
    "grep",
    "awk",
    "mktemp",
    "mv",
    "rm",
    "head",
    "tail",
    "tee",
    "sed",
]


def run(*command: str, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command as a person would, away from the settings of this test run."""
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def bare_checkout(project_root: Path, tmp_path: Path) -> Path:
    """The files that installing is made of, without a .venv."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(project_root / name, checkout / name)
    for name in ("scripts", "requirements"):
        shutil.copytree(project_root / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    return checkout


@pytest.fixture
def path_without_python(tmp_path: Path) -> Path:
    """A folder for PATH that holds the Unix tools the front door uses, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in UNIX_TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"{tool} is not on PATH"
        (folder / tool).symlink_to(found)
    return folder


def put_script(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def old_python(version: str) -> str:
    """A stand-in for an older Python: it tells its version and fails the check for 3.10."""
    return f'#!/bin/sh\ncase "$2" in *print*) echo {version} ;; *) exit 1 ;; esac\n'


@pytest.mark.parametrize("command", [("make",), ("make", "help")])
def test_help_lists_every_target_of_the_contract(command: tuple[str, ...], project_root: Path) -> None:
    """`make` alone and `make help` list every command with one line each."""
    answer = run(*command, cwd=project_root)
    assert answer.returncode == 0
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", answer.stdout, re.MULTILINE))
    assert listed.keys() >= CONTRACT_TARGETS


def test_ci_runs_make_test(project_root: Path) -> None:
    """CI and a person's desk run the same thing: .ci/run is executable and ends in `make test`."""
    script = project_root / ".ci/run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^exec make test\b", script.read_text("utf-8"), re.MULTILINE)


def test_make_test_checks_first(project_root: Path) -> None:
    """`make test` sets up, runs `make check`, then the tests."""
    plan = run("make", "-n", "test", cwd=project_root).stdout
    steps = [plan.index(step) for step in ("scripts/setup-tests", "scripts/check", "scripts/run_tests.py")]
    assert steps == sorted(steps)


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_an_older_python_gets_one_sentence(
    target: str, bare_checkout: Path, path_without_python: Path
) -> None:
    """With nothing newer than 3.9 there is one sentence that names 3.10, exit status not 0, and no .venv."""
    put_script(path_without_python / "python3", old_python("3.9"))
    answer = run("make", target, cwd=bare_checkout, path=str(path_without_python))
    said = [line for line in answer.stderr.splitlines() if not line.startswith("make")]
    assert answer.returncode != 0
    assert len(said) == 1
    assert "3.10 or newer" in said[0]
    assert "only 3.9" in said[0]
    assert answer.stdout == ""
    assert not (bare_checkout / ".venv").exists()


def test_no_python_at_all_gets_one_sentence(bare_checkout: Path, path_without_python: Path) -> None:
    """Without any Python the sentence says so."""
    answer = run("sh", "scripts/find-python", cwd=bare_checkout, path=str(path_without_python))
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "found none that runs" in answer.stderr


def test_a_python_without_venv_gets_the_fix(bare_checkout: Path, path_without_python: Path) -> None:
    """A Debian Python without python3-venv gets one sentence with the package to install."""
    put_script(
        path_without_python / "python3",
        '#!/bin/sh\ncase "$2" in *print*) echo 3.12 ;; *ensurepip*) exit 1 ;; esac\n',
    )
    answer = run("sh", "scripts/find-python", cwd=bare_checkout, path=str(path_without_python))
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "apt install python3.12-venv" in answer.stderr


def test_a_shim_that_fails_is_passed_over(bare_checkout: Path, path_without_python: Path) -> None:
    """A `python3` on PATH that cannot run does not hide a good python3.12 behind it."""
    put_script(path_without_python / "python3", "#!/bin/sh\necho 'no version set' >&2; exit 127\n")
    put_script(path_without_python / "python3.12", '#!/bin/sh\ncase "$2" in *print*) echo 3.12 ;; esac\n')
    answer = run("sh", "scripts/find-python", cwd=bare_checkout, path=str(path_without_python))
    assert (answer.returncode, answer.stdout.strip()) == (0, "python3.12")


def test_a_warm_start_runs_no_python(bare_checkout: Path, path_without_python: Path) -> None:
    """When nothing changed, installing is a comparison of files: it works with no Python on PATH."""
    venv = bare_checkout / ".venv"
    venv.mkdir()
    place = f"{bare_checkout}\n"
    for stamp, source in (("runtime", "requirements/runtime.txt"), ("project", "pyproject.toml")):
        (venv / f".installed-{stamp}").write_text(
            place + (bare_checkout / source).read_text("utf-8"), "utf-8"
        )
    warm = run("sh", "scripts/install", "runtime", cwd=bare_checkout, path=str(path_without_python))
    assert (warm.returncode, warm.stdout, warm.stderr) == (0, "", "")
    with (bare_checkout / "requirements/runtime.txt").open("a", encoding="utf-8") as requirements:
        requirements.write("# changed\n")
    changed = run("sh", "scripts/install", "runtime", cwd=bare_checkout, path=str(path_without_python))
    assert changed.returncode == 1


def test_every_script_is_plain_shell(project_root: Path) -> None:
    """Each script without a suffix parses as POSIX shell and says in its first comment what it is for."""
    scripts = [path for path in (project_root / "scripts").iterdir() if path.is_file() and not path.suffix]
    assert scripts
    for script in scripts:
        first, second, *_ = script.read_text("utf-8").splitlines()
        assert first == "#!/bin/sh", script.name
        assert second.startswith("# "), script.name
        assert run("sh", "-n", str(script), cwd=project_root).returncode == 0, script.name


def setup_tests(project_root: Path, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """scripts/setup-tests where a test wants a package that no machine has, with an apt that tells."""
    checkout, tools = tmp_path / "checkout", tmp_path / "tools"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "bench").mkdir()
    (checkout / ".venv/bin").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(project_root / "scripts/setup-tests", checkout / "scripts/setup-tests")
    (checkout / "scripts/system-packages.txt").write_text(
        "no-such-command | no-such-package | a test\n", "utf-8"
    )
    (checkout / "bench/package.json").write_text('{"dependencies": {"x": "1"}}', "utf-8")
    put_script(checkout / ".venv/bin/python", "#!/bin/sh\nexit 0\n")
    put_script(tools / "apt-get", f'#!/bin/sh\necho "$@" >>{tmp_path}/apt\n')
    put_script(tools / "sudo", '#!/bin/sh\nshift; exec "$@"\n')
    put_script(
        tools / "npm", f'#!/bin/sh\necho "$@" >>{tmp_path}/npm; echo "npm error: no way" >&2; exit 1\n'
    )
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    return subprocess.run(
        ["sh", "scripts/setup-tests"],
        cwd=checkout,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("environment", [{}, {"CI": "false"}, {"CI": "1", "ENTRADA_TESTS_INSTALL": "0"}])
def test_K63_system_packages_are_not_installed_unasked(
    project_root: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """On a desk it says what is missing and how to ask for it, and apt is not called."""
    answer = setup_tests(project_root, tmp_path, **environment)
    assert "no-such-package" in answer.stdout
    assert "ENTRADA_TESTS_INSTALL=1 make test" in answer.stdout
    assert not (tmp_path / "apt").exists()


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"ENTRADA_TESTS_INSTALL": "1"}])
def test_K63_asked_for_or_in_ci_they_are(
    project_root: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """One by one, through apt."""
    setup_tests(project_root, tmp_path, **environment)
    assert "no-such-package" in (tmp_path / "apt").read_text("utf-8")


def test_K63_a_failure_of_npm_is_shown_and_no_lock_file_is_left(project_root: Path, tmp_path: Path) -> None:
    """npm's own words, and `--no-package-lock` where the repository has none."""
    answer = setup_tests(project_root, tmp_path)
    assert "npm error: no way" in answer.stdout
    assert "npm failed" in answer.stdout
    assert "--no-package-lock" in (tmp_path / "npm").read_text("utf-8")
