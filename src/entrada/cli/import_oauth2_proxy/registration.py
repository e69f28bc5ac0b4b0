"""Whom Entra is asked about and as whom: provider, tenants, client, and the addresses of the registration."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from entrada.cli.import_oauth2_proxy.draft import Draft, read_as
from entrada.cli.import_oauth2_proxy.options import Said
from entrada.cli.import_oauth2_proxy.remarks import Verdict
from entrada.cli.import_oauth2_proxy.typed import refuse
from entrada.entra.authority import PERSONAL_ACCOUNTS, TenantId, parse_guid
from entrada.entra.clouds import PUBLIC, cloud_of_login_host
from entrada.errors import ConfigurationError
from entrada.gateway.hops import parse_trusted_hops
from entrada.settings import LOOPBACK_HOSTS
from entrada.settings.values import read_client_id, read_origin, read_paths, read_tenant, read_tenant_id

SEVERAL_TENANTS = ("common", "organizations")
_PROVIDERS = ("entra-id", "azure", "oidc")
_ISSUER = re.compile(r"https://(?P<host>[A-Za-z0-9.-]+)/(?P<tenant>[A-Za-z0-9.-]+)(?:/v2\.0)?/?")
_ADDRESS = re.compile(r"(?:https?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\[\]]*):(?P<port>[0-9]{1,5})")


def provider(draft: Draft) -> None:
    said = draft.take("provider")
    if said is None:
        raise ConfigurationError(
            "No provider is named, and without one oauth2-proxy signs in with Google.",
            hint='Write provider = "entra-id", and the oidc_issuer_url of your tenant.',
        )
    if said.text not in _PROVIDERS:
        refuse(
            said.place,
            f"is {said.text!r}, and Entrada signs in with Microsoft Entra ID alone.",
            f"It is one of {', '.join(_PROVIDERS)} for a tenant of Microsoft's.",
        )
    draft.remark(
        Verdict.DIFFERENT,
        said,
        "Microsoft Entra ID it is. Guests of the tenant are refused unless guests says allow.",
    )


def tenant(draft: Draft) -> None:
    issuer, azure = draft.take("oidc_issuer_url"), draft.take("azure_tenant")
    allowed = draft.take("entra_id_allowed_tenants")
    named = issuer or azure
    if named is None:
        raise ConfigurationError(
            "No tenant is named: everybody with a Microsoft account could sign in.",
            hint="Write oidc_issuer_url = https://login.microsoftonline.com/TENANT/v2.0.",
        )
    tenant_id = _tenant_of_issuer(draft, issuer) if issuer is not None else named.text.lower()
    if azure is not None and azure.text.lower() not in (tenant_id, *SEVERAL_TENANTS):
        refuse(azure.place, "and oidc_issuer_url name different tenants.", "Keep the one you mean.")
    if tenant_id in SEVERAL_TENANTS:
        _several_tenants(draft, named, allowed)
    else:
        draft.settings["tenant_id"] = str(read_as(named, read_tenant, tenant_id))
        draft.tenants = [tenant_id]
        if allowed is not None and tenant_id not in [item.lower() for item in allowed.items]:
            refuse(
                allowed.place,
                "does not hold the tenant itself.",
                "Nobody could sign in: keep the one you mean.",
            )
        if allowed is not None:
            draft.remark(Verdict.NEEDLESS, allowed, "One tenant is configured, and no other comes in.")
    for said in (issuer, azure):
        if said is not None:
            draft.remark(Verdict.SAME, said, "tenant_id")


def _tenant_of_issuer(draft: Draft, said: Said) -> str:
    match = _ISSUER.fullmatch(said.text)
    try:
        cloud = cloud_of_login_host(match["host"].lower()) if match is not None else None
    except ConfigurationError as error:
        refuse(said.place, "names a cloud that is closed.", error.hint)
    if match is None or cloud is None:
        refuse(
            said.place,
            "is no address of Microsoft Entra ID.",
            "It is https://login.microsoftonline.com/TENANT/v2.0, or the same at a national cloud.",
        )
    if cloud is not PUBLIC:
        draft.settings["authority_host"] = f"https://{cloud.login_host}"
    return match["tenant"].lower()


def _several_tenants(draft: Draft, named: Said, allowed: Said | None) -> None:
    ids = [] if allowed is None else [str(read_as(allowed, read_tenant_id, item)) for item in allowed.items]
    tenants = [TenantId(item) for item in ids if item != PERSONAL_ACCOUNTS]
    if not tenants:
        refuse(
            allowed.place if allowed is not None else named.place,
            "would let in every organisation there is.",
            "Name the tenants in entra_id_allowed_tenants, or one tenant in oidc_issuer_url.",
        )
    draft.settings |= {"tenant_id": "organizations", "allowed_tenants": tenants}
    draft.tenants = tenants
    if allowed is not None:
        without = "" if len(tenants) == len(ids) else " Personal accounts of Microsoft's do not come in."
        draft.remark(Verdict.DIFFERENT if without else Verdict.SAME, allowed, f"allowed_tenants.{without}")


def _client_id(text: object) -> object:
    """At Entra it is a GUID; only a broker lists other names."""
    read = read_client_id(text)
    if parse_guid(str(read)) is None:
        raise ValueError("this is not a GUID; copy the Application (client) ID")
    return read


def client(draft: Draft) -> None:
    said = draft.take("client_id")
    if said is None:
        raise ConfigurationError(
            "No client_id is set.",
            hint="It is the Application (client) ID; give the file that holds it as well.",
        )
    draft.settings["client_id"] = str(read_as(said, _client_id))
    draft.remark(Verdict.SAME, said, "client_id")
    secret, file = draft.take("client_secret"), draft.take("client_secret_file")
    federated = draft.take("entra_id_federated_token_auth")
    if secret is not None and "," in secret.text:
        refuse(
            secret.place, "holds a comma, which no secret of Entra's does.", "Copy the secret's Value again."
        )
    if secret is not None:
        draft.client_secret = secret.text
        draft.remark(Verdict.SAME, secret, "In a file of its own that only you may read.")
    if file is not None and secret is None:
        draft.settings["client_secret_file"] = file.text
        draft.remark(Verdict.SAME, file, "client_secret_file")
    elif file is not None:
        draft.remark(Verdict.NEEDLESS, file, "client_secret beats it.")
    if federated is not None:
        draft.remark(
            Verdict.SAME, federated, "AZURE_FEDERATED_TOKEN_FILE, which the workload's webhook sets, is read."
        )
    if secret is None and file is None and (federated is None or not federated.is_on):
        raise ConfigurationError(
            "No client_secret is set.",
            hint="Give the file that holds it as well, for example the one with OAUTH2_PROXY_….",
        )


def addresses(draft: Draft) -> None:
    said, prefix = draft.take("redirect_url"), draft.take("proxy_prefix")
    own_prefix = "/" + ("oauth2" if prefix is None else prefix.text.strip("/"))
    path = f"{own_prefix}/callback"
    if said is not None:
        try:
            parts = urlsplit(said.text)
        except ValueError:
            refuse(said.place, "is no URL.", "Write https://host/oauth2/callback.")
        path = parts.path or path
        if parts.netloc and draft.public_url is None:
            draft.public_url = str(read_as(said, read_origin, f"{parts.scheme}://{parts.netloc}"))
        read_as(said, read_paths, path)
    if draft.public_url is None:
        raise ConfigurationError(
            "No redirect_url says what address people use, and Entrada believes no Host header about it.",
            hint="Name it: entrada import oauth2-proxy --public-url https://tool.contoso.com FILE.",
        )
    if draft.public_url.startswith("http:") and urlsplit(draft.public_url).hostname not in LOOPBACK_HOSTS:
        raise ConfigurationError(
            f"People would use {draft.public_url}, which is plain http.",
            hint="Entra sends nobody there, and session cookies need https: write the https address.",
        )
    draft.settings |= {"public_url": draft.public_url, "callback_paths": [path], "habits": ["oauth2-proxy"]}
    if said is not None:
        draft.remark(
            Verdict.SAME,
            said,
            "public_url and callback_paths: the registration's redirect URI stays as it is.",
        )
    if prefix is not None and own_prefix == "/oauth2":
        draft.remark(Verdict.SAME, prefix, "habits: the addresses below /oauth2 are there.")
    elif prefix is not None:
        draft.remark(
            Verdict.DIFFERENT,
            prefix,
            "habits: they are below /oauth2 and nowhere else; change the links to them.",
        )


def listening(draft: Draft) -> None:
    said, metrics = draft.take("http_address"), draft.take("metrics_address")
    if metrics is not None:
        host, port = _host_and_port(metrics) or refuse(
            metrics.place, "is no address.", "Write host:port, such as 127.0.0.1:9100."
        )
        draft.settings["metrics_address"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        draft.remark(Verdict.SAME, metrics, "metrics_address")
    if said is None:
        return
    found = _host_and_port(said)
    if found is None:
        draft.remark(Verdict.NONE, said, "`entrada serve` listens on --host and --port.")
        return
    draft.host, draft.port = found
    draft.remark(Verdict.SAME, said, "`entrada serve` takes it as --host and --port.")


def _host_and_port(said: Said) -> tuple[str, int] | None:
    match = _ADDRESS.fullmatch(said.text)
    if match is None:
        return None
    port = int(match["port"])
    if port > 65535:
        refuse(said.place, "names no port.", "A port is below 65536.")
    return match["host"].strip("[]") or "0.0.0.0", port  # noqa: S104  # theirs


def hops(draft: Draft) -> None:
    behind, listed = draft.take("reverse_proxy"), draft.take("trusted_proxy_ips")
    address = draft.take("real_client_ip_header")
    if address is not None and address.text.lower() == "x-forwarded-for":
        draft.remark(Verdict.SAME, address, "X-Forwarded-For of the hops in trusted_proxies.")
    elif address is not None:
        draft.remark(Verdict.NONE, address, "Only X-Forwarded-For of the hops in trusted_proxies is read.")
    if behind is None or not behind.is_on:
        for said in (behind, listed):
            if said is not None:
                draft.remark(Verdict.NEEDLESS, said, "No proxy is believed: trusted_proxies is empty.")
        return
    found = []
    for text in [] if listed is None else listed.items:
        try:
            parse_trusted_hops([text])
        except ValueError as error:
            assert listed is not None
            draft.remark(Verdict.DANGEROUS, listed, f"{text!r} was left out of trusted_proxies: {error}.")
            continue
        found.append(text)
    if listed is not None and found:
        draft.remark(Verdict.SAME, listed, "trusted_proxies")
    elif listed is None and draft.host in LOOPBACK_HOSTS:
        found = ["127.0.0.1", "::1"]
    draft.settings["trusted_proxies"] = found
    if found:
        draft.remark(
            Verdict.DIFFERENT,
            behind,
            f"oauth2-proxy may believe everybody's X-Forwarded-*; here "
            f"{', '.join(found)} alone (trusted_proxies).",
        )
    else:
        draft.remark(
            Verdict.DANGEROUS,
            behind,
            "oauth2-proxy believes everybody's X-Forwarded-*. Name your proxy's address in trusted_proxies: "
            "until then nobody is believed, and a proxy that asks is refused.",
        )
