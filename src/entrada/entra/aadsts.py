"""The table of AADSTS codes: cause, sentence, next step, and who can take it; and the same for each `error`.

Data alone; `entrada.entra.entra_errors` reads it. Long because it is a table.
Microsoft renumbers and adds codes at will, so an unknown one falls back on the help for its `error`.

Source: Microsoft, "Microsoft Entra authentication & authorization error codes"; RFC 6749, sections 4.1.2.1
and 5.2; OpenID Connect Core 1.0, section 3.1.2.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from entrada.errors import Fixer

_YOU: Final = Fixer.PERSON
_ADMIN: Final = Fixer.ADMINISTRATOR
_WAIT: Final = Fixer.NOBODY


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: the codes that share a cause.

    `hint` may name `{redirect_uri}`, `{tenant}`, `{client_id}` and `{consent}`, settings as `$[cloud]`.
    """

    codes: tuple[str, ...]
    cause: str
    sentence: str
    hint: str
    fixer: Fixer


_REGISTRATION: Final = (
    Entry(
        codes=("50011",),
        cause="The redirect URI is not registered, or differs from the registered one by a character.",
        sentence="Microsoft does not know the address that this application asked to be sent back to.",
        hint="In the app registration, under Authentication, add exactly this redirect URI to the "
        "platform Web: {redirect_uri}",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("500113", "900971"),
        cause="The app registration has no redirect URI at all.",
        sentence="Microsoft has no address on file to send you back to.",
        hint="In the app registration, under Authentication, add the platform Web with exactly this "
        "redirect URI: {redirect_uri}",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("9002325", "9002326", "9002327"),
        cause="The redirect URI is registered as a single-page application, which a server cannot use.",
        sentence="This application is registered at Microsoft as a kind of program that it is not.",
        hint="In the app registration, under Authentication, remove this redirect URI from Single-page "
        "application and add it to the platform Web: {redirect_uri}",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("700016",),
        cause="The client ID does not exist in this tenant: one of the client ID, the tenant and the "
        "cloud is wrong.",
        sentence="Microsoft does not know this application in your organisation.",
        hint="Compare the client ID {client_id} and the tenant {tenant} with the overview page of the "
        "app registration, and check $[cloud].",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("90002",),
        cause="The tenant does not exist in this cloud.",
        sentence="Microsoft does not know the organisation that this application is set up for.",
        hint="Check the tenant {tenant} ($[tenant_id]) and the cloud ($[cloud]).",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("900382", "900432", "90038"),
        cause="The tenant lives in another Microsoft cloud than the one that was asked.",
        sentence="Your organisation's accounts live in another Microsoft cloud than this application "
        "expects.",
        hint="Set $[cloud] to the cloud of the tenant {tenant}: public, usgov, usgov-dod or china.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("50194",),
        cause="A single-tenant registration was used through an endpoint for many tenants.",
        sentence="This application is registered for one organisation but was set up for many.",
        hint="Set $[tenant_id] to the tenant's own GUID, or let the app registration support "
        "accounts in any organisational directory.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("70001", "7000112"),
        cause="The application is disabled in the tenant.",
        sentence="This application has been switched off in your organisation.",
        hint="In Enterprise applications, open the application {client_id}, then Properties, and set "
        "'Enabled for users to sign in' to Yes.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("700054",),
        cause="An ID token was asked for straight from the authorize endpoint, and the registration does "
        "not allow that.",
        sentence="This application asked Microsoft for an answer that it is not registered for.",
        hint="Use the authorization code flow, or tick ID tokens under Authentication in the app "
        "registration.",
        fixer=_ADMIN,
    ),
)

