"""What is said about options of oauth2-proxy that become no setting of ours, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entrada.cli.import_oauth2_proxy.options import Place
from entrada.compatibility import StrEnum


class Verdict(StrEnum):
    """What became of one option."""

    SAME = "same"
    """It means the same here."""
    DIFFERENT = "different"
    """It was taken over, and means something slightly else."""
    NEEDLESS = "needless"
    """Entrada does it anyway, or needs nothing of the kind."""
    NONE = "none"
    """There is no counterpart."""
    DANGEROUS = "dangerous"
    """It opens, or opened, a door: read this."""


@dataclass(frozen=True, kw_only=True)
class Remark:
    verdict: Verdict
    place: Place
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is said of an option wherever it stands. `unless`: with that value it is as Entrada does it."""

    verdict: Verdict
    sentence: str
    unless: str | bool | None = None


def _needless(sentence: str) -> Standing:
    return Standing(verdict=Verdict.NEEDLESS, sentence=sentence)


def _none(sentence: str, *, unless: str | bool | None = None) -> Standing:
    return Standing(verdict=Verdict.NONE, sentence=sentence, unless=unless)


def _dangerous(sentence: str, *, unless: str | bool | None = None) -> Standing:
    return Standing(verdict=Verdict.DANGEROUS, sentence=sentence, unless=unless)


_ENDPOINTS = _needless("Entra's own metadata says where its addresses and keys are.")
_OF_ANOTHER_PROVIDER = _none("It belongs to another identity provider.")
_LOGGING = _needless(
    "Logging is $[log_level], and $[access_log] for requests; no log holds a token, a code or a query of a "
    "sign-in."
)
_REDIS = _needless(
    "Sessions are kept in SQLite; several servers share them by a $[database_url] of PostgreSQL."
)
_TLS = _none("Entrada speaks plain HTTP: leave https to the proxy in front of it.")
_PAGES = _none("The pages are Entrada's own; $[application_name] and $[sign_in_label] are yours to choose.")
_TOKENS = _dangerous(
    "No token of Microsoft's is handed on. An application that needs to be sure who asks verifies "
    "X-Entrada-Assertion (audience in its route).",
    unless=False,
)
_PASSWORDS = _dangerous(
    "Passwords beside Entra are a second door, and there is none here: whoever came in by it cannot."
)

