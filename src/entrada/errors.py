"""Everything Entrada can say no with: one tree.

Each error is a sentence, a hint with the next step, and who can take that step.
Evidence rides along as named fields; no error ever carries a token, code, cookie or secret.
The walks raise these; only `entrada.web` turns them into status codes and pages.

A setting is a marker in these words: `$[client_id] is not set.` Whoever knows by which name the person set it
puts that in (`told`, `name_settings`); the native name stands there otherwise.

    EntradaError
    ├── ConfigurationError              a setting, or what a setting points at; stops the start
    │   └── DiscoveryRefused            Entra's metadata is not what the settings promise
    ├── SignInError                     a sign-in that ends without a session
    │   ├── ResponseRefused             the request on the redirect URI is not a usable answer
    │   │   ├── StateMissing            no pending sign-in in this browser matches
    │   │   ├── SignInExpired           begun longer ago than the limit
    │   │   └── SignInAlreadyUsed       answered before
    │   ├── EntraRefused                Entra itself said no: `error`, AADSTS code, correlation id
    │   ├── TooManyAttempts             refused again and again; the loop is cut
    │   ├── TokenRefused                an ID token failed a named check
    │   └── AdmissionRefused            a genuine person whom this application does not let in
    │       ├── AccountDisabled
    │       ├── GuestRefused
    │       ├── PersonalAccountRefused
    │       ├── TenantRefused
    │       ├── RoleRequired
    │       ├── GroupRequired
    │       └── GroupsUnknown           whether they are in a group that is asked for, nobody has said yet
    ├── BearerError                     a call whose access token does not let it in
    │   ├── BearerRequestRefused        the request carries its token in no proper way
    │   ├── BearerTokenRefused          the token failed a named check
    │   ├── InsufficientScope           genuine, but not for this: scope, role, client or kind of caller
    │   └── InsufficientClaims          genuine, but Conditional Access must be met first
    ├── ApiTokenError                   no access token with which the application calls another API
    │   ├── ApiTokenRefused             asked for in a way, or for a caller, for which there is none
    │   └── InteractionRequired         the person has to go through Entra once more
    ├── RequestRefused                  malformed or forged request outside the sign-in walk
    │   ├── TooManyRequests             too much has failed from there lately
    │   ├── PageNotFound
    │   ├── ClosedToEverybody           a rule lets nobody in
    │   ├── AmbiguousRequest            two readers could take it differently; no rule is asked
    │   ├── ForwardAuthRefused          a proxy asked in a way that cannot be believed
    │   ├── InstallationRefused         at a broker: no address an answer may go to
    │   ├── AdministrationRefused       an administrator's act that the rules of administration do not allow
    │   │   └── LastAdministrator       nobody would be left who administers
    │   └── AddressTooLong              the page that was asked for cannot be kept through a sign-in
    ├── IdentityAlreadyLinked           the (tenant_id, object_id) belongs to another user
    └── Unavailable                     nobody's mistake; trying again later helps
        ├── EntraUnavailable            Entra or Graph did not answer usably
        │   └── BrokerUnavailable       the same of the broker that the sign-in goes through
        ├── StoreUnavailable            the database did not answer
        └── UpstreamUnavailable         the application behind the gateway did not answer usably
            └── UpstreamNotTrusted      its certificate does not prove that it is the application
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from entrada.compatibility import StrEnum

NATIVE_PREFIX = "ENTRADA_"
_MARKER = re.compile(r"\$\[([a-z][a-z0-9]*(?:_[a-z0-9]+)*)\]")

NameOf: TypeAlias = Callable[[str], str]
"""From the name of a setting, such as client_secret, to what a person calls it."""


def native_name(setting: str) -> str:
    return NATIVE_PREFIX + setting.upper()


def why_unreadable(error: Exception) -> str:
    """What the system says of a file that cannot be used, such as "No such file or directory"."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return getattr(error, "strerror", None) or type(error).__name__


def named(text: str, name_of: NameOf = native_name) -> str:
    """The text with the names of settings in the places of their markers."""
    return _MARKER.sub(lambda marker: name_of(marker[1]), text)


