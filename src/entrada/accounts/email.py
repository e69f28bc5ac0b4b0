"""Whether an e-mail address lies in a domain, decided strictly.

An address is refused, not repaired, when it could be read two ways: several @, a list, a look-alike letter,
a trailing dot. Only plain ASCII addresses can match.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)", re.ASCII)


def is_in_domains(email: str, domains: Collection[str]) -> bool:
    """True if the domain of `email` is one of `domains` (lower case), exactly; sub-domains do not count."""
    match = _ADDRESS.fullmatch(email)
    return match is not None and len(email) <= 254 and match[1].lower() in domains
