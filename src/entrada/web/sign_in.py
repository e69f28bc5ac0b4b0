"""The one sign-in over HTTP: begin → callback → identify → `Ending`.

Every application walks it, whatever its ending: loop-breaker, silent retry, prefetch, consent responses,
expired sign-ins and foreign host names are met here, once.

Source: RFC 6749, section 4.1; OpenID Connect Core 1.0, section 3.1; RFC 9207.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from entrada.accounts.identity import UserId
from entrada.entra.authority import TenantId, parse_guid
from entrada.errors import (
    AdmissionRefused,
    EntradaError,
    EntraRefused,
    ResponseRefused,
    TooManyAttempts,
    Unavailable,
)
from entrada.events import Event, record
from entrada.flows.authorization_response import read_authorization_response
from entrada.flows.identification import Identification, Identified
from entrada.flows.pending import PendingSignIn
from entrada.flows.sign_in import ANSWERABLE_BY_A_PERSON
from entrada.web.budgets import Budgets
from entrada.web.cookies import CookieRules
from entrada.web.ending import Ending
from entrada.web.known_browsers import KnownBrowsers
from entrada.web.messages import WebRequest, WebResponse, not_early, redirect
from entrada.web.pending_cookies import MOST_REFUSALS, PendingCookies
from entrada.web.refusals import Person, RefusalPages, page_response, person_of
from entrada.web.site import Site

PROMPTS = frozenset({"login", "select_account", "consent", "none"})
"""What a link to the start may ask for. Everything else is dropped."""

_LONGEST_HINT = 320


@dataclass(frozen=True, kw_only=True)
class SignInRequest:
    """What one sign-in asks for. Everything left out follows from the application.

    `state` and `context` belong to the ending: see `Identification.begin` and `PendingSignIn`.
    `tenant_id` lets only people of that tenant come back. `scopes` and `claims`: see `Identification.begin`.
    """

    next_path: str
    redirect_uri: str | None = None
    prompt: str | None = None
    login_hint: str | None = None
    domain_hint: str | None = None
    max_age: timedelta | None = None
    tenant_id: TenantId | None = None
    state: str | None = field(default=None, repr=False)
    context: str = field(default="", repr=False)
    scopes: Sequence[str] = ()
    claims: str = ""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A sign-in under way: where the browser goes, and the cookies without which it cannot come back."""

    entra_url: str = field(repr=False)
    cookies: Sequence[str] = field(repr=False)

    def response(self) -> WebResponse:
        return redirect(self.entra_url, cookies=self.cookies)


