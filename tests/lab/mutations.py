"""What is done to requests: spelling of fields, paths, methods, upgrades, framing. Chosen by a seeded random.

The same seed and number make the same request, whatever the proxy.

Source: the cases D1 to D24 and F4; RFC 9112, sections 3, 5, 6 and 7.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .attempts import Attempt
from .framing import framed

PEOPLE = ("ada", "vi")
NOT_ALPHANUMERIC = "_____...!#$%&'*+^`|~-"
NO_TOKENS = [" ", "\t", "\x00", "\x0b", "\xad", "\xa0", "(", "/", "@", "[", "\xe2\x80\x90", "\x7f"]
IDENTITY = (
    "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
    "X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "Remote-User", "Remote-Groups",
    "X-Entrada-User", "X-Entrada-Assertion", "X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-ID",
)  # fmt: skip
PLACES = (
    "/status", "/assets/a.js", "/internal/x", "/admin/users", "/admin", "/reports", "/reports/7", "/",
    "/auth/login", "/auth/nginx",
)  # fmt: skip
OF_PATHS = (
    "X-Original-URI", "X-Original-URL", "X-Original-Method", "X-Original-Host", "X-Rewrite-URL",
    "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
    "X-Forwarded-For", "X-Forwarded-Port", "X-Envoy-Original-Path", "X-HTTP-Method-Override", "X-HTTP-Method",
    "X-Method-Override", "X-Accel-Redirect", "Forwarded", "X-Real-IP", "X-Envoy-Internal", "X-Script-Name",
)  # fmt: skip
METHODS = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW", "get",
    "delete", "Delete", "GE T", "", "\tGET", "GET\x00", "DELETE,GET", "M-SEARCH", "PURGE",
)  # fmt: skip
VERSIONS = (
    "HTTP/1.0",
    "HTTP/1.1",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/01.1",
    "",
)
SLASHES = (
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "//",
    "/./",
    "%252f",
    "%c0%af",
    "%e0%80%af",
    "%ef%bc%8f",
    "/%2e/",
    "/;/",
)
UPS = ("..", "%2e%2e", "%2e.", ".%2E", "..;", "..;x=1", "%252e%252e", "..%00", "%c0%ae%c0%ae", "..%09", "...")
ENDS = (
    "%00", "%0a", "%0d%0aX-A:%20b", ";", ";x", "#", "%23", "?", "%3f", ".", "%20", " ", "\x01", "\t", "\x7f",
    "%7f", "\xff", "%ff", "%", "%zz", "%u002f", "\xc0\xaf", "//", "/", "/.", "/..", "\\", "%5c", "*", "~",
    "?x=/../admin", ".json", "%e2%80%8b", "%c2%a0", "\x80", "%f0%9f%92%a9",
)  # fmt: skip


def make(seed: int, number: int) -> Attempt:
    """The attempt of this number: somebody's plain request, mutated once to three times."""
    chance = random.Random(f"{seed}-{number}")
    attempt = Attempt(number=number)
    attempt.target = _bytes(chance.choice(PLACES))
    attempt.headers = [b"Host: @HOST@", attempt.marker("a"), b"Connection: close"]
    whose = chance.choice((None, "ada", "ada", "vi", "vi"))
    attempt.people["a"] = frozenset({whose} if whose else ())
    if whose:
        attempt.headers.append(b"Cookie: @COOKIE:%s@" % whose.encode())
    if chance.random() < 0.3:
        attempt.headers.append(b"Sec-Fetch-Mode: cors")
    if chance.random() < 0.3:
        attempt.method = chance.choice((b"POST", b"DELETE", b"HEAD", b"OPTIONS"))
    for kind in chance.sample(list(MUTATIONS), k=chance.choice((1, 1, 1, 2, 2, 3)), counts=WEIGHTS):
        if kind not in attempt.kinds:
            attempt.kinds += (kind,)
            MUTATIONS[kind](attempt, chance)
    return attempt


def spelled(name: str, chance: random.Random) -> str:
    """The name as an application might still take it."""
    by = chance.choice(
        ("case", "sign", "sign", "signs", "signs", "signs", "case", "plain", "plain", "no token", "around")
    )
    if by == "case":
        return "".join(chance.choice((char.lower(), char.upper())) for char in name)
    if by == "sign":
        return name.replace("-", chance.choice(NOT_ALPHANUMERIC), chance.choice((1, 9)))
    if by == "signs":
        return "".join(chance.choice(NOT_ALPHANUMERIC) if char == "-" else char for char in name)
    if by == "no token":
        return name.replace("-", chance.choice(NO_TOKENS), chance.choice((1, 9)))
    if by == "around":
        return chance.choice((f"{name} ", f" {name}", f"{name}\t", f"\x00{name}", f"{name}\x00", f":{name}"))
    return name


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "ignore")


def _forged(chance: random.Random) -> str:
    return chance.choice(
        ("mallory@evil.test", "mallory", "ada@contoso.test", "Admin", "mallory,Admin", "", "mallory\x00")
    )


