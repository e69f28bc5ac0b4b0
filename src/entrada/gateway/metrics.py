"""What `/metrics` tells, by prometheus-client.

    entrada_decisions_total{rule,result}       what the rules said: rule as in the settings file
    entrada_fast_path_answers_total            of these, how many the fast path gave
    entrada_requests_total{part,status}        responses by class: 2xx to 5xx, or gone
    entrada_request_seconds{part}              until the response begins; not of the fast path's
    entrada_sign_ins_total{outcome}            completed, or the code of the refusal
    entrada_sessions                           within their limits, as the database had them when last counted
    entrada_key_age_seconds{keys}              since Entra's were read; of the newest assertion key
    entrada_access_ended_total{found_by}       people out because of what Entra said: recheck, delta or batch
    entrada_access_ended_seconds{found_by}     at most how long they had stayed: since the last good look
    entrada_directory_lag_seconds{tenant}      since Graph last said everything that changed there
    entrada_directory_problem{tenant}          1 while a part of it is not said; the log says why
    entrada_store_seconds{operation}           calls of the store, with waiting for a connection
    entrada_store_up                           whether the store answered this look

No label is a visitor's: rules, operations and tenants are ours, results and codes are lists in the code.

The fast path adds one to an integer; `collect` moves those into the counters. Several processes share a
folder, in which each has a place, and each answers for all of them; a replacement counts on in its place.

Source: prometheus/client_python, "Multiprocess Mode (E.g. Gunicorn)".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from time import perf_counter
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.types import Scope

from entrada.build.stores import Stores
from entrada.clock import Clock
from entrada.errors import StoreUnavailable
from entrada.events import Event
from entrada.flows.session_count import SessionCount
from entrada.flows.tenant_watch import DirectoryStore
from entrada.gateway.outcome import FastCount, Outcome, label_of
from entrada.gateway.rules import Decision
from entrada.sessions.store import SessionStore

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_LEFT_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 86400.0)
_ENDED = {Event.SIGN_IN_COMPLETED: "completed", Event.SIGN_IN_REFUSED: "refused"}

KeyTimes = Callable[[], Mapping[str, "datetime | None"]]
"""By name: since when keys are held."""


@dataclass(frozen=True, kw_only=True)
class SharedFolder:
    """Where several processes count together; no two that run at once have the same place."""

    path: str
    place: int


def process_gone(shared: SharedFolder) -> None:
    """Its counters stay; what it said of its present is over."""
    mark_process_dead(shared.place, shared.path)  # type: ignore[no-untyped-call]  # prometheus-client's own


class Metrics:
    """The counters of this process, and the answer for all processes."""

    def __init__(self, *, clock: Clock, shared: SharedFolder | None = None) -> None:
        # The library decides by its environment when it is imported; here it is said for each process.
        if shared is None:
            values.ValueClass = values.MutexValue
        else:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared.path
            values.ValueClass = values.MultiProcessValue(lambda: shared.place)  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._clock = clock
        self._registry = registry
        self._key_times: KeyTimes = dict
        self.fast: dict[str, FastCount] = {}
        """What the fast path counts, by the label of the rule."""
        self._fast_seen: dict[str, int] = {}
        self._collecting = threading.Lock()
        self._decisions = Counter(
            "entrada_decisions", "Decisions by rule and result.", ["rule", "result"], registry=registry
        )
        self._fast_answers = Counter(
            "entrada_fast_path_answers", "Decisions that the fast path gave.", registry=registry
        )
        self._requests = Counter(
            "entrada_requests", "Responses by part and class.", ["part", "status"], registry=registry
        )
        self._seconds = Histogram(
            "entrada_request_seconds",
            "Seconds until the response begins.",
            ["part"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._sign_ins = Counter(
            "entrada_sign_ins", "Sign-ins that came to an end.", ["outcome"], registry=registry
        )
        self._access_ended = Counter(
            "entrada_access_ended", "People out because of what Entra said.", ["found_by"], registry=registry
        )
        self._left_seconds = Histogram(
            "entrada_access_ended_seconds",
            "At most how long they had stayed since they left.",
            ["found_by"],
            buckets=_LEFT_SECONDS,
            registry=registry,
        )
        self._key_age = Gauge(
            "entrada_key_age_seconds",
            "Seconds since Entra's signing keys were read; age of the newest assertion key.",
            ["keys"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._store_seconds = Histogram(
            "entrada_store_seconds",
            "Seconds that calls of the store took.",
            ["operation"],
            buckets=_STORE_SECONDS,
            registry=registry,
        )
        self._told = registry
        if shared is not None:
            self._told = CollectorRegistry()
            MultiProcessCollector(self._told, path=shared.path)  # type: ignore[no-untyped-call]  # prometheus-client's own

    def watch(self, sessions: SessionStore, key_times: KeyTimes) -> None:
        """Also tell of these sessions and keys."""
        self._key_times = key_times
        self._told.register(_Sessions(sessions, self._clock))

    def watch_directories(self, store: DirectoryStore[Any]) -> None:
        """Also tell how far those directories were read, by whichever server."""
        self._told.register(_Directories(store, self._clock))

    def timed(self, stores: Stores) -> Stores:
        """The same stores, every call of them timed."""
        return replace(
            stores,
            accounts=cast(Any, _Timed(stores.accounts, self._store_seconds)),
            sessions=cast(Any, _Timed(stores.sessions, self._store_seconds)),
            sealed_sign_ins=cast(Any, _Timed(stores.sealed_sign_ins, self._store_seconds)),
        )

    def request_finished(self, outcome: Outcome, _: Scope) -> None:
        """For `Observed`."""
        if outcome.part != "own":
            self._decisions.labels(label_of(outcome.rule), outcome.result or "refused").inc()
        status = "gone" if outcome.status is None else f"{outcome.status // 100}xx"
        self._requests.labels(outcome.part, status).inc()
        if outcome.answered is not None:
            self._seconds.labels(outcome.part).observe(outcome.answered - outcome.started)

    def event(self, event: Event, fields: Mapping[str, object]) -> None:
        """For `entrada.events.subscribe`."""
        if event in _ENDED:
            code = fields.get("code") if event is Event.SIGN_IN_REFUSED else None
            self._sign_ins.labels(str(code or _ENDED[event])).inc()
        if event is Event.ACCESS_ENDED:
            found_by, seconds = str(fields.get("found_by") or "broker"), fields.get("seconds")
            self._access_ended.labels(found_by).inc()
            if isinstance(seconds, float):
                self._left_seconds.labels(found_by).observe(seconds)

    def collect(self) -> None:
        """Move what the fast path has counted into the counters, and say how old the keys are."""
        with self._collecting:
            for label, counted in list(self.fast.items()):
                more = counted.count - self._fast_seen.get(label, 0)
                if more:
                    self._fast_seen[label] = self._fast_seen.get(label, 0) + more
                    self._decisions.labels(label, Decision.ALLOWED.value).inc(more)
                    self._requests.labels("check", "2xx").inc(more)
                    self._fast_answers.inc(more)
            now = self._clock.now()
            for name, since in self._key_times().items():
                if since is not None:
                    self._key_age.labels(name).set((now - since).total_seconds())

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The answer to a scrape in the format it accepts, and that format's media type. Asks the store."""
        self.collect()
        encode, media_type = choose_encoder(accept)
        return encode(self._told), media_type


