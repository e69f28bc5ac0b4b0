"""Keeping the directory between runs, in a JSON file, when asked.

Tenants, people, groups, applications, assignments, policies and consents are kept; sessions, faults and the
request log are not.
The file holds the seeded and generated secrets and is readable by its owner alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..private_file import write_private
from .directory import Directory
from .mappings import RecordError, read_record, write_record
from .records import App, Group, Person, Policy, Record, RoleAssignment, Tenant

_KINDS: dict[str, type[Record]] = {
    "tenants": Tenant,
    "people": Person,
    "groups": Group,
    "apps": App,
    "assignments": RoleAssignment,
    "policies": Policy,
}


class StateFileError(Exception):
    """The file is not one this emulator wrote; `hint` says what to do."""

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


class StateFile:
    """One file that a directory is read from at start and written to."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._saved_changes = -1

    def load_into(self, directory: Directory) -> None:
        """Replace the directory's content by the file's, when there is a file.

        Raises:
            StateFileError: the file cannot be read.
        """
        if not self._file.exists():
            return
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            fresh = Directory()
            for name, kind in _KINDS.items():
                # A file of an earlier version knows no policies.
                for n, mapping in enumerate(content.get(name, []), start=1):
                    fresh.put(read_record(kind, mapping, where=f"{name} {n}"))
            for tenant_id, client_id, object_id, permissions in content["consents"]:
                fresh.consents[(tenant_id, client_id, object_id)] = set(permissions)
        except (OSError, ValueError, KeyError, TypeError, RecordError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StateFileError(
                f"The state file {self._file} cannot be used: {reason}.",
                hint="Give --state-file the name of another; where there is none yet, one is begun.",
            ) from None
        directory.__dict__.update(fresh.__dict__)
        self._saved_changes = directory.changes

    def save(self, directory: Directory) -> None:
        """Write the directory if it changed since the last time."""
        if directory.changes == self._saved_changes:
            return
        content = {name: [write_record(one) for one in getattr(directory, name).values()] for name in _KINDS}
        consents = [[*key, sorted(permissions)] for key, permissions in directory.consents.items()]
        write_private(self._file, json.dumps({**content, "consents": consents}, indent=1).encode())
        self._saved_changes = directory.changes
