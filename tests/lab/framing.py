"""Bodies about whose length two readers could differ, and the fields that go with them.

Source: RFC 9112, sections 6 and 7; the cases D10 and D10b.
"""

from __future__ import annotations

import random

_CODINGS = (
    "chunked", "Chunked", "xchunked", " chunked", "chunked ", "\tchunked", "\x0bchunked",
    "chunked, identity", "identity, chunked", "chunked, chunked", "gzip, chunked", "chunked;x=1",
    "chunked\x00", "", "\r\n chunked", "identity", "cow", "chun\x00ked", "chunked,",
)  # fmt: skip
_CODING_NAMES = (
    "Transfer-Encoding", "transfer-encoding", "Transfer_Encoding", "Transfer-Encoding ", " Transfer-Encoding",
    "X-Note: a\nTransfer-Encoding", "Transfer.Encoding", "Transfer-Encoding\x00",
)  # fmt: skip
_LENGTHS = (
    "+{0}", "0x{0:x}", "{0}, {0}", "{0}, 0", "-{0}", "0{0}", " {0} ", "{0}\x00", "{0}.0", "",
    "9999999999999{0}", "{0} 0", "{0}\r\n 0", "{0};", "{0}e0", "{0},",
)  # fmt: skip
_LENGTH_NAMES = (
    "Content_Length",
    "Content.Length",
    "Content-Length ",
    "content-length",
    "Content-Length\x00",
)
_SIZES = (
    b"%x;a=b", b"%x;\n", b"%x ", b"0x%x", b"000%x", b"%x\n", b"%X", b'%x;a="\r\n"', b"-%x", b"%xg",
    b"ffffffff%x", b"%x\r", b"+%x", b" %x",
)  # fmt: skip
_ENDS = (b"\r\n", b"\r\n", b"\n", b"", b"XX", b"\r")
_PLAIN = "Transfer-Encoding: chunked"
WAYS = (
    "cl.te", "te.cl", "te", "te.te", "two lengths", "odd length", "length name", "chunks", "chunks",
    "trailer", "short", "none", "expect",
)  # fmt: skip


def framed(inside: bytes, trailers: list[bytes], chance: random.Random) -> tuple[list[str], bytes]:
    """Lines for the head, and what follows it. `trailers` are whole lines without their ends."""
    size = len(inside)
    length = f"Content-Length: {size}"
    coding = f"{chance.choice(_CODING_NAMES)}: {chance.choice(_CODINGS)}"
    match chance.choice(WAYS):
        case "cl.te":
            body = b"0\r\n\r\n" + inside
            return [f"Content-Length: {len(body)}", chance.choice((coding, _PLAIN))], body
        case "te.cl":
            body = _chunked(inside or b"x")
            first_line = body.index(b"\r\n") + 2
            return [
                chance.choice((coding, _PLAIN)),
                f"Content-Length: {chance.choice((0, first_line))}",
            ], body
        case "te":
            return [coding], _chunked(inside)
        case "te.te":
            return chance.sample([coding, _PLAIN], 2), _chunked(inside)
        case "two lengths":
            other = f"Content-Length: {chance.choice((0, size, size + 1, 1))}"
            return chance.sample([length, other], 2), inside
        case "odd length":
            return [f"Content-Length: {chance.choice(_LENGTHS).format(size)}"], inside
        case "length name":
            return [f"{chance.choice(_LENGTH_NAMES)}: {size}"], inside
        case "chunks":
            start = chance.choice(_SIZES) % max(size, 1) + chance.choice((b"\r\n", b"\r\n", b"\n", b"\r"))
            return [_PLAIN], start + (inside or b"x") + chance.choice(_ENDS) + b"0\r\n\r\n"
        case "trailer":
            names = b", ".join(line.partition(b":")[0] for line in trailers).decode("latin-1")
            announced = [f"Trailer: {names}"] if chance.random() < 0.5 else []
            return [_PLAIN, *announced], b"\r\n".join([_chunked(inside)[:-4], *trailers, b"", b""])
        case "short":
            return [f"Content-Length: {size + chance.choice((1, 10, 1000))}"], inside
        case "expect":
            wish = chance.choice(("100-continue", "100-Continue", "x", "100-continue, x"))
            return [length, f"Expect: {wish}"], inside
    return [], inside


def _chunked(inside: bytes) -> bytes:
    return (b"%x\r\n%s\r\n" % (len(inside), inside) if inside else b"") + b"0\r\n\r\n"
