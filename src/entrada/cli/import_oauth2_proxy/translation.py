"""oauth2-proxy's configuration as ours, with a remark about every line of it.

    provider → registration → addresses → hops → who comes in → what is public → upstreams → the rest

**Nothing that kept somebody out is dropped in silence.** What restricts and has a counterpart becomes it;
what restricts and has none becomes something stricter (`roles_required`), or stands among the remarks as
dangerous. What let somebody in without Entra (addresses, passwords, foreign tokens, regular expressions of
which nobody can say what they match) is left out: there a sign-in is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from entrada.cli.import_oauth2_proxy.draft import Draft, Entry, read_as
from entrada.cli.import_oauth2_proxy.options import Configuration
from entrada.cli.import_oauth2_proxy.people import people
from entrada.cli.import_oauth2_proxy.places import public_paths, upstreams
from entrada.cli.import_oauth2_proxy.registration import (
    addresses,
    client,
    hops,
    listening,
    provider,
    tenant,
)
from entrada.cli.import_oauth2_proxy.remarks import Remark, Verdict
from entrada.cli.import_oauth2_proxy.typed import refuse
from entrada.settings.values import read_line

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_USUAL_IDLE_SECONDS = 8 * 3600


@dataclass(frozen=True, kw_only=True)
class Translation:
    """`settings`, `rules` and `routes` as they stand in entrada.toml; where to listen is the command's."""

    settings: Mapping[str, Entry]
    rules: Sequence[Mapping[str, Entry]]
    routes: Sequence[Mapping[str, Entry]]
    remarks: Sequence[Remark]
    host: str
    port: int
    client_secret: str | None = field(repr=False)


def translate(configuration: Configuration, *, public_url: str | None = None) -> Translation:
    """
    Raises:
        ConfigurationError: it cannot become a configuration of ours; with the file, the line and the fix.
    """
    draft = Draft(configuration, public_url)
    for step in _STEPS:
        step(draft)
    draft.say_the_rest()
    return Translation(
        settings=draft.settings,
        rules=draft.rules,
        routes=draft.routes,
        remarks=sorted(draft.remarks, key=lambda remark: (remark.place.file, remark.place.line or 0)),
        host=draft.host,
        port=draft.port,
        client_secret=draft.client_secret,
    )


def _sessions(draft: Draft) -> None:
    said = draft.take("cookie_expire")
    if said is None:
        return
    parts = _DURATION.findall(said.text)
    if "".join(number + unit for number, unit in parts) != said.text and said.text != "0":
        refuse(said.place, "is no duration.", "Write one such as 8h or 168h.")
    seconds = round(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    if seconds < 1:
        draft.remark(
            Verdict.NEEDLESS, said, "The cookie always ends with the browser, and the session on the server."
        )
        return
    draft.settings["session_absolute"] = _duration(seconds)
    if seconds < _USUAL_IDLE_SECONDS:
        draft.settings["session_idle"] = _duration(seconds)
    draft.remark(
        Verdict.DIFFERENT, said, "session_absolute; without a request it ends after session_idle (8 hours)."
    )


def _duration(seconds: int) -> str:
    if seconds % 3600 == 0:
        return f"{seconds // 3600}h"
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"


def _looks(draft: Draft) -> None:
    name, authorities = draft.take("provider_display_name"), draft.take("provider_ca_files")
    if name is not None:
        read_as(name, read_line)
        draft.settings["sign_in_label"] = f"Sign in with {name.text}"
        draft.remark(Verdict.SAME, name, "sign_in_label")
    if authorities is not None and len(authorities.items) == 1:
        draft.settings["ca_bundle"] = authorities.items[0]
        draft.remark(Verdict.DIFFERENT, authorities, "ca_bundle: trusted besides the system's authorities.")
    elif authorities is not None:
        draft.remark(Verdict.NONE, authorities, "Put them into one file, and name that in ca_bundle.")


_STEPS: Sequence[Callable[[Draft], None]] = (
    provider,
    tenant,
    client,
    addresses,
    listening,
    hops,
    people,
    public_paths,
    upstreams,
    _sessions,
    _looks,
)
