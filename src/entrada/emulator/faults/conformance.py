"""The OpenID conformance suite's client modules as faults of the same names.

Each module stands for zero or more faults: none where the suite expects plain success, which the emulator
gives anyway.  Modules about features that Entra does not have are refused by name, so that a test never
passes because nothing happened.
Source: OpenID Foundation conformance suite, modules named `oidcc-client-test*`.
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


_FOREIGN = "https://issuer.invalid/"
_OTHER_GUID = "00000000-0000-4000-8000-00000000dead"

_SUFFIXES: Mapping[str, list[Part]] = {
    "": [],
    "-invalid-iss": _id_token(set={"iss": _FOREIGN}),
    "-missing-sub": _id_token(remove=["sub"]),
    "-invalid-aud": _id_token(set={"aud": _OTHER_GUID}),
    "-missing-aud": _id_token(remove=["aud"]),
    "-missing-iat": _id_token(remove=["iat"]),
    "-kid-absent-single-jwks": [
        *_id_token(header_remove=["kid"]),
        *_tamper("keys", only_signing_key=True),
    ],
    "-kid-absent-multiple-jwks": _id_token(header_remove=["kid"]),
    "-idtoken-sig-rs256": [],
    "-idtoken-sig-none": _id_token(signature="none"),
    "-invalid-sig-rs256": _id_token(signature="corrupt"),
    "-invalid-sig-hs256": _id_token(signature="hs256_corrupt"),
    "-invalid-sig-es256": _id_token(signature="es256"),
    "-userinfo-invalid-sub": _tamper("userinfo", set={"sub": "somebody-else"}),
    "-nonce-invalid": _id_token(set={"nonce": "a-nonce-nobody-sent"}),
    "-nonce-unless-code-flow": _id_token(remove=["nonce"]),
    "-scope-userinfo-claims": [],
    "-client-secret-basic": [("aadsts", "token", {"code": 7000218, "auth": "post"})],
    "-discovery-openid-config": [],
    "-discovery-jwks-uri-keys": _tamper("discovery", fresh_jwks_uri=True),
    "-discovery-issuer-mismatch": _tamper("discovery", set={"issuer": _FOREIGN}),
    "-signing-key-rotation-just-before-signing": [("key_rotated", "token", {})],
    "-signing-key-rotation": [("key_rotated", "token", {})],
    "-form-post-error": [],
    "-refresh-token": [],
    "-refresh-token-invalid-issuer": _id_token(set={"iss": _FOREIGN}, grant="refresh_token"),
    "-refresh-token-invalid-sub": _id_token(set={"sub": "somebody-else"}, grant="refresh_token"),
    "-invalid-athash": _id_token(set={"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "-missing-athash": _id_token(remove=["at_hash"]),
    "-invalid-chash": _id_token(set={"c_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "-missing-chash": _id_token(remove=["c_hash"]),
    "-userinfo-bearer-header": [],
    "-aggregated-claims": _tamper(
        "userinfo", set={"_claim_names": {"address": "src1"}, "_claim_sources": {"src1": {"JWT": "e30.e30."}}}
    ),
    "-distributed-claims": _tamper(
        "userinfo",
        set={
            "_claim_names": {"credit_score": "src1"},
            "_claim_sources": {"src1": {"endpoint": f"{_FOREIGN}claims", "access_token": "x"}},
        },
    ),
    "-rp-init-logout": [],
    "-rp-init-logout-no-state": _tamper("logout_response", remove=["state"]),
    "-rp-init-logout-other-state": _tamper("logout_response", set={"state": "another-state"}),
    "-rp-frontchannel-rpinitlogout": [],
    "-rp-frontchannel-opinitlogout": [],
}

_NOT_AT_ENTRA = {
    "-dynamic-registration",
    "-discovery-webfinger-acct",
    "-discovery-webfinger-url",
    "-request-uri-signed-none",
    "-request-uri-signed-rs256",
    "-userinfo-signed",
    "-userinfo-bearer-body",
    "-mtls-endpoint-aliases",
    "-3rd-party-init-login",
    "-session-management",
    "-rp-backchannel-rpinitlogout",
    "-rp-backchannel-rpinitlogout-alg-none",
    "-rp-backchannel-rpinitlogout-wrong-alg",
    "-rp-backchannel-rpinitlogout-wrong-aud",
    "-rp-backchannel-rpinitlogout-wrong-iss",
    "-rp-backchannel-rpinitlogout-wrong-event",
    "-rp-backchannel-rpinitlogout-no-event",
    "-rp-backchannel-rpinitlogout-with-nonce",
}

_WEEK_SECONDS = 7 * 24 * 3600

_FAPI: Mapping[str, list[Part]] = {
    "invalid-authorization-response-iss": _tamper("authorization_response", set={"iss": _FOREIGN}),
    "remove-authorization-response-iss": _tamper("authorization_response", remove=["iss"]),
    "ensure-authorization-response-with-invalid-state-fails": _tamper(
        "authorization_response", set={"state": "a-state-nobody-sent"}
    ),
    "ensure-authorization-response-with-invalid-missing-state-fails": _tamper(
        "authorization_response", remove=["state"]
    ),
    "invalid-expired-exp": _id_token(shift={"exp": -_WEEK_SECONDS}),
    "invalid-missing-exp": _id_token(remove=["exp"]),
    "invalid-missing-nonce": _id_token(remove=["nonce"]),
    "invalid-null-alg": _id_token(header_set={"alg": None}),
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
    return [PREFIX + suffix for suffix in _SUFFIXES] + list(_FAPI)


def parts_of(name: str) -> list[Part]:
    """The faults a conformance module stands for, each as name, endpoint and parameters.

    Raises:
        UnknownFault: no module has this name, or Entra has no such feature.
    """
    if name in _FAPI:
        return _FAPI[name]
    suffix = name.removeprefix(PREFIX)
    if name.startswith(PREFIX) and suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if name.startswith(PREFIX) and suffix in _NOT_AT_ENTRA:
        raise UnknownFault(f"{name} tests a feature that Entra does not have, so there is nothing to emulate")
    raise UnknownFault(f"no fault is called {name!r}; GET /_emulator/faults lists them")
