"""Names that a page makes up for its session with the application, each kept to the caller it came from.

An application that finds a session by such a name alone gives it to whoever says the name. So the application
gets every one with the caller's mark behind it (`s_a1b2c3-5f1c…`), in whatever spelling of the parameter or
field it came: another caller's, or the same one's with other roles, is another session.

    to_application(target, names, caller)        the target of a request, parameters of these names marked
    value_to_application(field, names, caller)   the value of a field, marked if its name is one of these
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from entrada.adapters.identity_fields import folded_name
from entrada.gateway.caller import Caller
from entrada.gateway.fields import Field
from entrada.gateway.own_cookies import tag_of


def to_application(target: bytes, names: frozenset[str], caller: Caller | None) -> bytes:
    """The same target where none of the names stands in its query."""
    path, mark, query = target.partition(b"?")
    if not names or not query:
        return target
    tag = _tag(caller)
    pairs = [
        pair + (b"" if b"=" in pair else b"=") + tag if _name_of(pair) in names else pair
        for pair in query.split(b"&")
    ]
    return path + mark + b"&".join(pairs)


def value_to_application(field: Field, names: frozenset[str], caller: Caller | None) -> bytes:
    name, value = field
    return value + _tag(caller) if names and folded_name(name).decode("latin-1") in names else value


def _tag(caller: Caller | None) -> bytes:
    return b"-" + tag_of(caller).encode()


def _name_of(pair: bytes) -> str:
    """As applications read it; `session_id` and `session%5Fid` are one."""
    return unquote_plus(pair.partition(b"=")[0].decode("latin-1"))
