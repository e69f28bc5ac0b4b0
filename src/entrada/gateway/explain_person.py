"""What the rules of `entrada serve` mean for one person at one address: for page and command alike.

The rules are those that the settings file holds now; roles and groups as they are known here.
"""

from __future__ import annotations

from pathlib import Path

from entrada.accounts.identity import EntraIdentity, User
from entrada.accounts.principal import principal_of
from entrada.gateway.caller import Caller, caller_of
from entrada.gateway.explain import explain
from entrada.gateway.rules import Access, Decision, Rule
from entrada.gateway.tables import read_file
from entrada.web.path_rules import PathDecision, PathExplained


def explain_for(user: User, asked: str, *, file: Path | None, public_url: str | None) -> PathExplained:
    """Which rule decides at `[METHOD] PATH`, and what it means for each identity of the user.

    Raises:
        ConfigurationError: `asked` is no such thing, or the file has a mistake.
    """
    method, blank, address = asked.strip().rpartition(" ")
    if address.startswith("/"):
        address = (public_url or "http://localhost") + address
    explained = explain(f"{method.strip() if blank else 'GET'} {address}", read_file(file))
    return PathExplained(
        request=explained.request,
        because=explained.because,
        for_whom=explained.for_whom,
        decisions=[_decided(explained.rule, user, linked.identity) for linked in user.identities],
    )


def _decided(rule: Rule | None, user: User, identity: EntraIdentity) -> PathDecision:
    caller = caller_of(principal_of(user, identity))
    decision = Decision.FORBIDDEN if rule is None or not user.is_enabled else rule.decide(caller)
    return PathDecision(
        object_id=identity.object_id,
        decision=decision.value,
        reason=_reason_of(decision, rule, user, caller),
    )


def _reason_of(decision: Decision, rule: Rule | None, user: User, caller: Caller) -> str:
    if not user.is_enabled:
        return "disabled here"
    if rule is None:
        return "the request is refused before any rule"
    if decision is Decision.ALLOWED:
        return "by roles and groups as they are known here" if rule.roles or rule.groups else "signed in"
    if rule.access is Access.DENY:
        return "nobody may"
    if not rule.has_role(caller):
        return "none of the roles"
    names = ", ".join(sorted(str(group) for group in rule.groups if caller.is_in_one_of([group]) is None))
    return (
        f"not known whether in {names}; the next sign-in or look finds out, if `entrada serve` has that rule"
        if decision is Decision.GROUPS_UNKNOWN
        else "in none of the groups"
    )
