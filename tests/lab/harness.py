"""Sends attempts to a subject, judges what arrives behind it, and makes a failing attempt small.

One subject is driven one request at a time, so that what arrives belongs to what was sent; several subjects
are driven at once. Everything follows from a seed and a number.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

from .attempts import Attempt, filled
from .exchange import exchange, first_status
from .judge import Hole, judge, people_of
from .mutations import make
from .readers import Reader
from .recorder import Recorder
from .subject import Subject

_CANARY_TRIES = 3
_REMEMBERED = 2_000


_LETTERS = re.compile(rb"lab-\d+-([a-z])")
_COOKIES = re.compile(rb"@COOKIE:([a-z]+)@")


class Whole(Attempt):
    """An attempt of which only the bytes are known: its first line and the rest."""

    def template(self) -> bytes:
        return self.target + b"\r\n" + self.body


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A hole, and the smallest attempt that was found to go through it."""

    subject: str
    seed: int
    attempt: Attempt
    holes: Sequence[Hole]

    def __str__(self) -> str:
        return (
            f"{self.subject}, number {self.attempt.number} of seed {self.seed}: {self.attempt.kinds}\n"
            f"      sent:    {self.attempt.template()!r}\n"
            + "".join(f"      {hole}\n" for hole in {hole.kind: hole for hole in self.holes}.values())
        )


@dataclass(kw_only=True)
class Report:
    """`reached`: how many attempts came through, by mutation; `told`: how often each person was named."""

    subject: str
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return (
            f"{self.subject}: {self.sent} sent, {self.arrived} arrived, {len(self.failures)} holes"
            f" in {self.seconds:.0f} s; {statuses}"
        )


