"""Public vectors of what verifiers got wrong, and forgeries of our own.

Measured is what an ID token goes through before its claims are read: key document, text, signature.
docs/why/wycheproof.md says what came out, and the last tests here hold it to that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import get_default_algorithms

from entra.tokens import KID, b64, claims, document, header, jwk, private_key
from entrada.entra.checks import verify_signature
from entrada.entra.jws import read_jws
from entrada.entra.keys import may_verify, read_keys
from entrada.errors import EntraUnavailable, TokenRefused

FILES = ("json_web_signature", "json_web_key")
PYJWT = {name: algorithm for name, algorithm in get_default_algorithms().items() if name != "none"}
TWINS_OF_A_VALID_VECTOR = {367, 370}
THE_VALID_TWIN = 357


@dataclass(frozen=True, kw_only=True)
class Vector:
    file: str
    number: int
    raw: str
    is_valid: bool
    jwks: tuple[Mapping[str, Any], ...]


@pytest.fixture(scope="module")
def vectors(vectors_directory: Path) -> tuple[Vector, ...]:
    return tuple(vector for file in FILES for vector in read_vectors(vectors_directory, file))


def read_vectors(directory: Path, file: str) -> Iterator[Vector]:
    groups = json.loads((directory / f"wycheproof-{file}.json").read_text("utf-8"))
    for group in groups:
        for test in group["tests"]:
            yield Vector(
                file=file,
                number=test["number"],
                raw=test["jws"],
                is_valid=test["result"] == "valid",
                jwks=tuple(group["keys"]),
            )


def accepts(raw: str, jwks: tuple[Mapping[str, Any], ...]) -> bool:
    """Whether the token's signature would be believed with that key document."""
    try:
        keys = read_keys(document(*jwks))
        jws = read_jws(raw)
        key = keys.find(jws.kid)
        if key is None:
            return False
        verify_signature(jws, key)
    except (EntraUnavailable, TokenRefused):
        return False
    return True


def accepts_with_every_algorithm(raw: str, jwks: tuple[Mapping[str, Any], ...]) -> bool:
    """The same with the gate open for all that PyJWT can verify, and PyJWT reading the key."""
    try:
        jws = read_jws(raw, algorithms=frozenset(PYJWT))
    except TokenRefused:
        return False
    named = [jwk for jwk in jwks if jwk.get("kid") == jws.kid]
    if len(named) != 1 or not may_verify(named[0], jws.algorithm):
        return False
    algorithm = PYJWT[jws.algorithm]
    key = algorithm.from_jwk(json.dumps(named[0]))
    return bool(algorithm.verify(jws.signing_input, algorithm.prepare_key(key), jws.signature))


def why_not(vector: Vector) -> str:
    """What stands against a valid vector: its algorithm, or that its text cannot be read."""
    try:
        return read_jws(vector.raw, algorithms=frozenset(PYJWT)).algorithm
    except TokenRefused as refused:
        return "not base64url" if refused.check == "form" else refused.check


# --- the public vectors ---


def test_B34_no_invalid_vector_is_accepted(vectors: tuple[Vector, ...]) -> None:
    """Zero of 376."""
    invalid = [vector for vector in vectors if not vector.is_valid]
    assert len(invalid) == 355 + 21
    assert [(vector.file, vector.number) for vector in invalid if accepts(vector.raw, vector.jwks)] == []


def test_B34_every_valid_rs256_vector_is_accepted(vectors: tuple[Vector, ...]) -> None:
    """What is refused is refused for its algorithm or its spelling, never for its mathematics."""
    ours = [vector for vector in vectors if vector.is_valid and why_not(vector) == "RS256"]
    assert len(ours) == 9
    assert all(accepts(vector.raw, vector.jwks) for vector in ours)


def test_B34_with_every_algorithm_allowed_the_gate_still_accepts_nothing_invalid(
    vectors: tuple[Vector, ...],
) -> None:
    """But for two that are, byte for byte, a vector that the collection itself calls valid."""
    signatures = {vector.number: vector for vector in vectors if vector.file == "json_web_signature"}
    accepted = {
        number
        for number, vector in signatures.items()
        if accepts_with_every_algorithm(vector.raw, vector.jwks)
    }
    assert {number for number in accepted if not signatures[number].is_valid} == TWINS_OF_A_VALID_VECTOR
    assert {signatures[number].raw for number in TWINS_OF_A_VALID_VECTOR} == {signatures[THE_VALID_TWIN].raw}
    assert len([number for number in accepted if signatures[number].is_valid]) == 40


# --- the page about them ---

_ROW = re.compile(r"^\| (json_web_\w+) \| ([\w ]+) \| ([\d, ]+) \|$", re.MULTILINE)
_COUNTS = re.compile(r"^\| (json_web_\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs/why/wycheproof.md").read_text("utf-8")


def test_B34_the_page_lists_exactly_the_valid_vectors_that_are_refused(
    page: str, vectors: tuple[Vector, ...]
) -> None:
    """A vector more or less, or another reason, and the page is stale."""
    refused: dict[tuple[str, str], list[int]] = defaultdict(list)
    for vector in vectors:
        if vector.is_valid and not accepts(vector.raw, vector.jwks):
            refused[vector.file, why_not(vector)].append(vector.number)
    listed = {(file, why): [int(n) for n in numbers.split(",")] for file, why, numbers in _ROW.findall(page)}
    assert listed == refused


