"""What the settings say about the gateway, as its parts; what is wrong is one sentence with the fix."""

from __future__ import annotations

from dataclasses import replace

from entrada.accounts.groups import WantedGroups
from entrada.build import Stores, secret_keys_of
from entrada.clock import SystemClock
from entrada.errors import ConfigurationError
from entrada.gateway.assertion import Assertions
from entrada.gateway.assertion_keys import (
    SEALED_ASSERTION_KEYS,
    AssertionKeys,
    MemoryAssertionKeys,
    SqlAssertionKeys,
)
from entrada.gateway.hops import TrustedHops, parse_trusted_hops
from entrada.gateway.rules import Route, RuleBook
from entrada.gateway.tables import parse_upstream, read_rule_book
from entrada.sealing import Sealer
from entrada.settings import Settings
from entrada.settings.tables import SettingsFile


def rules_of(tables: SettingsFile, upstream: str | None) -> RuleBook:
    """The rules and routes of the settings file; `upstream` is that of the command line, behind them all."""
    book = read_rule_book(tables)
    if upstream is not None:
        try:
            last = Route(upstream=parse_upstream(upstream))
        except ValueError as error:
            shown = "with a user or a password" if "@" in upstream else repr(upstream)
            raise ConfigurationError(
                f"--upstream {shown} cannot be used.",
                hint=f"Write it as: {error}.",
            ) from None
        book = replace(book, routes=[*book.routes, last])
    return book


def with_groups_of(book: RuleBook, settings: Settings) -> Settings:
    """Groups that rules name are asked about like those of $[groups]."""
    rules = WantedGroups(groups=book.groups)
    if settings.allowed_tenants and (bare := rules.of_no_tenant):
        raise ConfigurationError(
            f"A rule names the group {str(bare)!r} without its tenant, but several tenants may sign in.",
            hint="Write tenant-id/group-id: a group of one tenant must not open anything in another.",
        )
    return settings.model_copy(update={"groups": settings.groups.together_with(book.groups)})


def check_rules(settings: Settings, book: RuleBook) -> None:
    """Whether a server that was started with these settings can carry out these rules.

    Raises:
        ConfigurationError: it cannot.
    """
    asked = settings.groups
    new = with_groups_of(book, settings).groups.groups - asked.groups
    unknown = [group for group in new if group.object_id is None or not asked.everything]
    if unknown:
        raise ConfigurationError(
            f"A rule names the group {str(min(unknown, key=str))!r}, which nobody was asked about so far.",
            hint="Start again: it is asked about from then on.",
        )


def assertion_keys_of(settings: Settings, stores: Stores) -> AssertionKeys:
    """Where the keys of assertions are stored: with everything else, sealed."""
    if stores.database is None:
        return MemoryAssertionKeys()
    sealer = Sealer(secret_keys_of(settings), purpose=SEALED_ASSERTION_KEYS)
    return SqlAssertionKeys(stores.database, sealer=sealer)


def assertions_of(settings: Settings, book: RuleBook, keys: AssertionKeys) -> Assertions | None:
    """What signs, where a route has an audience or a proxy may ask for one; its first key is made at once.

    Raises:
        ConfigurationError: the keys that are there were sealed with another secret key.
        StoreUnavailable: the database does not answer.
    """
    if not settings.assertion_audiences and not any(route.audience for route in book.routes):
        return None
    made = Assertions(
        store=keys,
        issuer=settings.public_url or "",
        clock=SystemClock(),
        algorithm=settings.assertion_algorithm,
        audiences=frozenset(settings.assertion_audiences),
    )
    made.keys()
    return made


def hops_of(settings: Settings) -> TrustedHops:
    """The hops whose word is believed."""
    try:
        return parse_trusted_hops(settings.trusted_proxies)
    except ValueError as error:
        raise ConfigurationError(
            f"$[trusted_proxies] cannot be used: {error}.",
            hint="Name the addresses of your proxies, separated by commas.",
            setting="trusted_proxies",
        ) from None
