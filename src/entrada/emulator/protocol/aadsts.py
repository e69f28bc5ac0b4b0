"""The AADSTS codes this emulator can answer with: OAuth error, HTTP status, where it shows, and why.

The sentences are this project's own; the numbers and the `error` values are Entra's.
`PAGE` errors stay on Entra's own page, because returning them to the application would be unsafe or
because Entra has not let the person in; `REDIRECT` errors are returned to the redirect URI.  At the token
endpoint every code is JSON, whatever this table says of the browser.
Source: Microsoft, "Microsoft Entra authentication and authorization error codes".
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE = "page"
REDIRECT = "redirect"


@dataclass(frozen=True, slots=True)
class Aadsts:
    """What one code means on the wire."""

    error: str
    sentence: str
    shown: str = PAGE
    status: int = 400
    suberror: str = ""


def _many(codes: tuple[int, ...], meaning: Aadsts) -> dict[int, Aadsts]:
    return dict.fromkeys(codes, meaning)


_GRANT = "invalid_grant"
_CLIENT = "invalid_client"
_REQUEST = "invalid_request"
_INTERACTION = "interaction_required"
_TRANSIENT = "temporarily_unavailable"

_REGISTRATION = {
    50011: Aadsts(
        _REQUEST, "The redirect URI in the request is not one of those registered for this application."
    ),
    500113: Aadsts(_REQUEST, "This application has no redirect URI registered."),
    900971: Aadsts(
        _REQUEST, "The request names no redirect URI and the application has none to fall back on."
    ),
    500112: Aadsts(_CLIENT, "The redirect URI at redemption differs from the one the code was issued for."),
    700016: Aadsts("unauthorized_client", "No application with this client id is known in this directory."),
    700038: Aadsts("unauthorized_client", "The client id is not a valid application identifier."),
    90002: Aadsts(_REQUEST, "No tenant of this name or id exists here; check the tenant id and the cloud."),
    900382: Aadsts(_REQUEST, "The tenant lives in another cloud, where a confidential client must ask."),
    900432: Aadsts(_REQUEST, "A confidential client cannot be used across clouds."),
    90038: Aadsts(_REQUEST, "The tenant lives in a national cloud; its own login host must be used."),
    50049: Aadsts("invalid_instance", "No cloud is known whose login host this is."),
    50194: Aadsts(
        _REQUEST,
        "This application is single-tenant and cannot be used at the common or organizations endpoint.",
    ),
    7000215: Aadsts(
        _CLIENT, "The client secret is wrong; check that its value was sent, not its id.", status=401
    ),
    7000222: Aadsts(
        _CLIENT, "The client secret has expired; make a new one for the application.", status=401
    ),
    7000218: Aadsts(_CLIENT, "The request must carry a client_secret or a client_assertion.", status=401),
    700027: Aadsts(
        _CLIENT,
        "The client assertion's signature or certificate is not one this application registered.",
        status=401,
    ),
    50012: Aadsts(_CLIENT, "The client assertion is not valid: claims, times or thumbprint.", status=401),
    50027: Aadsts(_CLIENT, "The client assertion cannot be read as a signed token.", status=401),
    700021: Aadsts(_CLIENT, "The assertion's issuer or subject matches no federated credential.", status=401),
    700211: Aadsts(
        _CLIENT, "No federated credential of the application has this assertion's issuer.", status=401
    ),
    700213: Aadsts(
        _CLIENT, "No federated credential of the application has this assertion's subject.", status=401
    ),
    700212: Aadsts(
        _CLIENT, "No federated credential of the application has this assertion's audience.", status=401
    ),
    700025: Aadsts(
        _CLIENT, "The client is public, so neither a secret nor an assertion may be sent.", status=401
    ),
    700024: Aadsts(_CLIENT, "The client assertion is outside its valid time.", status=401),
    501051: Aadsts("unauthorized_client", "The application is not assigned to a role of the resource."),
    9002325: Aadsts(_REQUEST, "A code issued to a single-page application needs PKCE."),
    9002326: Aadsts(_REQUEST, "A cross-origin redemption is only open to single-page application redirects."),
    9002327: Aadsts(_REQUEST, "A code issued to a single-page application must be redeemed cross-origin."),
    700054: Aadsts(
        "unsupported_response_type", "ID tokens from the authorize endpoint are not switched on.", REDIRECT
    ),
    700051: Aadsts(
        "unsupported_response_type", "Tokens from the authorize endpoint are not switched on.", REDIRECT
    ),
    70001: Aadsts("unauthorized_client", "The application is disabled."),
    7000112: Aadsts("unauthorized_client", "The application is disabled in this directory."),
    650052: Aadsts(_CLIENT, "The application needs a service that this directory has not enabled."),
    650056: Aadsts(_CLIENT, "The application's permissions are set up wrongly."),
    650057: Aadsts(_CLIENT, "The requested resource is not among the application's permissions."),
    500011: Aadsts("invalid_resource", "No resource of this name is known in this directory."),
    500021: Aadsts(_REQUEST, "Access to this tenant is denied by the network's tenant restrictions."),
    500022: Aadsts(_REQUEST, "The network's tenant restrictions name no tenant that matches."),
    50002: Aadsts(_REQUEST, "The proxy's access restrictions refuse this tenant."),
}

_REQUESTS = {
    900144: Aadsts(_REQUEST, "A required parameter is missing from the request."),
    9000411: Aadsts(_REQUEST, "A parameter was sent more than once."),
    900561: Aadsts(_REQUEST, "This endpoint accepts POST only; a GET was received.", status=400),
    90014: Aadsts(_REQUEST, "A required field is missing."),
    90015: Aadsts(_REQUEST, "The query string is too long."),
    90023: Aadsts(_REQUEST, "A parameter has a value this endpoint does not accept."),
    900023: Aadsts(_REQUEST, "The tenant identifier is neither a valid domain nor a GUID."),
    70011: Aadsts("invalid_scope", "The scope is not valid.", REDIRECT),
    28000: Aadsts(_REQUEST, "The scope names more than one resource.", REDIRECT),
    650053: Aadsts(_CLIENT, "The resource has no scope of the name that was asked for.", REDIRECT),
    9010010: Aadsts("invalid_target", "The parameter resource is not what the requested scopes belong to."),
    28002: Aadsts("invalid_scope", "The scope is not valid for an access token request.", REDIRECT),
    1002012: Aadsts("invalid_scope", "Client credentials need a scope that ends in /.default."),
    70003: Aadsts("unsupported_grant_type", "The grant type is not supported."),
    501491: Aadsts(_REQUEST, "The code challenge is malformed.", REDIRECT),
    50147: Aadsts(
        _GRANT, "A code verifier was sent, but the authorization request carried no code challenge."
    ),
    50148: Aadsts(_GRANT, "The code verifier is missing."),
    501481: Aadsts(_GRANT, "The code verifier does not match the code challenge."),
    9002313: Aadsts(_REQUEST, "The request is malformed."),
    90055: Aadsts(_TRANSIENT, "Too many requests arrived; try again later.", status=429),
}

_PEOPLE = {
    50020: Aadsts(_GRANT, "The account belongs to another directory and is no guest in this one."),
    16000: Aadsts(
        _INTERACTION, "The account does not exist in this tenant; another one must be chosen.", PAGE
    ),
    50034: Aadsts(_GRANT, "No such account exists in this directory."),
    51004: Aadsts(_GRANT, "The account does not exist in this directory and must be added first."),
    90072: Aadsts(_GRANT, "The external account must be added to this tenant as a guest first."),
    500208: Aadsts("access_denied", "Personal Microsoft accounts may not sign in here."),
    50105: Aadsts(_INTERACTION, "The person is not assigned to the application."),
    65001: Aadsts("consent_required", "The person or an administrator has not consented to the application."),
    65004: Aadsts("access_denied", "The person declined to consent.", REDIRECT),
    90094: Aadsts("consent_required", "Only an administrator can grant the requested permissions."),
    90095: Aadsts("consent_required", "An administrator must first approve the consent request."),
    50126: Aadsts(_GRANT, "The user name or password is wrong."),
    50056: Aadsts(_GRANT, "The account has no password here, or a wrong one was sent."),
    50053: Aadsts(_GRANT, "The account is locked, or the request came from a blocked address."),
    50055: Aadsts(_GRANT, "The password has expired.", suberror="user_password_expired"),
    50144: Aadsts(_GRANT, "The person's on-premises password has expired."),
    50057: Aadsts(_GRANT, "The account is disabled."),
    80012: Aadsts(_GRANT, "The person signs in outside the allowed hours."),
    500212: Aadsts("access_denied", "The person's own organisation does not allow access to this one."),
    500213: Aadsts("access_denied", "This organisation does not allow access from the person's one."),
    50196: Aadsts(_GRANT, "The client asks for the same tokens in a loop."),
    90090: Aadsts(_TRANSIENT, "The tenant's records could not be read; try again.", status=503),
}

_POLICY = {
    53003: Aadsts(
        "access_denied", "Access is blocked by a Conditional Access policy.", suberror="message_only"
    ),
    530032: Aadsts(
        "access_denied", "Access is blocked by the tenant's security policy.", suberror="message_only"
    ),
    530035: Aadsts("access_denied", "Access is blocked by security defaults.", suberror="message_only"),
    53000: Aadsts(_INTERACTION, "The device must be managed and compliant.", suberror="message_only"),
    53001: Aadsts(_INTERACTION, "The device must be joined to the domain.", suberror="message_only"),
    530003: Aadsts(_INTERACTION, "The device must be managed.", suberror="message_only"),
    50005: Aadsts(_INTERACTION, "The device's platform is not allowed by policy."),
    53002: Aadsts(_INTERACTION, "The application used is not an approved one.", suberror="message_only"),
    **_many(
        (50076, 50079, 50072, 50074, 50078),
        Aadsts(_INTERACTION, "Multifactor authentication is required.", suberror="basic_action"),
    ),
    50158: Aadsts(_INTERACTION, "An external security challenge has not been met.", suberror="basic_action"),
    50131: Aadsts(_INTERACTION, "A device or risk condition of Conditional Access was not met."),
    53004: Aadsts(
        _INTERACTION, "The person must register for multifactor authentication after risky activity."
    ),
    53010: Aadsts(_INTERACTION, "Multifactor registration is blocked from this place or device."),
    53011: Aadsts(_INTERACTION, "The person is blocked because of risk in the home tenant."),
    50058: Aadsts("login_required", "A silent sign-in was asked for, but nobody is signed in.", REDIRECT),
    50199: Aadsts(_INTERACTION, "The person must confirm the sign-in.", REDIRECT),
    50140: Aadsts(_INTERACTION, "The sign-in was interrupted to ask whether to stay signed in.", REDIRECT),
}

_GRANTS = {
    50173: Aadsts(_GRANT, "The grant was revoked; a new sign-in is needed.", suberror="bad_token"),
    50133: Aadsts(_GRANT, "The session ended because the password expired or changed.", suberror="bad_token"),
    50132: Aadsts(_GRANT, "The credentials were revoked or the password changed.", suberror="bad_token"),
    700082: Aadsts(_GRANT, "The refresh token expired from disuse.", suberror="bad_token"),
    70008: Aadsts(_GRANT, "The code or refresh token has expired.", suberror="bad_token"),
    70000: Aadsts(_GRANT, "The grant is not valid.", suberror="bad_token"),
    50089: Aadsts(_GRANT, "The flow has expired; start again.", suberror="bad_token"),
    70043: Aadsts(
        _GRANT, "The sign-in is older than the sign-in frequency policy allows.", suberror="token_expired"
    ),
    70044: Aadsts(
        _GRANT, "The session is older than the sign-in frequency policy allows.", suberror="token_expired"
    ),
    700084: Aadsts(
        _GRANT,
        "The single-page application's refresh token has reached its fixed life.",
        suberror="token_expired",
    ),
    54005: Aadsts(_GRANT, "The authorization code was redeemed before."),
    700005: Aadsts(_GRANT, "The code was issued for another tenant than the one it is redeemed at."),
    700009: Aadsts(_GRANT, "The code was issued to another client."),
    70016: Aadsts(
        "authorization_pending", "The person has not finished signing in with the device code yet."
    ),
    70018: Aadsts("bad_verification_code", "The device code is wrong."),
    70019: Aadsts("expired_token", "The device code has expired."),
    70020: Aadsts("expired_token", "The device code has expired."),
    500133: Aadsts(_GRANT, "The assertion is not within its valid time."),
    5000224: Aadsts(_GRANT, "The assertion is not valid."),
    500131: Aadsts(_GRANT, "The assertion's audience is not the application that presents it."),
    50013: Aadsts(_GRANT, "The assertion is not valid: signature, issuer, audience or time."),
}

_TRANSIENT_CODES = {
    **_many(
        (90033, 90006, 90012, 90024, 50033, 50087),
        Aadsts(_TRANSIENT, "A temporary fault of the service; try again.", status=503),
    ),
}

WITHOUT_ADDRESS = frozenset({650053, 700038, 9010010, 50049})
"""Codes whose answers name no `error_uri`.  Observed for 650053; which others is documented nowhere."""

AADSTS: dict[int, Aadsts] = {
    code: meaning
    for table in (_REGISTRATION, _REQUESTS, _PEOPLE, _POLICY, _GRANTS, _TRANSIENT_CODES)
    for code, meaning in table.items()
}
"""Every code the emulator knows."""
