"""Clients nobody here wrote: MSAL Node, openid-client, azure-identity, each unmodified."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.test_msal import _certificate
from entrada.emulator import start
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID
from house.tools import command_path, could_not_run

NODE = """
import * as msal from '@azure/msal-node';
import * as oidc from 'openid-client';
const env = process.env, base = env.ENTRADA_AUTHORITY_HOST, tenant = env.ENTRADA_TENANT_ID;
const clientId = env.ENTRADA_CLIENT_ID, clientSecret = env.ENTRADA_CLIENT_SECRET;
const redirectUri = 'http://localhost:5000/auth/entra/callback';
const signIn = async (url, who) => {
  const approved = `${url}&_emulator_as=${encodeURIComponent(who)}&_emulator_approve=1`;
  const answer = await fetch(approved, {redirect: 'manual'});
  return new URL(answer.headers.get('location'));
};

const authority = `${base}/${tenant}`, knownAuthorities = [new URL(base).host];
const auth = {clientId, clientSecret, authority, knownAuthorities};
const app = new msal.ConfidentialClientApplication({auth});
const {verifier, challenge} = await new msal.CryptoProvider().generatePkceCodes();
const pkce = {codeChallenge: challenge, codeChallengeMethod: 'S256'};
const url = await app.getAuthCodeUrl({scopes: ['User.Read'], redirectUri, state: 'x', ...pkce});
const code = (await signIn(url, 'ada@contoso.test')).searchParams.get('code');
const redemption = {code, scopes: ['User.Read'], redirectUri, codeVerifier: verifier};
const answer = await app.acquireTokenByCode(redemption);
console.log('msal-node', answer.account.username);
const silent = await app.acquireTokenSilent(
  {account: answer.account, scopes: ['User.Read'], forceRefresh: true});
console.log('msal-node refreshed', silent.account.username);
const own = await app.acquireTokenByClientCredential({scopes: [`api://${clientId}/.default`]});
console.log('msal-node application', Boolean(own.accessToken));

const config = await oidc.discovery(new URL(`${base}/${tenant}/v2.0`), clientId, clientSecret);
const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
const expectedNonce = oidc.randomNonce(), expectedState = oidc.randomState();
const asked = oidc.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri, scope: 'openid profile offline_access',
  nonce: expectedNonce, state: expectedState, code_challenge_method: 'S256',
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier)});
const back = await signIn(asked.href, 'gus@fabrikam.test');
const tokens = await oidc.authorizationCodeGrant(
  config, back, {pkceCodeVerifier, expectedNonce, expectedState});
console.log('openid-client', tokens.claims().name);
const again = await oidc.refreshTokenGrant(config, tokens.refresh_token);
console.log('openid-client refreshed', again.claims().oid === tokens.claims().oid);
const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, oidc.skipSubjectCheck);
console.log('openid-client userinfo', userinfo.name);
"""

AZURE = """
import os, sys
from azure.identity import CertificateCredential, ClientSecretCredential, WorkloadIdentityCredential

certificate, token_file = sys.argv[1:]
tenant, client = os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"]
scope, here = "https://graph.microsoft.com/.default", {"disable_instance_discovery": True}
secret = ClientSecretCredential(tenant, client, os.environ["AZURE_CLIENT_SECRET"], **here)
print("secret", bool(secret.get_token(scope).token))
for chain in (False, True):
    credential = CertificateCredential(tenant, client, certificate, send_certificate_chain=chain, **here)
    print("certificate", bool(credential.get_token(scope).token))
workload = WorkloadIdentityCredential(tenant_id=tenant, client_id=client, token_file_path=token_file, **here)
print("workload", bool(workload.get_token(scope).token))
try:
    ClientSecretCredential(tenant, client, "wrong", **here).get_token(scope)
except Exception as error:
    print("wrong", "AADSTS7000215" in str(error))
"""

INSTALL_SECONDS = 300


def _install(arguments: list[str], directory: Path) -> None:
    done = subprocess.run(
        arguments, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode:
        could_not_run(f"{arguments[0]} could not install: {done.stderr[-300:]}")


def _run(arguments: list[str], directory: Path, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        arguments, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.heavy
def test_msal_node_and_openid_client(tmp_path: Path, node_path: str) -> None:
    """Code flow, refresh, userinfo and client credentials, with every check those clients make."""
    npm = command_path("npm")
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}', "utf-8")
    _install(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "@azure/msal-node", "openid-client"], tmp_path
    )
    (tmp_path / "clients.mjs").write_text(NODE, "utf-8")
    with start(browser_over_https=True) as emulator:
        environment = {**emulator.env("entrada"), "NODE_EXTRA_CA_CERTS": str(emulator.ca_file)}
        lines = _run([node_path, "clients.mjs"], tmp_path, environment)
    assert lines == [
        "msal-node ada@contoso.test",
        "msal-node refreshed ada@contoso.test",
        "msal-node application true",
        "openid-client Gus Guest",
        "openid-client refreshed true",
        "openid-client userinfo Gus Guest",
    ]


@pytest.mark.heavy
def test_azure_identity(tmp_path: Path) -> None:
    """Secret, certificate with and without chain, workload identity, and the error for a wrong secret."""
    site = tmp_path / "site"
    _install(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(site), "azure-identity"], tmp_path
    )
    (tmp_path / "azure_client.py").write_text(AZURE, "utf-8")
    key, public, _ = _certificate()
    (tmp_path / "client.pem").write_text(key + public, "utf-8")
    with start() as emulator:
        workload = emulator.add_app(
            "Workload", identifier_uris=["api://AzureADTokenExchange"], secrets=[{"value": "w"}],
            access_token_version=1,
        )  # fmt: skip
        (tmp_path / "token").write_text(
            _token_of(emulator.https_url, str(emulator.ca_file), workload.client_id)
        )
        trusted = {
            "issuer": f"{emulator.https_url}/{CONTOSO_ID}/",
            "subject": workload.service_principal_id,
        }
        emulator.change_app(CLIENT_ID, certificates=[{"pem": public}], federated_credentials=[trusted])
        environment = {**emulator.env("azure"), "PYTHONPATH": str(site)}
        lines = _run([sys.executable, "azure_client.py", "client.pem", "token"], tmp_path, environment)
    assert lines == ["secret True", "certificate True", "certificate True", "workload True", "wrong True"]


def _token_of(https_url: str, ca_file: str, client_id: str) -> str:
    """A token that another application of the same tenant got for itself."""
    import ssl

    import httpx

    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "w",
            "scope": "api://AzureADTokenExchange/.default"}  # fmt: skip
    trust = ssl.create_default_context(cafile=ca_file)
    url = f"{https_url}/{CONTOSO_ID}/oauth2/v2.0/token"
    token: str = httpx.post(url, data=form, verify=trust, trust_env=False).json()["access_token"]
    return token
