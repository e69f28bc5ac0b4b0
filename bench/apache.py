"""Debian's mod_auth_openidc under Apache: one child of its default MPM, the module's own defaults.

The endpoints are named one by one rather than discovered, so that the module makes the same exchange as the
others: a token request, no further one for user information.
"""

from __future__ import annotations

import json
import shutil
import ssl
from pathlib import Path
from urllib.request import urlopen

from bench.processes import CannotRun, Server, start
from bench.provider import Provider

MODULES = Path("/usr/lib/apache2/modules")

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
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
MinSpareThreads 1
MaxSpareThreads 25
MaxKeepAliveRequests 0
KeepAliveTimeout 60
{user}
ErrorLog /dev/stderr
DocumentRoot "{folder}/pages"

OIDCProviderIssuer {issuer}
OIDCProviderAuthorizationEndpoint {authorization_endpoint}
OIDCProviderTokenEndpoint {token_endpoint}
OIDCProviderJwksUri {jwks_uri}
OIDCProviderTokenEndpointAuth client_secret_post
OIDCClientID {client_id}
OIDCClientSecret {client_secret}
OIDCScope "openid profile email offline_access"
OIDCPKCEMethod S256
OIDCRedirectURI http://localhost:{port}/oauth2/callback
OIDCCryptoPassphrase a-passphrase-of-this-benchmark-only
OIDCCABundlePath {ca_file}
OIDCStateMaxNumberOfCookies 7 true
<Location />
    AuthType openid-connect
    Require valid-user
</Location>
"""


def start_apache(provider: Provider, folder: Path, port: int) -> Server:
    """A running Apache with the module in front of one small page.

    Raises:
        CannotRun: Apache or the module is not installed.
    """
    program = shutil.which("apache2", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None or not (MODULES / "mod_auth_openidc.so").exists():
        raise CannotRun("apache2 or libapache2-mod-auth-openidc is not installed")
    (folder / "pages").mkdir()
    (folder / "pages" / "index.html").write_text("signed in\n")
    configuration = folder / "apache.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            port=port,
            modules=MODULES,
            user=_user(folder),
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            ca_file=shutil.copy(provider.ca_file, folder / "ca.pem"),
            **_endpoints(provider),
        )
    )
    return start([program, "-f", configuration, "-DFOREGROUND"], environment={}, folder=folder, name="apache")


def _endpoints(provider: Provider) -> dict[str, str]:
    trust = ssl.create_default_context(cafile=provider.ca_file)
    url = f"{provider.authority}/v2.0/.well-known/openid-configuration"
    with urlopen(url, context=trust) as answer:
        metadata = json.load(answer)
    wanted = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    # The module takes https alone; the client goes to the emulator's plain listener all the same.
    return {name: metadata[name].replace(provider.http_url, provider.https_url) for name in wanted}


def _user(folder: Path) -> str:
    """Apache run by root gives itself away to a user; run by anybody else it stays who it is."""
    if folder.owner() != "root":
        return ""
    for path in (folder, *folder.parents[:1]):
        path.chmod(0o755)
    return "User www-data\nGroup www-data"
