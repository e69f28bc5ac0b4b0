"""How the application proves itself to Entra: a secret, a certificate, or a federated token.

Owns the forms MSAL wants each of them in, and what can be seen to be wrong with them before any sign-in.
Secrets never appear in a repr or an error.

Source: Microsoft, "Application authentication certificate credentials", "Workload identity federation".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from entrada.errors import ConfigurationError, why_unreadable


@dataclass(frozen=True, kw_only=True)
class ClientSecret:
    value: str = field(repr=False)

    def for_msal(self) -> Any:
        return self.value


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """A PEM file with the private key and the certificate, in any order."""

    path: Path

    def for_msal(self) -> Any:
        pem = _read(self.path, "client_certificate_path")
        for part, mark in (("private key", "PRIVATE KEY-----"), ("certificate", "BEGIN CERTIFICATE-----")):
            if mark not in pem:
                raise ConfigurationError(
                    f"The file {str(self.path)!r} lacks a {part}.",
                    hint="$[client_certificate_path] wants one PEM file with key and certificate.",
                    setting="client_certificate_path",
                )
        return {"private_key": pem, "public_certificate": pem}

    def check(self) -> None:
        """MSAL looks at key and certificate only when the first person signs in; too late to say so.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        pem = self.for_msal()["private_key"].encode()
        try:
            key, certificate = load_pem_private_key(pem, password=None), load_pem_x509_certificate(pem)
            wrong = "" if isinstance(key, RSAPrivateKey) else "the key is not an RSA key"
            if key.public_key() != certificate.public_key():
                wrong = "key and certificate do not belong together"
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            wrong = "the key has a password" if isinstance(error, TypeError) else "it cannot be read as PEM"
        if wrong:
            raise ConfigurationError(
                f"$[client_certificate_path] names {str(self.path)!r}, which cannot be used: {wrong}.",
                hint="It wants one PEM file: an RSA private key without password, and its certificate.",
                setting="client_certificate_path",
            )


@dataclass(frozen=True, kw_only=True)
class FederatedCredential:
    """A token of another issuer in a file that its owner (Kubernetes, for one) keeps fresh."""

    token_file: Path

    def for_msal(self) -> Any:
        return {"client_assertion": lambda: _read(self.token_file, "federated_token_file").strip()}


@dataclass(frozen=True, kw_only=True)
class NoCredential:
    """A public client: the code verifier and a redirect URI that is listed are its proof.

    Source: RFC 6749, section 2.1; RFC 7636.
    """

    def for_msal(self) -> Any:
        return None


ClientCredential = ClientSecret | ClientCertificate | FederatedCredential | NoCredential

_SECRET_OF_TODAY = re.compile(r"[A-Za-z0-9_.~-]{32,64}", re.ASCII)
"""What Entra makes now, Observed 2025. Older secrets hold any printable character."""


def credentials_for(
    *, secret: str | None = None, certificate_path: Path | None = None, token_file: Path | None = None
) -> Sequence[ClientCredential]:
    """Exactly one kind of credential; of secrets one or, comma-separated, several, in the order to try them.

    Raises:
        ConfigurationError: none, several kinds at once, or a file that cannot be used.
    """
    kinds: list[Sequence[ClientCredential]] = [
        [ClientSecret(value=each) for each in secrets_in(secret or "")],
        [ClientCertificate(path=path) for path in [certificate_path] if path],
        [FederatedCredential(token_file=path) for path in [token_file] if path],
    ]
    given = [kind for kind in kinds if kind]
    if not given:
        raise ConfigurationError(
            "$[client_secret] is not set.",
            hint="Put the Value of a client secret there (Entra admin center: App registrations, your app, "
            "Certificates & secrets), or use $[client_certificate_path] or $[federated_token_file].",
            setting="client_secret",
        )
    if len(given) > 1:
        raise ConfigurationError(
            "Several kinds of client credential are set at once.",
            hint="Keep one of $[client_secret], $[client_certificate_path] and $[federated_token_file].",
            setting="client_secret",
        )
    for credential in given[0]:
        if isinstance(credential, ClientCertificate):
            credential.check()
        else:
            credential.for_msal()
    return given[0]


def secrets_in(text: str) -> list[str]:
    """The secrets that a text may mean, in the order to try them: a comma can be part of an old secret.

    The whole, then what stands on either side of each comma; only the parts where each is a secret of today.
    """
    whole = text.strip()
    parts = [part.strip() for part in whole.split(",") if part.strip()]
    if re.search(r"\s", whole) or all(_SECRET_OF_TODAY.fullmatch(part) for part in parts):
        return parts
    commas = [place for place, character in enumerate(whole) if character == ","]
    sides = [side for place in commas for side in (whole[:place], whole[place + 1 :])]
    return list(dict.fromkeys(side for side in [whole, *sides] if side.strip(",")))


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"$[{setting}] names {str(path)!r}, which cannot be read ({why_unreadable(error)}).",
            hint="Check the path, and that the user Entrada runs as may read it.",
            setting=setting,
        ) from None
