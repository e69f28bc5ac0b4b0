"""Tornado."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from adapters.applications.numbers import lines_async
from entrada import Entrada
from entrada.adapters.tornado import (
    EntradaMixin,
    current_principal,
    install,
    login_required,
    roles_required,
    scopes_required,
)
from entrada.entra.callers import CallerKind
from entrada.web.guards import SIGNED_IN

both = (CallerKind.PERSON, CallerKind.APPLICATION)


class Page(EntradaMixin, RequestHandler):
    def show(self) -> None:
        principal = current_principal(self)
        self.write(
            {
                "name": principal.name if principal else None,
                "roles": sorted(principal.roles) if principal else [],
                "query": self.request.query,
            }
        )


class Front(Page):
    def get(self) -> None:
        self.show()


class Members(Page):
    required = SIGNED_IN

    def get(self, _: str) -> None:
        self.show()


class Editors(Page):
    @roles_required("Editor", "Admin")
    def get(self) -> None:
        self.show()


class Files(Page):
    @scopes_required("access_as_user")
    async def get(self) -> None:
        self.show()


class Jobs(Page):
    @scopes_required("access_as_user", roles=["Editor"], callers=both)
    async def get(self) -> None:
        self.show()


class Mail(Page):
    @login_required
    async def get(self) -> None:
        self.write({"api": list((await self.token_for(["Mail.Read"])).scopes)})


class Stream(Page):
    @login_required
    async def get(self) -> None:
        async for line in lines_async(self.request.query):
            self.write(line)
            await self.flush()


class Live(EntradaMixin, WebSocketHandler):
    required = SIGNED_IN

    def on_message(self, message: Any) -> None:
        self.write_message(message)


async def main(port: int) -> None:
    prefix = os.environ.get("SCRIPT_NAME", "")
    app = Application(
        [
            (f"{prefix}/", Front),
            (f"{prefix}/members/(.*)", Members),
            (f"{prefix}/editors/all", Editors),
            (f"{prefix}/files", Files),
            (f"{prefix}/jobs", Jobs),
            (f"{prefix}/mail", Mail),
            (f"{prefix}/stream", Stream),
            (f"{prefix}/live", Live),
        ]
    )
    install(app, Entrada.from_environment(), prefix=prefix)
    app.listen(port, address="127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
