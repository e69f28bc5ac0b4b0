"""An authorization request that has been read and checked.

Source: RFC 6749, 4.1.1; OpenID Connect Core 1.0, 3.1.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..directory.records import App, Tenant
from .return_address import ReturnAddress
from .scopes import RequestedScope


@dataclass(frozen=True, kw_only=True)
class AuthorizeRequest:
    """A checked authorization request.  `tenant` is None at the shared endpoints."""

    tenant: Tenant | None
    segment: str
    client: App
    to: ReturnAddress
    platform: str
    response_type: frozenset[str]
    scope: RequestedScope
    scope_text: str
    nonce: str
    prompt: str
    login_hint: str
    domain_hint: str
    max_age: int | None
    challenge: str
    challenge_method: str
    claims: str
    client_info: bool
    resource: str
    base_url: str
    correlation_id: str
    version: int
    errors_return: bool
    approve: bool
    decline: bool

    @property
    def silent(self) -> bool:
        """Whether no page may be shown."""
        return self.prompt == "none"
