"""The plug-in as dstack loads it: `plugins: [entrada]` in the server's config.yml.

dstack makes one object of the class while it starts. A wrong configuration raises there, and the server does
not come up: without that, people would find a server without sign-in, and a warning in its log.
"""

from __future__ import annotations

from dstack.plugins import Plugin

from entrada.integrations.dstack.start import register


class EntradaPlugin(Plugin):  # type: ignore[misc]  # dstack is not installed where this is checked
    """Has no policies for runs; it signs people in."""

    def __init__(self) -> None:
        register()
