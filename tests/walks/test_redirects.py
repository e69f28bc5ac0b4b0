"""Where a person lands: never anywhere but on this origin (cases E1 to E6), judged by a WHATWG URL parser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from entrada.emulator import RunningEmulator
from entrada.flows.pending import seal_pending, unseal_pending
from entrada.web.redirects import LONGEST_PATH
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.visitor import Cookie, Visitor

OWN_PAYLOADS = [
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "https://evil.test",
    "https:evil.test",
    "HTTPS:/evil.test",
    "http:evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "/\\evil.test",
    "\\\\evil.test",
    "\\/evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "\t//evil.test",
    " //evil.test",
    "/%09/evil.test",
    "/%5cevil.test",
    "%2f%2fevil.test",
    "%252f%252fevil.test",
    "//evil.test@localhost",
    "http://localhost@evil.test",
    "//[::1]/",
    "//xn--80ak6aa92e.test",
    "/..//evil.test",
    "/.//evil.test",
    "?next=//evil.test",
    "#//evil.test",
    "/\u2028/evil.test",
    "／／evil.test",
    "/\u0000/evil.test",
    "//evil。test",
    "///",
    "",
]
JUDGE = """
const base = process.argv[1];
const locations = JSON.parse(require("fs").readFileSync(0, "utf8"));
const leaving = locations.filter((location) => {
  try { return new URL(location, base).origin !== new URL(base).origin; } catch { return true; }
});
console.log(JSON.stringify(leaving));
"""


def leaving(node: str, base: str, locations: list[str]) -> list[str]:
    """Those of the locations that a browser would follow to another origin."""
    told = json.dumps(locations)
    answer = subprocess.run(
        [node, "-e", JUDGE, base], input=told, capture_output=True, text=True, timeout=60, check=True
    )
    found: list[str] = json.loads(answer.stdout)
    return found


def test_the_judge_judges(node_path: str) -> None:
    """Node says which of the payloads themselves leave: most do."""
    assert len(leaving(node_path, "http://localhost:8000/auth/login", OWN_PAYLOADS)) >= 15


@pytest.fixture(scope="session")
def payloads(vectors_directory: Path) -> list[str]:
    """Ours and the public lists; raw, decoded once and decoded twice."""
    public = json.loads((vectors_directory / "open-redirects.json").read_text("utf-8"))
    forms = (form for raw in (*OWN_PAYLOADS, *public) for form in (raw, unquote(raw), unquote(unquote(raw))))
    return list(dict.fromkeys(forms))


def as_sent(payloads: list[str]) -> Iterator[str]:
    for payload in payloads:
        yield quote(payload, safe="")
        yield quote(payload, safe="/\\:@?=&%;,!$'()*[]")  # as somebody would paste it into a link


def test_E1_no_location_leaves_the_origin(
    visitor: Visitor, pat: Any, payloads: list[str], node_path: str
) -> None:
    """Whatever `next` says, the Location of somebody signed in already stays here, and is never a 500."""
    visitor.sign_in_as(pat)
    locations = []
    for sent in as_sent(payloads):
        answer = visitor.open(f"/auth/login?next={sent}")
        assert answer.status_code == 303, sent
        locations.append(answer.headers["location"])
    assert leaving(node_path, f"{visitor.site.public_url}/auth/login", locations) == []
    assert all(location.isascii() and location.startswith("/") for location in locations)


def test_E1_after_a_whole_sign_in(visitor: Visitor, pat: Any, node_path: str) -> None:
    """The same at the end of a sign-in: where it was begun with such a `next`, it ends on this origin."""
    locations = [visitor.sign_in_as(pat, next=payload).headers["location"] for payload in OWN_PAYLOADS]
    assert leaving(node_path, f"{visitor.site.public_url}/auth/entra/callback", locations) == []


def test_E1_links_and_redirects_on_the_way(visitor: Visitor, payloads: list[str], node_path: str) -> None:
    """Neither the button of the sign-in page nor the challenge of a protected page leads elsewhere."""
    targets = []
    for payload in payloads[:: max(1, len(payloads) // 300)]:
        page = visitor.open(f"/auth/login?next={quote(payload, safe='')}")
        assert page.status_code == 200
        targets += [part.partition('"')[0] for part in page.text.split(' href="')[1:]]
        challenge = visitor.open("/" + quote(payload, safe="/"))
        if "location" in challenge.headers:
            targets.append(challenge.headers["location"])
    targets = [target for target in targets if not target.startswith("data:")]
    assert len(targets) > 300
    assert leaving(node_path, visitor.site.public_url, targets) == []


@pytest.mark.parametrize(
    "parameter", ["rd", "redirect", "redirect_uri", "return_to", "post_logout_redirect_uri", "url", "state"]
)
def test_E1_other_parameters_decide_nothing(parameter: str, visitor: Visitor, pat: Any) -> None:
    """No other parameter or header says where to go."""
    for path in ("/auth/login", "/auth/entra/start", "/auth/logout", "/auth/signed-out"):
        answer = visitor.open(f"{path}?{parameter}=https://evil.test/", x_forwarded_uri="https://evil.test/")
        assert "evil.test" not in answer.headers.get("location", "").partition("client_info")[0]
        assert "evil.test" not in answer.text


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "data:text/html,<script>",
        "https:evil.test",
        "http://localhost:1/",
        "http://user@localhost/",
        "http://[::1]:8000/",
        "ftp://localhost/",
        "//localhost/",
        "localhost/reports",
        "http://bücher.test/",
    ],
)
def test_E3_schemes_hosts_and_ports(target: str, visitor: Visitor, pat: Any) -> None:
    """Anything with a scheme or a host ends on the front page, our own host included."""
    assert visitor.sign_in_as(pat, next=target).headers["location"] == "/"


@pytest.mark.parametrize(
    ("target", "landed"),
    [
        ("/a\x00b", "/"),
        ("/100%", "/100%"),
        ("/%zz", "/%zz"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("/auth/login", "/"),
        ("/auth/logout", "/"),
        ("/auth", "/"),
        ("/authors", "/authors"),
        ("/reports?q=a%20b&x=1", "/reports?q=a%20b&x=1"),
        ("/reports#part", "/reports#part"),
        ("/grüße", "/gr%C3%BC%C3%9Fe"),
        ("/a?url=https://elsewhere.test/", "/a?url=https://elsewhere.test/"),
    ],
)
def test_E4_odd_targets(target: str, landed: str, visitor: Visitor, pat: Any) -> None:
    """What cannot be a page of the application ends on the front page, never in an error."""
    answer = visitor.sign_in_as(pat, next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, landed)
    assert not any(line.startswith("x=") for line in answer.headers.get_list("set-cookie"))


def test_E4_longest_target(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """The longest target that is kept fits into a cookie of any browser, at a long address too."""
    public_url = f"https://{'a-long-name.' * 10}contoso.test"
    address = f"{public_url}/auth/entra/callback"
    emulator.change_app("Entrada (emulated)", web_redirect_uris=[address])
    visitor = new_visitor(serve(public_url=public_url))
    target = "/" + "a" * (LONGEST_PATH - 1)
    for _ in range(2):  # the second time with a session that will be replaced
        assert visitor.sign_in_as(pat, next=target).headers.get("location") == target
    for _ in range(5):
        visitor.begin(next=target)
    assert visitor.pending
    visitor.approve_as(pat)
    assert visitor.complete().headers.get("location") == target


def test_E4_next_twice(visitor: Visitor) -> None:
    """Of two `next` the first counts, and it is checked."""
    assert visitor.open("/auth/login?next=/a&next=//evil.test").status_code == 200
    assert "evil" not in visitor.open("/auth/login?next=//evil.test&next=/a").text


def test_E5_target_is_checked_again_at_the_end(visitor: Visitor, pat: Any) -> None:
    """Even a sealed pending sign-in that names another origin, which we never make, leads nowhere else."""
    visitor.begin(next="/reports")
    visitor.approve_as(pat)
    ((name, cookie),) = visitor.pending.items()
    sealer, tag = visitor.site.auth.pending.sealer, name.rpartition("_")[2]
    pending = unseal_pending(cookie.value, tag=tag, sealer=sealer)
    assert pending is not None
    forged = seal_pending(replace(pending, next_path="//evil.test"), sealer)
    visitor.jar.cookies["localhost", name] = Cookie(value=forged, attributes={})
    assert visitor.complete().headers["location"] == "/"


@pytest.mark.parametrize("forge", ["flipped", "shortened", "other name", "plain"])
def test_E5_pending_cookie_is_sealed(forge: str, new_visitor: NewVisitor, pat: Any, watch: NewWatch) -> None:
    """A pending sign-in that was changed, cut or put under another name is none."""
    visitor = new_visitor()
    visitor.begin(next="/reports")
    visitor.approve_as(pat)
    ((name, cookie),) = visitor.pending.items()
    value = cookie.value
    if forge == "other name":
        visitor.begin()
        (value,) = (c.value for other, c in visitor.pending.items() if other != name)
    changed = {
        "flipped": ("A" if value[40] != "A" else "B").join((value[:40], value[41:])),
        "shortened": value[:-4],
        "other name": value,
        "plain": '{"next_path":"//evil.test"}',
    }[forge]
    visitor.jar.cookies["localhost", name] = Cookie(value=changed, attributes={})
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "state_missing", token_requests=0)
