"""Who acts in a verified access token: a person, an application, or an agent in one of three ways.

    caller             idtyp      scp     xms_act_fct   xms_sub_fct
    person             user       yes     –             –
    application        app        –       –             –
    agent              app        –       11            11
    agent_for_person   user       yes     11            –
    agent_user         user       yes     11            13

Without `idtyp`: scopes make it delegated; roles, no scopes and `sub` equal to `oid` make it an application's;
anything else is refused, and so is what contradicts itself. Numbers that are not in the table are ignored, as
Microsoft asks. A registration that does not ask for these claims cannot tell agents from people.
`xms_par_app_azp` is for audit; nothing here decides by it.

Source: Microsoft, "Token claims reference for agent IDs" and "Secure applications and APIs by validating
claims".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from entrada.errors import BearerTokenRefused

AGENT_IDENTITY = 11
AGENT_USER_ACCOUNT = 13

_FACTS = re.compile(r"[0-9]{1,9}(?: [0-9]{1,9})*|")


class CallerKind(str, Enum):  # StrEnum came with Python 3.11
    """Who acts. A token with a user in it is not yet a person: agents act for people and have accounts."""

    PERSON = "person"
    APPLICATION = "application"
    AGENT = "agent"
    """An agent on its own."""
    AGENT_FOR_PERSON = "agent_for_person"
    AGENT_USER = "agent_user"
    """An agent through a user account of its own."""

    def __str__(self) -> str:
        return self.value

    @property
    def has_account(self) -> bool:
        """Whether `oid` names a user account rather than a service principal."""
        return self not in (CallerKind.APPLICATION, CallerKind.AGENT)


USUAL_CALLERS = frozenset({CallerKind.PERSON, CallerKind.APPLICATION, CallerKind.AGENT})
"""Who may call unless something else is said: no agent in a person's place."""


def caller_kind(claims: Mapping[str, Any], *, scopes: frozenset[str], roles: frozenset[str]) -> CallerKind:
    """
    Raises:
        BearerTokenRefused: check "caller": the claims contradict one another, or do not say.
    """
    actor, subject = _facts(claims, "xms_act_fct"), _facts(claims, "xms_sub_fct")
    if _is_delegated(claims, scopes, roles):
        if AGENT_IDENTITY in subject:
            raise _refused("an agent identity as the person")
        if AGENT_USER_ACCOUNT in subject:
            return CallerKind.AGENT_USER
        return CallerKind.AGENT_FOR_PERSON if AGENT_IDENTITY in actor else CallerKind.PERSON
    if AGENT_USER_ACCOUNT in subject:
        raise _refused("an agent's user account without a user")
    # One sign of an agent is enough: to take one for an ordinary application would be the dangerous mistake.
    return CallerKind.AGENT if AGENT_IDENTITY in actor | subject else CallerKind.APPLICATION


def _is_delegated(claims: Mapping[str, Any], scopes: frozenset[str], roles: frozenset[str]) -> bool:
    kind = claims.get("idtyp")
    if kind is None and "idtyp" not in claims:
        if scopes:
            return True
        if roles and claims.get("sub") == claims.get("oid"):
            return False
        raise _refused("neither scopes nor an application's roles")
    if kind == "user" and scopes:
        return True
    if kind == "app" and not scopes:
        return False
    raise _refused("idtyp and scp contradict")


def _facts(claims: Mapping[str, Any], name: str) -> frozenset[int]:
    value = claims.get(name, "")
    if not isinstance(value, str) or not _FACTS.fullmatch(value):
        raise _refused(f"{name} is not numbers with blanks between them")
    return frozenset(int(number) for number in value.split())


def _refused(detail: str) -> BearerTokenRefused:
    return BearerTokenRefused("caller", detail)
