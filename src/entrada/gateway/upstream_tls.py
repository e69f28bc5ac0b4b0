"""TLS towards an upstream: which authorities are believed, for which name, and what we show of ourselves.

    ca_file              these authorities alone; without it the system's, and those of $[ca_bundle]
    server_name          what the certificate must be for, where that is not the host of the address
    client_certificate   PEM with key and certificate: who we are, to an upstream that asks

Nothing here switches verification off, and nothing else does: an upstream that is believed without proof gets
everybody's identity and cookies. For a certificate that no authority signed, `ca_file` is that certificate.

Source: RFC 9110, section 4.3.4; RFC 6066, section 3.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class UpstreamTls:
    ca_file: Path | None = None
    server_name: str | None = None
    client_certificate: Path | None = None

    def context(self, ca_bundle: Path | None = None) -> ssl.SSLContext:
        """
        Raises:
            OSError: a file cannot be read, or is not what it should be (`ssl.SSLError`).
        """
        if self.ca_file is not None:
            context = ssl.create_default_context(cafile=self.ca_file)
        else:
            context = ssl.create_default_context()
            if ca_bundle is not None:
                context.load_verify_locations(cafile=ca_bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self.client_certificate is not None:
            # A key with a passphrase is an error here, and no question on the terminal of whoever started us.
            context.load_cert_chain(self.client_certificate, password=_no_passphrase)
        return context


USUAL_TLS = UpstreamTls()
"""What holds where a route says nothing."""


def _no_passphrase() -> str:
    raise OSError("the key has a passphrase")
