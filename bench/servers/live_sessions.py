"""The fast path over so many live sessions of as many people: `live_sessions.py PORT NUMBER FILE`.

Writes the cookies of a part of them, drawn over all, to FILE, one a line. Nothing ends here: the size of the
table is all that differs from one run to another.
"""

from __future__ import annotations

import gc
import hashlib
import random
import sys
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from pathlib import Path

import uvicorn

from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.principal import UserPrincipal
from entrada.cli.serve import listen, server_config
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.gateway.fast_path import FastChecks
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.rules import RuleBook
from entrada.sessions.live import LiveSession, LiveSessions
from entrada.sessions.session import Session, SessionId
from entrada.sessions.token import SessionToken
from entrada.web.session_cookie import SESSION_COOKIE

ASKED = 20_000
TENANT = TenantId("c0000000-0000-4000-8000-000000000001")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def token(number: int) -> SessionToken:
    made = [
        urlsafe_b64encode(hashlib.sha256(b"%s%d" % (name, number)).digest()).decode() for name in (b"i", b"s")
    ]
    return SessionToken(id=SessionId(made[0][:22]), secret=made[1][:43])


def live_session(number: int, made: SessionToken) -> LiveSession:
    user = UserId(f"{number:032x}")
    identity = EntraIdentity(
        tenant_id=TENANT, object_id=ObjectId(f"{number:08x}-0000-4000-8000-000000000000")
    )
    email = f"firstname.lastname.{number}@contoso.example"
    principal = UserPrincipal(
        user_id=user,
        identity=identity,
        name=f"Firstname Lastname {number}",
        email=email,
        username=email,
        roles=frozenset({"Editor"}),
    )
    session = Session(
        id=made.id,
        secret_hash=made.secret_hash,
        user_id=user,
        identity=identity,
        created_at=NOW,
        last_seen_at=NOW,
        idle_expires_at=NOW + timedelta(hours=8),
        absolute_expires_at=NOW + timedelta(hours=24),
    )
    return LiveSession(session, principal, good_until=float("inf"))


async def app(*_: object) -> None:
    raise AssertionError("a question was not understood by the fast path")


if __name__ == "__main__":
    port, number, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    table = LiveSessions(trusted_until=float("inf"))
    gc.disable()  # while nothing is given back
    for one in range(number):
        made = token(one)
        table.put(made.id, live_session(one, made), changes=0)
    gc.enable()
    gc.collect()
    asked = random.Random(1).sample(range(number), min(ASKED, number))
    file.write_text("".join(f"{SESSION_COOKIE}={token(one).cookie_value}\n" for one in asked))
    checks = FastChecks(
        book=RuleBook(),
        hops=parse_trusted_hops(["127.0.0.1"]),
        table=table,
        monotonic=lambda: 0.0,
        cookie_name=lambda _: SESSION_COOKIE,
        look_ahead=lambda _: None,
    )
    uvicorn.Server(server_config(app, checks)).run(sockets=[listen("127.0.0.1", port)])
