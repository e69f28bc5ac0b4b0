"""One attempt: a request as parts, so that it can be mutated, made smaller, and written as bytes again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .subject import Subject

MARKER = re.compile(rb"lab-(\d+)-([a-z])")


@dataclass(kw_only=True)
class Attempt:
    """Heads hold `@HOST@` and `@COOKIE:name@`, which the subject's own take the place of.

    `people` says by the letter of a request's marker whose cookies that request carries: `a` is the request
    itself, `h` one hidden in its body, `p` one sent behind it.
    """

    number: int
    method: bytes = b"GET"
    target: bytes = b"/"
    version: bytes = b"HTTP/1.1"
    headers: list[bytes] = field(default_factory=list)
    body: bytes = b""
    behind: bytes = b""
    people: dict[str, frozenset[str]] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    answers: int = 1
    may_hang: bool = False

    def template(self) -> bytes:
        """The bytes, with places for what differs between two runs."""
        line = b" ".join(part for part in (self.method, self.target, self.version) if part)
        return b"\r\n".join([line, *self.headers, b"", b""]) + self.body + self.behind

    def marker(self, letter: str) -> bytes:
        return b"X-Lab: lab-%d-%s" % (self.number, letter.encode())

    @property
    def needs_canary(self) -> bool:
        """Whether it could leave something on a connection that others use."""
        return bool(self.body or self.behind or self.may_hang)


def filled(template: bytes, subject: Subject) -> bytes:
    text = template.replace(b"@HOST@", subject.host.encode())
    for person in subject.people.values():
        text = text.replace(b"@COOKIE:%s@" % person.name.encode(), person.cookie)
    return text
