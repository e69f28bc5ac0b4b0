"""A translation under way: each step takes the options that it is about, and says what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from entrada.cli.import_oauth2_proxy.options import Configuration, Header, Said, Upstream
from entrada.cli.import_oauth2_proxy.remarks import STANDING, Remark, Verdict
from entrada.cli.import_oauth2_proxy.typed import refuse

Entry = str | bool | Sequence[str] | Mapping[str, str]


class Draft:
    """A translation under way: each step takes the options it is about."""

    def __init__(self, configuration: Configuration, public_url: str | None) -> None:
        self._left = {said.option: said for said in configuration.said}
        self.upstreams = list(configuration.upstreams)
        self.headers = configuration.headers
        self.public_url = public_url
        self.settings: dict[str, Entry] = {}
        self.rules: list[Mapping[str, Entry]] = []
        self.routes: list[Mapping[str, Entry]] = []
        self.remarks: list[Remark] = []
        self.tenants: Sequence[str] = ()
        self.asked_everywhere: Mapping[str, Entry] = {}
        """What a rule for everything that is not public asks for."""
        self.client_secret: str | None = None
        self.host, self.port = "127.0.0.1", 4180

    def take(self, option: str) -> Said | None:
        return self._left.pop(option, None)

    def says(self, option: str) -> bool:
        return option in self._left

    def remark(self, verdict: Verdict, about: Said | Upstream | Header, sentence: str) -> None:
        self.remarks.append(Remark(verdict=verdict, place=about.place, sentence=sentence))

    def say_the_rest(self) -> None:
        for option, said in self._left.items():
            standing = STANDING.get(option)
            if standing is None:
                self.remark(
                    Verdict.NONE, said, "It belongs to another identity provider, or to its own pages."
                )
            elif standing.unless is not None and said.value == standing.unless:
                self.remark(Verdict.NEEDLESS, said, "That is how Entrada does it.")
            else:
                self.remark(standing.verdict, said, standing.sentence)


def read_as(said: Said, read: Callable[[object], object], value: str | None = None) -> object:
    """What a reader of our settings makes of it; its objection with the place."""
    try:
        return read(said.text if value is None else value)
    except ValueError as error:
        refuse(said.place, f"cannot be used: {error}.", "Mend it, or delete it and set it in entrada.toml.")
