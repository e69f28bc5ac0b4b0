"""Metadata is believed only if it is the authority's own: issuer, hosts and TLS as the settings promise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra.tokens import OTHER_TENANT, TENANT
from entrada.entra.authority import Authority, parse_guid, read_metadata
from entrada.errors import DiscoveryRefused
from flows.world import GRAPH, LOGIN, metadata

SINGLE = Authority(login_url=LOGIN, graph_url=GRAPH, tenant=TENANT)
BY_DOMAIN = Authority(login_url=LOGIN, graph_url=GRAPH, tenant="contoso.test")
SEVERAL = Authority(login_url=LOGIN, graph_url=GRAPH, tenant="organizations")
EMULATOR = Authority(login_url="https://localhost:8443", graph_url="https://localhost:8443", tenant=TENANT)
TEMPLATE = f"{LOGIN}/{{tenantid}}/v2.0"


def refused(document: dict[str, Any], authority: Authority = SINGLE) -> DiscoveryRefused:
    with pytest.raises(DiscoveryRefused) as refusal:
        read_metadata(document, authority)
    return refusal.value


def test_the_authoritys_own_metadata_is_read() -> None:
    """Issuer, tenant and endpoints are those of the document."""
    read = read_metadata(metadata(), SINGLE)
    assert read.tenant_id == TENANT
    assert read.issuer_of(TENANT) == f"{LOGIN}/{TENANT}/v2.0"
    assert read.token_endpoint == f"{LOGIN}/{TENANT}/oauth2/v2.0/token"
    assert read.sends_issuer_parameter is False


def test_a_domain_is_answered_with_the_tenants_guid() -> None:
    """Where the tenant was given by its domain, the issuer names the GUID."""
    assert read_metadata(metadata(), BY_DOMAIN).tenant_id == TENANT


def test_several_tenants_have_a_template() -> None:
    """`organizations` is answered with a template, and each tenant has an issuer of its own."""
    read = read_metadata(metadata("organizations", issuer=TEMPLATE), SEVERAL)
    assert read.tenant_id is None
    assert read.issuer_of(OTHER_TENANT) == f"{LOGIN}/{OTHER_TENANT}/v2.0"


@pytest.mark.parametrize(
    ("authority", "issuer"),
    [
        (SINGLE, f"{LOGIN}/{OTHER_TENANT}/v2.0"),
        (SINGLE, f"{LOGIN}/{TENANT}/v2.0/"),
        (SINGLE, f"{LOGIN}/{TENANT}"),
        (SINGLE, f"{LOGIN}/{TENANT.upper()}/v2.0"),
        (SINGLE, f"https://sts.windows.net/{TENANT}/"),
        (SINGLE, f"https://evil.test/{TENANT}/v2.0"),
        (SINGLE, f"http://login.microsoftonline.com/{TENANT}/v2.0"),
        (SINGLE, TEMPLATE),
        (SINGLE, None),
        (SINGLE, ["x"]),
        (BY_DOMAIN, f"{LOGIN}/contoso.test/v2.0"),
        (BY_DOMAIN, f"https://evil.test/{TENANT}/v2.0"),
        (BY_DOMAIN, f"{LOGIN}/x/{TENANT}/v2.0"),
        (SEVERAL, f"{LOGIN}/{TENANT}/v2.0"),
        (SEVERAL, f"{LOGIN}/organizations/v2.0"),
        (SEVERAL, "https://evil.test/{tenantid}/v2.0"),
    ],
)
def test_A32_another_issuer_is_refused_with_both_values(authority: Authority, issuer: object) -> None:
    """An issuer that the settings do not promise is told beside the one they do."""
    refusal = refused(metadata(issuer=issuer), authority)
    assert str(issuer) in refusal.sentence
    assert f"{LOGIN}/" in refusal.sentence.partition("promise")[2]


ENDPOINTS = ["authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"]


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    "url",
    [
        f"http://login.microsoftonline.com/{TENANT}/x",
        "https://evil.test/x",
        "https://login.microsoftonline.com.evil.test/x",
        "https://login.microsoftonline.com:8443/x",
        "https://login.microsoftonline.com@evil.test/x",
        "https://user@login.microsoftonline.com/x",
        "http://localhost:8400/x",
        "//login.microsoftonline.com/x",
        "/x",
        "",
        "javascript:x",
        "https://[x/",
        "https://login.microsoftonline.com:x/",
        "https://lögin.microsoftonline.com/x",
        5,
        ["https://login.microsoftonline.com/x"],
    ],
)
def test_A32_an_endpoint_elsewhere_or_without_tls_is_refused(name: str, url: object) -> None:
    """An endpoint on another host, or over plain http, is refused by its name."""
    assert name in refused(metadata(**{name: url})).sentence


@pytest.mark.parametrize("name", ENDPOINTS[:3])
def test_A32_a_missing_endpoint_is_refused(name: str) -> None:
    """A document without a needed endpoint is refused by the endpoint's name."""
    document = metadata()
    del document[name]
    assert name in refused(document).sentence


