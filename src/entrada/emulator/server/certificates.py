"""The emulator's own certificate authority and the certificate of its https listener.

Owns three files in the state directory: `ca.pem` (public, to be trusted by clients), `ca-key.pem` and
`tls.pem` (private, mode 0600).  They are kept between runs and renewed before they expire.
The authority is limited by critical name constraints to `localhost` and the loopback addresses, so
that trusting it can never vouch for another host.  Source: RFC 5280, 4.2.1.10.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..compatibility import UTC
from ..private_file import write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=397)
_RENEW_BEFORE = timedelta(days=30)


def ensure_certificates(state_dir: Path) -> tuple[Path, Path]:
    """The authority's PEM and the listener's (certificate and key), made when missing or nearly expired."""
    ca_file, ca_key_file, tls_file = (state_dir / name for name in ("ca.pem", "ca-key.pem", "tls.pem"))
    if not (_valid(ca_file, _CA_LIFE) and ca_key_file.exists()):
        _make_authority(ca_file, ca_key_file)
        tls_file.unlink(missing_ok=True)
    if not _valid(tls_file, _LEAF_LIFE):
        _make_leaf(ca_file, ca_key_file, tls_file)
    return ca_file, tls_file


def _valid(certificate_file: Path, life: timedelta) -> bool:
    """Whether the file holds a certificate young enough; its age is the file's, so that nothing is parsed."""
    try:
        begun = datetime.fromtimestamp(certificate_file.stat().st_mtime, UTC)
        content = certificate_file.read_bytes()
    except OSError:
        return False
    return b"-----END CERTIFICATE-----" in content and begun + life - _RENEW_BEFORE > datetime.now(UTC)


def _builder(
    subject: str, issuer: str, public_key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


_CA_NAME = "Entrada emulator (this machine only)"


def _make_authority(ca_file: Path, ca_key_file: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    permitted: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
        x509.IPAddress(ipaddress.ip_network("::1/128")),
    ]
    certificate = (
        _builder(_CA_NAME, _CA_NAME, key.public_key(), _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(
        ca_key_file,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _make_leaf(ca_file: Path, ca_key_file: Path, tls_file: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    authority_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    certificate = (
        _builder("localhost", _CA_NAME, key.public_key(), _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    write_private(
        tls_file,
        certificate.public_bytes(serialization.Encoding.PEM)
        + authority.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
