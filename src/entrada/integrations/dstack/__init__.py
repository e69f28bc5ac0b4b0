"""dstack: "Sign in with Microsoft Entra ID" under the unmodified open-source server.

    plugins: [entrada]                              in the server's config.yml, or
    uvicorn entrada.integrations.dstack:app         for those who run uvicorn themselves

    names, roles        what a person is called there, and which roles texts stand for
    hooks               the only file that knows what dstack looks like inside
    loop_database       dstack's database, asked on dstack's own event loop
    store, ending       links and users in it; what a verified person leads to
    middleware, routes  the addresses dstack's own pages and command line ask for
    state, outcome      what travels by way of Entra, and what waits for dstack's page
    offline             links from the command line
    recheck             the background look at everyone who signed in
    entra_only, label   the switch, and the text on the button
    start, stop         from settings to a server with sign-in; how a wrong one is stopped
    plugin              the way in that dstack loads

Importing this imports nothing of dstack: `entrada dstack check` has to run without it, too.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The plug-in's class and the ASGI application, made when they are asked for.

    dstack takes an ImportError for a plug-in that is not there, warns, and starts without sign-in. A part of
    ours that is missing must stop it instead.
    """
    if name not in ("EntradaPlugin", "app"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if name == "app":
            from entrada.integrations.dstack.start import application

            return application()
        from entrada.integrations.dstack.plugin import EntradaPlugin
    except ImportError as missing:
        from entrada.errors import ConfigurationError
        from entrada.integrations.dstack.stop import stop

        raise stop(
            ConfigurationError(
                f"Entrada's plug-in cannot be loaded: {missing}.",
                hint='Install it with everything it needs: pip install "./entrada[dstack]"',
            )
        ) from None
    return EntradaPlugin
