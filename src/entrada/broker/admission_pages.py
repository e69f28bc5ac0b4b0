"""Installations that ask to be let in, and the administrator who answers.

    GET  /auth/broker/installations    for administrators: who is in, and who asks, from where, for whom
    POST /auth/broker/installations    ?ask=URL&tenant=ID; for administrators ?approve=ID and ?remove=ID

Asking opens nothing. Who asks is shown with the address they asked from; at most a hundred wait at a time,
ten from one address. A yes is for what the page showed: tenant included.

Whoever administers a tenant hands out this registration's roles there, the administrators' among them. So an
administrator sees and answers for their own tenant alone; for all of them there is the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from entrada.broker.installations import (
    CALLBACK_PATHS,
    Installation,
    Standing,
    installation_at,
    read_public_url,
)
from entrada.broker.provider import Provider
from entrada.entra.authority import TenantId, parse_guid
from entrada.errors import InstallationRefused, RoleRequired
from entrada.events import Event, record
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.pages.values import Action, Fact
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
        facts=_facts(applicant.public_url, applicant.tenant_id),
        actions=[
            Action(
                label="Ask to be let in",
                path=f"{path}?ask={applicant.public_url}&tenant={applicant.tenant_id}",
                csrf_token="",
            )
        ],
    )
    return page_response(page, status=403)


def change(auth: Auth, provider: Provider, request: WebRequest) -> WebResponse:
    """Carries out what one of the forms asks for.

    Raises:
        RequestRefused: another site's form, or something that cannot be done.
        RoleRequired: for administrators only.
    """
    require_same_origin(request, origins=auth.site.urls, form_token=auth.form_token(request))
    wanted = request.first("ask")
    if wanted is not None:
        return _ask(auth, provider, request, wanted)
    who, own_tenant = _administrator(auth, request)
    for verb, carry_out in (("approve", _approve), ("remove", _remove)):
        client_id = request.first(verb)
        if client_id is None:
            continue
        installation = provider.store.find_installation(client_id)
        if installation is None or request.first("tenant") != installation.tenant_id:
            # Refused and asked for anew meanwhile, it may be somebody else's.
            raise InstallationRefused("There is no such installation in the database.")
        if installation.tenant_id != own_tenant:
            raise InstallationRefused(
                "That installation is for people of another tenant than yours.",
                hint="Whoever runs this sign-in service answers for other tenants: "
                "`entrada broker installations`.",
            )
        carry_out(provider, installation)
        record(Event.INSTALLATION_CHANGED, reason=verb, client_id=client_id, user_id=who)
        return redirect(request.path)
    raise InstallationRefused("Nothing was asked for.")


def overview(auth: Auth, provider: Provider, request: WebRequest) -> WebResponse:
    """The page of administrators; those who ask come first."""
    if auth.session_of(request) is None:
        return auth.challenge(request)
    _, own_tenant = _administrator(auth, request)
    known = [one for one in provider.installations() if one.tenant_id == own_tenant]
    waiting = [one for one in known if not one.is_let_in]
    facts, actions = [], []
    for one in waiting:
        facts += _facts(one.client_id, one.tenant_id)
        facts.append(Fact(label="Asked from", text=one.asked_from or "unknown", exact=True))
        actions += [
            _action(f"{label} {one.client_id}", f"{request.path}?{verb}={_named(one)}", auth, request)
            for label, verb in (("Let in", "approve"), ("Refuse", "remove"))
        ]
    if not waiting:
        for one in known:
            facts += _facts(one.client_id, one.tenant_id)
    page = auth.pages.note(
        "Installations that ask to be let in" if waiting else "Installations",
        paragraphs=[
            "Let in only what you know: it may then sign in people of that tenant."
            if waiting
            else "Nobody asks. These are in; `entrada broker installations` changes them."
        ],
        facts=facts,
        actions=actions,
    )
    return page_response(page)


def _ask(auth: Auth, provider: Provider, request: WebRequest, public_url: str) -> WebResponse:
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
    from_there = sum(one.asked_from == made.asked_from for one in waiting)
    if len(waiting) >= MOST_WAITING or from_there >= MOST_WAITING_FROM_ONE_PEER:
        raise InstallationRefused("Too many wait to be let in already.")
    if all(one.client_id != made.client_id for one in known):  # also those whose tenant is shut out now
        provider.store.save_installation(made)
        record(Event.INSTALLATION_CHANGED, reason="asked", client_id=made.client_id, tenant_id=tenant)
    page = auth.pages.note(
        "Asked",
        paragraphs=["An administrator of this sign-in service will answer. Then sign in at the application."],
        facts=_facts(made.client_id, made.tenant_id),
    )
    return page_response(page, status=202)


def _approve(provider: Provider, installation: Installation) -> None:
    provider.store.save_installation(replace(installation, standing=Standing.APPROVED))


def _remove(provider: Provider, installation: Installation) -> None:
    provider.store.remove_installation(installation.client_id, now=provider.now())


def _administrator(auth: Auth, request: WebRequest) -> tuple[str, TenantId]:
    """The user id of an administrator, and the tenant they answer for.

    Raises:
        RoleRequired: nobody is signed in, or has none of the roles that administer.
    """
    session = auth.session_of(request)
    if session is None or not auth.admin_roles or not session.principal.has_any_role(*auth.admin_roles):
        raise RoleRequired(
            "This page is for administrators of the sign-in service.",
            hint="$[admin_roles] names the roles that administer; ask for one in Microsoft Entra ID.",
        )
    return session.principal.user_id, session.principal.identity.tenant_id


def _named(installation: Installation) -> str:
    return f"{quote(installation.client_id, safe=':/')}&tenant={installation.tenant_id}"


def _action(label: str, path: str, auth: Auth, request: WebRequest) -> Action:
    return Action(label=label, path=path, csrf_token=auth.form_token(request))


def _facts(public_url: str, tenant_id: str) -> list[Fact]:
    return [
        Fact(label="Application", text=public_url, exact=True),
        Fact(label="Tenant", text=tenant_id, exact=True),
    ]
