"""oauth2-proxy's options, by the name they have in its configuration file.

Source: oauth2-proxy, "Configuration: Overview" and its sources (pkg/apis/options), read up to 7.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from entrada.compatibility import StrEnum


def _names(text: str) -> list[str]:
    return text.split()


_TEXTS = _names("""
acr_values approval_prompt auth_logging_format authenticated_emails_file azure_graph_group_field
azure_tenant backend_logout_url banner basic_auth_password bitbucket_repository bitbucket_team client_id
client_secret client_secret_file code_challenge_method cookie_csrf_expire cookie_csrf_samesite
cookie_expire cookie_name cookie_path cookie_refresh cookie_samesite cookie_secret cookie_secret_file
custom_sign_in_logo custom_templates_dir entra_id_redeem_scope flush_interval footer
force_code_challenge_method github_org github_repo github_team github_token google_admin_email
google_service_account_json google_target_principal htpasswd_file http_address http_store_api_key
http_store_base_url https_address jwt_key jwt_key_file logging_filename logging_max_age
logging_max_backups logging_max_size login_url metrics_address metrics_secure_address
metrics_tls_cert_file metrics_tls_key_file oidc_email_claim oidc_groups_claim oidc_issuer_url
oidc_jwks_url oidc_roles_claim ping_path ping_user_agent profile_url prompt provider provider_display_name
proxy_prefix pubjwk_url ready_path real_client_ip_header redeem_url redirect_url redis_ca_path
redis_connection_idle_timeout redis_connection_url redis_password redis_sentinel_master_name
redis_sentinel_password redis_username request_id_header request_logging_format resource scope
session_store_type signature_key standard_logging_format tls_cert_file tls_key_file tls_min_version
upstream_timeout user_id_claim validate_url
""")

_LISTS = _names("""
allowed_groups allowed_roles api_routes bitbucket_workspaces cookie_domains email_domains
entra_id_allowed_tenants exclude_logging_paths extra_jwt_issuers github_users gitlab_groups
gitlab_projects google_groups htpasswd_user_groups keycloak_groups oidc_audience_claims
oidc_extra_audiences oidc_public_key_files provider_ca_files redis_cluster_connection_urls
redis_sentinel_connection_urls skip_auth_regex skip_auth_routes tls_cipher_suites trusted_ips
trusted_proxy_ips upstreams whitelist_domains
""")

_SWITCHES = _names("""
allow_query_semicolons auth_logging cookie_csrf_per_request cookie_httponly cookie_secure
display_htpasswd_form encode_state entra_id_federated_token_auth errors_to_info_log force_https
force_json_errors gcp_healthchecks google_use_application_default_credentials
insecure_oidc_allow_unverified_email insecure_oidc_skip_issuer_verification insecure_oidc_skip_nonce
logging_compress logging_local_time pass_access_token pass_authorization_header pass_basic_auth
pass_host_header pass_user_headers prefer_email_to_user proxy_websockets redis_insecure_skip_tls_verify
redis_use_cluster redis_use_sentinel relative_redirect_url request_logging reverse_proxy
session_cookie_minimal set_authorization_header set_basic_auth set_xauthrequest show_debug_on_error
silence_ping_logging skip_auth_preflight skip_auth_strip_headers skip_claims_from_profile_url
skip_jwt_bearer_tokens skip_oidc_discovery skip_provider_button ssl_insecure_skip_verify
ssl_upstream_insecure_skip_verify standard_logging use_system_trust_store
""")


class Kind(StrEnum):
    TEXT = "text"
    LIST = "list"
    SWITCH = "switch"


OPTIONS = {
    **dict.fromkeys(_TEXTS, Kind.TEXT),
    **dict.fromkeys(_LISTS, Kind.LIST),
    **dict.fromkeys(_SWITCHES, Kind.SWITCH),
}
OTHER_FILES = ("config", "alpha_config", "legacy_config")
"""Flags that name a further file."""


def option_of_flag(flag: str) -> str | None:
    """The option that a flag sets: hyphens for underscores, and of most lists the singular."""
    name = flag.replace("-", "_")
    if name in OPTIONS or name in OTHER_FILES:
        return name
    return f"{name}s" if OPTIONS.get(f"{name}s") is Kind.LIST else None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something stands. `written` is its name as it is written there."""

    file: str
    line: int | None
    written: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """One option, as it was set. The value may be a secret."""

    option: str
    place: Place
    value: str | bool | Sequence[str] = field(repr=False)

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else ""

    @property
    def items(self) -> Sequence[str]:
        return self.value if not isinstance(self.value, (str, bool)) else ()

    @property
    def is_on(self) -> bool:
        return self.value is True


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """One upstream. `unlike` names what of its nested form we do not have."""

    place: Place
    uri: str
    path: str
    unlike: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Header:
    """A field that the nested form adds to requests (`to_upstream`) or responses."""

    place: Place
    name: str
    to_upstream: bool
    keeps_the_client_s: bool = False


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """All that was said, in the order of the files, later files below earlier ones."""

    said: Sequence[Said] = ()
    upstreams: Sequence[Upstream] = ()
    headers: Sequence[Header] | None = None
    """None: the flat form was used, which has switches for them."""