def test_B34_the_page_counts_right(page: str, vectors: tuple[Vector, ...]) -> None:
    """The table of totals is what the vectors give."""

    def count(file: str, is_valid: bool) -> tuple[int, int]:
        chosen = [vector for vector in vectors if vector.file == file and vector.is_valid is is_valid]
        return len(chosen), sum(accepts(vector.raw, vector.jwks) for vector in chosen)

    written = {file: tuple(map(int, counts)) for file, *counts in _COUNTS.findall(page)}
    assert written == {file: (*count(file, False), *count(file, True)) for file in FILES}


# --- forgeries of our own ---

SIGNING_INPUT = f"{b64(json.dumps(header()).encode())}.{b64(json.dumps(claims()).encode())}"
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
SHA256_INFO_WITHOUT_NULL = bytes.fromhex("302f300b0609608648016503040201") + bytes.fromhex("0420")
SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")
LENGTH = 256


def digest(name: str = "sha256") -> bytes:
    return hashlib.new(name, SIGNING_INPUT.encode()).digest()


def padded(tail: bytes, *, block: bytes = b"\x01", fill: bytes = b"\xff", end: bytes = b"\x00") -> bytes:
    """PKCS #1 padding before `tail`, whole or spoiled."""
    return b"\x00" + block + fill * (LENGTH - 2 - len(end) - len(tail)) + end + tail


RIGHT = padded(SHA256_INFO + digest())

PADDINGS: Mapping[str, Callable[[], bytes]] = {
    "nothing but the hash": lambda: digest().rjust(LENGTH, b"\0"),
    "block type 0": lambda: padded(SHA256_INFO + digest(), block=b"\x00"),
    "block type 2": lambda: padded(SHA256_INFO + digest(), block=b"\x02"),
    "fill of 0xfe": lambda: padded(SHA256_INFO + digest(), fill=b"\xfe"),
    "no zero after the fill": lambda: padded(SHA256_INFO + digest(), end=b"\xff"),
    "no fill, garbage behind the hash": lambda: (
        b"\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x00" + SHA256_INFO + digest()
    ).ljust(LENGTH, b"\xaa"),
    "no hash algorithm": lambda: padded(digest()),
    "hash algorithm without its NULL": lambda: padded(SHA256_INFO_WITHOUT_NULL + digest()),
    "SHA-1": lambda: padded(SHA1_INFO + digest("sha1")),
    "SHA-512 called SHA-256": lambda: padded(SHA256_INFO + digest("sha512")),
    "hash of something else": lambda: padded(SHA256_INFO + hashlib.sha256(b"other").digest()),
    "hash cut short": lambda: padded(SHA256_INFO + digest()[:-1]),
    "one byte shifted": lambda: RIGHT[1:] + b"\0",
}


def signed_raw(encoded: bytes) -> int:
    """The bare RSA operation on chosen bytes."""
    numbers = private_key().private_numbers()
    return pow(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n)


def forged(signature: bytes) -> bool:
    return accepts(f"{SIGNING_INPUT}.{b64(signature)}", (jwk(),))


def test_the_forger_can_also_sign_rightly() -> None:
    """The way the forgeries are made gives a good signature when nothing is spoiled."""
    assert forged(signed_raw(RIGHT).to_bytes(LENGTH, "big"))


@pytest.mark.parametrize("spoiled", PADDINGS)
def test_a_signature_with_spoiled_padding_is_refused(spoiled: str) -> None:
    """Made with the right key, over the right hash, but not encoded as RFC 8017 says."""
    assert not forged(signed_raw(PADDINGS[spoiled]()).to_bytes(LENGTH, "big"))


SPELLINGS: Mapping[str, Callable[[int, int], bytes]] = {
    "a leading zero": lambda good, _n: b"\0" + good.to_bytes(LENGTH, "big"),
    "a trailing zero": lambda good, _n: good.to_bytes(LENGTH, "big") + b"\0",
    "the modulus added": lambda good, n: (good + n).to_bytes(LENGTH + 1, "big"),
    "negated": lambda good, n: (n - good).to_bytes(LENGTH, "big"),
    "the modulus itself": lambda _good, n: n.to_bytes(LENGTH, "big"),
    "zero": lambda _good, _n: b"\0" * LENGTH,
    "one": lambda _good, _n: b"\0" * (LENGTH - 1) + b"\1",
    "empty": lambda _good, _n: b"",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_signature_has_one_spelling(spelling: str) -> None:
    """The same number written otherwise, or a number that every key knows, is no signature."""
    modulus = private_key().public_key().public_numbers().n
    assert not forged(SPELLINGS[spelling](signed_raw(RIGHT), modulus))


def test_a_pss_signature_is_no_rs256_signature() -> None:
    """The right key and hash with the other padding scheme."""
    assert not forged(
        private_key().sign(SIGNING_INPUT.encode(), PSS(mgf=MGF1(SHA256()), salt_length=32), SHA256())
    )


@pytest.mark.parametrize(
    "spoiled",
    [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "PS256"}, {"e": "AQ"}, {"kty": "oct", "k": "AA"}],
)
def test_a_good_signature_by_a_key_for_something_else_is_refused(spoiled: dict[str, Any]) -> None:
    """The signature holds; the key must not be used for it."""
    raw = f"{SIGNING_INPUT}.{b64(signed_raw(RIGHT).to_bytes(LENGTH, 'big'))}"
    assert accepts(raw, (jwk(),))
    assert not accepts(raw, (jwk(**spoiled),))
    assert not accepts(raw, (jwk(), jwk("other", kid=KID)))
