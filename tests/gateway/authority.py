"""An authority of the tests' own, and certificates of its, good ones and others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from entrada.compatibility import UTC


@dataclass(frozen=True, kw_only=True)
class Authority:
    """`ca_file` is what somebody who believes it names."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def certify(self, *names: str, expired: bool = False) -> Path:
        """A PEM file with key and certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
        certificate = (
            _builder(names[0], self.certificate.subject, key, until)
            .add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.folder / f"{'-'.join(names)}{'-expired' if expired else ''}.pem"
        file.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return file


def new_authority(folder: Path) -> Authority:
    """Its certificate stands in `ca.pem` of the folder."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority of {folder.name}")])
    certificate = (
        _builder(f"Authority of {folder.name}", name, key, datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Authority(folder=folder, key=key, certificate=certificate)
    made.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return made


def _builder(
    subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=3))
        .not_valid_after(until)
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
