"""K29 and K30 on the real way: a refusal names its person, and only an outage is told as one; K19 and K26."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from entrada.emulator import RunningEmulator
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.refusals import text_of
from walks.site import Site
from walks.visitor import Visitor

MALLORY = "mallory@fabrikam.test"
OLGA = "olga@contoso.test"
OUTAGE = "cannot be reached"
LINK = re.compile(r">(https?://[^<]+/adminconsent\?[^<]+)<")


@pytest.fixture
def contoso_only(serve: Serve, emulator: RunningEmulator) -> Site:
    """Anybody may be sent back by Entra; only Contoso's people may come in."""
    emulator.change_app("Entrada (emulated)", audience="AzureADMultipleOrgs")
    contoso = next(
        tenant for tenant, found in emulator.directory.tenants.items() if "contoso" in str(found).lower()
    )
    return serve(ENTRADA_TENANT_ID="organizations", ENTRADA_ALLOWED_TENANTS=contoso)


def test_K29_who_is_of_another_tenant_reads_as_whom_they_came(
    contoso_only: Site, new_visitor: NewVisitor, emulator: RunningEmulator, watch: NewWatch, caplog: Any
) -> None:
    """The account on the page, tenant and object id in the log, and a way to another account."""
    visitor, mallory = new_visitor(contoso_only), emulator.person(MALLORY)
    visitor.begin("/reports")
    visitor.approve_as(MALLORY)
    page = watch(visitor).refused(visitor.complete(), 403, "tenant_refused")
    assert f"Signed in as {mallory.display_name} ({MALLORY})" in " ".join(page.split())
    assert "Roles" not in page  # nobody has looked
    assert "Use another account" in page
    assert f"object_id={mallory.object_id}" in caplog.text


@pytest.mark.parametrize("status", [400, 404, 410])
def test_K30_a_refusal_of_discovery_is_no_outage(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, status: int
) -> None:
    """Who can mend it is told so; nobody waits for Microsoft."""
    emulator.fail("server_error", endpoint="discovery", times=None, status=status)
    page = text_of(new_visitor(serve()).open("/auth/entra/start"))
    assert OUTAGE not in page
    assert "waiting helps" not in page
    assert "Your administrator can fix this" in page


@pytest.mark.parametrize("status", [429, 500, 503])
def test_K30_an_outage_of_discovery_is_one(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, status: int
) -> None:
    """Waiting helps, and the page says so."""
    emulator.fail("server_error", endpoint="discovery", times=None, status=status)
    assert "waiting helps" in text_of(new_visitor(serve()).open("/auth/entra/start"))


@pytest.mark.parametrize(("status", "helps"), [(400, False), (404, False), (503, True)])
def test_K30_a_refusal_of_graph_is_no_outage(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, status: int, helps: bool
) -> None:
    """Graph that answers 404 was reached."""
    group = next(g.object_id for g in emulator.directory.groups.values() if g.display_name == "Project 017")
    visitor = new_visitor(serve(ENTRADA_ROLES_MAPPING=f'{{"{group}": "Editor"}}'))
    emulator.fail("graph_error", times=None, status=status, code="x", message="x")
    page = text_of(visitor.sign_in_as(OLGA))
    assert ("waiting helps" in page, OUTAGE in page) == (helps, helps)
    assert ("Your administrator can fix this" in page) == (not helps)


@pytest.mark.parametrize("sid", ["a b", "a+b&c=d", "x%41", "#?/\\", '"<>', "a" * 128, "~" * 129, "x" * 256])
def test_K19_what_the_sign_in_accepts_the_front_channel_ends(
    sid: str, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Any `sid` of 1 to 256 printable characters."""
    visitor = new_visitor()
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", target="id_token", set={"sid": sid})
    assert visitor.complete().status_code == 303
    assert visitor.whoami() is not None
    assert new_visitor().open(f"/auth/entra/logout?sid={quote(sid, safe='')}").status_code == 200
    assert visitor.whoami() is None


@pytest.mark.parametrize("sid", ["x" * 257, "x" * 512, "é", "a\nb", ""])
def test_K19_what_no_front_channel_could_end_is_not_accepted(
    sid: str, visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A `sid` outside of that refuses the whole token: no session comes about that Entra could not end."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", target="id_token", set={"sid": sid})
    watch(visitor).refused(visitor.complete(), 400, "id_token_refused")


@pytest.mark.parametrize(("switch", "words"), [("", "Thank you"), ("&_emulator_decline=1", "was not given")])
def test_K26_the_printed_link_leads_to_a_page_of_ours(
    new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, switch: str, words: str
) -> None:
    """An administrator follows the link that the refusal prints, accepts or cancels, and reads so."""
    visitor = new_visitor()
    visitor.begin()
    emulator.fail("aadsts", endpoint="authorize", code=90094)
    visitor.approve_as(pat, errors_come_back=True)
    link = LINK.search(visitor.complete().text)
    assert link is not None
    at_entra = html.unescape(link[1]).replace(emulator.https_url, emulator.http_url)
    back = visitor.open(at_entra + switch).headers["location"]
    assert urlsplit(back).path == "/auth/entra/callback"
    assert words in text_of(visitor.complete(back))
