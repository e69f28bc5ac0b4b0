"""Who makes a request, and whether they may: what every guard asks, alike in every framework.

    visitor = Visitor(auth=auth, request=request, session=session)     # an adapter makes one for each request
    refused = visitor.refusal(Requirement(roles=["Editor"]))
    visitor.principal                                                  # None was refused: who was let in

A person comes with a session, or with an access token in their name; an application or an agent with a token.
Where a guard takes tokens, a request that carries one is judged by it alone. It takes them if scopes are
named, by the guard or by $[bearer_scopes], or if others than people may call. Scopes bind tokens: a person
who is signed in here themselves needs none.

Source: RFC 6750, section 3; Microsoft, "Secure applications and APIs by validating claims".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from entrada.accounts.principal import Evidence, Principal, with_evidence
from entrada.entra.callers import CallerKind
from entrada.entra.claims_request import asking_for
from entrada.errors import (
    BearerError,
    BearerRequestRefused,
    EntradaError,
    InsufficientScope,
    InteractionRequired,
    RoleRequired,
)
from entrada.web.bearer_challenges import bearer_challenge
from entrada.web.messages import WebRequest, WebResponse

if TYPE_CHECKING:  # an adapter is imported with its framework, and builds nothing yet
    from entrada.entra.api_token import ApiToken
    from entrada.entra.jws import RawAccessToken
    from entrada.flows.bearer import CheckedToken
    from entrada.flows.session_check import CheckedSession
    from entrada.web.auth_routes import AuthRoutes
    from entrada.web.token_callers import TokenCallers

PEOPLE = frozenset({CallerKind.PERSON})


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What one guard asks: one of `roles`, where there are any; of a token one of `scopes`; a kind of caller.

    `auth_context` is an authentication context of Conditional Access, such as c1, that the sign-in must have
    met: who is signed in goes through Entra once for it, a token's caller is told by a claims challenge.

    Raises:
        ValueError: it lets nobody in, or applications of which it asks no role; no authentication context.
    """

    roles: Sequence[str] = ()
    scopes: Sequence[str] = ()
    callers: frozenset[CallerKind] = PEOPLE
    auth_context: str | None = None

    def __post_init__(self) -> None:
        if not self.callers:
            raise ValueError("callers must not be empty")
        if not self.roles and not all(kind.has_account for kind in self.callers):
            raise ValueError("roles must not be empty where applications may call")
        if self.auth_context is not None:
            asking_for(self.auth_context)


SIGNED_IN = Requirement()


def role_requirement(roles: Sequence[str], callers: Collection[CallerKind]) -> Requirement:
    """What `roles_required(*roles, callers=...)` asks.

    Raises:
        ValueError: no role is named.
        TypeError: a list, or a view, is given in the place of a role.
    """
    _named_one_by_one("roles_required", roles)
    if not roles:
        raise ValueError("roles_required needs at least one role")
    return Requirement(roles=tuple(roles), callers=frozenset(callers))


def scope_requirement(
    scopes: Sequence[str], roles: Collection[str], callers: Collection[CallerKind]
) -> Requirement:
    """What `scopes_required(*scopes, roles=..., callers=...)` asks.

    Raises:
        ValueError: no scope is named.
        TypeError: a list, or a view, is given in the place of a scope.
    """
    _named_one_by_one("scopes_required", scopes)
    if not scopes:
        raise ValueError("scopes_required needs at least one scope")
    return Requirement(scopes=tuple(scopes), roles=tuple(roles), callers=frozenset(callers))


def _named_one_by_one(guard: str, names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f'{guard} takes text, as in {guard}("One", "Two"), not {type(name).__name__}')


def context_requirement(
    auth_context: str, scopes: Collection[str], roles: Collection[str], callers: Collection[CallerKind]
) -> Requirement:
    """What `auth_context_required(auth_context, scopes=..., roles=..., callers=...)` asks."""
    return Requirement(
        roles=tuple(roles), scopes=tuple(scopes), callers=frozenset(callers), auth_context=auth_context
    )


class HasAuth(Protocol):
    """What an adapter needs of an `entrada.Entrada`."""

    @property
    def auth(self) -> AuthRoutes: ...


