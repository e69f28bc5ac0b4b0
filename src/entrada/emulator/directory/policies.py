"""Conditional Access: what stands between a person and an application.

A policy names people and groups, and applications, and demands `block`, or `mfa`, a second factor.
Naming nobody means everybody, naming no application every one.  Of several that concern a sign-in a block
wins.
A person's own field `conditional_access` is the short form: a policy for that person alone.
Source: Microsoft, "Conditional Access: Users, groups, agents, and workload identities", "Target resources",
"Grant".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .directory import Directory
from .mappings import RecordError, read_record
from .records import App, Person, Policy

BLOCK, MFA = "block", "mfa"
_OWN_POLICY_ID = "b0000000-0000-4000-8000-0000000000ca"


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is demanded, `block` or `mfa`, and by which policy."""

    control: str
    policy_id: str


def demanded(directory: Directory, client: App, person: Person) -> Demand | None:
    """What Conditional Access demands of this person at this application; None when it demands nothing."""
    found = [
        Demand(control=policy.control, policy_id=policy.policy_id)
        for policy in list(directory.policies.values())
        if _concerns(policy, directory, client, person)
    ]
    if person.conditional_access:
        found.append(Demand(control=person.conditional_access, policy_id=_OWN_POLICY_ID))
    return min(found, key=lambda demand: demand.control != BLOCK, default=None)


def _concerns(policy: Policy, directory: Directory, client: App, person: Person) -> bool:
    if not policy.enabled or policy.tenant_id != person.tenant_id:
        return False
    if policy.apps and client.client_id not in policy.apps:
        return False
    if person.object_id in policy.excluded_people:
        return False
    if not policy.people and not policy.groups:
        return True
    groups = directory.group_ids_of(person) if policy.groups else ()
    return person.object_id in policy.people or not set(policy.groups).isdisjoint(groups)


def read_policy(
    directory: Directory, fields: Mapping[str, Any], *, where: str, base: Policy | None = None
) -> Policy:
    """A policy as somebody writes it: people, groups and applications by id or by name.

    Raises:
        RecordError: a field is wrong, or names what does not exist.
    """
    given = dict(fields)
    for name in ("people", "excluded_people"):
        if name in given:
            given[name] = [_person_id(directory, one, where) for one in _list(given[name], where, name)]
    if "groups" in given:
        by_name = {group.display_name: group.object_id for group in list(directory.groups.values())}
        given["groups"] = [
            _known(by_name.get(one, one), directory.groups, where, "group")
            for one in _list(given["groups"], where, "groups")
        ]
    if "apps" in given:
        by_name = {app.display_name: app.client_id for app in list(directory.apps.values())}
        given["apps"] = [
            _known(by_name.get(one, one.lower()), directory.apps, where, "application")
            for one in _list(given["apps"], where, "apps")
        ]
    policy = read_record(Policy, given, where=where, base=base)
    if policy.control not in (BLOCK, MFA):
        raise RecordError(f"{where} demands '{policy.control}'; a policy demands '{BLOCK}' or '{MFA}'")
    return policy


def _list(value: Any, where: str, name: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise RecordError(f"{where}, field '{name}' is not a list of texts")
    return list(value)


def _person_id(directory: Directory, name: str, where: str) -> str:
    person = directory.person(name)
    if person is None:
        raise RecordError(f"{where} names the person '{name}', who does not exist")
    return person.object_id


def _known(found: str, records: Iterable[str], where: str, kind: str) -> str:
    if found not in records:
        raise RecordError(f"{where} names the {kind} '{found}', which does not exist")
    return found