@dataclass(kw_only=True)
class Lab:
    """One subject, the recorder behind it, and how applications read."""

    subject: Subject
    recorder: Recorder
    readers: Sequence[Reader]
    _sent: dict[bytes, frozenset[str]] = field(default_factory=dict)
    _canaries: int = 0

    def run(self, seed: int, numbers: Iterable[int], *, most: int = 5) -> Report:
        """All of them, or until so many holes were found."""
        report = Report(subject=self.subject.name)
        begun = time.monotonic()
        for number in numbers:
            attempt = make(seed, number)
            holes, status, arrived = self.tried(attempt)
            report.sent += 1
            report.statuses[status] += 1
            if arrived:
                report.arrived += 1
                report.reached.update(attempt.kinds)
            if holes:
                small, found = self.smaller(attempt, holes)
                report.failures.append(
                    Failure(subject=self.subject.name, seed=seed, attempt=small, holes=found)
                )
                if len(report.failures) >= most:
                    break
        report.seconds = time.monotonic() - begun
        return report

    def tried(self, attempt: Attempt) -> tuple[list[Hole], int, int]:
        """The holes, the status of the first answer, and how many requests arrived."""
        for letter, people in attempt.people.items():
            self._remember(attempt.marker(letter), people)
        answer = exchange(
            self.subject.port,
            filled(attempt.template(), self.subject),
            answers=attempt.answers,
            may_hang=attempt.may_hang,
            head=attempt.method == b"HEAD",
        )
        holes, arrived = self._judged()
        if attempt.needs_canary:
            holes += self._canary()
        return holes, first_status(answer), arrived

    def replayed(self, template: bytes) -> tuple[list[Hole], int, int]:
        """The same for bytes that were printed. People are read out of their places for cookies."""
        people = {
            match[1].decode(): frozenset(name.decode() for name in _COOKIES.findall(head))
            for head in re.split(rb"(?=[A-Z]+ [^ \r\n]+ HTTP/1)", template)
            for match in _LETTERS.finditer(head)
        }
        first = _LETTERS.search(template)
        number = int(first[0].rpartition(b"-")[0].rpartition(b"-")[2]) if first else 0
        line, _, rest = template.partition(b"\r\n")
        return self.tried(Whole(number=number, target=line, body=rest, people=people, may_hang=True))

    def smaller(self, attempt: Attempt, holes: list[Hole]) -> tuple[Attempt, list[Hole]]:
        """The same hole by less, as far as parts can be left out; and what it shows then."""
        kinds = {hole.kind for hole in holes}
        found = True
        while found:
            found = False
            for less in _with_less(attempt):
                seen, _, _ = self.tried(less)
                seen = [hole for hole in seen if hole.kind in kinds]
                if seen:
                    attempt, holes, found = less, seen, True
                    break
        return attempt, holes

    def _judged(self) -> tuple[list[Hole], int]:
        arrivals = self.recorder.taken()
        holes = []
        for arrival in arrivals:
            people = people_of(arrival, self.subject, self._sent)
            holes += judge(arrival, self.subject, people, self.readers)
        return holes, len(arrivals)

    def _canary(self) -> list[Hole]:
        """A plain request of somebody else: it must arrive as it is, and get its own answer."""
        person = max(self.subject.people.values(), key=lambda one: len(one.roles))
        for _ in range(_CANARY_TRIES):
            self._canaries += 1
            marker = b"lab-%d-c" % self._canaries
            self._remember(b"X-Lab: " + marker, frozenset({person.name}))
            sent = (
                b"GET /canary/%s HTTP/1.1\r\nHost: @HOST@\r\nX-Lab: %s\r\nCookie: @COOKIE:%s@\r\n"
                b"Connection: close\r\n\r\n" % (marker, marker, person.name.encode())
            )
            answer = exchange(self.subject.port, filled(sent, self.subject))
            arrivals = self.recorder.taken()
            holes = []
            for arrival in arrivals:
                people = people_of(arrival, self.subject, self._sent)
                holes += judge(arrival, self.subject, people, self.readers)
                own = marker in arrival.raw
                if own and arrival.target.rpartition(b"/canary/")[2] != marker:
                    holes.append(
                        Hole(kind="canary", sentence="another's request arrived changed", arrival=arrival.raw)
                    )
            if b"seen lab" in answer and b"seen %s" % marker not in answer:
                holes.append(Hole(kind="canary", sentence="another's answer came back", arrival=answer))
            if sum(marker in arrival.raw for arrival in arrivals) > 1:
                holes.append(Hole(kind="canary", sentence="it arrived twice", arrival=arrivals[-1].raw))
            if holes or b"seen %s" % marker in answer:
                return holes
        return [Hole(kind="canary", sentence="a plain request gets no answer any more", arrival=answer)]

    def _remember(self, line: bytes, people: frozenset[str]) -> None:
        self._sent.pop(line.removeprefix(b"X-Lab: "), None)
        self._sent[line.removeprefix(b"X-Lab: ")] = people
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]


def _with_less(attempt: Attempt) -> Iterator[Attempt]:
    """The same attempt with one part left out or made plain."""

    def changed(**parts: object) -> Attempt:
        return replace(deepcopy(attempt), **parts)  # type: ignore[arg-type]

    if attempt.behind:
        yield changed(behind=b"", answers=1)
    if attempt.body:
        yield changed(body=b"")
    for index, line in enumerate(attempt.headers):
        if not line.startswith((b"Host: @", b"X-Lab", b"Cookie: @COOKIE")):
            yield changed(headers=[*attempt.headers[:index], *attempt.headers[index + 1 :]])
    if attempt.method != b"GET":
        yield changed(method=b"GET")
    if attempt.version != b"HTTP/1.1":
        yield changed(version=b"HTTP/1.1")
    for plain in (b"/status", b"/reports"):
        if attempt.target != plain and len(attempt.target) > len(plain):
            yield changed(target=plain)
    with_cookie = [index for index, line in enumerate(attempt.headers) if b"@COOKIE" in line]
    for index in with_cookie:
        if len(with_cookie) == 1:
            yield changed(
                headers=[*attempt.headers[:index], *attempt.headers[index + 1 :]],
                people={**attempt.people, "a": frozenset()},
            )
