"""What may not happen, whatever a client sends.

identity    an application is told of somebody whom the request's own session does not name, or of half a
            person, or in a value that the client wrote
rule        a request arrives that, in one of its readings, its person may not have
session     the session's cookie arrives where the subject promises to keep it
tunnel      an upgrade arrives after which the application would read more requests (h2c)
canary      the request of another client, sent afterwards, arrives changed, twice, or is answered with
            somebody else's response
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .attempts import MARKER
from .oracle import OVERRIDES, may
from .readers import Reader, View
from .recorder import Arrival
from .subject import FORGED, Person, Subject

_SOMEBODY_S = ("ada@contoso.test", "Admin")
"""What else clients write into fields of their own making."""


@dataclass(frozen=True, kw_only=True)
class Hole:
    kind: str
    sentence: str
    arrival: bytes

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}\n      arrived: {self.arrival[:2000]!r}"


def judge(
    arrival: Arrival, subject: Subject, people: Iterable[Person], readers: Iterable[Reader]
) -> list[Hole]:
    """The holes through which this request has come; `people` are those whose cookie it carried."""
    people = tuple(people)
    holes = []
    for read in readers:
        view = read(arrival)
        if view is not None:
            holes += [Hole(kind=kind, sentence=f"{sentence} ({view.reader})", arrival=arrival.raw)
                      for kind, sentence in _of_view(view, subject, people)]  # fmt: skip
    upgrades = b",".join(arrival.values(b"upgrade")).lower()
    if b"h2c" in upgrades or b"http/2" in upgrades:
        holes.append(Hole(kind="tunnel", sentence="an upgrade to h2c arrived", arrival=arrival.raw))
    if not subject.keeps_cookie:
        cookies = b";".join(arrival.values(b"cookie"))
        for person in subject.people.values():
            if person.cookie in cookies:
                sentence = f"the session cookie of {person.name} arrived"
                holes.append(Hole(kind="session", sentence=sentence, arrival=arrival.raw))
    return holes


def _of_view(view: View, subject: Subject, people: tuple[Person, ...]) -> list[tuple[str, str]]:
    told = [(name, value) for name, value in view.variables if subject.is_identity(name) and value]
    person: Person | None = None
    if told:
        person = next((one for one in people if all(_is_of(one, *field) for field in told)), None)
        if person is None:
            return [("identity", f"the application was told {told}, its people are {_names(people)}")]
        names = {name for name, _ in told}
        missing = [name for name in subject.told if _fact(person, name) and name not in names]
        if missing:
            return [("identity", f"of {person.name} the application was not told {missing}")]
    overrides = {value.strip().upper() for name, value in view.variables if name in OVERRIDES}
    for method in {view.method, view.method.upper(), *overrides}:
        for path in view.paths:
            if not may(person, method, path, subject.rules):
                who = "nobody" if person is None else person.name
                return [("rule", f"{method} {path[:200]!r} arrived for {who}")]
    return []


def _fact(person: Person, name: str) -> str | None:
    return person.facts.get(name.rpartition("_")[2])


def _is_of(person: Person, name: str, value: str) -> bool:
    known = _fact(person, name)
    if known is not None:
        return value == known
    return FORGED not in value and value not in _SOMEBODY_S


def _names(people: tuple[Person, ...]) -> str:
    return " and ".join(person.name for person in people) or "nobody"


def people_of(arrival: Arrival, subject: Subject, sent: dict[bytes, frozenset[str]]) -> tuple[Person, ...]:
    """Whose cookies the client put into this request, by its marker; without one, nobody's."""
    markers = [match[0] for match in MARKER.finditer(arrival.raw.partition(b"\r\n\r\n")[0])]
    if len(set(markers)) != 1:
        return ()
    return tuple(subject.people[name] for name in sorted(sent.get(markers[0], ())))
