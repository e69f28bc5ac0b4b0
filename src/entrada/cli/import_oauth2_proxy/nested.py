"""The nested form of oauth2-proxy's configuration, in YAML, as the flat options that it stands for.

`alpha_config` has providers, upstreams and the fields that are added; the later form has the rest as well.

Source: oauth2-proxy, "Alpha Configuration" and "YAML Configuration".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from entrada.cli.import_oauth2_proxy.options import (
    OPTIONS,
    Configuration,
    Header,
    Kind,
    Place,
    Said,
    Upstream,
)
from entrada.cli.import_oauth2_proxy.typed import plain, typed
from entrada.settings.tables import wrong

_MOST_NODES = 10_000
_PROVIDER = "providers[]"
_FLAT = {
    f"{_PROVIDER}.provider": "provider",
    f"{_PROVIDER}.clientID": "client_id",
    f"{_PROVIDER}.clientSecret": "client_secret",
    f"{_PROVIDER}.clientSecretFile": "client_secret_file",
    f"{_PROVIDER}.name": "provider_display_name",
    f"{_PROVIDER}.scope": "scope",
    f"{_PROVIDER}.allowedGroups": "allowed_groups",
    f"{_PROVIDER}.allowedRoles": "allowed_roles",
    f"{_PROVIDER}.caFiles": "provider_ca_files",
    f"{_PROVIDER}.useSystemTrustStore": "use_system_trust_store",
    f"{_PROVIDER}.loginURL": "login_url",
    f"{_PROVIDER}.redeemURL": "redeem_url",
    f"{_PROVIDER}.profileURL": "profile_url",
    f"{_PROVIDER}.skipClaimsFromProfileURL": "skip_claims_from_profile_url",
    f"{_PROVIDER}.validateURL": "validate_url",
    f"{_PROVIDER}.resource": "resource",
    f"{_PROVIDER}.code_challenge_method": "code_challenge_method",
    f"{_PROVIDER}.backendLogoutURL": "backend_logout_url",
    f"{_PROVIDER}.oidcConfig.issuerURL": "oidc_issuer_url",
    f"{_PROVIDER}.oidcConfig.groupsClaim": "oidc_groups_claim",
    f"{_PROVIDER}.oidcConfig.rolesClaim": "oidc_roles_claim",
    f"{_PROVIDER}.oidcConfig.emailClaim": "oidc_email_claim",
    f"{_PROVIDER}.oidcConfig.userIDClaim": "user_id_claim",
    f"{_PROVIDER}.oidcConfig.audienceClaims": "oidc_audience_claims",
    f"{_PROVIDER}.oidcConfig.extraAudiences": "oidc_extra_audiences",
    f"{_PROVIDER}.oidcConfig.jwksURL": "oidc_jwks_url",
    f"{_PROVIDER}.oidcConfig.publicKeys": "oidc_public_key_files",
    f"{_PROVIDER}.oidcConfig.skipDiscovery": "skip_oidc_discovery",
    f"{_PROVIDER}.oidcConfig.insecureSkipNonce": "insecure_oidc_skip_nonce",
    f"{_PROVIDER}.oidcConfig.insecureSkipIssuerVerification": "insecure_oidc_skip_issuer_verification",
    f"{_PROVIDER}.oidcConfig.insecureAllowUnverifiedEmail": "insecure_oidc_allow_unverified_email",
    f"{_PROVIDER}.azureConfig.tenant": "azure_tenant",
    f"{_PROVIDER}.azureConfig.graphGroupField": "azure_graph_group_field",
    f"{_PROVIDER}.microsoftEntraIDConfig.allowedTenants": "entra_id_allowed_tenants",
    f"{_PROVIDER}.microsoftEntraIDConfig.federatedTokenAuth": "entra_id_federated_token_auth",
    f"{_PROVIDER}.microsoftEntraIDConfig.redeemScope": "entra_id_redeem_scope",
    "server.BindAddress": "http_address",
    "server.SecureBindAddress": "https_address",
    "server.TLS.Cert.fromFile": "tls_cert_file",
    "server.TLS.Key.fromFile": "tls_key_file",
    "server.TLS.MinVersion": "tls_min_version",
    "server.TLS.CipherSuites": "tls_cipher_suites",
    "metricsServer.BindAddress": "metrics_address",
    "metricsServer.SecureBindAddress": "metrics_secure_address",
    "proxyOptions.redirectUrl": "redirect_url",
    "proxyOptions.relativeRedirectUrl": "relative_redirect_url",
    "proxyOptions.reverseProxy": "reverse_proxy",
    "proxyOptions.trustedProxyIPs": "trusted_proxy_ips",
    "proxyOptions.realClientIPHeader": "real_client_ip_header",
    "proxyOptions.proxyPrefix": "proxy_prefix",
    "proxyOptions.trustedIPs": "trusted_ips",
    "proxyOptions.emailDomains": "email_domains",
    "proxyOptions.whitelistDomains": "whitelist_domains",
    "proxyOptions.authenticatedEmailsFile": "authenticated_emails_file",
    "proxyOptions.htpasswdFile": "htpasswd_file",
    "proxyOptions.htpasswdUserGroups": "htpasswd_user_groups",
    "proxyOptions.skipAuthRegex": "skip_auth_regex",
    "proxyOptions.skipAuthRoutes": "skip_auth_routes",
    "proxyOptions.skipAuthPreflight": "skip_auth_preflight",
    "proxyOptions.skipJwtBearerTokens": "skip_jwt_bearer_tokens",
    "proxyOptions.extraJwtIssuers": "extra_jwt_issuers",
    "proxyOptions.apiRoutes": "api_routes",
    "proxyOptions.skipProviderButton": "skip_provider_button",
    "proxyOptions.forceHttps": "force_https",
    "proxyOptions.sslInsecureSkipVerify": "ssl_insecure_skip_verify",
    "proxyOptions.allowQuerySemicolons": "allow_query_semicolons",
    "probeOptions.pingPath": "ping_path",
    "probeOptions.pingUserAgent": "ping_user_agent",
    "probeOptions.readyPath": "ready_path",
    "cookie.name": "cookie_name",
    "cookie.secret": "cookie_secret",
    "cookie.domains": "cookie_domains",
    "cookie.path": "cookie_path",
    "cookie.expire": "cookie_expire",
    "cookie.refresh": "cookie_refresh",
    "cookie.secure": "cookie_secure",
    "cookie.httpOnly": "cookie_httponly",
    "cookie.sameSite": "cookie_samesite",
    "cookie.csrfPerRequest": "cookie_csrf_per_request",
    "cookie.csrfExpire": "cookie_csrf_expire",
    "session.type": "session_store_type",
    "session.cookie.minimal": "session_cookie_minimal",
    "session.redis.connectionURL": "redis_connection_url",
    "session.redis.password": "redis_password",
    "session.redis.useSentinel": "redis_use_sentinel",
    "session.redis.sentinelPassword": "redis_sentinel_password",
    "session.redis.sentinelMasterName": "redis_sentinel_master_name",
    "session.redis.sentinelConnectionURLs": "redis_sentinel_connection_urls",
    "session.redis.useCluster": "redis_use_cluster",
    "session.redis.clusterConnectionURLs": "redis_cluster_connection_urls",
    "session.redis.caPath": "redis_ca_path",
    "session.redis.insecureSkipTLSVerify": "redis_insecure_skip_tls_verify",
    "session.redis.idleTimeout": "redis_connection_idle_timeout",
    "pageTemplates.path": "custom_templates_dir",
    "pageTemplates.customLogo": "custom_sign_in_logo",
    "pageTemplates.banner": "banner",
    "pageTemplates.footer": "footer",
    "pageTemplates.displayLoginForm": "display_htpasswd_form",
    "pageTemplates.debug": "show_debug_on_error",
    "forceJsonErrors": "force_json_errors",
}
"""The flat option of each nested one; `[]` is an entry of a list."""

_NOTHING = (f"{_PROVIDER}.id", "logging")
"""What changes nothing that anybody sees here."""

_NOT_NESTED = "Delete it. Flags and variables of a container or chart go into files of their own."
_UPSTREAMS = ("upstreamConfig", "upstreams")
_HEADERS = {"injectRequestHeaders": True, "injectResponseHeaders": False}
_UNLIKE: Mapping[str, tuple[str, str | None]] = {
    "rewriteTarget": ("its path is rewritten", None),
    "insecureSkipTLSVerify": ("its certificate is not checked", "true"),
    "passHostHeader": ("it gets its own name as Host", "false"),
    "proxyWebSockets": ("it gets no WebSockets", "false"),
}
"""What of an upstream has no counterpart, and with which value."""


@dataclass(frozen=True, kw_only=True)
class _Leaf:
    """A value with its path, such as `providers[].clientID`, and the entry of the list that it is in."""

    path: str
    entry: int
    text: str
    line: int
    """Of the name, where it stands."""


def read_nested(file: str, text: str) -> Configuration:
    """
    Raises:
        ConfigurationError: this is no YAML, or no configuration of oauth2-proxy; with the line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise wrong(
            file,
            None if mark is None else mark.line + 1,
            f"This is not YAML ({getattr(error, 'problem', None) or 'it cannot be read'}).",
            "Mend the line; oauth2-proxy could not read it either.",
        ) from None
    if not isinstance(root, yaml.MappingNode):
        raise wrong(file, 1, "This is no configuration of oauth2-proxy.", "It begins with providers: or so.")
    leaves = list(_Walk(file).leaves(root))
    _check_providers(file, leaves)
    return Configuration(
        said=list(_said(file, leaves)),
        upstreams=list(_upstreams(file, leaves)),
        headers=list(_headers(file, leaves)),
    )


