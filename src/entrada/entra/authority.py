"""Where an application signs people in: a login host, a tenant, and what its metadata may say.

Owns `Authority` (from settings) and `Metadata` (from discovery, checked against the authority).
Refuses metadata whose issuer or endpoints are not the authority's own.

Source: OpenID Connect Discovery 1.0, sections 3 and 4.3; Microsoft, "OpenID Connect on the Microsoft
identity platform" and "National clouds".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType
from urllib.parse import urlsplit

from entrada.errors import DiscoveryRefused

TenantId = NewType("TenantId", str)
"""A tenant's GUID, lower case, hyphenated."""

ObjectId = NewType("ObjectId", str)
"""A directory object's GUID, lower case, hyphenated."""

PERSONAL_ACCOUNTS = TenantId("9188040d-6c67-4c5b-b112-36a304b66dad")
"""The tenant that every personal Microsoft account lives in."""

MULTI_TENANT_SEGMENTS = frozenset({"organizations", "common"})
"""Path segments that stand for many tenants; only usable with an allow-list."""

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_TENANT_TEMPLATE = "{tenantid}"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def parse_guid(text: object) -> str | None:
    """The GUID in lower case, or None if `text` is anything else."""
    if isinstance(text, str) and _GUID.fullmatch(text):
        return text.lower()
    return None


@dataclass(frozen=True, kw_only=True)
class Authority:
    """The login host and the tenant segment, as configured.

    `login_url` and `graph_url` are origins such as `https://login.microsoftonline.com`, no slash at the end.
    `tenant` is a GUID, a domain, or one of `MULTI_TENANT_SEGMENTS`.
    `is_broker`: not Entra itself but an Entrada that shares one registration; it is one issuer, its own URL,
    for every tenant, and `tenant` is the GUID of the one whose people may come back.
    """

    login_url: str
    graph_url: str
    tenant: str
    is_broker: bool = False

    @property
    def url(self) -> str:
        return self.login_url if self.is_broker else f"{self.login_url}/{self.tenant}"

    @property
    def metadata_url(self) -> str:
        version = "" if self.is_broker else "/v2.0"
        return f"{self.url}{version}/.well-known/openid-configuration"

    @property
    def is_multi_tenant(self) -> bool:
        return self.tenant in MULTI_TENANT_SEGMENTS


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What discovery said, checked. `tenant_id` is None for a multi-tenant authority."""

    issuer_template: str
    tenant_id: TenantId | None
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    sends_issuer_parameter: bool

    def issuer_of(self, tenant_id: TenantId) -> str:
        """The exact `iss` of a token of that tenant."""
        return self.issuer_template.replace(_TENANT_TEMPLATE, tenant_id)


def read_metadata(document: Mapping[str, Any], authority: Authority) -> Metadata:
    """The metadata, or a refusal that names both values.

    Raises:
        DiscoveryRefused: another issuer, a missing endpoint, an endpoint on a foreign host or without TLS.
    """
    issuer_template, tenant_id = _read_issuer(document.get("issuer"), authority)
    end_session = document.get("end_session_endpoint")
    return Metadata(
        issuer_template=issuer_template,
        tenant_id=tenant_id,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", authority, seen_by_browser=True),
        token_endpoint=_endpoint(document, "token_endpoint", authority),
        jwks_uri=_endpoint(document, "jwks_uri", authority),
        end_session_endpoint=_endpoint(document, "end_session_endpoint", authority, seen_by_browser=True)
        if end_session is not None
        else None,
        sends_issuer_parameter=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _read_issuer(issuer: object, authority: Authority) -> tuple[str, TenantId | None]:
    """The issuer as a template, and the tenant it names.

    A domain as tenant is answered with the tenant's GUID in the issuer: then only the shape can be compared.
    """
    if authority.is_broker:
        tenant_id = parse_guid(authority.tenant)
        if tenant_id is None or issuer != authority.login_url:
            raise _issuer_differs(issuer, authority.login_url)
        return authority.login_url, TenantId(tenant_id)
    template = f"{authority.login_url}/{_TENANT_TEMPLATE}/v2.0"
    if authority.is_multi_tenant:
        if issuer == template:
            return template, None
        raise _issuer_differs(issuer, template)
    expected_tenant = parse_guid(authority.tenant)
    named = parse_guid(issuer.split("/")[-2]) if isinstance(issuer, str) and issuer.count("/") >= 2 else None
    expected = template.replace(_TENANT_TEMPLATE, expected_tenant or named or authority.tenant)
    if named is None or issuer != expected:
        raise _issuer_differs(issuer, expected)
    return template, TenantId(named)


def _issuer_differs(found: object, expected: str) -> DiscoveryRefused:
    return DiscoveryRefused(
        f"Entra's metadata names the issuer {str(found)[:200]!r}, but the settings promise {expected!r}.",
        hint="Check $[tenant_id], $[cloud] and $[authority_host].",
        setting="tenant_id",
    )


def _endpoint(
    document: Mapping[str, Any], name: str, authority: Authority, *, seen_by_browser: bool = False
) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not url.isascii():
        raise _endpoint_refused(name, "is missing")
    try:
        parts, home = urlsplit(url), urlsplit(authority.login_url)
        hostname, _port = parts.hostname, parts.port
    except ValueError:
        raise _endpoint_refused(name, "is not a URL") from None
    # An emulator on this very machine sends browsers to plain http, so that none warns about its certificate;
    # a broker on this very machine is plain http as a whole.
    on_loopback = hostname in _LOOPBACK and home.hostname in _LOOPBACK
    loopback = on_loopback and (seen_by_browser or (authority.is_broker and parts.netloc == home.netloc))
    if parts.scheme != "https" and not loopback:
        raise _endpoint_refused(name, f"is not https: {url[:200]!r}")
    if parts.netloc != home.netloc and not loopback:
        raise _endpoint_refused(
            name, f"is on the host {parts.netloc[:200]!r}, but the settings name {home.netloc!r}"
        )
    return url


def _endpoint_refused(name: str, why: str) -> DiscoveryRefused:
    return DiscoveryRefused(
        f"Entra's metadata cannot be used: {name} {why}.",
        hint="Check $[cloud] and $[authority_host].",
        setting="authority_host",
    )
