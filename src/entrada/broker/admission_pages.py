"""Installations that ask to be let in.

    POST /auth/broker/installations    ?ask=URL&tenant=ID

Asking opens nothing. Who asks is shown with the address they asked from; at most a hundred wait at a time,
ten from one address. What an administrator answers: `installation_pages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrada.audit.acts import ENTRADA, Cause
from entrada.broker.installations import (
    CALLBACK_PATHS,
    Standing,
    installation_at,
    read_public_url,
)
from entrada.broker.provider import Provider
from entrada.entra.authority import TenantId, parse_guid
from entrada.errors import InstallationRefused
from entrada.events import Event, record
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.values import Action, Fact
from entrada.web.peers import peer_of
from entrada.web.refusals import page_response
from entrada.web.same_origin import require_same_origin

MOST_WAITING = 100
MOST_WAITING_FROM_ONE_PEER = 10


@dataclass(frozen=True, kw_only=True)
class Applicant:
    """An installation that is not known yet, as its own sign-in request describes it."""

    public_url: str
    tenant_id: TenantId


def applicant_of(pairs: Sequence[tuple[str, str]], provider: Provider) -> Applicant | None:
    """Who sent this authorization request, if it is an installation that may ask to be let in.

    Its client id is its public URL, the answer would go to a usual path below it, and it names its tenant.
    """
    found = dict(pairs)
    tenant = parse_guid(found.get("domain_hint", ""))
    if tenant is None or not provider.allows(TenantId(tenant)):
        return None
    try:
        url = read_public_url(found.get("client_id", ""))
    except ValueError:
        return None
    is_below = found.get("redirect_uri", "") in {url + path for path in CALLBACK_PATHS}
    return Applicant(public_url=url, tenant_id=TenantId(tenant)) if is_below else None


def page_for_applicant(auth: Auth, applicant: Applicant, path: str) -> WebResponse:
    """Says that the application is not known, and offers to ask."""
    page = auth.pages.note(
        "This application is not known here",
        paragraphs=[
            "It may ask the administrator of this sign-in service to be let in. "
            "If you did not expect this, or someone sent you this link, leave."
        ],
        facts=facts_of(applicant.public_url, applicant.tenant_id),
        actions=[
            Action(
                label="Ask to be let in",
                path=f"{path}?ask={applicant.public_url}&tenant={applicant.tenant_id}",
                csrf_token="",
            )
        ],
    )
    return page_response(page, status=403)


def ask(auth: Auth, provider: Provider, request: WebRequest, public_url: str) -> WebResponse:
    """Notes that somebody asks to be let in.

    Raises:
        RequestRefused: another site's form, no public URL, another tenant, or too many wait.
    """
    require_same_origin(request, origins=auth.site.urls, form_token=auth.form_token(request))
    tenant = parse_guid(request.first("tenant") or "")
    if tenant is None or not provider.allows(TenantId(tenant)):
        raise InstallationRefused("People of that tenant may not sign in here.")
    try:
        made = installation_at(
            public_url,
            tenant_id=TenantId(tenant),
            standing=Standing.WAITING,
            asked_at=provider.now(),
            asked_from=request.peer or "unknown",
        )
    except ValueError:
        raise InstallationRefused("That is no public URL.") from None
    known = provider.installations()
    waiting = [one for one in known if not one.is_let_in]
    from_there = sum(peer_of(one.asked_from) == peer_of(made.asked_from) for one in waiting)
    if len(waiting) >= MOST_WAITING or from_there >= MOST_WAITING_FROM_ONE_PEER:
        raise InstallationRefused("Too many wait to be let in already.")
    # Nothing is replaced, also not what was let in since `known` was read, or whose tenant is shut out now.
    if all(one.client_id != made.client_id for one in known) and provider.store.add_installation(
        made, cause=Cause(actor=ENTRADA, at=provider.now(), reason="asked to be let in")
    ):
        record(Event.INSTALLATION_CHANGED, reason="asked", client_id=made.client_id, tenant_id=tenant)
    page = auth.pages.note(
        "Asked",
        paragraphs=["An administrator of this sign-in service will answer. Then sign in at the application."],
        facts=facts_of(made.client_id, made.tenant_id),
    )
    return page_response(page, status=202)


def facts_of(public_url: str, tenant_id: str) -> list[Fact]:
    return [
        Fact(label="Application", text=public_url, exact=True),
        Fact(label="Tenant", text=tenant_id, exact=True),
    ]
