"""Where Entrada's CPU goes in a sign-in: the walk in this process, each step with a timer of its own.

The steps are timed by the CPU clock of the thread that runs them. What a whole `entrada serve` needs beyond
the walk is the server: parsing HTTP, the framework, and two hops to a thread and back.
"""

from __future__ import annotations

import functools
import logging
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bench.browser import PAGE_VISIT, Browser
from bench.figures import Report
from bench.peers import entrada_environment
from bench.provider import Provider, start_provider
from entrada.build import build_auth_routes
from entrada.entra.application import EntraApplication
from entrada.entra.pooled_transport import PooledTransport
from entrada.flows.groups import GroupFinder
from entrada.flows.identification import Identification
from entrada.flows.sign_in import SignIn
from entrada.settings import load_settings
from entrada.storage.sql import SqlSealedSignIns
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import WebRequest
from entrada.web.pending_cookies import PendingCookies

STEPS: tuple[tuple[str, type, Callable[..., Any]], ...] = (
    ("authorization request (MSAL)", EntraApplication, EntraApplication.begin),
    ("pending sign-in: seal", PendingCookies, PendingCookies.remember),
    ("pending sign-in: open", PendingCookies, PendingCookies.find),
    ("answer taken once (SQLite)", Identification, Identification._take),
    ("code redeemed (MSAL)", EntraApplication, EntraApplication.redeem),
    ("  of it HTTPS", PooledTransport, PooledTransport.send),
    ("ID token verified", Identification, Identification._verify),
    ("groups", GroupFinder, GroupFinder.of_person),
    ("account (SQLite)", SignIn, SignIn._admit),
    ("sealed for asking again (SQLite)", SqlSealedSignIns, SqlSealedSignIns.remember),
    ("session (SQLite)", SignIn, SignIn._open_session),
)
WHOLE = "the walk, both requests"
HOST = "localhost:8000"
CROWD = 20


def breakdown(folder: Path, *, smoke: bool) -> Report:
    """The steps alone, without peers: what there is to run while one of them is worked on."""
    count = 5 if smoke else 300
    provider = start_provider(folder, people=CROWD)
    with provider.server:
        steps = microseconds_by_step(provider, folder, count=count)
    whole = steps[WHOLE]
    return Report(
        name="breakdown",
        title=f"Entrada's walk in one thread, without a server; medians of {count} sign-ins",
        columns=("", "CPU µs", "of the walk"),
        rows=[(label, f"{spent:,.0f}", f"{spent / whole:.2f}") for label, spent in steps.items()],
        remarks=[],
        figures={"steps_us": steps},
    )


def microseconds_by_step(provider: Provider, folder: Path, *, count: int) -> dict[str, float]:
    """Microseconds of CPU for each step, medians over so many sign-ins after a few that do not count."""
    (folder / "breakdown").mkdir()
    settings, found = load_settings(entrada_environment(provider, folder / "breakdown", 8000))
    logging.getLogger("entrada").setLevel(logging.ERROR)
    auth = build_auth_routes(settings, found)
    spent: dict[str, list[float]] = defaultdict(list)
    browser = Browser((provider.https_url, provider.http_url))
    try:
        with timed_steps(spent):
            for number in range(count + 10):
                walk(auth, f"person{number % CROWD}@contoso.test", browser)
    finally:
        browser.close()
        auth.relying_party.close()
    warm = {name: times[-count * (len(times) // (count + 10)) :] for name, times in spent.items()}
    result = {name: statistics.median(warm[name]) * 1e6 for name, _, _ in STEPS}
    halves = warm[WHOLE]
    result[WHOLE] = statistics.median(a + b for a, b in zip(halves[::2], halves[1::2], strict=True)) * 1e6
    return result


def walk(auth: AuthRoutes, person: str, browser: Browser) -> None:
    """One sign-in by calls: no server, only the provider is asked over the network."""
    headers = {"host": HOST, **PAGE_VISIT}
    begun = auth.handle(WebRequest(method="GET", path="/auth/entra/start", query="next=/", headers=headers))
    said = dict(begun.headers)
    _, location, _ = browser.visit(f"{said['location']}&login_hint={quote(person)}&_emulator_approve=1")
    browser.forget()
    back, cookie = urlsplit(location), said["set-cookie"].partition(";")[0]
    done = auth.handle(
        WebRequest(method="GET", path=back.path, query=back.query, headers={**headers, "cookie": cookie})
    )
    assert done.status == 303, done


@contextmanager
def timed_steps(spent: dict[str, list[float]]) -> Iterator[None]:
    """Every step notes the CPU it used while this lasts."""
    places = [*STEPS, (WHOLE, AuthRoutes, AuthRoutes.handle)]
    for label, owner, function in places:
        setattr(owner, function.__name__, _timed(function, spent[label]))
    try:
        yield
    finally:
        for _, owner, function in places:
            setattr(owner, function.__name__, function)


def _timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        before = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            times.append(time.thread_time() - before)

    return timed