class _Walk:
    """All values of a document, each with where it stands."""

    def __init__(self, file: str) -> None:
        self._file, self._seen = file, 0

    def leaves(
        self, node: yaml.Node, path: str = "", entry: int = -1, line: int | None = None
    ) -> Iterator[_Leaf]:
        self._seen += 1
        line = line or node.start_mark.line + 1
        if self._seen > _MOST_NODES:
            raise wrong(self._file, line, "This file holds too much.", "Write it without aliases (*name).")
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in names:
                    raise wrong(
                        self._file,
                        key.start_mark.line + 1,
                        f"{name} stands there twice.",
                        "Keep one of them.",
                    )
                names.add(name)
                line = key.start_mark.line + 1
                yield from self.leaves(value, f"{path}.{name}" if path else name, entry, line)
        elif isinstance(node, yaml.SequenceNode):
            nested = any(isinstance(child, yaml.MappingNode) for child in node.value)
            for index, child in enumerate(node.value):
                yield from self.leaves(child, f"{path}[]", index if nested and entry < 0 else entry, line)
        elif node.tag != "tag:yaml.org,2002:null" and node.value != "":
            place = Place(file=self._file, line=line, written=path.rpartition(".")[2])
            plain(place, node.value)
            yield _Leaf(path=path, entry=entry, text=node.value, line=line)


