"""Conditional Access policies, looked at and changed by the control surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..directory.mappings import RecordError, write_record
from ..directory.policies import read_policy
from ..directory.records import Policy
from ..state.world import World
from .actions import ControlError


def find_policy(world: World, name: str) -> Policy:
    """The policy with that id or name.

    Raises:
        ControlError: 404.
    """
    policies = world.directory.policies
    found = policies.get(name.lower())
    found = found or next((one for one in list(policies.values()) if one.display_name == name), None)
    if found is None:
        raise ControlError(
            f"No policy is called '{name[:100]}'.", status=404, hint="GET /_emulator/policies lists them."
        )
    return found


def policies(world: World, rest: str = "") -> Any:
    """All policies, or one."""
    if rest:
        return write_record(find_policy(world, rest))
    return [write_record(policy) for policy in list(world.directory.policies.values())]


def add_policy(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new policy, of the first tenant unless `tenant_id` says otherwise."""
    return _put(world, {"tenant_id": next(iter(world.directory.tenants)), **body})


def change_policy(world: World, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change some fields of a policy."""
    return _put(world, body, base=find_policy(world, rest))


def remove_policy(world: World, rest: str, _body: dict[str, Any]) -> dict[str, Any]:
    """Delete a policy."""
    policy = find_policy(world, rest)
    world.directory.remove_policy(policy.policy_id)
    return {"removed": policy.policy_id}


def _put(world: World, fields: Mapping[str, Any], *, base: Policy | None = None) -> dict[str, Any]:
    try:
        policy = read_policy(world.directory, fields, where="policy", base=base)
    except RecordError as error:
        raise ControlError(f"The {error}.") from None
    world.directory.put(policy)
    return write_record(policy)
