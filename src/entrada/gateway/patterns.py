"""Patterns of paths and hosts, small enough that one can be seen to cover another.

    /admin            that path, and with a slash at its end
    /admin/**         it and everything below it
    /api/*/status     one segment, whatever it is
    tool.contoso.com  that host, at any port; with a port at that one alone
    *.contoso.com     every host below, not the domain itself

No regular expressions: `^/api/.*/status` also matches what its author never thought of (D4), and nobody can
say whether one of them covers another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from entrada.errors import AmbiguousRequest
from entrada.gateway.paths import folded_segment

ANY = "*"
_SYNTAX = re.compile(r"[\\%;#?\x00-\x1f\x7f]")
_HOST = re.compile(r"(?P<name>[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, kw_only=True)
class PathPattern:
    """`segments` in order, `*` for any one; `and_below`: and whatever follows."""

    segments: tuple[str, ...] = ()
    and_below: bool = True

    @property
    def is_everything(self) -> bool:
        return self.and_below and not self.segments

    def matches(self, segments: tuple[str, ...]) -> bool:
        return self._fits(self.segments, segments)

    def matches_folded(self, folded: tuple[str, ...]) -> bool:
        """As `matches`, for a reader that does not distinguish case and the like."""
        return self._fits(tuple(map(folded_segment, self.segments)), folded)

    def covers(self, other: PathPattern) -> bool:
        """Whether everything that `other` matches is matched by this one, too."""
        return (self.and_below or not other.and_below) and self._fits(self.segments, other.segments)

    def _fits(self, wanted: tuple[str, ...], found: tuple[str, ...]) -> bool:
        if len(found) < len(wanted) or (len(found) > len(wanted) and not self.and_below):
            return False
        return all(want in (ANY, have) for want, have in zip(wanted, found, strict=False))

    def __str__(self) -> str:
        return "/" + "/".join((*self.segments, "**") if self.and_below else self.segments)


EVERYTHING = PathPattern()


def parse_path_pattern(text: str) -> PathPattern:
    """
    Raises:
        ValueError: no pattern; says what to write instead.
    """
    if not text.startswith("/"):
        raise ValueError("a path begins with /")
    if found := _SYNTAX.search(text):
        raise ValueError(
            f"{found[0]!r} cannot stand in a path here; write the path as people read it, decoded"
        )
    segments = text[1:].split("/")
    if segments[-1] == "":
        segments.pop()
    and_below = bool(segments) and segments[-1] == "**"
    if and_below:
        segments.pop()
    for segment in segments:
        if not segment.strip(". "):
            raise ValueError("no segment is empty or made of dots")
        if ANY in segment and segment != ANY:
            raise ValueError("* stands for one whole segment, and /** at the end for everything below")
    return PathPattern(segments=tuple(segments), and_below=and_below)


@dataclass(frozen=True, kw_only=True)
class HostPattern:
    """`name` in lower case; `below`: every host below it instead. `port` None: any."""

    name: str
    below: bool = False
    port: int | None = None

    def matches(self, host: Host) -> bool:
        if self.port is not None and host.port != self.port:
            return False
        return host.name.endswith("." + self.name) if self.below else host.name == self.name

    def covers(self, other: HostPattern) -> bool:
        if self.port not in (None, other.port) or (other.below and not self.below):
            return False
        if not self.below:
            return self.name == other.name
        return other.name.endswith("." + self.name) or (other.below and self.name == other.name)

    def meets(self, other: HostPattern) -> bool:
        """Whether some host is matched by both."""
        if None not in (self.port, other.port) and self.port != other.port:
            return False
        one = HostPattern(name=self.name, below=self.below)
        two = HostPattern(name=other.name, below=other.below)
        return one.covers(two) or two.covers(one)

    def __str__(self) -> str:
        return ("*." if self.below else "") + self.name + ("" if self.port is None else f":{self.port}")


@dataclass(frozen=True, kw_only=True)
class Host:
    """The host of a request: `name` in lower case, `port` None where none was named."""

    name: str
    port: int | None


def read_host(text: str) -> Host:
    """The value of a Host field.

    Raises:
        AmbiguousRequest: anything but a name or address and perhaps a port (D6); also a dot at its end.
    """
    match = _HOST.fullmatch(text.lower())
    if match is None or not text.isascii():
        raise AmbiguousRequest("its host")
    return Host(name=match["name"], port=int(match["port"]) if match["port"] else None)


def parse_host_pattern(text: str) -> HostPattern:
    """
    Raises:
        ValueError: no host; says what to write instead.
    """
    below = text.startswith("*.")
    try:
        host = read_host(text[2:] if below else text)
    except AmbiguousRequest:
        raise ValueError(
            "a host is a name such as tool.contoso.com or *.contoso.com, without https://"
        ) from None
    if host.port is not None and not 0 < host.port < 65_536:
        raise ValueError("a port is a number from 1 to 65535")
    return HostPattern(name=host.name, below=below, port=host.port)
