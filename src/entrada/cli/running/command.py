"""The command of an application as it is started: with its address, the variables and options that it needs.

    prepare(words, environ, place)    -> Prepared, or one sentence about what contradicts

`{port}`, `{host}` and `{socket}` in the words are put in. Nothing that somebody wrote on the line or set for
the product is overridden: a contradiction stops the start. None of our own settings go to the application,
secrets first of all.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from entrada.cli.running.products import HOST, OTHERS_FIXED, PRODUCTS, Product
from entrada.errors import NATIVE_PREFIX, ConfigurationError

PORT, SOCKET = "{port}", "{socket}"
_PLACEHOLDERS = (PORT, "{host}", SOCKET)
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_LAUNCHERS = frozenset(
    {"uv", "uvx", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "conda", "env", "nice"}
)
_NOT_HANDED_ON = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_BY_NAME = {product.name: product for product in PRODUCTS}


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A product, and where in the words the name of its program and its subcommand stand."""

    product: Product
    program: int
    subcommand: int | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the application is to listen, for us alone. `socket` None: at the port."""

    port: int
    socket: Path | None
    public_url: str
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def upstream(self) -> str:
        return f"http://{HOST}:{self.port}" if self.socket is None else f"unix:{self.socket}"

    def __str__(self) -> str:
        return f"{HOST}:{self.port}" if self.socket is None else str(self.socket)

    def put_into(self, text: str) -> str:
        public = urlsplit(self.public_url)
        public_port = public.port or (443 if public.scheme == "https" else 80)
        return (
            text.replace(PORT, str(self.port))
            .replace("{host}", HOST)
            .replace(SOCKET, str(self.socket or ""))
            .replace("{public_host}", public.netloc)
            .replace("{public_name}", public.hostname or "")
            .replace("{public_port}", str(public_port))
            .replace("{secret}", self.secret)
        )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    words: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


def recognise(words: Sequence[str]) -> Recognised | None:
    """Which product these words start: by its own command, `python -m`, or behind a launcher such as uv."""
    for at in _programs(words):
        product = _BY_NAME.get(_name(words[at]))
        if product is None:
            continue
        if not product.subcommands and any(word.endswith(".py") for word in words[at + 1 : at + 2]):
            return Recognised(product=product, program=at, subcommand=None)
        for place in range(at + 1, len(words)):
            if words[place] in product.subcommands:
                return Recognised(product=product, program=at, subcommand=place)
    return None


def title_of(words: Sequence[str]) -> str:
    """What to call it in a sentence."""
    found = recognise(words)
    return _name(words[0]) if found is None else found.product.title


def wants_socket(words: Sequence[str]) -> bool:
    """Whether it listens at a unix socket, which nobody else on this machine reaches.

    Raises:
        ConfigurationError: it is told both.
    """
    says_socket, says_port = (any(mark in word for word in words) for mark in (SOCKET, PORT))
    if says_socket and says_port:
        raise ConfigurationError(
            "The command holds both {socket} and {port}, but is to listen at one address.",
            hint="Keep {socket} if the application can listen at a unix socket.",
        )
    found = recognise(words)
    return says_socket or (found is not None and found.product.takes_socket and not says_port)


def free_port() -> int:
    """A port of this machine that nobody listens at right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def prepare(words: Sequence[str], environ: Mapping[str, str], place: Place) -> Prepared:
    """
    Raises:
        ConfigurationError: the line or the environment says another address than we do.
    """
    found = recognise(words)
    environment = {
        name: value
        for name, value in environ.items()
        if not name.startswith(NATIVE_PREFIX) and name not in _NOT_HANDED_ON
    }
    if found is None:
        usual = {name: text for product in PRODUCTS for name, text in product.usual.items()}
        fixed = {name: text for product in PRODUCTS for name, text in product.fixed.items()}
        fixed.update(OTHERS_FIXED)
    else:
        usual, fixed = dict(found.product.usual), dict(found.product.fixed)
        _check_options(words, found.product)
        _check_environment(environment, fixed, place, found.product)
        words = _with_options(words, found)
    for name, text in usual.items():
        environment.setdefault(name, place.put_into(text))
    if place.socket is not None:
        fixed = {name: text for name, text in fixed.items() if PORT not in text and "{host}" not in text}
    environment.update({name: place.put_into(text) for name, text in fixed.items()})
    return Prepared(words=[place.put_into(word) for word in words], environment=environment)


def _check_options(words: Sequence[str], product: Product) -> None:
    for at, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if word == "--":
            return
        if name not in product.ours:
            continue
        following = value if has_value else " ".join(words[at + 1 : at + 2])
        if not any(mark in following for mark in _PLACEHOLDERS):
            raise ConfigurationError(
                f"The command says {name}, which `entrada run` chooses for {product.title}.",
                hint=f"Leave {name} out: another value would lead around the sign-in, or nowhere.",
            )


def _check_environment(
    environment: Mapping[str, str], fixed: Mapping[str, str], place: Place, product: Product
) -> None:
    for name, text in fixed.items():
        if environment.get(name, place.put_into(text)) != place.put_into(text):
            raise ConfigurationError(
                f"{name} is set, which `entrada run` chooses for {product.title}.",
                hint=f"Unset {name}: another value would lead around the sign-in, or nowhere.",
            )


def _with_options(words: Sequence[str], found: Recognised) -> Sequence[str]:
    own = words[: words.index("--")] if "--" in words else words
    said = {word.partition("=")[0] for word in own}
    further = [
        word
        for option in found.product.options
        if not said.intersection((option.words[0], *option.unless))
        for word in option.words
    ]
    at = found.program if found.subcommand is None else found.subcommand
    return [*words[: at + 1], *further, *words[at + 1 :]]


def _programs(words: Sequence[str]) -> Iterator[int]:
    """The places in the words at which the name of a program may stand."""
    first = _name(words[0])
    if first in _BY_NAME:
        yield 0
    elif _PYTHON.fullmatch(first):
        yield from (at + 1 for at, word in enumerate(words[:-1]) if word == "-m")
    elif first in _LAUNCHERS:
        yield from range(1, len(words))


def _name(word: str) -> str:
    name = PurePath(word).name
    return name.removesuffix(".exe")
