"""By which names the administrator of this machine calls the settings: the one renderer of them.

Below, an error carries a setting as a marker (`$[client_id]`); here the marker becomes the variable or the
entry of `entrada.toml` that the person wrote, or the name on the page that they follow.
A sentence about our name helps nobody who has set ACTIVE_DIRECTORY_CLIENT_SECRET.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from entrada.errors import EntradaError, named, native_name


@dataclass(frozen=True, kw_only=True)
class Names:
    """`used`: setting → the name its value was found under. `usual`: the names on a product's own page."""

    used: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, setting: str) -> str:
        """The name the person used; for what nobody has set, the one they would."""
        return self.used.get(setting) or self.usual.get(setting) or native_name(setting)

    def put_into(self, text: str) -> str:
        return named(text, self)

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Whatever is raised inside calls settings by these names."""
        try:
            yield
        except EntradaError as error:
            error.name_settings(self)
            raise
