"""One emulator for all clients, as new before each test, and what they need around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from clients.plain_browser import PlainBrowser
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator, start

APPLICATION = "http://localhost:5000"
"""Where the clients pretend to live: a registered address at which nobody listens."""


@pytest.fixture(scope="session")
def started_emulator() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


@pytest.fixture
def emulator(started_emulator: RunningEmulator) -> RunningEmulator:
    """The emulator as it is just after starting."""
    started_emulator.reset()
    return started_emulator


@pytest.fixture(scope="session")
def started_https_emulator() -> Iterator[RunningEmulator]:
    """Another, for clients that accept no http endpoint: its metadata sends browsers to https, too."""
    with start(browser_over_https=True) as running:
        yield running


@pytest.fixture
def person(emulator: RunningEmulator) -> Iterator[PlainBrowser]:
    """A person with a browser that has no past; it stops where the client would read the answer."""
    with PlainBrowser(emulator.ca_file, stop_at=(APPLICATION,)) as browser:
        yield browser


@pytest.fixture
def trusting_session(emulator: RunningEmulator) -> Iterator[requests.Session]:
    """HTTP as a requests-based client is given it: the emulator's authority trusted, nothing else changed."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(emulator.ca_file)
        yield session


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """A key pair with its self-signed certificate, both PEM, and the SHA-1 thumbprint in hexadecimal."""

    private_key: str
    certificate: str
    sha1_thumbprint: str
    sha256_thumbprint: str

    def written(self, folder: Path) -> Path:
        """One file with both, as credentials are kept."""
        file = folder / "client.pem"
        file.write_text(self.private_key + self.certificate, "utf-8")
        return file


@pytest.fixture(scope="session")
def client_certificate() -> ClientCertificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=30),
    ).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ClientCertificate(
        private_key=pem.decode(),
        certificate=made.public_bytes(serialization.Encoding.PEM).decode(),
        sha1_thumbprint=made.fingerprint(hashes.SHA1()).hex(),
        sha256_thumbprint=made.fingerprint(hashes.SHA256()).hex(),
    )