class Fixer(StrEnum):
    """Who can take the next step."""

    PERSON = "you"
    ADMINISTRATOR = "your administrator"
    NOBODY = "nobody: waiting helps"


class EntradaError(Exception):
    """The root. `error.sentence` says what happened, `error.hint` the next step; `str(error)` is both.

    `code` is stable and documented: programs may branch on it, never on the sentence.
    `marked_sentence` and `marked_hint` are the words as they were given, settings as markers: for an error
    that is made of another.
    """

    code: ClassVar[str] = "error"
    fixer: Fixer = Fixer.ADMINISTRATOR
    default_sentence: ClassVar[str] = "Something went wrong."
    default_hint: ClassVar[str] = "Try again."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        hint: str | None = None,
        fixer: Fixer | None = None,
        correlation_id: str | None = None,
    ) -> None:
        self.marked_sentence = sentence or self.default_sentence
        self.marked_hint = hint or self.default_hint
        self.fixer = fixer or type(self).fixer
        self.correlation_id = correlation_id
        self._name_of: NameOf = native_name
        super().__init__(self.marked_sentence)

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}"

    @property
    def sentence(self) -> str:
        return named(self.marked_sentence, self._name_of)

    @property
    def hint(self) -> str:
        return named(self.marked_hint, self._name_of)

    def told(self, name_of: NameOf) -> tuple[str, str]:
        """Sentence and hint, settings called as `name_of` does; the error stays as it is."""
        return named(self.marked_sentence, name_of), named(self.marked_hint, name_of)

    def name_settings(self, name_of: NameOf) -> None:
        """From here on this error calls settings as `name_of` does; for an error nobody else holds."""
        self._name_of = name_of


class ConfigurationError(EntradaError):
    """A setting is missing, malformed or contradicts another. Names the setting, never a secret's value.

    It is made with the setting's name in the declaration, such as client_secret, which is `marked_setting`;
    `setting` is what a person calls it.
    """

    code = "configuration"

    def __init__(self, sentence: str, *, hint: str, setting: str | None = None) -> None:
        self.marked_setting = setting
        super().__init__(sentence, hint=hint)

    def __str__(self) -> str:
        """As the command line says it: what stops a start stands at the end of a traceback."""
        return f"{self.sentence}\n  {self.hint}"

    @property
    def setting(self) -> str | None:
        return None if self.marked_setting is None else self._name_of(self.marked_setting)


class DiscoveryRefused(ConfigurationError):
    """The metadata document names another issuer, a foreign host or an insecure endpoint."""

    code = "discovery_refused"


class SignInError(EntradaError):
    """A sign-in ended without a session; nothing was created or changed."""

    code = "sign_in"


class ResponseRefused(SignInError):
    """The redirect URI was called with something that is not a usable authorization response."""

    code = "response_refused"
    fixer = Fixer.PERSON
    default_sentence = "This sign-in answer cannot be used."
    default_hint = "Start again from the sign-in page."


class StateMissing(ResponseRefused):
    code = "state_missing"
    default_sentence = "This browser has no sign-in under way that fits this answer."
    default_hint = (
        "Start again from the sign-in page, in the same browser, with cookies allowed. "
        "If someone sent you this link, do not use it."
    )


class SignInExpired(ResponseRefused):
    code = "sign_in_expired"
    default_sentence = "This sign-in took longer than it may, so it was dropped."
    default_hint = "Start again; you will land on the page that you wanted."


class SignInAlreadyUsed(ResponseRefused):
    code = "sign_in_already_used"
    default_sentence = "This sign-in answer was already used."
    default_hint = "If you are not signed in by now, start again from the sign-in page."


