"""The sign-in itself, step by step: account, checks, second factor, consent, answer.

One walk, run again after each page: the first step that needs the person shows its page, and the
answer comes when none is left.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ..directory.policies import demanded
from ..directory.records import PERSONAL_TENANT_ID, Person
from ..protocol.authorize_request import AuthorizeRequest
from ..protocol.errors import EntraError
from ..protocol.http import Request, Response
from ..protocol.redirect_uris import front_channel_url, origin_of
from ..state.grant import Grant
from ..state.pending import PendingSignIn
from ..state.sessions import Browser, SignedIn
from ..state.world import World
from ..tokens import admission
from ..tokens.claims_parameter import asked_contexts, newest_allowed
from ..tokens.id_token import half_hash, id_token
from ..tokens.identity_claims import by_login_hint
from ..tokens.tenants import issuer
from ..tokens.token_response import client_info_of
from . import pages
from .authorization_response import refuse, respond

_CODE = re.compile(r"[0-9]{6}")
_WRONG_CODE = "000000"


def begin(world: World, request: Request, checked: AuthorizeRequest) -> Response:
    """Walk as far as possible without the person."""
    pending = world.pending.begin(checked, now=world.clock.now())
    try:
        _find_account(world, request, pending)
    except EntraError as error:
        return _refused(world, pending, error)
    return proceed(world, request, pending)


def begin_for_device(world: World, request: Request, checked: AuthorizeRequest, device_code: str) -> Response:
    """The same walk for a device that waits elsewhere."""
    pending = world.pending.begin(checked, now=world.clock.now())
    pending.device_code = device_code
    try:
        _find_account(world, request, pending)
    except EntraError as error:
        return _refused(world, pending, error)
    return proceed(world, request, pending)


def step(world: World, request: Request) -> Response:
    """One page's answer from the person."""
    form = request.form()
    pending = world.pending.find(form.get("ctx"), now=world.clock.now())
    if pending is None:
        return refuse(world, EntraError(50089), to=None, correlation_id="")
    if form.get("action") == "cancel":
        return _declined(world, pending)
    if form.get("pick"):
        _pick(world, request, pending, form.get("pick"))
    elif form.get("action") == "name":
        hint = form.get("name").strip()
        tenant = pending.request.tenant
        person = by_login_hint(world, hint, tenant_id=tenant.tenant_id if tenant else "")
        person = person or by_login_hint(world, hint)
        if person is None:
            return _picker(
                world, request, pending, problem="AADSTS50034: No such account exists in this directory."
            )
        _pick(world, request, pending, person.object_id)
    elif form.get("action") == "otp":
        code = form.get("otp").strip()
        if not _CODE.fullmatch(code) or code == _WRONG_CODE:
            return _second_factor(world, pending, problem="That code did not work. Try again.")
        pending.mfa = True
    elif form.get("action") == "consent":
        _consent(world, pending, everybody=form.get("organisation") == "1")
    return proceed(world, request, pending)


def proceed(world: World, request: Request, pending: PendingSignIn) -> Response:
    """The next page, or the answer."""
    asked = pending.request
    if asked.decline:
        return _declined(world, pending)
    person = world.directory.people.get(pending.object_id)
    if person is None:
        return _picker(world, request, pending)
    try:
        admission.check_application(asked.client, asked.tenant or world.directory.tenants[person.tenant_id])
        admission.check_account(world, asked.client, asked.tenant, person)
        mfa = pending.mfa or pending.approve
        admission.check_policy(world, asked.client, person, mfa=mfa, claims_parameter=asked.claims)
        missing = admission.missing_permissions(world, asked.client, person, asked.scope)
        wanted = bool(missing) or asked.prompt == "consent"
        if wanted and not pending.consented:
            if asked.silent:
                admission.check_consent(world, asked.client, person, asked.scope)
            if not person.administrator:
                admission.check_consentable(missing)
            if not pending.approve:
                return _consent_page(world, pending, person, missing)
            _consent(world, pending, everybody=False)
    except EntraError as error:
        if error.code == 50076 and not asked.silent:
            return _second_factor(world, pending)
        return _refused(world, pending, error)
    return _finish(world, request, pending, person)


