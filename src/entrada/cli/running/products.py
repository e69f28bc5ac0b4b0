"""What is known of applications that show people something: one table.

For each: how its command is recognised, how it is told where to listen, what it needs to work behind the
gateway, and which of its cookies say who somebody is. `{port}`, `{host}`, `{socket}`, `{secret}`, and
`{public_host}`, `{public_name}` and `{public_port}` of the public URL stand for what each start chooses.

Tried with Streamlit 1.67, Gradio 6.31, Chainlit 2.12, marimo 0.25 and Panel 1.9 (Bokeh 3.9); see
docs/how-to/run-an-application.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HOST = "127.0.0.1"

OF_STREAMLIT = {
    "X-Forwarded-User": "sub",
    "X-Entrada-Object-Id": "oid",
    "X-Entrada-Tenant-Id": "tid",
    "X-Entrada-Name": "name",
    "X-Entrada-Email": "email",
    "X-Entrada-Username": "preferred_username",
    "X-Entrada-Roles": "roles",
}
"""The keys of `st.user` are those that Streamlit's own sign-in has."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """Words behind the subcommand. Left out where one of `unless` stands on the line."""

    words: tuple[str, ...]
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Product:
    """`ours` are options that only we may give: another address would lead around the sign-in, or nowhere.

    `fixed` are variables of that kind, `usual` those that a person's own value beats.
    """

    name: str
    title: str
    subcommands: frozenset[str] = frozenset()
    """The words behind its name that start a server; empty: a script does."""
    ours: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[Option] = ()
    own_cookies: tuple[str, ...] = ()
    """Cookies by which it remembers who somebody is, whoever comes with them later."""
    beside_ours: frozenset[str] = frozenset()
    """Addresses of its own that begin like ours."""
    session_names: frozenset[str] = frozenset()
    """Parameters and fields by which it finds a session, whoever says its name."""
    page_tokens: bool = False
    """Its pages carry in a token who opened them, which their sockets send back."""

    @property
    def takes_socket(self) -> bool:
        return any("{socket}" in word for option in self.options for word in option.words)


_OF_BOKEH: Mapping[str, object] = {
    "subcommands": frozenset({"serve"}),
    "ours": ("--port", "--address", "--unix-socket", "--allow-websocket-origin", "--session-ids"),
    # Unsigned, anybody could write the token in which a page carries who opened it.
    "page_tokens": True,
    # Whoever opens an address with such a name is in the session of whoever opened it first.
    "session_names": frozenset({"bokeh-session-id"}),
    "fixed": {"BOKEH_SIGN_SESSIONS": "yes"},
    "usual": {"BOKEH_SECRET_KEY": "{secret}"},
    "options": (Option(words=("--unix-socket", "{socket}")), Option(words=("--use-xheaders",))),
}

PRODUCTS: Sequence[Product] = (
    Product(
        name="streamlit",
        title="Streamlit",
        subcommands=frozenset({"run", "hello"}),
        ours=("--server.port", "--server.address", "--server.baseUrlPath"),
        fixed={"STREAMLIT_SERVER_ADDRESS": "{host}", "STREAMLIT_SERVER_PORT": "{port}"},
        usual={
            "STREAMLIT_SERVER_HEADLESS": "true",
            "STREAMLIT_BROWSER_SERVER_ADDRESS": "{public_name}",  # the address that it prints
            "STREAMLIT_BROWSER_SERVER_PORT": "{public_port}",
            "STREAMLIT_SERVER_TRUSTED_USER_HEADERS": json.dumps(OF_STREAMLIT),
        },
    ),
    Product(
        name="gradio",
        title="Gradio",
        ours=("--server-port", "--server-name"),
        # Without the last it takes the next port when this one is taken.
        fixed={"GRADIO_SERVER_NAME": "{host}", "GRADIO_SERVER_PORT": "{port}", "GRADIO_NUM_PORTS": "1"},
        usual={"GRADIO_SHARE": "false"},
    ),
    Product(
        name="chainlit",
        title="Chainlit",
        subcommands=frozenset({"run"}),
        ours=("--port", "--host", "--root-path"),
        fixed={"CHAINLIT_HOST": "{host}", "CHAINLIT_PORT": "{port}"},
        usual={"CHAINLIT_AUTH_SECRET": "{secret}"},
        options=(Option(words=("--headless",), unless=("-h",)),),
        own_cookies=("access_token",),
        beside_ours=frozenset({"/auth/config", "/auth/header"}),
    ),
    Product(
        name="marimo",
        title="marimo",
        subcommands=frozenset({"run", "edit", "new", "tutorial"}),
        ours=("--port", "-p", "--host", "--proxy", "--base-url"),
        session_names=frozenset({"session_id", "marimo-session-id"}),
        options=(
            Option(words=("--host", "{host}")),
            Option(words=("--port", "{port}")),
            Option(words=("--proxy", "{public_host}")),
            Option(words=("--headless",)),
            Option(words=("--no-token",), unless=("--token", "--token-password", "--token-password-file")),
        ),
    ),
    Product(name="panel", title="Panel", **_OF_BOKEH),  # type: ignore[arg-type]  # the same for both
    Product(name="bokeh", title="Bokeh", **_OF_BOKEH),  # type: ignore[arg-type]
)

OTHERS_FIXED: Mapping[str, str] = {"HOST": "{host}", "PORT": "{port}"}
"""What many servers read; for a command that is none of these."""
