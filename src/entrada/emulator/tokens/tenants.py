"""Which tenant a path names, and the issuer of its tokens.

Source: Microsoft, "OpenID Connect on the Microsoft identity platform".
"""

from __future__ import annotations

import re

from ..directory.records import PERSONAL_TENANT_ID, Tenant
from ..protocol.errors import EntraError
from ..state.world import World

SHARED_TENANTS = ("common", "organizations", "consumers")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIVE, _LIVE_VERSION_1 = "https://login.microsoftonline.com", "https://sts.windows.net"
_OTHER_CLOUD_CODE = 90038


def issuer(world: World, base_url: str, tenant_id: str, *, version: int = 2) -> str:
    """The issuer of a tenant's tokens: `/v2.0` at its end in version 2, a slash in version 1.

    It names the listener that is asked, or the live service where the emulator was told to issue as that.
    """
    if world.issue_as_live:
        base_url = _LIVE if version == 2 else _LIVE_VERSION_1
    return f"{base_url}/{tenant_id}/v2.0" if version == 2 else f"{base_url}/{tenant_id}/"


def find_tenant(world: World, segment: str) -> Tenant | None:
    """The tenant a path segment names; None for the shared endpoints.

    Raises:
        EntraError: 90002 unknown, 900023 malformed, 90038 when it lives in another cloud.
    """
    if segment.lower() in SHARED_TENANTS:
        return None
    tenant = world.directory.tenant(segment)
    if tenant is None:
        if not (_GUID.fullmatch(segment.lower()) or "." in segment):
            raise EntraError(900023, f"The value was '{segment[:100]}'.")
        raise EntraError(90002, f"The name was '{segment[:100]}'.")
    if tenant.cloud != "public":
        raise EntraError(_OTHER_CLOUD_CODE, f"Its cloud is '{tenant.cloud}'.")
    return tenant


def issuer_segment(tenant: Tenant | None, segment: str) -> str:
    if tenant is not None:
        return tenant.tenant_id
    return PERSONAL_TENANT_ID if segment.lower() == "consumers" else "{tenantid}"