STANDING: Mapping[str, Standing] = {
    **dict.fromkeys(
        (
            "login_url",
            "redeem_url",
            "profile_url",
            "validate_url",
            "oidc_jwks_url",
            "skip_oidc_discovery",
            "oidc_public_key_files",
            "skip_claims_from_profile_url",
        ),
        _ENDPOINTS,
    ),
    **dict.fromkeys(
        (
            "auth_logging",
            "auth_logging_format",
            "errors_to_info_log",
            "exclude_logging_paths",
            "logging_compress",
            "logging_filename",
            "logging_local_time",
            "logging_max_age",
            "logging_max_backups",
            "logging_max_size",
            "request_id_header",
            "request_logging",
            "request_logging_format",
            "silence_ping_logging",
            "standard_logging",
            "standard_logging_format",
        ),
        _LOGGING,
    ),
    **dict.fromkeys(
        (
            "http_store_api_key",
            "http_store_base_url",
            "redis_ca_path",
            "redis_cluster_connection_urls",
            "redis_connection_idle_timeout",
            "redis_connection_url",
            "redis_insecure_skip_tls_verify",
            "redis_password",
            "redis_sentinel_connection_urls",
            "redis_sentinel_master_name",
            "redis_sentinel_password",
            "redis_use_cluster",
            "redis_use_sentinel",
            "redis_username",
            "session_cookie_minimal",
            "session_store_type",
        ),
        _REDIS,
    ),
    **dict.fromkeys(
        (
            "https_address",
            "tls_cert_file",
            "tls_key_file",
            "tls_min_version",
            "tls_cipher_suites",
            "force_https",
        ),
        _TLS,
    ),
    **dict.fromkeys(("banner", "custom_sign_in_logo", "custom_templates_dir", "footer"), _PAGES),
    **dict.fromkeys(("pass_access_token", "pass_authorization_header", "set_authorization_header"), _TOKENS),
    **dict.fromkeys(("htpasswd_file", "htpasswd_user_groups"), _PASSWORDS),
    **dict.fromkeys(
        (
            "bitbucket_repository",
            "bitbucket_team",
            "bitbucket_workspaces",
            "github_org",
            "github_repo",
            "github_team",
            "github_token",
            "github_users",
            "gitlab_groups",
            "gitlab_projects",
            "google_admin_email",
            "google_groups",
            "google_service_account_json",
            "google_target_principal",
            "google_use_application_default_credentials",
            "jwt_key",
            "jwt_key_file",
            "keycloak_groups",
            "pubjwk_url",
        ),
        _OF_ANOTHER_PROVIDER,
    ),
    "acr_values": _dangerous(
        "Entra is not asked for it, so it is not enforced by it: require multi-factor authentication by "
        "Conditional Access."
    ),
    "allow_query_semicolons": _needless("A query reaches the application as it was sent."),
    "api_routes": _needless(
        "Scripts are told from pages everywhere: they get 401 and JSON, pages the sign-in."
    ),
    "approval_prompt": _needless("It is Google's word; Entra asks for consent by itself."),
    "backend_logout_url": _needless("Signing out goes on to Entra by itself."),
    "basic_auth_password": _dangerous(
        "No application is signed in to with a password. It was not copied; "
        "change it if it is used elsewhere."
    ),
    "code_challenge_method": _needless("Every sign-in uses PKCE with S256."),
    "force_code_challenge_method": _needless("Every sign-in uses PKCE with S256."),
    "cookie_csrf_expire": _needless("$[sign_in_life] says how long a sign-in may take, an hour by default."),
    "cookie_csrf_per_request": _needless("Several sign-ins at once are always possible."),
    "cookie_csrf_samesite": _needless("The cookie of a sign-in is SameSite=Lax."),
    "cookie_domains": _none("Each host has sessions of its own: the cookie is __Host- and goes to no other."),
    "cookie_httponly": _needless("The session cookie is always HttpOnly."),
    "cookie_name": _needless("The session cookie is __Host-entrada_session."),
    "cookie_path": _needless("The session cookie is for the whole host."),
    "cookie_refresh": _needless("Entra is asked again about everybody every $[recheck_every] (15 minutes)."),
    "cookie_samesite": _needless("The session cookie is SameSite=Lax."),
    "cookie_secret": _needless(
        "Keys are made beside the database. Nothing of it was copied: everybody signs in once more."
    ),
    "cookie_secret_file": _needless("Keys are made beside the database: everybody signs in once more."),
    "cookie_secure": Standing(
        verdict=Verdict.DANGEROUS,
        sentence="The session cookie is Secure wherever the address is https, whatever this says.",
        unless=True,
    ),
    "display_htpasswd_form": _needless("There is no form for passwords."),
    "encode_state": _needless("What returns from Entra as state is a random value."),
    "entra_id_redeem_scope": _none("Entra is asked for the person alone, for no other API."),
    "extra_jwt_issuers": _dangerous(
        "Tokens of other issuers open nothing here: whoever came in with one cannot any more."
    ),
    "flush_interval": _needless("What an application sends is passed on as it comes."),
    "force_json_errors": _none("Pages are for people, JSON is for scripts.", unless=False),
    "gcp_healthchecks": _dangerous(
        "No user agent passes unasked; let the load balancer ask /healthz or /ping."
    ),
    "insecure_oidc_allow_unverified_email": _dangerous(
        "Nobody is known by an e-mail address here, so nothing hangs on it; it was not taken over.",
        unless=False,
    ),
    "insecure_oidc_skip_issuer_verification": _dangerous(
        "Every token's issuer is checked, with several tenants, too; it was not taken over.", unless=False
    ),
    "insecure_oidc_skip_nonce": _dangerous(
        "The nonce is always checked; it was not taken over.", unless=False
    ),
    "metrics_secure_address": _none("/metrics is plain HTTP, at $[metrics_address]."),
    "metrics_tls_cert_file": _none("/metrics is plain HTTP, at $[metrics_address]."),
    "metrics_tls_key_file": _none("/metrics is plain HTTP, at $[metrics_address]."),
    "oidc_audience_claims": _needless("A token is for this registration, by aud, or it is refused."),
    "oidc_email_claim": _none("Nobody is known by an e-mail address; it is passed on for showing."),
    "oidc_extra_audiences": _dangerous("A token for another audience opens nothing here.", unless=None),
    "oidc_roles_claim": _needless("App roles are read from roles, as Entra sends them."),
    "pass_host_header": _none("The application gets the Host that the visitor asked for.", unless=True),
    "ping_path": _none("It is /ping (and /healthz).", unless="/ping"),
    "ping_user_agent": _dangerous(
        "No user agent passes unasked; let the load balancer ask /ping or /healthz."
    ),
    "prefer_email_to_user": _none("The user is the object id, which never changes hands.", unless=False),
    "prompt": _none("Only a link can ask for it: /oauth2/start?prompt=login."),
    "proxy_websockets": _none("WebSockets pass, from pages of the same host.", unless=True),
    "ready_path": _none("It is /ready (and /readyz).", unless="/ready"),
    "relative_redirect_url": _needless("The redirect URI begins with the address that people use."),
    "resource": _none("Entra is asked for the person alone, for no other API."),
    "scope": _needless("Entra is asked for what a sign-in needs, no more."),
    "set_basic_auth": _dangerous("No application is signed in to with a password.", unless=False),
    "set_xauthrequest": _needless("X-Auth-Request-* is always in the answer to a proxy."),
    "show_debug_on_error": _needless(
        "A page of a refusal says what to do and has a number; the log has the rest."
    ),
    "signature_key": _none(
        "X-Entrada-Assertion says who asks, signed with a key of Entrada's (audience in a route)."
    ),
    "skip_auth_strip_headers": Standing(
        verdict=Verdict.DANGEROUS,
        sentence="Identity that a client wrote itself never reaches an application, on public paths either.",
        unless=True,
    ),
    "skip_jwt_bearer_tokens": _dangerous(
        "ID tokens open nothing here. Access tokens of this registration do once $[bearer_scopes] names its "
        "scopes.",
        unless=False,
    ),
    "skip_provider_button": _none("The sign-in page with its button comes first.", unless=False),
    "ssl_insecure_skip_verify": _dangerous(
        "Microsoft's certificates are always checked; name a private authority in $[ca_bundle].", unless=False
    ),
    "ssl_upstream_insecure_skip_verify": _dangerous(
        "Certificates of https upstreams are always checked.", unless=False
    ),
    "trusted_ips": _dangerous("No address passes unasked: whoever comes from there has to sign in."),
    "upstream_timeout": _none("An application that says nothing for a minute is 504."),
    "use_system_trust_store": _needless("$[ca_bundle] stands beside the system's authorities."),
    "user_id_claim": _none("The user is the object id, which never changes hands."),
    "whitelist_domains": _none("Nobody is led to another host after signing in or out."),
}
"""Every option that `translation` has no step for."""
