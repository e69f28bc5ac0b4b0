"""/metrics of the real `entrada serve`: what it counts, that no visitor makes series, who may read it."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.accounts.delta_position import DeltaPosition
from entrada.build import open_stores
from entrada.emulator import RunningEmulator
from entrada.entra.authority import TenantId
from entrada.gateway.metrics import Metrics
from flows.test_leased_job import SteppedClock
from house.tools import command_path, free_port
from storage.prepared import prepared_copy
from walks.site import wait_until

from .operation import Serving, cookie_of, series, serving
from .proxies import running_nginx


@pytest.fixture(scope="module")
def server(
    emulator: RunningEmulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Serving]:
    with serving(emulator, tmp_path_factory.mktemp("metrics")) as running:
        yield running


def test_decisions_are_counted_by_rule_and_result(server: Serving, http: httpx.Client) -> None:
    """What the fast path answers counts among them, and is told apart once more."""
    before = server.figures(http)
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = cookie_of(visitor)
    for _ in range(20):
        assert server.check("/admin/x", cookie=cookie) == 200
    assert server.check("/admin/x") == 401
    assert server.check("/open/x") == 200
    assert server.check("/a/../b", cookie=cookie) == 403
    visitor.sign_out()
    viewer = server.visitor(http)
    viewer.sign_in_as("vi@contoso.test")
    assert server.check("/admin/x", cookie=cookie_of(viewer)) == 403
    assert server.check("/else", cookie=cookie_of(viewer)) == 200

    figures = server.figures(http)

    def grown(name: str) -> float:
        return figures.get(name, 0) - before.get(name, 0)

    def decided(result: str, rule: str) -> float:
        return grown(f'entrada_decisions_total{{result="{result}",rule="{rule}"}}')

    assert decided("allowed", "/admin/**") == 20
    assert decided("sign_in_needed", "/admin/**") == 1
    assert decided("forbidden", "/admin/**") == 1
    assert decided("allowed", "/open/**") == 1
    assert decided("allowed", "otherwise") == 1
    assert decided("refused", "none") == 1
    assert 15 <= grown("entrada_fast_path_answers_total") <= 20
    assert grown('entrada_requests_total{part="check",status="2xx"}') == 22
    assert grown('entrada_sign_ins_total{outcome="completed"}') == 2
    # Whatever was timed was not answered by the fast path.
    assert grown('entrada_request_seconds_count{part="check"}') == 25 - grown(
        "entrada_fast_path_answers_total"
    )


def test_sessions_keys_and_store_are_told(server: Serving, http: httpx.Client) -> None:
    """Live sessions as the database has them, how old Entra's keys are, how long the store takes."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ed@contoso.test")
    wait_until(lambda: server.figures(http)["entrada_sessions"] >= 1)
    figures = server.figures(http)
    assert 0 <= figures['entrada_key_age_seconds{keys="entra"}'] < 600
    assert figures["entrada_store_up"] == 1
    assert figures['entrada_store_seconds_count{operation="open"}'] >= 1
    assert figures['entrada_store_seconds_sum{operation="open"}'] > 0


def test_refused_sign_ins_are_counted_by_their_code(server: Serving, http: httpx.Client) -> None:
    """The code is of the list of errors, whatever Entra or a visitor wrote."""
    visitor = server.visitor(http)
    visitor.sign_in_as("gus_fabrikam.test#EXT#@contoso.test")
    visitor.open("/auth/entra/callback?error=made_up_by_me&error_description=x&state=nothing")
    outcomes = {name for name in server.figures(http) if name.startswith("entrada_sign_ins_total")}
    assert len(outcomes) >= 2
    assert not any("made_up" in name for name in outcomes)


def test_no_visitor_makes_series(server: Serving, http: httpx.Client) -> None:
    """Two thousand odd hosts, paths and methods later there is not one more."""
    random.seed(11)
    odd = ["%00", "é", '"', "\\", "{", "}", "..", "//", "a" * 300, "%2e", ";", "=", ",", "x\x7f"]

    def anything() -> str:
        return "/" + "".join(random.choice(odd) for _ in range(3)) + str(random.random())

    def ask(number: int) -> None:
        path = anything()
        method = random.choice(["GET", "PUT", "BREW", f"M{number}"])
        asked = [
            ("X-Original-Method", method),
            ("X-Original-Host", f"h{number}.example"),
            ("X-Original-URI", path.encode()),
            ("Cookie", f"entrada_session={number}"),
        ]
        client.request("GET", "/auth/nginx", headers=asked)
        client.request(method, f"/auth/{number}", headers={"Host": f"h{number}"})
        if number % 10 == 0:
            client.get(f"/auth/entra/callback?error=e{number}&state={number}")

    with httpx.Client(base_url=server.address, trust_env=False) as client:
        for number in range(50):
            ask(number)
        before = series(client.get("/metrics", headers={"Host": "localhost"}).text)
        for number in range(50, 1050):
            ask(number)
        after = series(client.get("/metrics", headers={"Host": "localhost"}).text)
    assert {name for name in after - before if "entrada_store_seconds" not in name} == set()
    assert len(after) < 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "tool.contoso.com"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Real-IP": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"X-Anything-Else": "1"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_what_bears_a_sign_of_a_proxy_does_not_read(
    server: Serving,
    http: httpx.Client,
    headers: dict[str, str],
) -> None:
    """On loopback the server's own port answers this machine; what came through a proxy finds no page."""
    assert http.get(f"{server.address}/metrics", headers=headers).status_code == 404
    assert http.get(f"{server.address}/metrics").status_code == 200


