"""The proxy lab: mutated requests through real proxies (D1 to D10b, D12, D13, F4).

CI sends 1,000 through each of five; `make lab` sends 100,000, each thousand of them others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from entrada.emulator import RunningEmulator
from gateway import proxies
from gateway.proxies import documented_servers, running_nginx
from house import tools
from walks.conftest import emulator  # noqa: F401  # a fixture

from .__main__ import main
from .attempts import filled
from .framing import framed
from .harness import Lab, Report
from .mutations import make
from .readers import Reader, reading
from .recorder import recording
from .starting import BELIEVED, ITSELF, PROXIES, TOLD, lab_for
from .subject import Subject
from .weak import PEOPLE, authorization_server

SEED = 20_261_127


@pytest.fixture(scope="module")
def readers() -> Iterator[list[Reader]]:
    with reading("wsgi", "asgi", "php") as found:
        yield found


def assert_sound(report: Report) -> None:
    """No hole, and the run was none that nothing can come through."""
    assert not report.failures, "\n".join(map(str, (report, *report.failures)))
    assert report.arrived > report.sent / 10, str(report)


@pytest.mark.parametrize("name", ["nginx", ITSELF])
def test_a_few_requests_find_no_hole(
    name: str,
    emulator: RunningEmulator,  # noqa: F811
    readers: list[Reader],
    tmp_path: Path,
) -> None:
    """The first hundred of the run below, on every machine."""
    with lab_for(name, emulator, tmp_path / "lab", readers) as lab:
        assert_sound(lab.run(SEED, range(100)))


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*PROXIES, ITSELF])
def test_no_request_gets_through_with_a_foreign_identity_or_past_a_rule(
    name: str,
    emulator: RunningEmulator,  # noqa: F811
    readers: list[Reader],
    tmp_path: Path,
) -> None:
    """A thousand mutated requests; what arrives is read as WSGI, ASGI and PHP applications read it."""
    with lab_for(name, emulator, tmp_path / "lab", readers) as lab:
        report = lab.run(SEED, range(1_000))
    assert_sound(report)
    for kind in ("identity", "path", "of paths", "connection", "framing", "upgrade", "cookie", "pipelined"):
        assert report.reached[kind], f"nothing mutated by {kind} arrived at all: {report}"


Spoil = Callable[[str], str]


def _as_it_is(servers: str) -> str:
    return servers


def _leaves_groups(servers: str) -> str:
    return servers.replace("proxy_set_header X-Forwarded-Groups $entrada_groups;", "")


def _passes_underscores(servers: str) -> str:
    return servers.replace("server_name", "underscores_in_headers on; server_name")


@pytest.mark.parametrize(
    ("spoil", "believes", "kinds"),
    [
        pytest.param(_as_it_is, (), set(), id="sound"),
        pytest.param(_leaves_groups, (), {"identity"}, id="the proxy leaves X-Forwarded-Groups as it is"),
        pytest.param(_passes_underscores, (), {"identity"}, id="the proxy passes X_Forwarded_User"),
        pytest.param(_as_it_is, ("x-forwarded-uri",), {"rule"}, id="the server believes X-Forwarded-Uri"),
    ],
)
def test_a_hole_is_found(
    spoil: Spoil, believes: tuple[str, ...], kinds: set[str], readers: list[Reader], tmp_path: Path
) -> None:
    """Another authorization server behind nginx: sound, nothing is found; spoilt, the hole, made small."""
    nginx, front = tools.command_path("nginx"), tools.free_port()
    with ExitStack() as stack:
        recorder = stack.enter_context(recording())
        port = stack.enter_context(authorization_server(believes))
        application = f"127.0.0.1:{recorder.port}"
        # Its nginx asks it about upgrades like about everything else.
        servers = documented_servers(front, f"127.0.0.1:{port}", application)
        servers = servers.replace("http://$answered_by", "http://application")
        servers = servers.replace("proxy_set_header Upgrade $http_upgrade;", "")
        stack.enter_context(running_nginx(nginx, tmp_path, spoil(servers)))
        subject = Subject(
            name="weak",
            port=front,
            host="localhost",
            upstream_port=recorder.port,
            people=PEOPLE,
            told=TOLD,
            believed=BELIEVED,
        )
        lab = Lab(subject=subject, recorder=recorder, readers=readers)
        report = lab.run(SEED, range(1_500 if kinds else 300), most=20)
        assert kinds <= {hole.kind for failure in report.failures for hole in failure.holes}, str(report)
        assert bool(kinds) == bool(report.failures), str(report)
        for failure in report.failures:
            assert len(failure.attempt.headers) <= 4, f"it could be smaller: {failure}"
            holes, _, _ = lab.replayed(failure.attempt.template())
            assert {hole.kind for hole in failure.holes} & {hole.kind for hole in holes}, (
                f"sent again, it shows nothing: {failure}"
            )


LINES = [
    ("nginx", "proxy_set_header Remote-User", "identity"),
    ("caddy", "request_header -Connection", "identity"),
    ("caddy", "request_header @other_upgrade -Upgrade", "tunnel"),
    ("haproxy", "http-request return status 411", "identity"),
    ("envoy", 'regex: "[^:].*[^a-z0-9-].*', "identity"),
]
"""Lines of the documented configurations, and what comes through without each."""


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "line", "kind"), LINES, ids=lambda value: str(value)[:40])
def test_a_documented_line_is_missed_when_it_is_gone(
    name: str,
    line: str,
    kind: str,
    emulator: RunningEmulator,  # noqa: F811
    readers: list[Reader],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each stands there for something that the lab finds without it, made small enough to read."""
    documented = proxies.documented

    def without(*words: Any, **more: Any) -> str:
        lines = documented(*words, **more).splitlines(keepends=True)
        kept = [one for one in lines if line not in one]
        assert len(kept) == len(lines) - 1
        return "".join(kept)

    monkeypatch.setattr(proxies, "documented", without)
    with lab_for(name, emulator, tmp_path / "lab", readers) as lab:
        report = lab.run(SEED, range(4_000), most=1)
    (failure,) = report.failures
    assert {hole.kind for hole in failure.holes} == {kind}, str(failure)


