"""deploy/servers: two servers as the compose file and the manifest have them, without a container engine."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from clients.postgres import running_postgres
from clients.products import installed
from docs.containers import Container, Host, host, interpolated
from docs.test_docs_run import _KNOWN_NAMES
from entrada.emulator import RunningEmulator, start
from gateway.proxies import running
from house import tools
from walks.site import Site, wait_until
from walks.visitor import Visitor, new_http

SERVERS = tools.ROOT / "deploy/servers"
VALIDATOR = "kubernetes-validate==1.37.0"
SECRET_FILES = {
    "ENTRADA_CLIENT_SECRET_FILE": "client_secret",
    "ENTRADA_DATABASE_URL_FILE": "database_url",
    "ENTRADA_SECRET_KEYS_FILE": "secret_keys",
}
FINISH_SECONDS = 20
"""How long a server lets requests finish that are under way."""


def compose_file() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((SERVERS / "compose.yaml").read_text("utf-8"))
    return read


def objects() -> dict[str, dict[str, Any]]:
    """What the manifest makes, by kind."""
    return {
        each["kind"]: each for each in yaml.safe_load_all((SERVERS / "kubernetes.yaml").read_text("utf-8"))
    }


def pod() -> dict[str, Any]:
    found: dict[str, Any] = objects()["Deployment"]["spec"]["template"]["spec"]
    return found


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


def test_the_compose_file_starts_two_alike_with_nothing_secret_in_it() -> None:
    """Every variable is a setting, secrets are files that git ignores and the services name, both are
    read-only without capabilities, and may finish before they are killed."""
    compose = compose_file()
    one, two = compose["services"]["entrada-1"], compose["services"]["entrada-2"]
    assert one == two
    assert set(one["environment"]) <= _KNOWN_NAMES
    assert {name: one["environment"][name] for name in SECRET_FILES} == {
        name: f"/run/secrets/{file}" for name, file in SECRET_FILES.items()
    }
    assert set(one["secrets"]) == set(SECRET_FILES.values())
    ignored = (tools.ROOT / "deploy/.gitignore").read_text("utf-8").split()
    assert "secrets/" in ignored
    assert all(each["file"].startswith("./secrets/") for each in compose["secrets"].values())
    assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
    assert int(one["stop_grace_period"].rstrip("s")) > FINISH_SECONDS + 5
    (subnet,) = compose["networks"]["inside"]["ipam"]["config"]
    assert one["environment"]["ENTRADA_TRUSTED_PROXIES"] == subnet["subnet"]


def test_the_image_runs_as_nobody_in_particular_with_what_is_in_the_checkout() -> None:
    """Its user is a number that Kubernetes can tell from root, and COPY finds what it names."""
    text = (SERVERS / "Dockerfile").read_text("utf-8")
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((tools.ROOT / source).exists() for source in sources.split())
    assert '"/opt/entrada[server,postgres]"' in text


def test_the_manifest_replaces_one_at_a_time_and_lets_it_finish() -> None:
    """Never fewer than two are ready; preStop and finishing fit into the grace period; liveness does not ask
    for the database, readiness does; nothing is writable, nobody is root, no secret stands in the map."""
    deployment, settings = objects()["Deployment"]["spec"], objects()["ConfigMap"]["data"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    one = container()
    name, seconds = one["lifecycle"]["preStop"]["exec"]["command"]
    assert name == "sleep"
    assert pod()["terminationGracePeriodSeconds"] > int(seconds) + FINISH_SECONDS + 5
    probes = {kind: one[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert one["startupProbe"]["periodSeconds"] * one["startupProbe"]["failureThreshold"] >= 65
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert {each["name"] for each in one["env"]} == set(SECRET_FILES)
    assert set(settings) <= _KNOWN_NAMES
    assert not [each for each in settings if "SECRET" in each or "DATABASE" in each]
    assert objects()["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    labels = objects()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects()["Service"]["spec"]["selector"] == labels


@pytest.mark.heavy
def test_the_manifest_is_what_kubernetes_takes() -> None:
    """Every field is one of its schemas', unknown ones refused."""
    command = installed(VALIDATOR) / "kubernetes-validate"
    said = subprocess.run(
        [command, "--strict", SERVERS / "kubernetes.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with start() as running_emulator:
        yield running_emulator


@pytest.fixture(scope="module")
def machine(emulator: RunningEmulator) -> Iterator[Host]:
    """Where containers run, with the secrets as files and an empty PostgreSQL."""
    further = dict(emulator.env("entrada"))
    secret = further.pop("ENTRADA_CLIENT_SECRET")
    with running_postgres("entrada") as address, host(further) as made:
        made.secret("client_secret", secret)
        made.secret("secret_keys", "0123456789abcdef-a-key-for-both-servers")
        made.secret("database_url", f"postgresql://postgres@{address}/entrada")
        yield made


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """Each request goes its own way."""
    with new_http(limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


def browser(http: httpx.Client, public_url: str, address: str) -> Visitor:
    unused: Any = None
    return Visitor(
        Site(public_url=public_url, address=address, auth=unused, clock=unused, database=None), http
    )


@contextmanager
def working(people: list[Visitor], address: Callable[[], str]) -> Iterator[list[str]]:
    """Everybody looks at pages throughout the block; what went wrong for whom."""
    wrong, over = list[str](), threading.Event()

    def work(visitor: Visitor) -> None:
        while not over.is_set():
            try:
                visitor.site = Site(**{**vars(visitor.site), "address": address()})
                if visitor.whoami() is None:
                    wrong.append("signed out")
            except (httpx.HTTPError, AssertionError) as failure:
                wrong.append(repr(failure)[:300])
            over.wait(0.03)

    with ThreadPoolExecutor(len(people)) as threads:
        for visitor in people:
            threads.submit(work, visitor)
        try:
            yield wrong
        finally:
            over.set()


def haproxy_of(machine: Host, port: int, servers: list[Container]) -> Path:
    """The file of the compose file, with addresses of this run in the place of the services' names."""
    text = (SERVERS / "haproxy.cfg").read_text("utf-8").replace("bind :8080", f"bind 127.0.0.1:{port}")
    for number, each in enumerate(servers, start=1):
        text = text.replace(f"entrada-{number}:8000", f"127.0.0.1:{each.port}")
    text = text.replace("resolvers container init-addr last,libc,none", "").partition("resolvers container")[
        0
    ]
    file = machine.folder / "haproxy.cfg"
    file.write_text(text)
    return file


@pytest.mark.heavy
def test_fault_18_the_compose_files_servers_behind_its_proxy_are_restarted_in_turn(
    machine: Host, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Signed in through the proxy, a person is known to both. Each is stopped and started while four people
    work through the proxy: every request is answered, and nobody is signed out."""
    public_url = f"http://localhost:{tools.free_port()}"
    environment = emulator.env("entrada")
    services = interpolated(compose_file(), {**environment, "ENTRADA_PUBLIC_URL": public_url})["services"]

    def run(name: str, *, port: int | None = None) -> Container:
        settings = {**services[name]["environment"], "ENTRADA_TRUSTED_PROXIES": "127.0.0.1"}
        return machine.run(services[name]["command"], settings, port=port)

    servers = [run("entrada-1"), run("entrada-2")]
    for each in servers:
        wait_until(lambda at=each: at.asked("/readyz") == 200, seconds=60)  # type: ignore[misc]
    port = tools.free_port()
    with ExitStack() as stack:
        command = [tools.command_path("haproxy"), "-db", "-f", str(haproxy_of(machine, port, servers))]
        running(stack, command, machine.folder, port)
        people = [browser(http, public_url, f"http://127.0.0.1:{port}") for _ in range(4)]
        for visitor in people:
            wait_until(lambda who=visitor: who.open("/auth/login").status_code == 200)  # type: ignore[misc]
            assert visitor.sign_in_as("ada@contoso.test").status_code == 303
        for each in servers:
            seen = browser(http, public_url, each.address)
            seen.jar = people[0].jar
            assert seen.whoami() is not None
        with working(people, lambda: f"http://127.0.0.1:{port}") as wrong:
            for number, old in enumerate(servers):
                assert old.stop(seconds=35) == 0
                fresh = run(f"entrada-{number + 1}", port=old.port)
                wait_until(lambda at=fresh: at.asked("/readyz") == 200, seconds=60)  # type: ignore[misc]
                # The proxy finds out for itself that it is back, before the other goes.
                threading.Event().wait(2.5)
        assert wrong == []
    for each in machine.started[-2:]:
        each.stop(seconds=35)


@pytest.mark.heavy
def test_the_manifests_pods_are_replaced_as_kubernetes_does(
    machine: Host, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Probes asked as they are written; a new pod is ready before an old one is told to go, to which no way
    leads any more when preStop is over; it ends with status 0 within the grace period. Four people who work
    meanwhile are never signed out."""
    one, settings = container(), objects()["ConfigMap"]["data"]
    public_url = f"http://localhost:{tools.free_port()}"
    theirs = {
        **emulator.env("entrada"),
        "ENTRADA_PUBLIC_URL": public_url,
        "ENTRADA_TRUSTED_PROXIES": "127.0.0.1",
    }
    environment = {name: theirs[name] for name in settings} | {
        each["name"]: each["value"] for each in one["env"]
    }

    def probed(at: Container, kind: str) -> bool:
        probe = one[f"{kind}Probe"]
        return at.asked(probe["httpGet"]["path"], seconds=probe.get("timeoutSeconds", 1)) == 200

    def up(at: Container) -> Container:
        allowed = one["startupProbe"]["periodSeconds"] * one["startupProbe"]["failureThreshold"]
        wait_until(lambda: probed(at, "startup"), seconds=allowed)
        wait_until(lambda: probed(at, "readiness"), seconds=30)
        return at

    pods = [up(each) for each in [machine.run(one["args"], environment) for _ in range(2)]]
    endpoints = list(pods)
    turn = iter(range(10**9))
    people = [browser(http, public_url, pods[number % 2].address) for number in range(4)]
    for visitor in people:
        assert visitor.sign_in_as("vi@contoso.test").status_code == 303
    with working(people, lambda: endpoints[next(turn) % len(endpoints)].address) as wrong:
        for old in pods:
            endpoints.append(up(machine.run(one["args"], environment)))
            endpoints.remove(old)
            assert probed(old, "liveness")
            # preStop waits for whoever was led here just before; here a moment is enough.
            threading.Event().wait(0.3)
            assert old.stop(seconds=pod()["terminationGracePeriodSeconds"]) == 0
            assert "Traceback" not in old.log
    assert wrong == []
    for each in endpoints:
        assert each.stop(seconds=35) == 0