class _Sessions(Collector):
    def __init__(self, sessions: SessionStore, clock: Clock) -> None:
        self._count = SessionCount(sessions=sessions, clock=clock)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        is_up = True
        try:
            count = self._count.read()
        except StoreUnavailable:
            is_up = False
        else:
            yield GaugeMetricFamily("entrada_sessions", "Sessions within their limits.", count)
        yield GaugeMetricFamily("entrada_store_up", "Whether the store answered.", float(is_up))


class _Directories(Collector):
    def __init__(self, store: DirectoryStore[Any], clock: Clock) -> None:
        self._store, self._clock = store, clock

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "entrada_directory_lag_seconds", "Since Graph said everything that changed.", labels=["tenant"]
        )
        problem = GaugeMetricFamily(
            "entrada_directory_problem", "Whether a part of it is not said.", labels=["tenant"]
        )
        try:
            positions = self._store.positions()
        except StoreUnavailable:
            positions = ()
        now = self._clock.now()
        for position in positions:
            if position.looked_at is not None:
                lag.add_metric([position.tenant_id], (now - position.looked_at).total_seconds())
            problem.add_metric([position.tenant_id], float(position.problem is not None))
        yield lag
        yield problem


class _Timed:
    """A store whose methods are timed by their names; made on first use, then plain attributes."""

    def __init__(self, store: Any, seconds: Histogram) -> None:
        self._store, self._seconds = store, seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found
        seconds = self._seconds.labels(name)

        @wraps(found)
        def timed(*arguments: Any, **named: Any) -> Any:
            started = perf_counter()
            try:
                return found(*arguments, **named)
            finally:
                seconds.observe(perf_counter() - started)

        setattr(self, name, timed)
        return timed