def _find_account(world: World, request: Request, pending: PendingSignIn) -> None:
    """Take the account from the browser's session or, approving, from the hint; else leave it to the person.

    Raises:
        EntraError: 50058 or 16000 when nothing may be shown, 50034 for an unknown hint that was approved.
    """
    asked = pending.request
    tenant_id = asked.tenant.tenant_id if asked.tenant else ""
    hinted = by_login_hint(world, asked.login_hint, tenant_id=tenant_id) or by_login_hint(
        world, asked.login_hint
    )
    if asked.approve and asked.login_hint and not asked.silent:
        if hinted is None:
            raise EntraError(50034, f"The account was '{asked.login_hint[:100]}'.")
        pending.approve = True
        pending.fresh = True
        pending.object_id = hinted.object_id
        return
    usable = [
        account
        for account in _usable_accounts(world, request, asked)
        if not asked.login_hint or (hinted is not None and account.object_id == hinted.object_id)
    ]
    if asked.prompt in ("login", "select_account"):
        return
    if len(usable) == 1:
        pending.object_id, pending.mfa = usable[0].object_id, usable[0].mfa
    elif asked.silent:
        raise EntraError(16000 if usable else 50058, shown="redirect")


def _usable_accounts(world: World, request: Request, asked: AuthorizeRequest) -> list[SignedIn]:
    browser = world.sessions.find(request.cookie(world.cookie_name))
    now = world.clock.now()
    oldest = max(now - asked.max_age if asked.max_age is not None else 0.0, newest_allowed(asked.claims))
    usable: list[SignedIn] = []
    for account in browser.accounts.values() if browser else ():
        person = world.directory.people.get(account.object_id)
        if (
            person is None
            or not _belongs(person, asked)
            or account.auth_time < max(oldest, person.sessions_valid_from)
        ):
            continue
        if person.sign_in_frequency_seconds and account.auth_time + person.sign_in_frequency_seconds < now:
            continue
        usable.append(account)
    return usable


def _belongs(person: Person, asked: AuthorizeRequest) -> bool:
    """Whether this user object is one the endpoint signs in."""
    if asked.tenant is not None:
        return person.tenant_id == asked.tenant.tenant_id
    if person.guest:
        return False
    personal = person.tenant_id == PERSONAL_TENANT_ID
    return {"consumers": personal, "organizations": not personal}.get(asked.segment.lower(), True)


def _pick(world: World, request: Request, pending: PendingSignIn, object_id: str) -> None:
    """The person chose an account; a live session of it counts unless a fresh sign-in was asked for."""
    pending.object_id = object_id
    known = {account.object_id: account for account in _usable_accounts(world, request, pending.request)}
    account = known.get(object_id)
    pending.fresh = account is None or pending.request.prompt == "login"
    pending.mfa = account.mfa if account is not None and not pending.fresh else False


def _consent(world: World, pending: PendingSignIn, *, everybody: bool) -> None:
    person = world.directory.people.get(pending.object_id)
    if person is None:
        return
    asked = pending.request
    permissions = [
        *asked.scope.qualified,
        *(f"{asked.scope.resource.resource_id}/{name}" for name in asked.scope.oidc),
    ]
    holder = "" if everybody and person.administrator else person.object_id
    world.directory.consent(asked.client, person.tenant_id, holder, permissions)
    pending.consented = True


def _finish(world: World, request: Request, pending: PendingSignIn, person: Person) -> Response:
    """Sign the account in here and answer the application."""
    asked = pending.request
    world.pending.end(pending)
    browser = world.sessions.find(request.cookie(world.cookie_name)) or world.sessions.open()
    account = _signed_in(world, browser, pending, person)
    if pending.device_code:
        browser.enter(account, asked.client.client_id, "")
        world.device_codes.approve(pending.device_code, account)
        done = pages.message("You're signed in", "You can go back to your device and close this window.")
        return _with_cookie(world, browser, done)
    browser.enter(account, asked.client.client_id, front_channel_url(asked.client, asked.to.redirect_uri))
    now = world.clock.now()
    grant = Grant(
        tenant_id=person.tenant_id,
        client_id=asked.client.client_id,
        object_id=person.object_id,
        scope=asked.scope_text,
        sid=account.sid,
        auth_time=account.auth_time,
        mfa=account.mfa,
        issued_at=now,
        family_at=now,
        redirect_uri=asked.to.redirect_uri,
        nonce=asked.nonce,
        challenge=asked.challenge,
        challenge_method=asked.challenge_method,
        acrs=asked_contexts(asked.claims),
        claims=asked.claims,
        platform=asked.platform,
        version=asked.version,
        resource=asked.resource,
        shared_endpoint=asked.tenant is None,
        max_age=asked.max_age is not None,
    )
    parameters = _response_parameters(world, asked, grant, person)
    ours = issuer(world, asked.base_url, person.tenant_id, version=asked.version)
    return _with_cookie(world, browser, respond(world, asked.to, parameters, issuer=ours))