def _insert(attempt: Attempt, line: str, chance: random.Random) -> None:
    attempt.headers.insert(chance.randint(0, len(attempt.headers)), _bytes(line))


def _identity(attempt: Attempt, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice(IDENTITY[:4] if chance.random() < 0.6 else IDENTITY)
        line = f"{spelled(name, chance)}: {_forged(chance)}"
        for _ in range(chance.choice((1, 1, 2))):
            _insert(attempt, line, chance)


def _connection(attempt: Attempt, chance: random.Random) -> None:
    named = [
        *IDENTITY,
        *OF_PATHS,
        "Cookie",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "X-Lab-Other",
        "Authorization",
    ]
    options = [chance.choice(named) for _ in range(chance.choice((1, 2, 4)))]
    options = [chance.choice((str.lower, str.upper, str))(option) for option in options]
    _insert(attempt, f"{chance.choice(('Connection', 'connection', 'Keep-Alive', 'Proxy-Connection'))}: "
            f"{chance.choice(('close, ', ''))}{', '.join(options)}", chance)  # fmt: skip


def _folding(attempt: Attempt, chance: random.Random) -> None:
    name = spelled(chance.choice(IDENTITY[:4]), chance)
    break_ = chance.choice(
        ("\r\n ", "\r\n\t", "\n", "\r", "\n ", "\r\n\x0b", "\r\r\n", "\x00\r\n", "\n\n", "\x85")
    )
    _insert(
        attempt,
        chance.choice(
            (
                f"X-Note: a{break_}{name}: mallory",
                f"{name}:{break_}mallory",
                f"{name}: a{break_}mallory",
                ": mallory",
                f"X-Note\r\n{name}: mallory",
                f"X-Note;{name}: mallory",
                f"{name}",
                f":{name}: mallory",
            )
        ),
        chance,
    )


def _of_paths(attempt: Attempt, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 3))):
        name = chance.choice(OF_PATHS)
        value = chance.choice(
            ("/status", "/assets/a.js", "GET", "OPTIONS", "DELETE", "elsewhere.test", "127.0.0.1", "https")
        )
        _insert(attempt, f"{name if chance.random() < 0.5 else spelled(name, chance)}: {value}", chance)


def _path(attempt: Attempt, chance: random.Random) -> None:
    place, other = chance.choice(PLACES), chance.choice(PLACES)
    way = chance.choice(
        ("up", "up", "slash", "end", "end", "encode", "case", "absolute", "odd", "two", "long")
    )
    if way == "up":
        slash = chance.choice(("/", "/", chance.choice(SLASHES)))
        cut = chance.choice(("", ";", "%00", "%23", "?", "/x"))
        place = f"{place}{cut}{slash}{chance.choice(UPS)}{slash}{other.lstrip('/')}"
    elif way == "slash":
        head, _, tail = place.rpartition("/")
        place = f"{head}{chance.choice(SLASHES)}{tail}"
    elif way == "end":
        at = chance.randint(1, len(place))
        end = chance.choice(ENDS)
        place = chance.choice((place + end, place[:at] + end + place[at:]))
    elif way == "encode":
        place = "".join(
            f"%{ord(char):02{chance.choice('xX')}}" if chance.random() < 0.3 else char for char in place
        )
    elif way == "case":
        place = chance.choice(
            (place.upper(), place.title(), place.replace("a", "\u0430").replace("i", "%c4%b0"))
        )
    elif way == "absolute":
        place = (
            chance.choice(
                (
                    "http://@HOST@",
                    "https://elsewhere.test",
                    "HTTP://x@@HOST@",
                    "http:",
                    "//elsewhere.test",
                    "ftp://@HOST@",
                )
            )
            + place
        )
    elif way == "odd":
        place = chance.choice(
            (
                "*",
                "",
                place[1:],
                f" {place}",
                f"\t{place}",
                f"@elsewhere.test{place}",
                f"{place} {other}",
                "?",
                "#",
                f"/?{place}",
                f"/#{other}",
            )
        )
    elif way == "two":
        place = f"{place}{chance.choice(('?', '#', '%3f', ';', '%3b', '%09', '&'))}{other}"
    else:
        place = place + "/" + chance.choice(("a", "%41", "a/", "../")) * chance.choice((200, 3000))
    attempt.target = place.encode("utf-8") if chance.random() < 0.5 else _bytes(place)


def _method(attempt: Attempt, chance: random.Random) -> None:
    attempt.method = _bytes(chance.choice(METHODS))
    if chance.random() < 0.3:
        attempt.version = _bytes(chance.choice(VERSIONS))
    attempt.may_hang = True


def _host(attempt: Attempt, chance: random.Random) -> None:
    other = chance.choice(
        (
            "elsewhere.test",
            "@HOST@",
            "",
            "@HOST@/status?x=",
            "@HOST@.",
            "a b",
            "@HOST@@x",
            "[::1]",
            "\x00",
            "@HOST@, x",
        )
    )
    name = chance.choice(("Host", "host", "HOST", "Host ", "H_ost", "X-Forwarded-Host"))
    line = f"{name}: {other}"
    if chance.random() < 0.4:
        attempt.headers = [one for one in attempt.headers if not one.startswith(b"Host")]
    _insert(attempt, line, chance)
    attempt.may_hang = True