class EntraRefused(SignInError):
    """Entra answered with an OAuth error.

    `error` is the RFC 6749 code and decides behaviour; `aadsts` (digits, or None) only picks the help text.
    `description` is Entra's own text, cut and stripped of control characters; for logs and the detail panel.
    """

    code = "entra_refused"
    fixer = Fixer.PERSON

    def __init__(
        self,
        sentence: str,
        *,
        hint: str,
        fixer: Fixer,
        error: str,
        aadsts: str | None,
        description: str = "",
        correlation_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        self.error = error
        self.aadsts = aadsts
        self.description = description
        self.trace_id = trace_id
        super().__init__(sentence, hint=hint, fixer=fixer, correlation_id=correlation_id)


class TooManyAttempts(SignInError):
    """Entra refused `attempts` times in a row; `last` is the help for the last refusal, if it is known."""

    code = "too_many_attempts"
    fixer = Fixer.ADMINISTRATOR

    def __init__(self, *, attempts: int, reason: str) -> None:
        self.attempts = attempts
        super().__init__(
            f"Signing in failed {attempts} times in a row, so Entrada stopped trying. Last reason: {reason}",
            hint="Show this page to your administrator. The sign-in page starts the count again.",
        )


class TokenRefused(SignInError):
    """The ID token failed the check named `check` (for example "signature", "iss", "nonce").

    The message says what was wrong without quoting the token.
    """

    code = "id_token_refused"
    fixer = Fixer.ADMINISTRATOR

    def __init__(self, check: str, detail: str, *, hint: str | None = None) -> None:
        self.check = check
        self.detail = detail
        super().__init__(
            f"Microsoft's answer did not pass verification ({check}: {detail}).",
            hint=hint or "Try once more; if it happens again, show this page to your administrator.",
        )


@dataclass(frozen=True, kw_only=True)
class RefusedPerson:
    """A person as a token of Entra's names them: genuine, though nothing here stands on it."""

    name: str
    account: str | None
    tenant_id: str
    object_id: str | None
    roles: tuple[str, ...] = ()


class AdmissionRefused(SignInError):
    """`refused` says who, where the walk learnt no more of them than their token says."""

    code = "admission_refused"
    refused: RefusedPerson | None = None
    default_sentence = "You are signed in at Microsoft, but this application does not let you in."
    default_hint = "Ask your administrator for access."


class AccountDisabled(AdmissionRefused):
    code = "account_disabled"
    default_sentence = "Your account in this application is disabled."
    default_hint = "Ask your administrator to enable it."


class GuestRefused(AdmissionRefused):
    code = "guest_refused"
    default_sentence = "You are a guest in this organisation, and guests are not let in here."
    default_hint = "Ask your administrator to allow guests from your organisation ($[guests])."


class PersonalAccountRefused(AdmissionRefused):
    code = "personal_account_refused"
    fixer = Fixer.PERSON
    default_sentence = "Personal Microsoft accounts are not let in here."
    default_hint = "Sign in with your work or school account."


class TenantRefused(AdmissionRefused):
    code = "tenant_refused"
    fixer = Fixer.PERSON
    default_sentence = "Your organisation is not one of those that may sign in here."
    default_hint = "Use an account of the right organisation, or ask your administrator to allow yours."


class RoleRequired(AdmissionRefused):
    code = "role_required"
    default_sentence = "You have none of the roles that this application asks for."
    default_hint = "Ask your administrator to assign you an app role or a group in Microsoft Entra ID."


class GroupRequired(AdmissionRefused):
    code = "group_required"
    default_sentence = "You are in none of the groups that this page is for."
    default_hint = "Ask your administrator to add you to one of them in Microsoft Entra ID."


class GroupsUnknown(AdmissionRefused):
    """Signed in before anybody asked about these groups, or Microsoft has not answered since."""

    code = "groups_unknown"
    default_sentence = "Whether you are in a group that this page is for is not known yet."
    default_hint = "Sign out and sign in again; otherwise Microsoft is asked within the next minutes."


class BearerError(EntradaError):
    """A call with an access token that is not let in; nothing was created or changed.

    Source: RFC 6750, section 3.
    """

    code = "bearer"
    fixer = Fixer.ADMINISTRATOR
    default_sentence = "This call does not carry a token that lets it in."
    default_hint = "Ask Microsoft Entra ID for a token of this API, and send it as Authorization: Bearer."


class BearerRequestRefused(BearerError):
    code = "bearer_request_refused"
    default_sentence = "This call carries its token in a way that cannot be read in one way only."
    default_hint = (
        "Send one field Authorization with Bearer, one blank and the token, and no token elsewhere."
    )


class BearerTokenRefused(BearerError):
    """The access token failed the check named `check`. The message does not quote the token."""

    code = "bearer_token_refused"

    def __init__(self, check: str, detail: str, *, hint: str | None = None) -> None:
        self.check = check
        self.detail = detail
        super().__init__(f"The access token did not pass verification ({check}: {detail}).", hint=hint)


class InsufficientScope(BearerError):
    """`scopes` are those of which one is needed; empty if it is not a scope that is missing."""

    code = "insufficient_scope"
    default_sentence = "This token is genuine, but not for this call."
    default_hint = "Ask the administrator of this API to grant what is missing in Microsoft Entra ID."

    def __init__(
        self, sentence: str | None = None, *, scopes: frozenset[str] = frozenset(), hint: str | None = None
    ) -> None:
        self.scopes = scopes
        super().__init__(sentence, hint=hint)


class InsufficientClaims(BearerError):
    """`auth_context` must be met; `can_be_answered`: the caller said that it understands a claims challenge.

    Source: Microsoft, "Claims challenges, claims requests, and client capabilities".
    """

    code = "insufficient_claims"
    default_sentence = "This call needs a stronger sign-in than the token tells of."
    default_hint = "Sign in again with the claims that the challenge names."

    def __init__(self, *, auth_context: str = "", can_be_answered: bool = False) -> None:
        self.auth_context = auth_context
        self.can_be_answered = can_be_answered
        super().__init__()


class ApiTokenError(EntradaError):
    """The application wants to call an API as the person, and has no token for it."""

    code = "api_token"
    default_sentence = "This application cannot call another service in your name."
    default_hint = "Show this page to your administrator."


class ApiTokenRefused(ApiTokenError):
    """No token is to be had in this way, or for this caller; Entra was not asked."""

    code = "api_token_refused"


class InteractionRequired(ApiTokenError):
    """Entra wants the person: to consent, to sign in more strongly, or to sign in again.

    `scopes` and `claims` (a claims request, as JSON) are what the next sign-in has to bring, `login_hint` is
    who has to come. `by_token`: the caller is no browser with a session here, but came with an access token;
    `can_be_answered`: it said that it understands a claims challenge. `is_repeated`: Entra has just been
    asked for the same, or nobody would keep what it answers, so that asking once more would be a loop.
    """

    code = "interaction_required"
    fixer = Fixer.PERSON
    default_sentence = "Microsoft wants to ask you something before this application may go on in your name."
    default_hint = "Follow the sign-in; you come back to where you were."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        hint: str | None = None,
        scopes: tuple[str, ...] = (),
        claims: str = "",
        login_hint: str | None = None,
        by_token: bool = False,
        can_be_answered: bool = False,
        is_repeated: bool = False,
    ) -> None:
        self.scopes = scopes
        self.claims = claims
        self.login_hint = login_hint
        self.by_token = by_token
        self.can_be_answered = can_be_answered
        self.is_repeated = is_repeated
        super().__init__(sentence, hint=hint)