@dataclass(frozen=True, kw_only=True)
class WebSignIn:
    """`start` and `callback` raise what ends a sign-in before it is known which; the rest is a response."""

    identification: Identification
    site: Site
    pending: PendingCookies
    refusals: RefusalPages
    ending: Ending
    budgets: Budgets = field(default_factory=Budgets)
    prune: Callable[[], None] = lambda: None  # a default
    """Called after every response of Entra's: a refused one has written a row, too. Waits for nothing."""

    # Out

    def start(self, request: WebRequest, asked: SignInRequest | None = None) -> WebResponse:
        """303 to Entra, as a link, a button or a bookmark asks for it; `asked` beats what stands in it.

        Raises:
            TooManyAttempts: Entra refused this browser the same way again and again.
            AddressTooLong: the page they want cannot be kept.
            Unavailable: Entra, or the database, was not reached.
        """
        if request.is_early:
            return not_early()
        elsewhere = self.site.sent_home(request)
        if elsewhere is not None:
            return elsewhere
        self.stop_loop(request)
        prompt = request.first("prompt")
        wish = SignInRequest(
            next_path=self.site.next_path(request.first("next")),
            prompt=prompt if prompt in PROMPTS else None,
            login_hint=_hint(request.first("login_hint")),
            domain_hint=_hint(request.first("domain_hint")),
        )
        if asked is not None:
            wish = replace(asked, next_path=wish.next_path)
        return self.begin(wish, request).response()

    def stop_loop(self, request: WebRequest) -> None:
        """Entra is not asked again and again by itself: after some refusals of one kind a person has to.

        Raises:
            TooManyAttempts: it is time for a page.
        """
        count = self.pending.refusals(request, self.site.cookie_rules(request))
        if count.count >= MOST_REFUSALS:
            raise TooManyAttempts(attempts=count.count, reason=count.sentence)

    def begin(self, wish: SignInRequest, request: WebRequest, *, rules: CookieRules | None = None) -> Begun:
        """A sign-in of this browser. `rules` are for who keeps cookies by rules of their own.

        Raises:
            Unavailable: Entra's metadata was never read so far, or the database did not answer.
        """
        pending, entra_url = self.identification.begin(
            redirect_uri=wish.redirect_uri or self.site.redirect_uri(request),
            next_path=wish.next_path,
            state=wish.state or self.ending.new_state(),
            prompt=wish.prompt,
            login_hint=wish.login_hint,
            domain_hint=wish.domain_hint,
            max_age=wish.max_age,
            tenant_id=wish.tenant_id,
            context=wish.context,
            replaces=self.ending.replaces(request),
            scopes=wish.scopes,
            claims=wish.claims,
        )
        record(Event.SIGN_IN_BEGUN, redirect_uri=pending.redirect_uri)
        rules, now = rules or self.site.cookie_rules(request), self.identification.clock.now()
        return Begun(entra_url=entra_url, cookies=self.pending.remember(pending, request, rules, now=now))

    # Back

    def callback(self, request: WebRequest) -> WebResponse:
        """Entra's response: whatever the ending makes of the person, or why not.

        Raises:
            ResponseRefused: it cannot be a response to a sign-in of this browser.
            TooManyRequests: too many from there have failed; the sign-in under way is still good.
            StoreUnavailable: the database did not answer.
        """
        if request.is_early:
            return not_early()
        pairs = self._pairs_of(request)
        if (consent := _consent_of(pairs)) is not None:
            return self._consent(consent)
        response = read_authorization_response(pairs)
        rules = self.site.cookie_rules(request)
        pending = self.pending.find(response.state, request, rules)
        if pending is None:
            self.spend_foreign(request, rules)
            return self.ending.nothing_pending(response, request)
        peer = self._take_redemption(request, rules)
        spent = [self.pending.drop(response.state, rules)]
        identified: Identified | None = None
        try:
            with self._redemption(peer):
                identified = self.identification.complete(response, pending)
                ended = self.ending.complete(identified, pending, request)
        except EntradaError as error:
            person = None if identified is None else person_of(identified)
            return self._refused(error, pending, request, person).with_cookies(spent)
        self.record_completed(identified, ended.user_id)
        known = self.known.remember(ended.user_id, rules, now=self.identification.clock.now())
        forgotten = self.pending.forget_refusals(request, rules)
        return ended.response.with_cookies([*spent, *forgotten, known])

    # Budgets

    @cached_property
    def known(self) -> KnownBrowsers:
        return KnownBrowsers(sealer=self.pending.sealer, cross_site=self.pending.cross_site)

    def spend_foreign(self, request: WebRequest, rules: CookieRules) -> None:
        """Counts a response to no sign-in of this browser.

        Raises:
            TooManyRequests: too many of them came from there.
        """
        clock = self.identification.clock
        peer = self.known.peer_of(request, rules, now=clock.now())
        self.budgets.foreign.take(peer, now=clock.monotonic())

    @contextmanager
    def redemption(self, request: WebRequest, rules: CookieRules) -> Iterator[None]:
        """Around whatever redeems a code: it counts as failed unless it succeeds, or fails by nobody's doing.

        Raises:
            TooManyRequests: too many from there have failed; the sign-in under way is still good.
        """
        with self._redemption(self._take_redemption(request, rules)):
            yield

    def _take_redemption(self, request: WebRequest, rules: CookieRules) -> str:
        clock = self.identification.clock
        peer = self.known.peer_of(request, rules, now=clock.now())
        self.budgets.redemptions.take(peer, now=clock.monotonic())
        return peer

    @contextmanager
    def _redemption(self, peer: str) -> Iterator[None]:
        failed = False
        try:
            yield
        except EntradaError as error:
            failed = not isinstance(error, (Unavailable, AdmissionRefused))
            raise
        finally:
            if not failed:
                self.budgets.redemptions.give_back(peer, now=self.identification.clock.monotonic())
            self.prune()

    def record_completed(self, identified: Identified, user_id: UserId) -> None:
        identity = identified.newcomer.identity
        record(
            Event.SIGN_IN_COMPLETED,
            user_id=user_id,
            tenant_id=identity.tenant_id,
            object_id=identity.object_id,
        )

    def _pairs_of(self, request: WebRequest) -> Sequence[tuple[str, str]]:
        by_post = self.identification.response_mode == "form_post"
        query = request.query_pairs()
        if _consent_of(query) is not None:
            return query  # its response mode is Entra's choice, not ours
        if (request.method == "POST") != by_post:
            raise ResponseRefused("This sign-in response came by another way than the one asked for.")
        return request.form_pairs() if by_post else query

    def _refused(
        self, error: EntradaError, pending: PendingSignIn, request: WebRequest, person: Person | None
    ) -> WebResponse:
        """A silent sign-in that needs a person becomes an interactive one, once; the rest is a page."""
        elsewhere = self.ending.refused(error, pending)
        if elsewhere is not None:
            self.refusals.record(error, Event.SIGN_IN_REFUSED, status=elsewhere.status, person=person)
            return elsewhere
        cookies = []
        if isinstance(error, EntraRefused):
            if pending.silent and error.error in ANSWERABLE_BY_A_PERSON:
                wish = SignInRequest(
                    next_path=pending.next_path,
                    redirect_uri=pending.redirect_uri,
                    tenant_id=None if pending.tenant_id is None else TenantId(pending.tenant_id),
                    context=pending.context,
                )
                return self.begin(wish, request).response()
            rules = self.site.cookie_rules(request)
            count = self.pending.refusals(request, rules).and_one(
                f"{error.error} {error.aadsts or ''}", error.sentence
            )
            cookies.append(self.pending.keep_refusals(count, rules))
        page = self.refusals.response(
            error,
            request,
            next_path=pending.next_path,
            person=person,
            # Who was asked for more than a sign-in, and declined, is still signed in.
            is_signed_in=pending.replaces is not None and bool(pending.scopes or pending.claims),
        )
        return page.with_cookies(cookies)

    def _consent(self, consent: _Consent) -> WebResponse:
        """What came of the link with which an administrator accepts for everybody. Changes nothing here."""
        allowed = self.identification.tenants
        page = self.refusals.pages.consent(
            granted=consent.granted,
            tenant_is_allowed=allowed is None or consent.tenant_id in allowed,
            start_path=self.site.start_path,
        )
        return page_response(page, status=200 if consent.granted else 403)


@dataclass(frozen=True, kw_only=True)
class _Consent:
    granted: bool
    tenant_id: str | None


def _consent_of(pairs: Sequence[tuple[str, str]]) -> _Consent | None:
    """What came back from the admin-consent endpoint, if that is what this is.

    One that was cancelled bears nothing but `error=permission_denied` and a description; a link of ours has
    no state.

    Source: Microsoft, "Grant tenant-wide admin consent to an application": `admin_consent=True&tenant=…`.
    """
    found = dict(pairs)
    cancelled = found.get("error") == "permission_denied" and "state" not in found
    if not ("admin_consent" in found or cancelled) or "code" in found or len(found) != len(pairs):
        return None
    return _Consent(
        granted=found.get("admin_consent", "").lower() == "true" and "error" not in found,
        tenant_id=parse_guid(found.get("tenant", "")),
    )


def _hint(text: str | None) -> str | None:
    """A hint worth passing on: short, printable, one line."""
    return text if text and len(text) <= _LONGEST_HINT and text.isprintable() else None