@dataclass(kw_only=True)
class Visitor:
    """One request and who makes it. `token` and `refused` are what guards found out on the way."""

    auth: AuthRoutes
    request: WebRequest
    session: CheckedSession | None
    token: CheckedToken | None = field(default=None, repr=False)
    error: EntradaError | None = None
    """Why `refusal` refused, where it was not just that nobody is known."""
    refused: WebResponse | None = None
    """The response that a guard means which can only raise; the middleware sends it."""
    on_token: Callable[[CheckedToken], None] | None = None
    """Told of each token that lets its caller in, in whichever thread: what it opened ends with it."""
    _remembered: tuple[RawAccessToken, CheckedToken] | None = field(default=None, repr=False)
    """What `may_wait` found, for the refusal that follows it at once."""
    _let_in: CheckedSession | Principal | None = field(default=None, repr=False)
    """Whom a guard has let in."""

    @property
    def principal(self) -> Principal | None:
        """Who was let in by a token, else whose session it is; None: nobody is known."""
        if self.token is not None:
            return self.token.principal
        return None if self.session is None else self.session.principal

    @property
    def is_anybody(self) -> bool:
        """Whether there is something that may end: a session, or what may be a token."""
        return self.session is not None or "authorization" in self.request.headers

    def token_for(self, scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
        """A token with which to call an API as who makes this request; see `Entrada.token_for`. May wait."""
        return self.auth.token_for(self.principal, scopes, challenge=challenge)

    def response_to(self, error: EntradaError) -> WebResponse:
        """The response to a refusal that the application did not catch. May wait."""
        return self.auth.failure(error, self.request, session=self.session if self.token is None else None)

    def takes_token(self, required: Requirement) -> bool:
        """Whether `refusal` judges by a token."""
        callers = self._token_callers(required)
        return callers is not None and "authorization" in self.request.headers

    def may_wait(self, required: Requirement) -> bool:
        """Whether `refusal` may have to wait: for a token that memory does not know, or for the store."""
        callers = self._token_callers(required)
        asks_store = required.auth_context is not None and self.session is not None
        if callers is None or "authorization" not in self.request.headers:
            return asks_store
        try:
            raw = callers.token_of(self.request)
        except EntradaError:
            return False  # `refusal` says it
        checked = None if raw is None else callers.remembered(raw)
        self._remembered = None if raw is None or checked is None else (raw, checked)
        return asks_store if raw is None else checked is None

    def refusal(self, required: Requirement = SIGNED_IN) -> WebResponse | None:
        """Why this request does not pass, or None. Waits only where `may_wait`."""
        callers = self._token_callers(required)
        try:
            identified = None if callers is None else self._identified(callers)
            if callers is not None and identified is not None:
                raw, checked = identified
                let_in = checked.meet(
                    callers=required.callers,
                    scopes=required.scopes or sorted(callers.scopes),
                    roles=required.roles,
                    auth_context=required.auth_context,
                )
                principal = with_evidence(let_in, Evidence(access_token=raw))
                self._same_caller(principal)
                self.token = checked.by(principal)
                if self.on_token is not None:
                    self.on_token(self.token)
                return None
        except EntradaError as error:
            self.error = error
            return self._with_challenge(self.auth.failure(error, self.request), error)
        if self.session is None:
            challenge = self.auth.challenge(self.request)
            return challenge if callers is None else self._with_challenge(challenge, None)
        self.error = _lacking(self.session, required) or self._not_met(self.session, required)
        try:
            if self.error is None:
                self._same_caller(self.session)
                return None
        except EntradaError as error:
            self.error = error
        return self.auth.failure(self.error, self.request, session=self.session)

    def still_stands(self) -> bool:
        """Whether who was let in a while ago would be now, with the same roles. May wait."""
        token, party = self.token, self.auth.relying_party
        try:
            if token is not None:
                if party.clock.now() >= token.token.expires_at:
                    return False
                user_id, roles = token.principal.user_id, token.principal.roles
                user = None if user_id is None else party.accounts.get(user_id)
                return user_id is None or (user is not None and user.is_enabled and user.roles == roles)
            now = None if self.session is None else self.auth.session_of(self.request)
        except EntradaError:
            return False  # nobody can say
        return self.session is None or (
            now is not None and now.principal.roles == self.session.principal.roles
        )

    def _same_caller(self, caller: CheckedSession | Principal) -> None:
        """One guard judges a session, the next a token: an endpoint behind both acts for one caller.

        Raises:
            BearerRequestRefused: the other guard let in somebody else.
        """
        before = self._let_in
        if before is not None and before is not caller and before.identity != caller.identity:
            raise BearerRequestRefused(
                "This request comes with the session of one caller and the token of another."
            )
        self._let_in = caller

    def _identified(self, callers: TokenCallers) -> tuple[RawAccessToken, CheckedToken] | None:
        """The token of this request and who calls with it; None: it carries none."""
        remembered, self._remembered = self._remembered, None
        if remembered is not None:
            return remembered
        raw = callers.token_of(self.request)
        return None if raw is None else (raw, callers.identify(raw))

    def _not_met(self, session: CheckedSession, required: Requirement) -> EntradaError | None:
        """What keeps out who signed in without the authentication context that is asked for."""
        if required.auth_context is None:
            return None
        try:
            if required.auth_context in self.auth.auth_contexts_of(session.session_id):
                return None
        except EntradaError as error:
            return error
        is_kept = self.auth.relying_party.session_tokens is not None
        return InteractionRequired(
            "This page wants a stronger sign-in than the one you have.",
            hint=None
            if is_kept
            else "The service through which this application signs people in asks for none.",
            claims=asking_for(required.auth_context),
            login_hint=session.principal.username,
            is_repeated=not is_kept,
        )

    def _token_callers(self, required: Requirement) -> TokenCallers | None:
        callers = self.auth.token_callers
        if callers is None or not (required.scopes or callers.scopes or required.callers - PEOPLE):
            return None
        return callers

    def _with_challenge(self, response: WebResponse, error: EntradaError | None) -> WebResponse:
        if response.status != 401 and not isinstance(error, BearerError):
            return response
        return response.with_headers(("www-authenticate", bearer_challenge(error)))


def _lacking(session: CheckedSession, required: Requirement) -> EntradaError | None:
    if CallerKind.PERSON not in required.callers:
        return InsufficientScope("This address is for applications, not for people.")
    if not required.roles or session.principal.has_any_role(*required.roles):
        return None
    return RoleRequired(
        f"This page is for people with the role {_either(required.roles)}.",
        hint="Ask your administrator to assign it to you in Microsoft Entra ID, then sign in again.",
    )


def _either(names: Collection[str]) -> str:
    return " or ".join(names)
