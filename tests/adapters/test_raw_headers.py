"""Headers that are read when they are asked for say what headers say that were read at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from entrada.adapters.asgi import web_request
from entrada.adapters.raw_headers import AsgiHeaders, WsgiHeaders

NAMES = st.sampled_from([b"cookie", b"host", b"accept", b"x-a"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=5)), max_size=6)


@given(FIELDS)
def test_asgi_headers_are_joined_as_http_says(fields: list[tuple[bytes, bytes]]) -> None:
    """Cookies by a semicolon, all others by a comma, in their order; what is not there is not there."""
    expected: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode(), raw_value.decode("latin-1")
        separator = "; " if name == "cookie" else ", "
        expected[name] = f"{expected[name]}{separator}{value}" if name in expected else value
    headers = AsgiHeaders(fields)
    assert headers == expected
    for name in ("cookie", "host", "accept", "x-a", "Cookie", "ħ"):
        assert (name in headers, headers.get(name), headers.get(name, "")) == (
            name in expected,
            expected.get(name),
            expected.get(name, ""),
        )


def test_what_the_application_does_to_its_scope_changes_nothing() -> None:
    """The request was judged by what came."""
    fields = [(b"cookie", b"a=1"), (b"host", b"app.test")]
    request = web_request({"path": "/", "query_string": b"", "headers": fields})
    fields[0] = (b"cookie", b"a=2")
    assert request.headers["cookie"] == "a=1"
    environ = {"HTTP_COOKIE": "a=1"}
    headers = WsgiHeaders(environ)
    environ["HTTP_COOKIE"] = "a=2"
    assert headers["cookie"] == "a=1"


def test_wsgi_headers_are_those_of_the_environ() -> None:
    """Type and length of a body have no prefix there, and are none when they are empty."""
    environ = {"HTTP_X_FORWARDED_FOR": "a", "HTTP_COOKIE": "", "CONTENT_TYPE": "text/plain", "wsgi.input": 1}
    expected = {"x-forwarded-for": "a", "cookie": "", "content-type": "text/plain"}
    headers = WsgiHeaders({**environ, "CONTENT_LENGTH": "", "PATH_INFO": "/"})
    assert headers == expected
    assert len(headers) == len(expected)
    assert "content-length" not in headers
    assert "path-info" not in headers
