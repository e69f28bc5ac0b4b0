"""Why somebody may not pass, as an error that a person can read and a program can branch on.

The reverse proxy raises it, and so does forward auth where the answer reaches a browser.
"""

from __future__ import annotations

from entrada.errors import (
    ClosedToEverybody,
    EntradaError,
    GroupRequired,
    GroupsUnknown,
    InsufficientScope,
    RoleRequired,
)
from entrada.gateway.caller import Caller
from entrada.gateway.rules import Access, Decision, Rule
from entrada.web.token_callers import groups_of_token_unknown


def refusal(decision: Decision, rule: Rule, caller: Caller | None) -> EntradaError:
    """The error for a decision that lets nobody pass; `SIGN_IN_NEEDED` is none, it has a way on."""
    if decision is Decision.GROUPS_UNKNOWN:
        return groups_of_token_unknown() if is_token(caller) else GroupsUnknown()
    if is_token(caller):
        return InsufficientScope("This token is genuine, but the rules for this address do not let it in.")
    if rule.access is Access.DENY or caller is None:
        return ClosedToEverybody()
    if not rule.is_for(caller):
        return ClosedToEverybody("This address is for programs that come with an access token.")
    if rule.groups and rule.has_role(caller):
        return GroupRequired()
    return RoleRequired(f"This page is for people with the role {' or '.join(sorted(rule.roles))}.")


def is_token(caller: Caller | None) -> bool:
    """Whether an access token brought this caller, and no session."""
    return caller is not None and caller.kind is not None
