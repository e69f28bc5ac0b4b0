"""How the application proves itself to Entra: a secret, a certificate, or a federated token.

Owns the forms MSAL wants each of them in. Secrets never appear in a repr or an error.

Source: Microsoft, "Application authentication certificate credentials", "Workload identity federation".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrada.errors import ConfigurationError


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
        pem = _read(self.path, "ENTRADA_CLIENT_CERTIFICATE_PATH")
        for part, mark in (("private key", "PRIVATE KEY-----"), ("certificate", "BEGIN CERTIFICATE-----")):
            if mark not in pem:
                raise ConfigurationError(
                    f"The file {str(self.path)!r} lacks a {part}.",
                    hint="ENTRADA_CLIENT_CERTIFICATE_PATH wants one PEM file with key and certificate.",
                    setting="ENTRADA_CLIENT_CERTIFICATE_PATH",
                )
        return {"private_key": pem, "public_certificate": pem}


@dataclass(frozen=True, kw_only=True)
class FederatedCredential:
    """A token of another issuer in a file that its owner (Kubernetes, for one) keeps fresh."""

    token_file: Path

    def for_msal(self) -> Any:
        return {"client_assertion": lambda: _read(self.token_file, "ENTRADA_FEDERATED_TOKEN_FILE").strip()}


@dataclass(frozen=True, kw_only=True)
class NoCredential:
    """A public client: the code verifier and a redirect URI that is listed are its proof.

    Source: RFC 6749, section 2.1; RFC 7636.
    """

    def for_msal(self) -> Any:
        return None


ClientCredential = ClientSecret | ClientCertificate | FederatedCredential | NoCredential


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{setting} names {str(path)!r}, which cannot be read ({type(error).__name__}).",
            hint="Check the path, and that the user Entrada runs as may read it.",
            setting=setting,
        ) from None