_CREDENTIAL: Final = (
    Entry(
        codes=("7000215",),
        cause="The client secret is wrong; often the secret's ID was pasted instead of its value.",
        sentence="Microsoft did not accept this application's own password.",
        hint="Under Certificates & secrets, make a new client secret and put its Value (not its Secret "
        "ID) into $[client_secret].",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("7000222",),
        cause="The client secret has expired.",
        sentence="This application's own password at Microsoft has expired.",
        hint="Under Certificates & secrets, make a new client secret, put its Value into "
        "$[client_secret] and restart. Entrada takes two secrets at once, so the next change "
        "needs no interruption.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("7000218",),
        cause="No secret or assertion was sent, or the application is registered as a public client.",
        sentence="Microsoft expected this application to prove who it is, and it did not.",
        hint="Set $[client_secret] (or a certificate), and register the redirect URI under the "
        "platform Web: {redirect_uri}",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("700027", "50012"),
        cause="The certificate's assertion was not accepted: certificate not uploaded, thumbprint "
        "differs, or the clock is off.",
        sentence="Microsoft did not accept this application's certificate.",
        hint="Upload the certificate under Certificates & secrets, compare its thumbprint with the file "
        "Entrada uses, and check the server's clock.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("700025",),
        cause="A secret was sent, but the application is registered as a public client.",
        sentence="This application is registered at Microsoft as a kind of program that it is not.",
        hint="Register the redirect URI under the platform Web and set 'Allow public client flows' to "
        "No: {redirect_uri}",
        fixer=_ADMIN,
    ),
)

_ACCOUNTS: Final = (
    Entry(
        codes=("50020", "16000", "50034", "51004", "90072"),
        cause="The account does not exist in the application's tenant.",
        sentence="The account you chose does not belong to the organisation that this application is for.",
        hint="Sign in again and choose the account of the right organisation. If this account should be "
        "let in, your administrator can invite it as a guest.",
        fixer=_YOU,
    ),
    Entry(
        codes=("500208",),
        cause="A personal account was used where only work or school accounts may sign in.",
        sentence="Personal Microsoft accounts cannot be used here.",
        hint="Sign in again with your work or school account.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50105",),
        cause="The application requires assignment, and the person is not assigned to it.",
        sentence="You have not been given access to this application yet.",
        hint="In Enterprise applications, open the application {client_id}, then Users and groups, and "
        "assign the person or one of their groups.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("500021", "500022", "50002"),
        cause="The network's proxy restricts which tenants may be reached, and this one is not on its list.",
        sentence="The network you are on does not let you sign in to this organisation.",
        hint="Ask the administrators of your network to allow the tenant {tenant}, or use another network.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("500212", "500213"),
        cause="A cross-tenant access policy stops it: 500212 that of the person's home tenant, 500213 "
        "that of the application's tenant.",
        sentence="Your organisation and the one this application belongs to do not allow this sign-in "
        "between them.",
        hint="The administrators of both organisations can allow it in their cross-tenant access settings.",
        fixer=_ADMIN,
    ),
)

_CONSENT: Final = (
    Entry(
        codes=("65001",),
        cause="Nobody has consented yet to what the application asks for.",
        sentence="This application has not been allowed to read your profile yet.",
        hint="Sign in again and accept when Microsoft asks. If it does not let you accept: {consent}",
        fixer=_YOU,
    ),
    Entry(
        codes=("65004",),
        cause="The person cancelled, or declined the consent prompt.",
        sentence="You cancelled at Microsoft, or did not accept what it asked, so you were not signed in.",
        hint="Try again when you like; if Microsoft asks whether this application may read your profile, "
        "accept.",
        fixer=_YOU,
    ),
    Entry(
        codes=("90094", "90095"),
        cause="The organisation lets only administrators consent (90095: through a request to them).",
        sentence="Your organisation wants an administrator to approve this application first.",
        hint="{consent}",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("650052", "650056", "650057", "500011"),
        cause="A permission or an API that the application asks for is not set up in the tenant.",
        sentence="This application asks for something that has not been set up in your organisation.",
        hint="In the app registration, under API permissions, add what the application asks for and "
        "grant admin consent. {consent}",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("70011", "28002"),
        cause="A scope is malformed, unknown, or belongs to another resource.",
        sentence="This application asked Microsoft for a permission that does not exist.",
        hint="Check the configured scopes, and the Application ID URI under Expose an API.",
        fixer=_ADMIN,
    ),
)