def _check_providers(file: str, leaves: list[_Leaf]) -> None:
    second = next((leaf for leaf in leaves if leaf.path.startswith(f"{_PROVIDER}.") and leaf.entry > 0), None)
    if second is not None:
        raise wrong(
            file, second.line, "There is more than one provider.", "Keep the first, which oauth2-proxy uses."
        )


def _said(file: str, leaves: list[_Leaf]) -> Iterator[Said]:
    lists: dict[str, list[_Leaf]] = {}
    for leaf in leaves:
        top = leaf.path.partition(".")[0].partition("[")[0]
        if top in (*_UPSTREAMS, *_HEADERS) or leaf.path.startswith(_NOTHING):
            continue
        name = leaf.path.removesuffix("[]")
        option = _FLAT.get(name)
        place = Place(file=file, line=leaf.line, written=name.rpartition(".")[2])
        if option is None:
            if _of_another_provider(name):
                yield Said(option=name, place=place, value="")
                continue
            close = difflib.get_close_matches(name, _FLAT, 1, 0.7)
            fix = f"Did you mean {close[0].rpartition('.')[2]}?" if close else _NOT_NESTED
            raise wrong(file, leaf.line, f"{name} is nothing that oauth2-proxy is known to have.", fix)
        if OPTIONS[option] is Kind.LIST:
            lists.setdefault(option, []).append(leaf)
        else:
            yield Said(option=option, place=place, value=typed(place, option, leaf.text))
    for option, items in lists.items():
        place = Place(file=file, line=items[0].line, written=items[0].path.rpartition(".")[2].rstrip("[]"))
        yield Said(option=option, place=place, value=[item.text for item in items])


def _of_another_provider(name: str) -> bool:
    return name.startswith(f"{_PROVIDER}.") and (
        "Config." in name or name.startswith(f"{_PROVIDER}.loginURLParameters")
    )


def _upstreams(file: str, leaves: list[_Leaf]) -> Iterator[Upstream]:
    found: dict[int, dict[str, _Leaf]] = {}
    for leaf in leaves:
        if leaf.path.startswith("upstreamConfig.upstreams[].") or leaf.path.startswith("upstreams[]."):
            found.setdefault(leaf.entry, {})[leaf.path.rpartition("[].")[2]] = leaf
    for values in found.values():
        first = values.get("path") or min(values.values(), key=lambda leaf: leaf.line)
        unlike = [
            said
            for name, (said, value) in _UNLIKE.items()
            if name in values and value in (None, values[name].text.lower())
        ]
        is_static = "static" in values and values["static"].text.lower() == "true"
        code = values["staticCode"].text if "staticCode" in values else "200"
        uri = f"static://{code}" if is_static else values["uri"].text if "uri" in values else ""
        path = values["path"].text if "path" in values else "/"
        yield Upstream(
            place=Place(file=file, line=first.line, written=f"upstream {path}"),
            uri=uri,
            path=path,
            unlike=unlike,
        )


def _headers(file: str, leaves: list[_Leaf]) -> Iterator[Header]:
    for top, to_upstream in _HEADERS.items():
        entries: dict[int, dict[str, _Leaf]] = {}
        for leaf in leaves:
            if leaf.path.startswith(f"{top}[]."):
                entries.setdefault(leaf.entry, {})[leaf.path.removeprefix(f"{top}[].")] = leaf
        for values in entries.values():
            if "name" not in values:
                continue
            keeps = "preserveRequestValue" in values and values["preserveRequestValue"].text.lower() == "true"
            yield Header(
                place=Place(file=file, line=values["name"].line, written=values["name"].text),
                name=values["name"].text,
                to_upstream=to_upstream,
                keeps_the_client_s=keeps,
            )