def _response_parameters(
    world: World, asked: AuthorizeRequest, grant: Grant, person: Person
) -> dict[str, str]:
    parameters: dict[str, str] = {}
    if "code" in asked.response_type:
        parameters["code"] = world.codes.issue(grant)
    if "id_token" in asked.response_type:
        half = half_hash(parameters["code"]) if "code" in parameters else ""
        parameters["id_token"] = id_token(
            world,
            base_url=asked.base_url,
            client=asked.client,
            person=person,
            grant=grant,
            scope=asked.scope,
            grant_type="implicit",
            implicit=True,
            extra={"c_hash": half} if half else None,
        )
    if asked.client_info:
        parameters["client_info"] = client_info_of(person)
    parameters["session_state"] = grant.sid
    return parameters


def _signed_in(world: World, browser: Browser, pending: PendingSignIn, person: Person) -> SignedIn:
    known = browser.accounts.get(person.object_id)
    now = world.clock.now()
    if known is None or pending.fresh or known.auth_time < person.sessions_valid_from:
        demand = demanded(world.directory, pending.request.client, person)
        mfa = pending.mfa or (pending.approve and demand is not None)
        if known is not None:
            return SignedIn(object_id=person.object_id, auth_time=now, mfa=mfa, sid=known.sid)
        return SignedIn(object_id=person.object_id, auth_time=now, mfa=mfa)
    if pending.mfa and not known.mfa:
        return SignedIn(object_id=person.object_id, auth_time=now, mfa=True, sid=known.sid)
    return known


def _with_cookie(world: World, browser: Browser, response: Response) -> Response:
    cookie = f"{world.cookie_name}={browser.cookie}; Path=/; HttpOnly; SameSite=Lax"
    return response.with_header("set-cookie", cookie)


def _action(pending: PendingSignIn) -> str:
    return f"/{quote(pending.request.segment, safe='')}/login"


def _picker(world: World, request: Request, pending: PendingSignIn, *, problem: str = "") -> Response:
    asked = pending.request
    world.pending.keep(pending)
    people = [person for person in list(world.directory.people.values()) if _belongs(person, asked)]
    if asked.domain_hint:
        hinted = [p for p in people if p.sign_in_name.lower().endswith(f"@{asked.domain_hint.lower()}")]
        people = hinted or people
    signed_in = {account.object_id for account in _usable_accounts(world, request, asked)}
    people.sort(key=lambda person: person.object_id not in signed_in)
    return pages.account_picker(
        _action(pending),
        pending.reference,
        app=asked.client,
        people=[
            (person, world.directory.roles_of(asked.client, person.object_id, person.groups))
            for person in people
        ],
        signed_in=signed_in if asked.prompt != "login" else set(),
        hint=asked.login_hint,
        form_target=origin_of(asked.to.redirect_uri),
        problem=problem,
    )


def _second_factor(world: World, pending: PendingSignIn, *, problem: str = "") -> Response:
    world.pending.keep(pending)
    return pages.second_factor(
        _action(pending),
        pending.reference,
        person=world.directory.people[pending.object_id],
        form_target=origin_of(pending.request.to.redirect_uri),
        problem=problem,
    )


def _consent_page(world: World, pending: PendingSignIn, person: Person, missing: list[str]) -> Response:
    world.pending.keep(pending)
    return pages.consent(
        _action(pending),
        pending.reference,
        app=pending.request.client,
        person=person,
        permissions=missing,
        scope=pending.request.scope,
        form_target=origin_of(pending.request.to.redirect_uri),
    )


def _declined(world: World, pending: PendingSignIn) -> Response:
    world.pending.end(pending)
    if pending.device_code:
        world.device_codes.decline(pending.device_code)
        return pages.message("Cancelled", "The device was not signed in. You can close this window.")
    return _refused(world, pending, EntraError(65004), subcode="cancel")


def _refused(world: World, pending: PendingSignIn, error: EntraError, *, subcode: str = "") -> Response:
    asked = pending.request
    return refuse(
        world,
        error,
        to=None if pending.device_code else asked.to,
        correlation_id=asked.correlation_id,
        silent=asked.silent,
        errors_return=asked.errors_return,
        subcode=subcode,
    )
