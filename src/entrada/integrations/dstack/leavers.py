"""What of a leaver's ends in dstack besides the token, where the settings ask for it.

    keys    uploaded SSH keys are deleted, and the pair that dstack made for the user becomes another
    runs    what is not finished is stopped, as `dstack stop` does

Neither happens by itself: should somebody have been disabled by mistake, a key has to be uploaded anew, and
work that was stopped is lost. Without `runs` a container that runs already lets its own key in, whatever ends
here.

Source: dstack 0.22.5, server/services/public_keys.py, sshproxy/handlers.py and runs.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from entrada.accounts.identity import UserId
from entrada.errors import ConfigurationError
from entrada.integrations.dstack.hooks import Hooks
from entrada.integrations.dstack.loop_database import LoopDatabase
from entrada.integrations.dstack.users import DstackUser, note
from entrada.integrations.kit.hooks import Hook, look_at

KEYS, RUNS = "keys", "runs"
_INSIDE = "dstack._internal"
_OF = {
    KEYS: (
        Hook(name="UserPublicKeyModel", module=f"{_INSIDE}.server.models", has=("user_id", "key")),
        Hook(name="generate_rsa_key_pair_bytes", module=f"{_INSIDE}.utils.crypto", has=("comment",)),
    ),
    RUNS: (
        Hook(name="RunModel", module=f"{_INSIDE}.server.models", has=("run_name", "user_id", "status")),
        Hook(name="RunStatus", module=f"{_INSIDE}.core.models.runs", has=("finished_statuses",)),
        Hook(
            name="stop_runs",
            module=f"{_INSIDE}.server.services.runs",
            has=("session", "user", "project", "runs_names", "abort"),
        ),
    ),
}
_TRIES = 3

log = logging.getLogger("entrada")


def find_hooks_of(ends: Set[str]) -> Hooks:
    """The parts of dstack that ending these takes.

    Raises:
        ConfigurationError: this dstack has them not, or otherwise.
    """
    found = {hook.name: look_at(hook) for kind in sorted(ends) for hook in _OF[kind]}
    problems = [f"{name} {finding.problem}" for name, (_, finding) in found.items() if finding.problem]
    if problems:
        raise ConfigurationError(
            f"This dstack cannot be told to end what $[dstack_end_with_access] names: {'; '.join(problems)}.",
            hint="Leave that out, or install a newer dstack.",
            setting="dstack_end_with_access",
        )
    return Hooks({name: part for name, (part, _) in found.items()})


@dataclass(frozen=True, kw_only=True)
class Leavers:
    """`ends` are of KEYS and RUNS; `hooks` from `find_hooks_of`."""

    database: LoopDatabase
    hooks: Hooks
    ends: frozenset[str]

    def new_pair(self, name: str) -> tuple[str, str] | None:
        """A key pair for a user of that name, private and public; made in the caller's thread, as it takes a
        while. None where keys stay."""
        if KEYS not in self.ends:
            return None
        private, public = self.hooks.generate_rsa_key_pair_bytes(name)
        return private.decode(), public.decode()

    def take_keys(self, session: Session, user: DstackUser, pair: tuple[str, str] | None) -> None:
        """In the transaction that ends the access."""
        if pair is None:
            return
        user.ssh_private_key, user.ssh_public_key = pair
        model = self.hooks.UserPublicKeyModel
        session.execute(delete(model).where(model.user_id == user.id))
        note(session, self.database.hooks, user, "SSH keys deleted: Microsoft Entra ID ended the access")

    def stop_runs(self, user_id: UserId) -> None:
        """After it. What cannot be stopped goes on, and the log says so."""
        if RUNS not in self.ends:
            return
        for left in reversed(range(_TRIES)):
            try:
                stopped = self.database.wait_for(self._stop(uuid.UUID(user_id)))
            except Exception as failure:
                if not left:
                    log.error("The runs of dstack's user %s go on: %s", user_id, type(failure).__name__)
            else:
                if stopped:
                    log.warning("Stopped %d runs of dstack's user %s, who has left.", stopped, user_id)
                return

    async def _stop(self, user_id: uuid.UUID) -> int:
        hooks, theirs = self.database.hooks, self.hooks
        model, finished = theirs.RunModel, theirs.RunStatus.finished_statuses()
        async with hooks.get_db().get_session() as session:
            rows = await session.execute(
                select(model.project_id, model.run_name).where(
                    model.user_id == user_id, model.deleted.is_(False), model.status.not_in(finished)
                )
            )
            names: dict[Any, list[str]] = defaultdict(list)
            for project_id, name in rows:
                names[project_id].append(name)
            for project_id, some in names.items():
                user = await session.get(hooks.UserModel, user_id)
                project = await session.get(hooks.ProjectModel, project_id)
                await theirs.stop_runs(
                    session=session, user=user, project=project, runs_names=some, abort=False
                )
        return sum(map(len, names.values()))