def test_another_machine_does_not_read(
    emulator: RunningEmulator,
    tmp_path: Path,
    http: httpx.Client,
) -> None:
    """A peer that is not on loopback finds no page, whatever host it names."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address this machine would use
        own = probe.getsockname()[0]
    with serving(emulator, tmp_path, "--host", "0.0.0.0") as server:
        port = urlsplit(server.address).port
        assert http.get(f"http://{own}:{port}/healthz").status_code == 200
        assert http.get(f"http://{own}:{port}/metrics", headers={"Host": "localhost"}).status_code == 404


def test_a_stranger_through_a_real_proxy_does_not_read(
    emulator: RunningEmulator,
    tmp_path: Path,
    http: httpx.Client,
) -> None:
    """nginx on this machine that adds no field at all: its peer and host look local, and it gets nothing.

    The address of its own answers, and it answers nothing else.
    """
    nginx = command_path("nginx")
    port, metrics = free_port(), free_port()
    settings = {
        "ENTRADA_PUBLIC_URL": "https://tool.contoso.com",
        "ENTRADA_METRICS_ADDRESS": f"127.0.0.1:{metrics}",
    }
    with serving(emulator, tmp_path, **settings) as server:
        bare = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {server.address}; }} }}"
        folder = tmp_path / "nginx"
        folder.mkdir()
        with running_nginx(nginx, folder, bare):
            assert http.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
            assert http.get(f"http://127.0.0.1:{port}/metrics").status_code == 404
            assert http.get(f"http://127.0.0.1:{port}//metrics").status_code == 404
        assert http.get(f"{server.address}/metrics").status_code == 404
        assert server.figures(http)["entrada_store_up"] == 1
        assert http.get(f"http://127.0.0.1:{metrics}/healthz").status_code == 404
        assert http.post(f"http://127.0.0.1:{metrics}/metrics").status_code == 404


def test_openmetrics_is_spoken_to_who_asks_for_it(server: Serving, http: httpx.Client) -> None:
    """Prometheus names the format it wants; without a wish it is the text format."""
    wanted = {
        "Accept": "application/openmetrics-text; version=1.0.0",
        "X-Prometheus-Scrape-Timeout-Seconds": "9",
    }
    answer = http.get(f"{server.address}/metrics", headers=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    plain = http.get(f"{server.address}/metrics").headers["content-type"]
    assert plain.startswith("text/plain")


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "a b:1"])
def test_a_wrong_metrics_address_stops_the_start(
    emulator: RunningEmulator,
    tmp_path: Path,
    address: str,
) -> None:
    """One sentence with the setting and the form."""
    with serving(emulator, tmp_path, wait=False, ENTRADA_METRICS_ADDRESS=address) as server:
        assert server.process.wait(timeout=60) == 1
        assert "ENTRADA_METRICS_ADDRESS" in server.log
        assert "host:port" in server.log
        assert "Traceback" not in server.log


def test_how_far_the_directories_were_read(tmp_path: Path) -> None:
    """Of each tenant: the seconds since Graph said everything, and 1 while a part of it is not said."""
    stores, clock = open_stores(prepared_copy(tmp_path / "entrada.db")), SteppedClock()
    now, until = clock.now(), clock.now() + timedelta(minutes=1)
    metrics = Metrics(clock=clock)
    metrics.watch_directories(stores.directory)
    for number, problem in ((1, None), (2, "No permission.")):
        tenant = TenantId(f"{number}0000000-0000-4000-8000-000000000000")
        stores.directory.hold_position(tenant, holder="one", now=now, until=until)
        stores.directory.keep_position(
            DeltaPosition(tenant_id=tenant, looked_at=now - timedelta(seconds=7), problem=problem),
            holder="one",
        )
    told = metrics.exposition("")[0].decode()
    stores.close()
    for number in (1, 2):
        tenant = f'{{tenant="{number}0000000-0000-4000-8000-000000000000"}}'
        assert f"entrada_directory_lag_seconds{tenant} 7.0" in told
        assert f"entrada_directory_problem{tenant} {number - 1}.0" in told