class RequestRefused(EntradaError):
    """A malformed or cross-site request outside the sign-in walk."""

    code = "request_refused"
    fixer = Fixer.PERSON
    default_sentence = "This request cannot be carried out."
    default_hint = "Go back and try again from the page itself."


class TooManyRequests(RequestRefused):
    """Too much has failed from there lately. `is_news`: the first refusal since it was last let in."""

    code = "too_many_requests"
    fixer = Fixer.NOBODY
    default_sentence = "Too many sign-ins from your network have failed, so new ones wait."
    default_hint = "Wait a moment and load this page again; a sign-in that you have begun is still good."

    def __init__(self, *, retry_after_seconds: int = 1, is_news: bool = True) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.is_news = is_news
        super().__init__()


class PageNotFound(RequestRefused):
    code = "page_not_found"
    default_sentence = "Nothing stands at this address."
    default_hint = "Look at the address once more, or start at the front page."


class ClosedToEverybody(RequestRefused):
    code = "closed_to_everybody"
    fixer = Fixer.ADMINISTRATOR
    default_sentence = "A rule of this site lets nobody open it."
    default_hint = "If it should be open, ask whoever runs this site to change the rule."


class AmbiguousRequest(RequestRefused):
    """`reason` names what can be taken in two ways, without quoting it."""

    code = "ambiguous_request"
    default_sentence = "This request can be read in more than one way, so it is refused."
    default_hint = "Follow a link of the application itself, or type the address anew."

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(
            f"This request can be read in more than one way ({reason}), so it is refused." if reason else None
        )


