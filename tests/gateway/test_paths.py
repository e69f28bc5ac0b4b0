"""Paths: read in the one way every reader reads them, or refused (D4 to D6)."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrada.errors import AmbiguousRequest
from entrada.gateway.paths import opaque_path, read_path

REFUSED = {
    "D5 slashes": b"//admin",
    "D5 slashes inside": b"/a//admin",
    "D5 slashes at the end": b"/admin//",
    "D5 dot": b"/./admin",
    "D5 dots": b"/public/../admin",
    "D5 dots at the end": b"/public/..",
    "D5 three dots": b"/public/.../admin",
    "D5 encoded dots": b"/%2e%2e/admin",
    "D5 half encoded dots": b"/.%2E/admin",
    "D5 dots and a parameter": b"/public/..;/admin",
    "D5 encoded percent": b"/%252e%252e/admin",
    "D5 encoded slash": b"/public%2f..%2fadmin",
    "D5b encoded slash, capital": b"/public%2Fadmin",
    "D5b encoded backslash": b"/public%5c..%5cadmin",
    "D5 backslash": b"/public\\..\\admin",
    "D5b parameter": b"/admin;x=1",
    "D5 encoded parameter": b"/admin%3Bx=1",
    "D5 NUL": b"/admin%00.png",
    "D5 encoded newline": b"/admin%0d%0aX: y",
    "D5 DEL": b"/admin%7f",
    "D5 blank": b"/a b",
    "D5 control byte": b"/a\x01b",
    "D5 tab": b"/a\tb",
    "D5 blanks alone": b"/a/%20/b",
    "D5 dots and a blank": b"/a/..%20/b",
    "D5 overlong slash": b"/a%c0%afb",
    "D5 overlong dot": b"/a/%c0%ae%c0%ae/b",
    "D5 lone continuation": b"/a%80",
    "D5 encoded surrogate": b"/a%ed%a0%80",
    "D5 raw byte": b"/caf\xe9",
    "D5 IIS encoding": b"/%u002e%u002e/admin",
    "D5 lone percent": b"/100%",
    "D5 NFKC slash": b"/a%EF%BC%8Fb",
    "D5 NFKC dots": b"/a/%E2%80%A5/b",
    "D5 NFKC dot leaders": b"/a/%E2%80%A4%E2%80%A4/b",
    "D5 invisible between dots": b"/a/.%E2%80%8B./b",
    "D5 C1 control": b"/a%C2%85b",
    "D5 absolute form": b"http://host/admin",
    "D5 star": b"*",
    "D5 nothing": b"",
    "D6 at sign": b"@evil/admin",
    "D6 authority": b"host:443",
    "D4 fragment": b"/api/private#/status",
    "D4 encoded fragment": b"/api/private%23/status",
    "D4 encoded question mark": b"/api/private%3f/status",
    "D4 fragment in the query": b"/api?x#/status",
    "D5 control byte in the query": b"/a?b\x00",
}


@pytest.mark.parametrize("target", REFUSED.values(), ids=REFUSED.keys())
def test_what_two_readers_could_take_differently_is_refused(target: bytes) -> None:
    """A path with more than one reading is refused before any rule is asked."""
    with pytest.raises(AmbiguousRequest) as refused:
        read_path(target)
    assert refused.value.reason in refused.value.sentence


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        (b"/", ()),
        (b"/admin", ("admin",)),
        (b"/admin/", ("admin",)),
        (b"/%61dmin", ("admin",)),
        (b"/a%20b/c+d", ("a b", "c+d")),
        (b"/caf%C3%A9/", ("café",)),
        (b"/file.tar.gz", ("file.tar.gz",)),
        (b"/.well-known/x", (".well-known", "x")),
        (b"/a:b@c!$&'()*,=~_-|[]^", ("a:b@c!$&'()*,=~_-|[]^",)),
        (b"/api?x=/status;y=//..%2f", ("api",)),
    ],
)
def test_a_plain_path_is_decoded_once(target: bytes, segments: tuple[str, ...]) -> None:
    """What is left is decoded once, and the upstream is sent the very bytes."""
    path = read_path(target)
    assert path.segments == segments
    sent = path.raw + ("" if path.query is None else f"?{path.query}")
    assert sent.encode() == target


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"/ADMIN", b"/admin"),
        (b"/admin.", b"/admin"),
        (b"/%EF%BD%81dmin", b"/admin"),
        (b"/ad%C2%ADmin", b"/admin"),
        (b"/adm%C4%B1n", b"/admin"),
        (b"/adm%C4%B0n", b"/admin"),
        (b"/admI%CC%87n", b"/admin"),
        (b"/%C5%BFecret", b"/secret"),
    ],
    ids=[
        "D5 case",
        "D5 trailing dot",
        "D5 NFKC",
        "D5 invisible",
        "D5 dotless i",
        "D5 dotted I",
        "D5 dotted I in two",
        "D5 long s",
    ],
)
def test_d5_names_that_some_readers_take_for_the_same_fold_alike(one: bytes, other: bytes) -> None:
    """Case, compatibility forms and dots at the end differ in `segments` and not in `folded`."""
    assert read_path(one).segments != read_path(other).segments
    assert read_path(one).folded == read_path(other).folded


def test_an_opaque_path_is_anything_printable() -> None:
    """A route that says so may have encoded slashes; its path decides nothing."""
    path = opaque_path(b"/projects/a%2Fb;v=1//..%5c?x=1")
    assert (path.raw, path.query, path.segments) == ("/projects/a%2Fb;v=1//..%5c", "x=1", None)
    for target in (b"*", b"http://host/", b"/a\r\n", b"/\xff", b"/a b"):
        with pytest.raises(AmbiguousRequest):
            opaque_path(target)


PIECES = st.sampled_from(
    [
        *"/\\.%;#?a~ *",
        "%2e",
        "%2F",
        "%5C",
        "%25",
        "%00",
        "%c0%ae",
        "%ef%bc%8f",
        "..",
        "//",
        "%41",
        "\x7f",
        "é",
    ]
)


@given(st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces)))
def test_d5_five_readers_agree_on_every_path_that_passes(text: str) -> None:
    """Whatever passes means the same decoded first or last, once or twice, normalised or not."""
    try:
        path = read_path(text.encode())
    except AmbiguousRequest:
        return
    assert path.segments is not None
    plain = "/" + "/".join(path.segments)
    shown = path.raw.rstrip("/") or "/"
    assert unquote(shown) == plain
    assert unquote(unquote(shown)) == plain
    assert posixpath.normpath(unquote(shown)) == plain
    assert unquote(posixpath.normpath(shown)) == plain
    assert unquote(urlsplit("http://host" + shown).path or "/") == plain
    assert plain.replace("\\", "/").split(";")[0] == plain


@given(st.binary(max_size=24).map(lambda tail: b"/" + tail))
def test_no_bytes_at_all_do_anything_but_pass_or_be_refused(target: bytes) -> None:
    """Any bytes are a path of printable characters or a refusal, never another exception."""
    try:
        path = read_path(target)
    except AmbiguousRequest:
        return
    assert path.raw.isascii()
    assert path.raw.isprintable()
