"""What the lab is told of the thing that it tries: data alone, so that any authorization server can be tried.

A subject is an address to send requests to (a proxy in front, or a server that is one itself), the people who
are signed in there, by their cookie, and what an application behind may be told of each. The rules are the
lab's own reading of `RULES`; a settings file in Entrada's form is made of them, and whoever tries another
server writes them down there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FORGED = "mallory"
"""Stands in every value that a client writes into a field of its own making."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """`facts`: what may be told of them, by the last word of a field's name (`EMAIL`)."""

    name: str
    cookie: bytes
    roles: frozenset[str]
    facts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class LabRule:
    """`below`: the path and everything under it. `whom`: anybody, signed-in, nobody, or a role."""

    path: str
    whom: str
    below: bool = True
    methods: frozenset[str] | None = None

    def fits(self, method: str, path: str) -> bool:
        if self.methods is not None and method not in self.methods:
            return False
        return path.rstrip("/") == self.path or (self.below and path.startswith(f"{self.path}/"))


RULES = (
    LabRule(path="/status", whom="anybody", below=False),
    LabRule(path="/assets", whom="anybody", methods=frozenset({"GET", "HEAD"})),
    LabRule(path="/internal", whom="nobody"),
    LabRule(path="/admin", whom="Admin"),
    LabRule(path="/reports", whom="Admin", methods=frozenset({"DELETE"})),
)
"""The first that fits decides; where none fits, a signed-in person is asked for."""


def in_entrada_s_form(rules: tuple[LabRule, ...] = RULES) -> str:
    """The same rules as tables of a settings file."""
    lines: list[str] = []
    for rule in rules:
        lines += ["[[rules]]", f'path = "{rule.path}{"/**" if rule.below else ""}"']
        if rule.methods is not None:
            lines.append(f"methods = {sorted(rule.methods - {'HEAD'})}")
        access = {"anybody": 'access = "public"', "nobody": 'access = "deny"'}.get(rule.whom)
        lines.append(access or f'roles = ["{rule.whom}"]')
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`host` is what the client writes into Host. `upstream_port`: where the subject finds its application.

    `told`: the names that the subject tells an application of everybody, all of them or none, folded as CGI
    does. `believed`: other names, and beginnings of names with a `*`, that no client may write.
    `keeps_cookie`: the session's cookie reaches the application, as it does behind most proxies that ask.
    """

    name: str
    port: int
    host: str
    upstream_port: int
    people: Mapping[str, Person]
    told: tuple[str, ...]
    believed: tuple[str, ...] = ()
    rules: tuple[LabRule, ...] = RULES
    keeps_cookie: bool = True

    def is_identity(self, variable: str) -> bool:
        return any(
            variable.startswith(name[:-1]) if name.endswith("*") else variable == name
            for name in (*self.told, *self.believed)
        )