def test_a_seed_and_a_number_make_the_same_request() -> None:
    """Whatever the proxy: what is printed can be made again."""
    for number in range(300):
        assert make(SEED, number).template() == make(SEED, number).template()
    assert len({make(SEED, number).template() for number in range(300)}) > 290
    assert make(SEED, 7).template() != make(SEED + 1, 7).template()


def test_only_the_host_and_the_session_differ_between_two_runs() -> None:
    """A template is filled with the subject's own."""
    subject = Subject(name="x", port=1, host="tool.test", upstream_port=2, people=PEOPLE, told=TOLD)
    sent = filled(b"Host: @HOST@\r\nCookie: @COOKIE:ada@", subject)
    assert sent == b"Host: tool.test\r\nCookie: " + PEOPLE["ada"].cookie


OTHER = """
name = "other"
port = {front}
host = "localhost"
upstream_port = {upstream}
told = ["X_FORWARDED_USER", "X_FORWARDED_EMAIL", "X_FORWARDED_GROUPS"]
[people.ada]
cookie = "session=ada-0123456789"
roles = ["Admin"]
facts = {{ USER = "ada-1", EMAIL = "ada@contoso.test", GROUPS = "Admin", USERNAME = "ada" }}
[people.vi]
cookie = "session=vi-0123456789"
roles = ["Viewer"]
facts = {{ USER = "vi-1", EMAIL = "vi@contoso.test", GROUPS = "Viewer", USERNAME = "vi" }}
"""


def test_another_authorization_server_is_tried_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make lab ARGS="--subject FILE"`: its hole is printed, and its bytes, sent again, show it again."""
    nginx, front, upstream = tools.command_path("nginx"), tools.free_port(), tools.free_port()
    (tmp_path / "other.toml").write_text(OTHER.format(front=front, upstream=upstream))
    subject = ["--subject", str(tmp_path / "other.toml")]
    with authorization_server(("x-forwarded-uri",)) as port:
        servers = documented_servers(front, f"127.0.0.1:{port}", f"127.0.0.1:{upstream}")
        with running_nginx(nginx, tmp_path, servers.replace("http://$answered_by", "http://application")):
            assert main([*subject, "--requests", "1500", "--seed", "1", "--holes", str(tmp_path)]) == 1
            printed = capsys.readouterr().out
            assert "rule: " in printed
            holes = tmp_path.glob("hole-other-1-*.bin")
            hole = next(file for file in holes if b"x-forwarded-uri" in file.read_bytes().lower())
            assert main([*subject, "--replay", str(hole)]) == 1
            assert "rule: " in capsys.readouterr().out


def test_trailers_stand_behind_the_last_chunk() -> None:
    """As RFC 9112 has them: otherwise the lab would not try them at all."""
    bodies = [
        body for seed in range(300) for _, body in [framed(b"hello", [b"X-Note: a"], random.Random(seed))]
    ]
    assert b"5\r\nhello\r\n0\r\nX-Note: a\r\n\r\n" in bodies