def _cookie(attempt: Attempt, chance: random.Random) -> None:
    who = chance.choice(PEOPLE)
    cookie, many = f"@COOKIE:{who}@", "; ".join(f"c{number}=1" for number in range(200))
    line = chance.choice((
        f"Cookie: {cookie}", f"Cookie: a=b; {cookie}", f"Cookie: {cookie}; {cookie}", f"cookie: {cookie}=",
        f"Cookie: {cookie[:-1]}", f'Cookie: "{cookie}"', f"Cookie: ={cookie}", f"Cookie: {cookie};;;",
        f"Cookie: {many}; {cookie}", f"Cookie:{cookie}", f"Cookie_: {cookie}",
        f"Cookie: $Version=1; {cookie}", f"Cookie: {cookie}, {cookie}", f"Cookie: {cookie}\x00",
    ))  # fmt: skip
    _insert(attempt, line, chance)
    attempt.people["a"] |= {who}


def _upgrade(attempt: Attempt, chance: random.Random) -> None:
    if attempt.method != b"POST":
        attempt.method = b"GET"
    attempt.headers = [one for one in attempt.headers if one != b"Connection: close"]
    to = chance.choice(
        ("websocket", "websocket", "h2c", "echo", "WebSocket", "websocket, h2c", "TLS/1.0", "")
    )
    by = chance.choice(("Upgrade", "upgrade", "Upgrade, HTTP2-Settings", "close, Upgrade", "keep-alive"))
    lines = [
        f"Upgrade: {to}",
        f"Connection: {by}",
    ]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="] * chance.choice((0, 1, 1))
    lines += [f"Sec-WebSocket-Version: {chance.choice((13, 1, 777))}"]
    lines += ["HTTP2-Settings: AAMAAABkAAQAAP__"] * ("h2c" in to)
    attempt.headers += [_bytes(line) for line in lines]
    attempt.may_hang = True
    if chance.random() < 0.5:
        attempt.behind = _request(attempt, "h", chance, cookie=False)


def _request(attempt: Attempt, letter: str, chance: random.Random, *, cookie: bool = True) -> bytes:
    """A whole request for the middle or the end of another."""
    whose = chance.choice((None, *PEOPLE)) if cookie else None
    attempt.people[letter] = frozenset({whose} if whose else ())
    lines = [
        b"%s %s HTTP/1.1" % (chance.choice((b"GET", b"POST", b"DELETE")), _bytes(chance.choice(PLACES))),
        b"Host: @HOST@" if letter == "p" else b"Host: localhost",
        attempt.marker(letter),
        _bytes(f"{chance.choice(IDENTITY[:4])}: {_forged(chance)}"),
    ]
    if whose:
        lines.append(b"Cookie: @COOKIE:%s@" % whose.encode())
    lines.append(b"Content-Length: 0")
    if letter == "p":
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", b""])


def _pipelined(attempt: Attempt, chance: random.Random) -> None:
    attempt.headers = [one for one in attempt.headers if one != b"Connection: close"]
    attempt.behind = _request(attempt, "p", chance)
    attempt.answers, attempt.may_hang = 2, True


def _framing(attempt: Attempt, chance: random.Random) -> None:
    """A body about whose length two readers could differ, often with a request in it."""
    attempt.method = chance.choice((b"POST", b"POST", b"PUT", b"GET", attempt.method))
    attempt.headers = [one for one in attempt.headers if chance.random() < 0.5 or one != b"Connection: close"]
    hidden = _request(attempt, "h", chance, cookie=False)
    if chance.random() < 0.3:
        # The next client's request would become the value of a field.
        hidden = hidden[: hidden.rindex(b"Content-Length")] + b"X-Swallowed: "
    inside = chance.choice((hidden, hidden, b"hello", b""))
    names = chance.sample(IDENTITY, 2)
    names = names if chance.random() < 0.5 else [spelled(name, chance) for name in names]
    trailers = [_bytes(f"{name}: mallory") for name in names]
    trailers += chance.choice(([], [b"Content-Length: 5"], [b"Host: x"], [b"Transfer-Encoding: chunked"]))
    lines, attempt.body = framed(inside, trailers, chance)
    for line in lines:
        _insert(attempt, line, chance)
    attempt.may_hang = True
    if chance.random() < 0.2:
        attempt.behind = _request(attempt, "p", chance)
        attempt.answers = 2


MUTATIONS: dict[str, Callable[[Attempt, random.Random], None]] = {
    "identity": _identity,
    "connection": _connection,
    "folding": _folding,
    "of paths": _of_paths,
    "path": _path,
    "method": _method,
    "host": _host,
    "cookie": _cookie,
    "upgrade": _upgrade,
    "pipelined": _pipelined,
    "framing": _framing,
}
WEIGHTS = [6, 2, 3, 4, 8, 2, 1, 2, 2, 1, 4]