class ForwardAuthRefused(RequestRefused):
    code = "forward_auth_refused"
    fixer = Fixer.ADMINISTRATOR
    default_sentence = "The proxy in front asked about this request in a way that cannot be believed."
    default_hint = "Compare the proxy's configuration with the documented one."


class InstallationRefused(RequestRefused):
    """A broker cannot send an answer anywhere: a person reads the page."""

    code = "installation_refused"
    default_sentence = "This application is not known here."
    default_hint = "Ask the administrator of the application to have it listed at this sign-in service."


class AdministrationRefused(RequestRefused):
    code = "administration_refused"
    fixer = Fixer.PERSON
    default_sentence = "That would take away your own way in, so nothing was changed."
    default_hint = "Another administrator can do it, or whoever runs the server by `entrada users`."


class LastAdministrator(AdministrationRefused):
    code = "last_administrator"
    default_sentence = "Nobody would be left who administers, so nothing was changed."
    default_hint = (
        "Make somebody else an administrator first: by a role of $[admin_roles] in Microsoft Entra ID, or by "
        "hand with `entrada users grant`. Whose access Entra has ended counts once they have signed in again."
    )


class AddressTooLong(RequestRefused):
    code = "address_too_long"
    default_sentence = "The address of the page you asked for is too long to be kept while you sign in."
    default_hint = "Sign in first, then open that address again."


class IdentityAlreadyLinked(EntradaError):
    code = "identity_already_linked"
    default_sentence = "This Microsoft account already belongs to another user."
    default_hint = "Unlink it there first."


class Unavailable(EntradaError):
    """Trying again later helps or, with a `fixer`, what the hint says. `retry_after_seconds`: as told."""

    code = "unavailable"
    fixer = Fixer.NOBODY
    default_hint = "Try again in a few minutes."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        hint: str | None = None,
        fixer: Fixer | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(sentence, hint=hint, fixer=fixer)


class EntraUnavailable(Unavailable):
    """`reason` says what happened in a few words (time-out, TLS, HTTP 500 …), for log and detail panel.

    `answered`: there was an answer, but not one that can be used.
    """

    code = "entra_unavailable"
    default_sentence = "Microsoft Entra ID did not answer usably."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        reason: str,
        answered: bool = False,
        hint: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        self.reason = reason
        self.answered = answered
        # A hint of its own names what somebody has to do: a name that is not resolved, a proxy, an authority.
        fixer = None if hint is None else Fixer.ADMINISTRATOR
        super().__init__(sentence, hint=hint, fixer=fixer, retry_after_seconds=retry_after_seconds)


class BrokerUnavailable(EntraUnavailable):
    """The same where sign-in goes through a broker: it is not Microsoft who does not answer."""

    code = "broker_unavailable"
    default_sentence = "The sign-in service of this application did not answer usably."
    default_hint = "Try again in a few minutes; if it stays like this, tell whoever runs the sign-in service."


class StoreUnavailable(Unavailable):
    code = "store_unavailable"
    default_sentence = "The database of this application did not answer."


class UpstreamUnavailable(Unavailable):
    """`reason` in a few words, for the log; `timed_out`: it said nothing at all."""

    code = "upstream_unavailable"
    default_sentence = "The application behind this address did not answer."
    default_hint = "Try again in a moment; if it stays like this, tell whoever runs it."

    def __init__(self, *, reason: str = "", timed_out: bool = False) -> None:
        self.reason = reason
        self.timed_out = timed_out
        super().__init__(
            "The application behind this address took too long to answer." if timed_out else None
        )


class UpstreamNotTrusted(UpstreamUnavailable):
    code = "upstream_not_trusted"
    fixer = Fixer.ADMINISTRATOR
    default_sentence = (
        "The application behind this address did not prove which one it is, so nothing was sent to it."
    )
    default_hint = "Tell whoever runs it to look at its certificate; the log says what is wrong with that."
