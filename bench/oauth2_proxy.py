"""oauth2-proxy, built from its Go module: one thread of Go, the session in its cookie, nothing logged."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.environment import go_program
from bench.processes import Server, start
from bench.provider import Provider

MODULE, VERSION = "github.com/oauth2-proxy/oauth2-proxy/v7", "v7.15.6"


def start_oauth2_proxy(
    provider: Provider, folder: Path, port: int, *, upstream: str = "static://200"
) -> Server:
    """Running, with the endpoint /oauth2/auth that proxies ask, and before an upstream.

    Raises:
        CannotRun: it cannot be built.
    """
    options = {
        "provider": "oidc",
        "oidc-issuer-url": f"{provider.authority}/v2.0",
        "provider-ca-file": shutil.copy(provider.ca_file, folder / "ca.pem"),
        "client-id": provider.client_id,
        "client-secret": provider.client_secret,
        "scope": "openid profile email offline_access",
        "code-challenge-method": "S256",
        "oidc-email-claim": "preferred_username",
        "cookie-secret": "a-secret-of-this-benchmark-only!",
        "cookie-secure": "false",
        "email-domain": "*",
        "http-address": f"127.0.0.1:{port}",
        "redirect-url": f"http://localhost:{port}/oauth2/callback",
        "upstream": upstream,
        "set-xauthrequest": "true",
        "skip-provider-button": "true",
        "request-logging": "false",
        "auth-logging": "false",
        "standard-logging": "false",
    }
    command: list[str | Path] = [go_program(f"{MODULE}@{VERSION}", "oauth2-proxy")]
    command += [f"--{name}={value}" for name, value in options.items()]
    return start(command, environment={"GOMAXPROCS": "1"}, folder=folder, name="oauth2-proxy")
