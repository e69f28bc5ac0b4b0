"""A refusal's texts: its heading, who can act, and the evidence that helps to find it in a log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from entrada.compatibility import UTC
from entrada.entra.entra_errors import cause_of
from entrada.errors import (
    AccountDisabled,
    AddressTooLong,
    AdministrationRefused,
    AdmissionRefused,
    AmbiguousRequest,
    ApiTokenError,
    BearerError,
    BrokerUnavailable,
    ClosedToEverybody,
    ConfigurationError,
    EntradaError,
    EntraRefused,
    EntraUnavailable,
    Fixer,
    ForwardAuthRefused,
    GroupRequired,
    GroupsUnknown,
    IdentityAlreadyLinked,
    InteractionRequired,
    NameOf,
    PageNotFound,
    PersonalAccountRefused,
    RequestRefused,
    RoleRequired,
    SignInAlreadyUsed,
    SignInError,
    SignInExpired,
    StateMissing,
    StoreUnavailable,
    TenantRefused,
    TokenRefused,
    TooManyAttempts,
    Unavailable,
    UpstreamNotTrusted,
    native_name,
)
from entrada.web.pages.values import Fact

_HEADINGS: Final[Mapping[type[EntradaError], str]] = {
    ConfigurationError: "This application is not set up correctly",
    SignInError: "You were not signed in",
    StateMissing: "Please start again",
    SignInExpired: "That took too long",
    SignInAlreadyUsed: "This sign-in is over",
    EntraRefused: "Microsoft did not sign you in",
    TooManyAttempts: "Signing in keeps failing",
    TokenRefused: "This sign-in could not be trusted",
    AdmissionRefused: "You cannot sign in here",
    AccountDisabled: "You cannot sign in here for now",
    PersonalAccountRefused: "Please use another account",
    TenantRefused: "Please use another account",
    RoleRequired: "You have no access here yet",
    GroupRequired: "You have no access here yet",
    GroupsUnknown: "Sign in again",
    RequestRefused: "That did not work",
    AmbiguousRequest: "This address is refused",
    ClosedToEverybody: "This page is closed",
    ForwardAuthRefused: "This application is not set up correctly",
    PageNotFound: "There is no such page",
    AdministrationRefused: "Nothing was changed",
    AddressTooLong: "This link is too long",
    ApiTokenError: "This could not be done in your name",
    InteractionRequired: "Microsoft wants to hear from you",
    BearerError: "This call was not let in",
    IdentityAlreadyLinked: "This account is taken",
    Unavailable: "Not available right now",
    EntraUnavailable: "Microsoft cannot be reached right now",
    BrokerUnavailable: "The sign-in service cannot be reached right now",
    UpstreamNotTrusted: "The connection is not safe",
    StoreUnavailable: "Not available right now",
}
_NO_USE: Final = "Microsoft's answer is of no use"
"""It was reached, so nobody shall look for an outage."""
_NO_USE_OF_BROKER: Final = "The sign-in service's answer is of no use"
_GENERAL_HEADING: Final = "Something went wrong"

FIXERS: Final[Mapping[Fixer, tuple[str, str]]] = {
    Fixer.PERSON: ("person", "You can fix this"),
    Fixer.ADMINISTRATOR: ("administrator", "Your administrator can fix this"),
    Fixer.NOBODY: ("nobody", "Nothing to fix: waiting helps"),
}

# Microsoft's descriptions end with ids that the page shows by themselves, ready to be copied.
_TRAILER = re.compile(
    r"\s*Trace ID: [0-9A-Fa-f-]{36}\s+Correlation ID: [0-9A-Fa-f-]{36}\s+Timestamp: [0-9: Z-]{19,21}\s*$"
)


def heading_of(error: EntradaError) -> str:
    if isinstance(error, EntraUnavailable) and error.answered:
        return _NO_USE_OF_BROKER if isinstance(error, BrokerUnavailable) else _NO_USE
    for kind in type(error).__mro__:
        if kind in _HEADINGS:
            return _HEADINGS[kind]
    return _GENERAL_HEADING


def evidence_of(
    error: EntradaError, incident: str, when: datetime, names: NameOf = native_name
) -> list[Fact]:
    """What helps to find this in a log, and nothing that opens a door."""
    facts = [
        Fact(label="Incident", text=incident, exact=True),
        Fact(label="Time", text=f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"),
        Fact(label="Reason", text=error.code, exact=True),
    ]
    if isinstance(error, EntraRefused):
        facts += _evidence_of_entra(error)
    elif isinstance(error, TokenRefused):
        facts.append(Fact(label="Failed check", text=error.check, exact=True))
    elif isinstance(error, TooManyAttempts):
        facts.append(Fact(label="Attempts", text=str(error.attempts)))
    elif isinstance(error, EntraUnavailable):
        facts.append(Fact(label="What happened", text=error.reason))
    elif isinstance(error, ConfigurationError) and error.marked_setting:
        facts.append(Fact(label="Setting", text=names(error.marked_setting), exact=True))
    if isinstance(error, Unavailable) and error.retry_after_seconds is not None:
        facts.append(Fact(label="Try again after", text=f"{error.retry_after_seconds} seconds"))
    if error.correlation_id:
        facts.append(Fact(label="Correlation ID at Microsoft", text=error.correlation_id, exact=True))
    return facts


def _evidence_of_entra(error: EntraRefused) -> list[Fact]:
    facts = [Fact(label="Error", text=error.error, exact=True)]
    if error.aadsts:
        facts.append(Fact(label="Code", text=f"AADSTS{error.aadsts}", exact=True))
    if cause := cause_of(error.aadsts):
        facts.append(Fact(label="Cause", text=cause))
    if words := _TRAILER.sub("", error.description):
        facts.append(Fact(label="Microsoft's words", text=words))
    if error.trace_id:
        facts.append(Fact(label="Trace ID at Microsoft", text=error.trace_id, exact=True))
    return facts