_POLICY: Final = (
    Entry(
        codes=("53003",),
        cause="A Conditional Access policy blocks the sign-in.",
        sentence="A rule of your organisation does not allow this sign-in.",
        hint="Ask your administrator why, and give them the correlation ID below: the sign-in log shows "
        "the rule.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("530032", "530035"),
        cause="A tenant-wide security policy (530032) or the security defaults (530035) block the sign-in.",
        sentence="Your organisation's security settings do not allow this sign-in.",
        hint="Ask your administrator, and give them the correlation ID below.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("53000", "53001", "530003"),
        cause="Conditional Access wants a device that is compliant, joined or managed.",
        sentence="Your organisation allows this sign-in only from a device that it manages.",
        hint="Use a computer or phone that your organisation manages, or ask your administrator to enrol"
        " this one.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50005", "53002"),
        cause="Conditional Access does not support this platform, or wants an approved application.",
        sentence="Your organisation does not allow this sign-in from this browser or device.",
        hint="Try another browser or device that your organisation approves.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50158", "50131", "53004", "53010", "53011"),
        cause="An external challenge was not met, the sign-in looks risky, or security details may not be"
        " registered from here.",
        sentence="Your organisation wants to be surer that it is you.",
        hint="Ask your administrator or security team, and give them the correlation ID below.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("80012",),
        cause="The organisation allows signing in only at certain hours.",
        sentence="Your organisation does not allow signing in at this hour.",
        hint="Try again during the allowed hours.",
        fixer=_WAIT,
    ),
)

_PROOF: Final = (
    Entry(
        codes=("50076", "50079", "50072", "50074", "50078"),
        cause="Multi-factor authentication is needed, has to be registered, failed, or is too long ago.",
        sentence="Microsoft wants a second proof that it is you.",
        hint="Sign in again and follow Microsoft's steps.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50058",),
        cause="A sign-in without a page was tried, and there is no session at Microsoft.",
        sentence="You are not signed in at Microsoft in this browser.",
        hint="Sign in again.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50199", "50140"),
        cause="Microsoft interrupted to ask for a confirmation or whether to stay signed in; this is normal.",
        sentence="Microsoft asked a question in between and did not get an answer.",
        hint="Sign in again and answer it.",
        fixer=_YOU,
    ),
)

_PASSWORD: Final = (
    Entry(
        codes=("50126", "50056"),
        cause="The user name or password is wrong, or the account has no password.",
        sentence="Microsoft did not accept the user name or password.",
        hint="Sign in again. If you forgot the password, reset it on Microsoft's page.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50053",),
        cause="Too many wrong passwords, or an address with a bad name; the sign-in log says which.",
        sentence="Microsoft has locked this account for a while, or distrusts the network you are on.",
        hint="Wait a while and try again. If it stays, your administrator finds the reason in the "
        "sign-in log.",
        fixer=_WAIT,
    ),
    Entry(
        codes=("50055", "50144"),
        cause="The password has expired.",
        sentence="Your password has expired.",
        hint="Change your password, then sign in again.",
        fixer=_YOU,
    ),
    Entry(
        codes=("50057",),
        cause="The account is disabled in the directory.",
        sentence="Your account is disabled in your organisation.",
        hint="Ask your administrator to enable it.",
        fixer=_ADMIN,
    ),
)

_EXPIRED: Final = (
    Entry(
        codes=("50173", "50133", "50132"),
        cause="The grant was revoked, or the password was changed or has expired.",
        sentence="Your earlier sign-in no longer counts, for example because the password was changed.",
        hint="Sign in again.",
        fixer=_YOU,
    ),
    Entry(
        codes=("700082", "70008", "70000", "50089"),
        cause="A code, refresh token or half-made sign-in has expired or was revoked.",
        sentence="Your sign-in has expired.",
        hint="Sign in again.",
        fixer=_YOU,
    ),
    Entry(
        codes=("70043", "70044"),
        cause="The organisation's sign-in frequency policy has run out.",
        sentence="Your organisation wants you to sign in again from time to time.",
        hint="Sign in again.",
        fixer=_YOU,
    ),
    Entry(
        codes=("700084",),
        cause="The refresh token was given to a single-page application, so it lives 24 hours only.",
        sentence="Your sign-in has expired after a day.",
        hint="Sign in again. To have it last longer, your administrator registers the redirect URI under"
        " the platform Web: {redirect_uri}",
        fixer=_YOU,
    ),
)