def test_a_missing_sign_out_endpoint_is_no_fault() -> None:
    """Signing out at Entra is left out where Entra names no place for it."""
    document = metadata()
    del document["end_session_endpoint"]
    assert read_metadata(document, SINGLE).end_session_endpoint is None


EMULATED = dict.fromkeys(ENDPOINTS, f"https://localhost:8443/{TENANT}/x")


def emulated(**changes: str) -> dict[str, Any]:
    return {"issuer": f"https://localhost:8443/{TENANT}/v2.0", **EMULATED, **changes}


@pytest.mark.parametrize("name", ["authorization_endpoint", "end_session_endpoint"])
def test_an_emulator_of_this_machine_may_send_browsers_to_plain_http(name: str) -> None:
    """So that no browser warns, an emulator on loopback may name its http listener for pages."""
    assert read_metadata(emulated(**{name: "http://127.0.0.1:8400/x"}), EMULATOR)


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
def test_an_emulator_may_not_send_us_to_plain_http(name: str) -> None:
    """Where we go ourselves, TLS and the very host are required of an emulator, too."""
    assert name in refused(emulated(**{name: "http://localhost:8400/x"}), EMULATOR).sentence


@pytest.mark.parametrize("name", ["authorization_endpoint", "end_session_endpoint"])
def test_an_emulator_may_not_send_browsers_elsewhere(name: str) -> None:
    """Loopback is the only exception."""
    assert name in refused(emulated(**{name: "http://evil.test/x"}), EMULATOR).sentence


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["issuer", *ENDPOINTS]), st.text(max_size=40) | st.none() | st.integers())
)
def test_no_document_makes_anything_but_metadata_or_a_refusal(document: dict[str, Any]) -> None:
    """Whatever discovery answers, the reading of it ends in metadata or `DiscoveryRefused`."""
    for authority in (SINGLE, BY_DOMAIN, SEVERAL):
        try:
            read_metadata({**metadata(), **document}, authority)
        except DiscoveryRefused:
            continue


@pytest.mark.parametrize(
    "text",
    ["", TENANT + "x", "{" + TENANT + "}", TENANT.replace("-", ""), TENANT[:-1], f" {TENANT}", f"{TENANT}\n",
     None, 5, "ａaaabbbb-0000-cccc-1111-dddd2222eeee", "aaaabbbb-0000-cccc-1111-dddd2222eee\u0663"],
)  # fmt: skip
def test_what_is_no_guid_is_none(text: object) -> None:
    """Only the hyphenated form in ASCII is a GUID."""
    assert parse_guid(text) is None


def test_a_guid_is_one_in_lower_case() -> None:
    """Capitals make no other GUID."""
    assert parse_guid(TENANT.upper()) == TENANT
