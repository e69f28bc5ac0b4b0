"""Where a person may be sent after signing in: a path on this very origin, or the front page.

One pattern decides, after the one decoding that reading the query is. It was chosen against 876 public
open-redirect payloads as a WHATWG URL parser reads them; see tests/web/test_redirects.py.
What passes stays as it is, byte for byte: a lone percent sign, an encoded slash, a backslash in the query.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote

from entrada.errors import AddressTooLong

LONGEST_PATH = 2_048
FRONT_PAGE = "/"

# A backslash in the path is a slash to browsers; behind the question mark it is a backslash.
_SAFE = re.compile(r"/(?![/\\])[^\\?#\x00-\x20\x7f]*(?:[?#][^\x00-\x20\x7f]*)?")
_KEPT = "/%?&=+,;:@!$'()*~#[]-._|^{}`\\"


def safe_next_path(text: str | None, *, own_prefix: str, landings: Collection[str] = ()) -> str:
    """`text` if it is a path (with query) on this origin and not one of our own pages; else the front page.

    `landings` are those of our own that a sign-in may lead to.
    The result is plain ASCII, ready for a Location header.

    Raises:
        AddressTooLong: it is such a path, and longer than a sign-in can keep.
    """
    if not text or not _SAFE.fullmatch(text):
        return FRONT_PAGE
    path = text.partition("?")[0].partition("#")[0]
    if (path == own_prefix or path.startswith(f"{own_prefix}/")) and path not in landings:
        return FRONT_PAGE
    encoded = quote(text, safe=_KEPT, errors="replace")
    if len(encoded) > LONGEST_PATH:
        raise AddressTooLong
    return encoded
