"""The gate: what a token's text must look like before anything believes a byte of it."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra.tokens import KID, b64, header, sign, token
from entrada.entra.jws import (
    TOKEN_LIMIT_BYTES,
    RawIdToken,
    decode_base64url,
    read_claims,
    read_jws,
    read_kid,
)
from entrada.errors import EntradaError, TokenRefused
from entrada.strict_json import DEPTH_LIMIT, JsonRefused, read_json_object

HEAD = json.dumps(header()).encode()
QUICK_SECONDS = 0.05


def refused_check(raw: str) -> str:
    """The name of the check that refuses this text."""
    with pytest.raises(TokenRefused) as refused:
        read_claims(read_jws(raw))
    return refused.value.check


def with_header(text: str) -> RawIdToken:
    return sign(text.encode("utf-8", "surrogatepass"), b"{}")


def with_payload(text: str) -> RawIdToken:
    return sign(HEAD, text.encode("utf-8", "surrogatepass"))


def test_a_plain_token_passes_and_gives_its_parts() -> None:
    """A token as Entra makes it comes out as header, key name, payload, signed bytes and signature."""
    raw = token()
    jws = read_jws(raw)
    assert jws.algorithm == "RS256"
    assert jws.kid == KID
    assert jws.signing_input == raw.rpartition(".")[0].encode()
    assert read_claims(jws)["name"] == "Ada Lovelace"
    assert len(jws.signature) == 256


def test_the_parts_do_not_show_in_a_repr() -> None:
    """Nothing that could be replayed appears when the parts are printed."""
    jws = read_jws(token())
    assert "signature" not in repr(jws)
    assert "payload" not in repr(jws)


def test_read_kid_names_the_key_without_reading_further() -> None:
    """A key ring can be asked before the rest of the token is looked at."""
    assert read_kid(f"{b64(HEAD)}.!!!.AA") == KID
    assert read_kid(f"{b64(b'{}')}..AA") is None


@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "NONE", "", None, 5, ["RS256"], {"a": 1}, "rs256", "RS256 "]
)
def test_B1_only_the_allowed_algorithm_passes(alg: object) -> None:
    """Every spelling of "none", and anything else that is not exactly RS256, is refused."""
    assert refused_check(with_header(json.dumps({"alg": alg, "kid": KID}))) == "alg"


def test_B1_a_missing_algorithm_is_refused() -> None:
    """A header without alg does not fall back on anything."""
    assert refused_check(with_header('{"kid":"x"}')) == "alg"


@pytest.mark.parametrize(
    "alg", ["HS256", "HS512", "RS384", "RS512", "PS256", "ES256", "EdDSA", "dir", "RSA-OAEP"]
)
def test_B2_other_algorithms_are_refused_before_any_key_is_looked_at(alg: str) -> None:
    """Symmetric and unasked algorithms stop at the allow-list."""
    assert refused_check(with_header(json.dumps({"alg": alg, "kid": KID}))) == "alg"


def test_B4_an_absent_signature_is_refused() -> None:
    """A token that ends in a dot, or has only two parts, is no signed token."""
    signed, _, _ = token().rpartition(".")
    assert refused_check(signed + ".") == "form"
    assert refused_check(signed) == "form"


@pytest.mark.parametrize(
    "kid", ["", "\x00", "a\x00b", "a" * 257, "line\nbreak", "ké", "\u202e", None, 5, True, ["a"], {"a": "b"}]
)
def test_B7_a_strange_kid_is_refused(kid: object) -> None:
    """A key name that is not short and printable goes nowhere."""
    assert refused_check(with_header(json.dumps({"alg": "RS256", "kid": kid}))) == "kid"


@pytest.mark.parametrize("kid", ["../../x", "' OR 1", "%00", "a" * 256])
def test_B7_a_kid_is_only_ever_a_name(kid: str) -> None:
    """A printable key name passes the gate: it is compared with names, and never part of a path or query."""
    assert read_jws(with_header(json.dumps({"alg": "RS256", "kid": kid}))).kid == kid


def test_B7_half_a_surrogate_pair_in_the_header_is_refused() -> None:
    """A lone surrogate in kid, escaped or raw, is refused without an exception of another kind."""
    assert refused_check(with_header('{"alg":"RS256","kid":"\\ud800"}')) == "json"
    assert refused_check(with_header('{"alg":"RS256","kid":"\ud800"}')) == "json"


def test_B7_a_kid_of_a_megabyte_is_refused_by_size() -> None:
    """Size is looked at before the header is."""
    assert refused_check(with_header(json.dumps({"alg": "RS256", "kid": "a" * 1_000_000}))) == "size"


@pytest.mark.parametrize(
    "crit", [[], ["b64"], ["exp"], ["unknown"], "b64", None, {}, [1], ["b64", "b64"]], ids=json.dumps
)
def test_B10_any_crit_is_refused(crit: object) -> None:
    """A header that calls anything critical is refused, also an empty or malformed list."""
    assert refused_check(with_header(json.dumps(header(crit=crit, b64=True)))) == "crit"


@pytest.mark.parametrize(
    "member",
    [{"b64": True}, {"b64": False}, {"zip": "DEF"}, {"enc": "A256GCM"}, {"cty": "JWT"}],
    ids=json.dumps,
)
def test_B10_B11_headers_of_other_constructions_are_refused(member: dict[str, object]) -> None:
    """Unencoded payloads, compression, encryption and nesting are not for ID tokens."""
    assert refused_check(with_header(json.dumps(header(**member)))) == "header"


def test_B11_json_serialisation_is_refused() -> None:
    """The JSON forms of a signed token are not read, flattened or general."""
    head, payload, signature = token().split(".")
    flattened = {"protected": head, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    assert refused_check(json.dumps(flattened)) == "form"
    assert refused_check(json.dumps(general)) == "form"


def test_B11_an_encrypted_token_is_refused_quickly() -> None:
    """A password-based key with two thousand million rounds costs nothing: it is not read."""
    head = b64(
        json.dumps({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31, "p2s": "AA"}).encode()
    )
    started = time.thread_time()
    assert refused_check(f"{head}.AAAA.AAAA.AAAA.AAAA") == "form"
    assert refused_check(f"{head}.AAAA.AAAA") == "header"
    assert time.thread_time() - started < QUICK_SECONDS


def test_B11_a_token_within_a_token_is_refused() -> None:
    """A payload that is itself a token is not a set of claims."""
    assert refused_check(sign(HEAD, token().encode())) == "json"


def test_B12_a_token_over_64_kB_is_refused_before_parsing() -> None:
    """Five megabytes of header cost no more than looking at their length."""
    huge = with_header(json.dumps(header(x="a" * 5_000_000)))
    started = time.thread_time()
    assert refused_check(huge) == "size"
    assert time.thread_time() - started < QUICK_SECONDS


def test_B12_the_limit_is_exact() -> None:
    """64 kB passes the size check, one character more does not."""
    assert refused_check("a" * TOKEN_LIMIT_BYTES) == "form"
    assert refused_check("a" * (TOKEN_LIMIT_BYTES + 1)) == "size"


@pytest.mark.parametrize("spoil", ["=", "==", " ", "\n", "\t", "+", "/", "é", "\x00", "."])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_B13_any_stray_character_in_any_part_is_refused(spoil: str, part: int) -> None:
    """Padding, spaces, line ends, the standard alphabet and non-ASCII are not base64url."""
    parts = token().split(".")
    parts[part] += spoil
    assert refused_check(".".join(parts)) == "form"


@pytest.mark.parametrize(("canonical", "twin"), [("AQ", "AR"), ("AAE", "AAF"), ("_w", "_x")])
def test_B13_stray_last_bits_are_refused(canonical: str, twin: str) -> None:
    """Of the texts that decode to the same bytes, only the one with zero bits at the end is read."""
    assert urlsafe_b64encode(decode_base64url(canonical.encode())).rstrip(b"=") == canonical.encode()
    with pytest.raises(ValueError, match="stray"):
        decode_base64url(twin.encode())


@given(st.binary(max_size=64))
def test_base64url_reads_back_what_was_written(data: bytes) -> None:
    """Every byte string has one spelling, and that is read."""
    assert decode_base64url(urlsafe_b64encode(data).rstrip(b"=")) == data


@given(st.text(alphabet="AQgw0_-+/= \n.", max_size=12) | st.text(max_size=8))
def test_base64url_reads_only_the_canonical_spelling(text: str) -> None:
    """Whatever is accepted encodes back to exactly the same text."""
    try:
        data = decode_base64url(text.encode())
    except ValueError:
        return
    assert urlsafe_b64encode(data).rstrip(b"=").decode() == text


@pytest.mark.parametrize("member", ["sub", "iss", "aud", "exp"])
def test_B14_a_member_named_twice_is_refused(member: str) -> None:
    """Two values under one name leave open which one counts."""
    assert refused_check(with_payload(f'{{"{member}":"a","{member}":"a"}}')) == "json"


def test_B14_twins_in_the_header_and_deeper_are_refused() -> None:
    """The rule holds for alg in the header, at any depth, and for a name spelt with an escape."""
    assert refused_check(with_header('{"alg":"none","alg":"RS256"}')) == "json"
    assert refused_check(with_payload('{"a":[{"b":{"c":1,"c":1}}]}')) == "json"
    assert refused_check(with_payload('{"sub":"a","\\u0073ub":"b"}')) == "json"


@pytest.mark.parametrize("text", ['{"exp":NaN}', '{"exp":Infinity}', '{"exp":-Infinity}', '{"exp":1e999}'])
def test_B21_numbers_that_are_none_are_refused(text: str) -> None:
    """NaN, Infinity and what overflows into it are not JSON numbers here."""
    assert refused_check(with_payload(text)) == "json"


def test_B21_a_number_of_5000_digits_is_refused() -> None:
    """Long integers are refused by their length, not converted first."""
    assert refused_check(with_payload('{"exp":' + "9" * 5000 + "}")) == "json"
    assert read_json_object(b'{"n":' + b"9" * 20 + b"}") == {"n": int("9" * 20)}
    with pytest.raises(JsonRefused):
        read_json_object(b'{"n":' + b"9" * 21 + b"}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"a"',
        "5",
        "{",
        "{}{}",
        "{'a':1}",
        '{"a":1,}',
        '{"a":01}',
        '{"a":"\t"}',
        "\ufeff{}",
        "{\x00}",
    ],
)
def test_claims_that_are_no_json_object_are_refused(text: str) -> None:
    """One JSON object, strictly written, or nothing."""
    assert refused_check(with_payload(text)) == "json"


@pytest.mark.parametrize("payload", [b"\xff{}", b"\xc0\xaf", "{}".encode("utf-16"), b'{"a":"\xed\xa0\x80"}'])
def test_claims_that_are_not_utf8_are_refused(payload: bytes) -> None:
    """Other encodings, overlong forms and raw surrogates are refused."""
    assert refused_check(sign(HEAD, payload)) == "json"


def test_a_surrogate_pair_is_one_character() -> None:
    """An emoji written as an escaped pair is ordinary text."""
    assert read_json_object(b'{"name":"\\ud83d\\ude00"}') == {"name": "😀"}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_B33_deep_nesting_is_refused_without_a_recursion_error(opening: str, closing: str) -> None:
    """Five thousand levels are refused as such, quickly."""
    deep = with_payload('{"a":' + opening * 5000 + "1" + closing * 5000 + "}")
    started = time.thread_time()
    assert refused_check(deep) == "json"
    assert time.thread_time() - started < QUICK_SECONDS


def test_B33_the_depth_limit_is_exact_and_brackets_in_text_do_not_count() -> None:
    """32 levels are read, 33 are not, and a name full of brackets is no nesting."""
    just = '{"b":[],"a":' + "[" * (DEPTH_LIMIT - 1) + "]" * (DEPTH_LIMIT - 1) + "}"
    assert read_json_object(just.encode())
    with pytest.raises(JsonRefused):
        read_json_object(just.replace("[[]]", "[[[]]]").encode())
    assert read_json_object(json.dumps({"name": '["{' * 500 + "\\"}).encode())


@pytest.mark.parametrize(
    "text", ['{"a":"' + '\\"' * 30_000, '{"' * 20_000, '"' * 60_000 + "[" * 40, "\\" * 60_000]
)
def test_B33_broken_json_of_any_shape_is_refused_quickly(text: str) -> None:
    """No text makes the depth scan slow: it runs once over the bytes."""
    started = time.thread_time()
    with pytest.raises(JsonRefused):
        read_json_object((text + "[" * (DEPTH_LIMIT + 1)).encode())
    assert time.thread_time() - started < 2 * QUICK_SECONDS


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "JOSE", "", None, 5, ["JWT"], "application/at+jwt"])
def test_B28_another_type_is_refused(typ: object) -> None:
    """A header that calls the token something else than a plain JWT is refused."""
    assert refused_check(with_header(json.dumps(header(typ=typ)))) == "typ"


@pytest.mark.parametrize(
    "head", ['{"alg":"RS256"}', '{"alg":"RS256","typ":"JWT"}', '{"alg":"RS256","typ":"jwt"}']
)
def test_a_plain_or_absent_type_passes(head: str) -> None:
    """Entra writes JWT; the specification lets it be lower case or absent."""
    assert read_jws(with_header(head)).algorithm == "RS256"


def test_types_and_algorithms_are_the_callers_choice() -> None:
    """A reader of logout tokens asks for their type, and then a plain or untyped token is refused."""
    raw = with_header(json.dumps(header(typ="logout+jwt")))
    assert read_jws(raw, types=frozenset({"logout+jwt"}))
    with pytest.raises(TokenRefused):
        read_jws(token(), types=frozenset({"logout+jwt"}))
    with pytest.raises(TokenRefused):
        read_jws(with_header('{"alg":"RS256"}'), types=frozenset({"logout+jwt"}))
    assert read_jws(with_header('{"alg":"ES256"}'), algorithms=frozenset({"ES256"})).algorithm == "ES256"


@given(st.text() | st.text(alphabet='eyJhbGci.=_-{}"\\', max_size=200) | st.binary().map(b64))
def test_no_text_at_all_raises_anything_but_a_refusal(text: str) -> None:
    """Whatever stands where a token should be is refused as such."""
    for raw in (text, f"{text}.{text}.{text}", f"{b64(text.encode('utf-8', 'surrogatepass'))}.e30.AA"):
        try:
            read_claims(read_jws(raw))
        except EntradaError:
            continue


@given(st.text(max_size=100))
def test_no_header_or_payload_raises_anything_but_a_refusal(text: str) -> None:
    """Any JSON text in any place is read or refused."""
    for json_text in (text, json.dumps({text: text}), f'{{"alg":"RS256","kid":{json.dumps(text)}}}'):
        data = json_text.encode("utf-8", "surrogatepass")
        for raw in (f"{b64(data)}.e30.AA", f"{b64(HEAD)}.{b64(data)}.AA"):
            try:
                read_claims(read_jws(raw))
            except EntradaError:
                continue


def test_a_refusal_quotes_nothing_of_the_token() -> None:
    """Neither sentence nor hint of a refusal repeats what the token said."""
    for raw in (with_payload('{"secretname":1,"secretname":2}'), with_header('{"alg":"secretname"}')):
        with pytest.raises(TokenRefused) as refused:
            read_claims(read_jws(raw))
        assert "secretname" not in f"{refused.value} {refused.value.hint} {refused.value.detail}"
