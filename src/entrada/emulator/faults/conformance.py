"""The OpenID conformance suite's client modules as faults of the same names.

Each name does what the suite's module of that name does, so far as Entra could: the same change in the same
document, and nothing else.  Modules in which nothing is wrong are listed by themselves, and modules about
features that Entra does not have are refused by name with the reason, so that no test passes because nothing
happened.
Source: OpenID Foundation conformance suite, modules named `oidcc-client-test*`, and some of its FAPI
modules, at commit 12f2a4da.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..state.switched_faults import UnknownFault

Part = tuple[str, str, dict[str, Any]]


def _id_token(**parameters: Any) -> list[Part]:
    return [("tamper", "", {"target": "id_token", **parameters})]


def _tamper(target: str, **parameters: Any) -> list[Part]:
    return [("tamper", "", {"target": target, **parameters})]


_ISSUER = "https://issuer.invalid/"
_OTHER_GUID = "00000000-0000-4000-8000-00000000dead"
_UNSIGNED = {"header": {"alg": "none"}, "signature": "none"}
_PROMISED_ISSUER = _tamper("discovery", set={"authorization_response_iss_parameter_supported": True})
_NO_IDS = {"without_kid": True, "other_kinds": True}
_POSTED_ERROR = {
    "error": "login_required",
    "error_description": "AADSTS50058: A silent sign-in was asked for, but nobody is signed in.",
}
# Unsigned, as in the suite: address and phone number from a source of their own.
_AGGREGATED = (
    "eyJhbGciOiJub25lIn0.eyJhZGRyZXNzIjp7ImNvdW50cnkiOiJVUyJ9LCJwaG9uZV9udW1iZXIiOiIrMSAoMzEwKSAxMjMifQ."
)


def _signed_with(*algorithms: str) -> list[Part]:
    return _tamper("discovery", set={"id_token_signing_alg_values_supported": list(algorithms)})


_FAULTS: Mapping[str, list[Part]] = {
    "-invalid-iss": _id_token(append={"iss": "1"}),
    "-missing-sub": _id_token(remove=["sub"]),
    "-invalid-aud": _id_token(append={"aud": "1"}),
    "-missing-aud": _id_token(remove=["aud"]),
    "-missing-iat": _id_token(remove=["iat"]),
    "-kid-absent-single-jwks": [
        *_id_token(header_remove=["kid"]),
        *_tamper("keys", only_signing_key=True, **_NO_IDS),
    ],
    "-kid-absent-multiple-jwks": [*_id_token(header_remove=["kid"]), *_tamper("keys", **_NO_IDS)],
    "-idtoken-sig-none": _id_token(**_UNSIGNED),
    "-invalid-sig-rs256": _id_token(signature="corrupt"),
    "-invalid-sig-hs256": [*_id_token(signature="hs256_corrupt"), *_signed_with("HS256")],
    "-invalid-sig-es256": [
        *_id_token(signature="es256_corrupt"),
        *_tamper("keys", other_kinds=True),
        *_signed_with("ES256"),
    ],
    "-userinfo-invalid-sub": _tamper("userinfo", append={"sub": "invalid"}),
    "-nonce-invalid": _id_token(append={"nonce": "1"}),
    "-nonce-unless-code-flow": [
        (
            "aadsts",
            "authorize",
            {"code": 900144, "detail": "The parameter is 'nonce'.", "shown": "redirect", "missing": "nonce"},
        )
    ],
    "-client-secret-basic": [("aadsts", "token", {"code": 7000218, "auth": "post"})],
    "-discovery-jwks-uri-keys": _tamper("discovery", fresh_jwks_uri=True),
    "-discovery-issuer-mismatch": _tamper("discovery", append={"issuer": "1"}),
    "-signing-key-rotation-just-before-signing": [("key_rotated", "token", {"keep_old": False})],
    "-signing-key-rotation": [("rotate_after_signing", "token", {"keep_old": False})],
    "-form-post-error": _tamper("authorization_response", replace=_POSTED_ERROR, response_mode="form_post"),
    "-refresh-token-invalid-issuer": _id_token(append={"iss": "1"}, grant="refresh_token"),
    "-refresh-token-invalid-sub": _id_token(append={"sub": "1"}, grant="refresh_token"),
    "-invalid-athash": _id_token(append={"at_hash": "1"}),
    "-invalid-chash": _id_token(append={"c_hash": "1"}),
    "-missing-chash": _id_token(remove=["c_hash"]),
    "-aggregated-claims": _tamper(
        "userinfo",
        set={
            "_claim_names": {"address": "src1", "phone_number": "src1"},
            "_claim_sources": {"src1": {"JWT": _AGGREGATED}},
        },
    ),
    "-distributed-claims": _tamper(
        "userinfo",
        set={
            "_claim_names": {"credit_score": "src1"},
            "_claim_sources": {"src1": {"endpoint": f"{_ISSUER}claims", "access_token": "x"}},
        },
    ),
    "-rp-init-logout-no-state": _tamper("logout_response", remove=["state"]),
    "-rp-init-logout-other-state": _tamper("logout_response", append={"state": "1"}),
}

PLAIN: Mapping[str, str] = {
    "": "sign in, redeem, ask userinfo",
    "-idtoken-sig-rs256": "the ID token is signed with RS256",
    "-scope-userinfo-claims": "userinfo holds what the scopes ask for",
    "-discovery-openid-config": "the client reads the metadata",
    "-refresh-token": "a refresh token gives new tokens",
    "-userinfo-bearer-header": "userinfo takes the access token in the Authorization header",
    "-rp-init-logout": "signing out comes back with the state that was sent",
    "-rp-frontchannel-rpinitlogout": "signing out loads the client's front-channel address",
    "-rp-frontchannel-opinitlogout": "the same, begun at the emulator",
}
"""Modules in which everything is as it should be: the emulator does this without any fault."""

_NO_REGISTRATION = "clients do not register themselves at Entra"
_NO_REQUEST_OBJECT = "Entra takes no request object"
_NO_WEBFINGER = "Entra has no WebFinger"
_NO_BACK_CHANNEL = "Entra tells applications of a sign-out by the front channel only"

NOT_AT_ENTRA: Mapping[str, str] = {
    "-dynamic-registration": _NO_REGISTRATION,
    "-discovery-webfinger-acct": _NO_WEBFINGER,
    "-discovery-webfinger-url": _NO_WEBFINGER,
    "-request-uri-signed-none": _NO_REQUEST_OBJECT,
    "-request-uri-signed-rs256": _NO_REQUEST_OBJECT,
    "-userinfo-signed": "Entra's userinfo is plain JSON",
    "-userinfo-bearer-body": "Entra's userinfo takes the access token in the Authorization header only",
    "-mtls-endpoint-aliases": "the emulator's listener asks for no client certificate",
    "-missing-athash": "no access token comes from the authorize endpoint, where alone at_hash is said",
    "-3rd-party-init-login": "registrations have no initiate_login_uri, and Entra sends nobody with iss",
    "-session-management": "version 1 alone has a session frame, and no client of version 2 is told of it",
    "-rp-backchannel-rpinitlogout": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-alg-none": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-wrong-alg": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-wrong-aud": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-wrong-iss": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-wrong-event": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-no-event": _NO_BACK_CHANNEL,
    "-rp-backchannel-rpinitlogout-with-nonce": _NO_BACK_CHANNEL,
}
"""Modules about what Entra does not have, each with the reason."""

_WEEK_SECONDS = 7 * 24 * 3600

_FAPI: Mapping[str, list[Part]] = {
    "invalid-authorization-response-iss": [
        *_tamper("authorization_response", append={"iss": "1"}),
        *_PROMISED_ISSUER,
    ],
    "remove-authorization-response-iss": _PROMISED_ISSUER,
    "ensure-authorization-response-with-invalid-state-fails": _tamper(
        "authorization_response", append={"state": "1"}
    ),
    "ensure-authorization-response-with-invalid-missing-state-fails": _tamper(
        "authorization_response", remove=["state"]
    ),
    "invalid-expired-exp": _id_token(from_now={"exp": -360}),
    "invalid-missing-exp": _id_token(remove=["exp"]),
    "invalid-missing-nonce": _id_token(remove=["nonce"]),
    "invalid-null-alg": _id_token(**_UNSIGNED),
    "invalid-secondary-aud": _id_token(add_audience=_OTHER_GUID),
    "valid-aud-as-array": _id_token(aud_as_array=True),
    "invalid-alternate-alg": _id_token(signature="rs512"),
    "token-endpoint-response-without-expires_in": _tamper("token_response", remove=["expires_in"]),
    "token-type-case-insensitivity": _tamper("token_response", set={"token_type": "bEARER"}),
    "iat-is-week-in-past": _id_token(shift={"iat": -_WEEK_SECONDS}),
}

PREFIX = "oidcc-client-test"


def module_names() -> list[str]:
    """Every conformance module that can be switched on."""
    return [PREFIX + suffix for suffix in (*PLAIN, *_FAULTS)] + list(_FAPI)


def parts_of(name: str) -> list[Part]:
    """The faults a conformance module stands for, each as name, endpoint and parameters.

    Raises:
        UnknownFault: no module has this name, or Entra has no such feature.
    """
    if name in _FAPI:
        return _FAPI[name]
    suffix = name.removeprefix(PREFIX)
    if name.startswith(PREFIX) and suffix in PLAIN:
        return []
    if name.startswith(PREFIX) and suffix in _FAULTS:
        return _FAULTS[suffix]
    if name.startswith(PREFIX) and suffix in NOT_AT_ENTRA:
        raise UnknownFault(f"{name} cannot be emulated: {NOT_AT_ENTRA[suffix]}")
    raise UnknownFault(f"no fault is called {name!r}; GET /_emulator/faults lists them")
