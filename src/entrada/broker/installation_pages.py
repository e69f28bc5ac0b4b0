"""The page of administrators: who may sign people in here, who asks, and what can be done about each.

    GET  /auth/broker/installations             the list; those who ask come first
    GET  /auth/broker/installations?about=ID    one of them, with what cannot be taken back
    POST /auth/broker/installations             ?approve=ID, ?remove=ID, ?rotate=ID with &tenant=ID; ?add=1

Whoever administers a tenant hands out this registration's roles there, the administrators' among them. So an
administrator sees and answers for their own tenant alone; for all of them there is the command line.
A yes is for what the page showed, tenant included. Each form carries the session's token. What lets somebody
in, shuts somebody out or gives out a secret wants a sign-in of the last minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from entrada.accounts.administration import tenant_administered_by
from entrada.audit.acts import person
from entrada.broker import administration
from entrada.broker.administration import Untold
from entrada.broker.installations import Installation, Proof, installation_at
from entrada.broker.provider import Provider
from entrada.entra.authority import TenantId
from entrada.errors import InstallationRefused
from entrada.events import Event, record
from entrada.flows.session_check import CheckedSession
from entrada.web.admin.access import RECENT, administrators_only, require_form, sign_in_again
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.pages.values import Action, Block, Fact, Field, Form, Notice, Tone
from entrada.web.refusals import page_response

_MOST_FACTS = 20


@dataclass(frozen=True, kw_only=True)
class _Administrator:
    """`tenant_id` is the one they answer for."""

    user_id: str
    tenant_id: TenantId
    is_recent: bool


def overview(auth: Auth, provider: Provider, request: WebRequest) -> WebResponse:
    """The list, or with `about` one of it.

    Raises:
        RoleRequired: for administrators only.
        InstallationRefused: there is no such installation of their tenant.
    """
    session = auth.session_of(request)
    if session is None:
        return auth.challenge(request)
    who = _administrator(auth, provider, session)
    known = [one for one in provider.installations() if one.tenant_id == who.tenant_id]
    told_in_vain = administration.untold(provider, [one.client_id for one in known])
    about = request.first("about")
    if about is not None:
        found = next((one for one in known if one.client_id == about), None)
        if found is None:
            raise _no_such()
        return _about(auth, provider, request, found, told_in_vain.get(found.client_id))
    known.sort(key=lambda one: one.is_let_in)
    waiting = sum(not one.is_let_in for one in known)
    page = auth.pages.desk(
        "Installations that ask to be let in" if waiting else "Installations",
        paragraphs=[
            "Let in only what you know: it may then sign in people of your tenant."
            if waiting
            else "Nobody asks. These may sign in people of your tenant."
            if known
            else "Nobody asks, and nobody is in yet."
        ],
        notice=_notice(told_in_vain),
        blocks=[
            *(
                _block(auth, request, one, told_in_vain.get(one.client_id), anchor=f"entry-{number}")
                for number, one in enumerate(known, 1)
            ),
            _adding(auth, request),
        ],
    )
    return page_response(page)


def change(auth: Auth, provider: Provider, request: WebRequest) -> WebResponse:
    """Carries out what one of the forms asks for.

    Raises:
        RequestRefused: another site's form, one without its token, or something that cannot be done.
        RoleRequired: for administrators only.
    """
    require_form(auth, request)
    session = auth.session_of(request)
    if session is None:
        raise administrators_only()
    who = _administrator(auth, provider, session)
    form = dict(request.form_pairs())
    verbs = ("approve", "remove", "rotate", "add")
    verb = next((name for name in verbs if request.first(name) is not None), None)
    if verb is None:
        raise InstallationRefused("Nothing was asked for.")
    if not who.is_recent:
        return sign_in_again(
            auth,
            request.path,
            paragraph="decides who may sign people in.",
            back=Action(label="Back to the list", path=request.path, quiet=True),
        )
    if verb == "add":
        return _add(auth, provider, request, who, form)
    client_id = request.first(verb) or ""
    installation = provider.store.find_installation(client_id) if client_id.isprintable() else None
    if installation is None or request.first("tenant") != installation.tenant_id:
        # Refused and asked for anew meanwhile, it may be somebody else's.
        raise _no_such()
    if installation.tenant_id != who.tenant_id:
        raise InstallationRefused(
            "That installation is for people of another tenant than yours.",
            hint="Whoever runs this sign-in service answers for others: `entrada broker installations`.",
        )
    if verb == "rotate" and installation.proof is Proof.KEY:
        raise InstallationRefused("That installation shows a key of its own, and has no secret.")
    record(Event.INSTALLATION_CHANGED, reason=verb, client_id=client_id, user_id=who.user_id)
    if verb == "rotate":
        return _secret_given(
            auth,
            request,
            installation.client_id,
            administration.rotate_secret(provider, installation, actor=person(who.user_id)),
        )
    change = administration.approve if verb == "approve" else administration.remove
    change(provider, installation, actor=person(who.user_id))
    return redirect(request.path)


def _add(
    auth: Auth, provider: Provider, request: WebRequest, who: _Administrator, form: dict[str, str]
) -> WebResponse:
    try:
        made = installation_at(form.get("public_url", ""), tenant_id=who.tenant_id)
    except ValueError as error:
        raise InstallationRefused(
            f"That is no public URL: {error}.", hint="Write it as https://app.example.com."
        ) from None
    if not provider.allows(made.tenant_id):
        raise InstallationRefused("People of your tenant may not sign in here.")
    secret = administration.add(
        provider, made, with_secret=form.get("secret") == "1", actor=person(who.user_id)
    )
    record(
        Event.INSTALLATION_CHANGED,
        reason="add",
        client_id=made.client_id,
        tenant_id=made.tenant_id,
        user_id=who.user_id,
    )
    if secret is None:
        return redirect(request.path)
    return _secret_given(auth, request, made.client_id, secret)


def _about(
    auth: Auth, provider: Provider, request: WebRequest, one: Installation, in_vain: Untold | None
) -> WebResponse:
    facts = _facts(one, in_vain)
    facts += [Fact(label="Answers go to", text=uri, exact=True) for uri in one.redirect_uris[:_MOST_FACTS]]
    if one.origin_pattern is not None:
        facts.append(Fact(label="Or below", text=one.origin_pattern, exact=True))
    facts.append(Fact(label="Learns", text=", ".join(sorted(one.claims)) or "nothing but who it is"))
    if one.groups is not None:
        facts.append(Fact(label="Of groups", text=f"{len(one.groups)} that are listed"))
    actions = [Action(label="Back to the list", path=request.path, quiet=True)]
    if _is_stored(provider, one):
        if one.proof is not Proof.KEY:
            label = "Give out a new secret" if one.proof is Proof.SECRET else "Demand a client secret"
            actions.insert(0, _post(auth, request, label, "rotate", one))
        actions.insert(1, _post(auth, request, "Remove", "remove", one))
    consequence = (
        "Removed, it signs nobody in any more, and everybody who is signed in there through this service is "
        "signed out. A new secret works at once; the one before it until the next."
        if one.proof is Proof.SECRET
        else "Removed, it signs nobody in any more, and everybody who is signed in there through this "
        "service is signed out. Once it has a secret, nobody signs in there without it."
    )
    page = auth.pages.note(
        one.client_id,
        paragraphs=[consequence if _is_stored(provider, one) else _LISTED],
        facts=facts,
        actions=actions,
    )
    return page_response(page)


_LISTED = "It is listed in the settings file of this sign-in service, and changed there."


def _adding(auth: Auth, request: WebRequest) -> Block:
    heading = "Let another one in"
    fields = [
        Field(
            name="public_url",
            label="Its public URL",
            hint="Such as https://app.example.com",
            kind="url",
            longest=2000,
            required=True,
        ),
        Field(
            name="secret",
            label="Its proof",
            options=[("", "Its address alone"), ("1", "A client secret besides")],
        ),
    ]
    form = Form(
        label=heading,
        path=f"{request.path}?add=1",
        fields=fields,
        button="Let in",
        csrf_token=auth.form_token(request),
        first=True,
    )
    return Block(heading=heading, anchor="new-entry", forms=[form])


def _block(
    auth: Auth, request: WebRequest, one: Installation, in_vain: Untold | None, *, anchor: str
) -> Block:
    actions = [
        Action(label=f"Look at {one.client_id}", path=f"{request.path}?about={quote(one.client_id, safe='')}")
    ]
    if not one.is_let_in:
        actions = [
            _post(auth, request, f"{label} {one.client_id}", verb, one)
            for label, verb in (("Let in", "approve"), ("Refuse", "remove"))
        ]
    return Block(heading=one.client_id, anchor=anchor, facts=_facts(one, in_vain), actions=actions)


def _facts(one: Installation, in_vain: Untold | None) -> list[Fact]:
    proofs = {Proof.PKCE: "its address alone", Proof.SECRET: "a client secret", Proof.KEY: "a key"}
    standing = {"listed": "listed in the settings file", "approved": "let in", "waiting": "asks to be let in"}
    facts = [
        Fact(label="Tenant", text=one.tenant_id, exact=True),
        Fact(label="Standing", text=standing[one.standing]),
        Fact(label="Proof", text=proofs[one.proof]),
    ]
    if not one.is_let_in:
        facts.append(Fact(label="Asked from", text=one.asked_from or "unknown", exact=True))
    if in_vain is not None:
        facts.append(
            Fact(
                label="Not reached",
                text=f"{in_vain.count} sign-outs it has not taken, since {in_vain.since:%Y-%m-%d %H:%M} UTC",
            )
        )
    return facts


def _notice(told_in_vain: dict[str, Untold]) -> Notice | None:
    if not told_in_vain:
        return None
    return Notice(
        text="Some do not take word of sign-outs: whoever signed out elsewhere may still be signed in there.",
        tone=Tone.CAUTION,
    )


def _secret_given(auth: Auth, request: WebRequest, client_id: str, secret: str) -> WebResponse:
    page = auth.pages.note(
        "Its client secret",
        paragraphs=["It is shown this once. Set it there as the client secret."],
        facts=[
            Fact(label="Application", text=client_id, exact=True),
            Fact(label="Secret", text=secret, exact=True),
        ],
        actions=[Action(label="Back to the list", path=request.path, first=True)],
    )
    return page_response(page)


def _administrator(auth: Auth, provider: Provider, session: CheckedSession) -> _Administrator:
    """Who this is, and the tenant they answer for.

    Raises:
        RoleRequired: they have none of the roles that administer.
    """
    party = auth.relying_party
    user, stored = party.accounts.get(session.principal.user_id), party.sessions.find(session.session_id)
    tenant_id = None if user is None else tenant_administered_by(user, auth.admin_roles)
    if user is None or stored is None or tenant_id is None:
        raise administrators_only()
    return _Administrator(
        user_id=user.id, tenant_id=tenant_id, is_recent=stored.is_recent(provider.now(), within=RECENT)
    )


def _no_such() -> InstallationRefused:
    return InstallationRefused("There is no such installation in the database.")


def _is_stored(provider: Provider, one: Installation) -> bool:
    return all(listed.client_id != one.client_id for listed in provider.listed)


def _post(auth: Auth, request: WebRequest, label: str, verb: str, one: Installation) -> Action:
    path = f"{request.path}?{verb}={quote(one.client_id, safe=':/')}&tenant={one.tenant_id}"
    return Action(label=label, path=path, csrf_token=auth.form_token(request))
