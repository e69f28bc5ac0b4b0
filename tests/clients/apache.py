"""Apache with Debian's mod_auth_openidc in front of a few pages, in a folder of its own.

Told no more than an administrator tells it: where the provider's metadata is, client id and secret, and
which authority to trust (`Registration`; without one, the emulator's seeded application). The module takes
https endpoints only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID
from house import tools

MODULES = Path("/usr/lib/apache2/modules")
_START_SECONDS = 30
_NOBODY = "#65534"

CONFIGURATION = """
ServerRoot "{folder}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{folder}/apache.pid"
Mutex file:{folder}
DefaultRuntimeDir "{folder}"
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
{user}
ErrorLog "{folder}/error.log"
LogLevel auth_openidc:info
DocumentRoot "{folder}/pages"
<Directory "{folder}/pages">
    ForceType text/html
</Directory>

OIDCProviderMetadataURL {metadata_url}
OIDCClientID {client_id}
OIDCClientSecret {client_secret}
OIDCProviderTokenEndpointAuth {authentication}
OIDCResponseMode {response_mode}
OIDCScope "{scope}"
OIDCPKCEMethod S256
OIDCRedirectURI http://localhost:{port}/oauth2/callback
OIDCCryptoPassphrase a-passphrase-of-this-test-only
OIDCCABundlePath "{folder}/ca.pem"
OIDCRemoteUserClaim preferred_username
OIDCInfoHook userinfo id_token refresh_token

<Location />
    AuthType openid-connect
    Require valid-user
    Header set X-Remote-User "expr=%{{REMOTE_USER}}"
</Location>
<Location /admin.html>
    Require claim roles:Admin
</Location>
<Location /signed-out>
    Require all granted
</Location>
"""
PAGES = {"index.html": "Welcome.", "admin.html": "For administrators.", "signed-out": "Goodbye."}


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a provider's administrator hands over."""

    metadata_url: str
    client_id: str
    client_secret: str
    ca_file: Path
    scope: str = "openid profile email offline_access"


def of_the_emulator(emulator: RunningEmulator) -> Registration:
    """The seeded application of the emulator."""
    return Registration(
        metadata_url=f"{emulator.https_url}/{CONTOSO_ID}/v2.0/.well-known/openid-configuration",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        ca_file=emulator.ca_file,
        scope="openid profile email offline_access User.Read",
    )


@contextmanager
def running_apache(
    registration: Registration,
    *,
    authentication: str = "client_secret_post",
    response_mode: str = "query",
    port: int | None = None,
) -> Iterator[str]:
    """The address of a started Apache; it is stopped at the end of the block."""
    program = tools.command_path("apache2")
    if not (MODULES / "mod_auth_openidc.so").exists():
        tools.could_not_run("mod_auth_openidc is not installed (Debian package libapache2-mod-auth-openidc)")
    # Not a folder of pytest's: Apache started by root gives itself away to a user, who may not enter those.
    with tempfile.TemporaryDirectory(prefix="entrada-apache-") as name:
        folder, port = Path(name), port or tools.free_port()
        folder.chmod(0o755)
        _furnish(folder, registration.ca_file)
        configuration = folder / "apache.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                port=port,
                modules=MODULES,
                user=f"User {_NOBODY}\nGroup {_NOBODY}" if os.geteuid() == 0 else "",
                metadata_url=registration.metadata_url,
                client_id=registration.client_id,
                client_secret=registration.client_secret,
                scope=registration.scope,
                authentication=authentication,
                response_mode=response_mode,
            ),
            "utf-8",
        )
        with subprocess.Popen(
            [program, "-f", configuration, "-DFOREGROUND"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _wait_until_it_answers(process, f"http://localhost:{port}/signed-out")
                yield f"http://localhost:{port}"
            finally:
                tools.end(process, seconds=10)


def _furnish(folder: Path, ca_file: Path) -> None:
    shutil.copy(ca_file, folder / "ca.pem")
    (folder / "ca.pem").chmod(0o644)
    (folder / "pages").mkdir()
    for name, text in PAGES.items():
        (folder / "pages" / name).write_text(f"<title>{text}</title>\n", "utf-8")


def _wait_until_it_answers(process: subprocess.Popen[str], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            raise AssertionError(f"Apache ended: {process.stderr.read()}")
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    raise AssertionError(f"Apache did not answer within {_START_SECONDS} s")