_WALK: Final = (
    Entry(
        codes=("54005",),
        cause="The authorization code was redeemed before: a doubled callback, or a retry.",
        sentence="This sign-in was already used once.",
        hint="If you are not signed in by now, start again from the sign-in page.",
        fixer=_YOU,
    ),
    Entry(
        codes=("501481", "50147", "501491"),
        cause="The PKCE verifier does not fit the challenge: mixed-up servers, or a fault in this "
        "application.",
        sentence="The two halves of this sign-in do not fit together.",
        hint="Start again. If it happens again: all servers of this application must have the same "
        "$[secret_keys] and see the same requests.",
        fixer=_YOU,
    ),
    Entry(
        codes=("700005",),
        cause="The code was given by one tenant's endpoint and redeemed at another's.",
        sentence="This sign-in began at one organisation and ended at another.",
        hint="The same tenant has to be asked first and last: check that $[tenant_id] is alike on "
        "every server.",
        fixer=_ADMIN,
    ),
    Entry(
        codes=("50196",),
        cause="The same request came too often in a short time; Microsoft sees a loop.",
        sentence="Signing in went round in circles, so Microsoft stopped it.",
        hint="Wait a few minutes, then start once from the sign-in page. If it happens again, show this "
        "page to your administrator.",
        fixer=_WAIT,
    ),
    Entry(
        codes=("900561",),
        cause="A page that only takes posted forms was opened by address, usually with the Back button.",
        sentence="The Back button led to a page that cannot be opened again.",
        hint="Start again from the sign-in page.",
        fixer=_YOU,
    ),
    Entry(
        codes=("90015",),
        cause="The address sent to Microsoft was too long.",
        sentence="The page you were going to has too long an address to take through a sign-in.",
        hint="Start from the sign-in page, and open the page afterwards.",
        fixer=_YOU,
    ),
)

_SERVICE: Final = (
    Entry(
        codes=("90033", "90006", "90012", "90024", "90090", "50033", "50087", "90055"),
        cause="A passing fault at Microsoft, or too many requests from this tenant.",
        sentence="Microsoft's sign-in service has a passing problem.",
        hint="Try again in a few minutes.",
        fixer=_WAIT,
    ),
)

TABLE: Final[Mapping[str, tuple[Entry, ...]]] = MappingProxyType(
    {
        "Registration and redirect URI": _REGISTRATION,
        "The application's own credential": _CREDENTIAL,
        "Which accounts are let in": _ACCOUNTS,
        "Consent and permissions": _CONSENT,
        "Conditional Access, devices and risk": _POLICY,
        "More proof needed": _PROOF,
        "Password and account": _PASSWORD,
        "Expired and revoked": _EXPIRED,
        "The walk between browser, application and Microsoft": _WALK,
        "Microsoft's service": _SERVICE,
    }
)

UNLISTED: Final = frozenset({"500113", "9002325", "9002326", "9002327", "530003", "70044"})
"""Codes that people meet but that Microsoft's page (as of 2024-04) does not list."""

BY_CODE: Final = MappingProxyType(
    {code: entry for entries in TABLE.values() for entry in entries for code in entry.codes}
)


BY_ERROR: Final = MappingProxyType(
    {
        "access_denied": Entry(
            codes=(),
            cause="The person or the authorization server denied the request.",
            sentence="Microsoft did not sign you in: access was declined, by you or by a rule of your "
            "organisation.",
            hint="Sign in again and accept what Microsoft asks. If that does not help, show this page to "
            "your administrator.",
            fixer=_YOU,
        ),
        "consent_required": Entry(
            codes=(),
            cause="Consent is needed and was not given.",
            sentence="This application has not been allowed to read your profile yet.",
            hint="Sign in again and accept when Microsoft asks. If it does not let you accept: {consent}",
            fixer=_YOU,
        ),
        "interaction_required": Entry(
            codes=(),
            cause="The request cannot be completed without showing the person a page.",
            sentence="Microsoft wants something more from you before it signs you in.",
            hint="Sign in again and follow Microsoft's steps.",
            fixer=_YOU,
        ),
        "login_required": Entry(
            codes=(),
            cause="There is no session at Microsoft to go by.",
            sentence="You are not signed in at Microsoft in this browser.",
            hint="Sign in again.",
            fixer=_YOU,
        ),
        "account_selection_required": Entry(
            codes=(),
            cause="Several sessions at Microsoft, and none was chosen.",
            sentence="Microsoft does not know which of your accounts you mean.",
            hint="Sign in again and choose one.",
            fixer=_YOU,
        ),
        "invalid_client": Entry(
            codes=(),
            cause="Client authentication failed.",
            sentence="Microsoft did not accept this application's own credentials.",
            hint="Check the client secret or certificate of the application {client_id}: is it the Value, is"
            " it still valid, does it belong to this app registration?",
            fixer=_ADMIN,
        ),
        "invalid_grant": Entry(
            codes=(),
            cause="The code or refresh token is invalid, expired, revoked, or was issued to someone else.",
            sentence="This sign-in is no longer valid.",
            hint="Sign in again.",
            fixer=_YOU,
        ),
        "unauthorized_client": Entry(
            codes=(),
            cause="The client is not registered in this tenant, or may not use this flow.",
            sentence="This application may not sign people in at Microsoft the way it tries to.",
            hint="Check that the application {client_id} exists in the tenant {tenant}, is enabled, and uses"
            " the platform Web.",
            fixer=_ADMIN,
        ),
        "invalid_request": Entry(
            codes=(),
            cause="A parameter is missing, doubled or malformed.",
            sentence="Microsoft could not make sense of this application's request.",
            hint="Start again from the sign-in page. If it happens again, compare the redirect URI in the "
            "app registration with {redirect_uri}",
            fixer=_ADMIN,
        ),
        "invalid_scope": Entry(
            codes=(),
            cause="A scope is invalid, unknown or malformed.",
            sentence="This application asked Microsoft for a permission that does not exist.",
            hint="Check the configured scopes and the API permissions of the app registration.",
            fixer=_ADMIN,
        ),
        "invalid_resource": Entry(
            codes=(),
            cause="The resource does not exist in the tenant or is not set up correctly.",
            sentence="This application asks for something that has not been set up in your organisation.",
            hint="In the app registration, under API permissions, add what the application asks for and "
            "grant admin consent. {consent}",
            fixer=_ADMIN,
        ),
        "unsupported_response_type": Entry(
            codes=(),
            cause="The response type is not enabled for this registration.",
            sentence="This application asked Microsoft for an answer that it is not registered for.",
            hint="Check the platform of the app registration: it must be Web, with the authorization code "
            "flow.",
            fixer=_ADMIN,
        ),
        "unsupported_grant_type": Entry(
            codes=(),
            cause="The token endpoint does not support the grant type.",
            sentence="This application asked Microsoft for an answer that it does not give.",
            hint="Check the platform of the app registration, and the version of Entrada.",
            fixer=_ADMIN,
        ),
        "server_error": Entry(
            codes=(),
            cause="An unexpected fault on Microsoft's side.",
            sentence="Microsoft's sign-in service has a problem.",
            hint="Try again in a few minutes.",
            fixer=_WAIT,
        ),
        "temporarily_unavailable": Entry(
            codes=(),
            cause="Overload or maintenance on Microsoft's side.",
            sentence="Microsoft's sign-in service is too busy right now.",
            hint="Try again in a few minutes.",
            fixer=_WAIT,
        ),
    }
)

UNKNOWN: Final = Entry(
    codes=(),
    cause="An error that Entrada does not know.",
    sentence="Microsoft gave a reason that this application does not know.",
    hint="Try once more. If it happens again, show this page to your administrator.",
    fixer=_ADMIN,
)

CODES: Final = frozenset(BY_CODE)
ERRORS: Final = frozenset(BY_ERROR)
