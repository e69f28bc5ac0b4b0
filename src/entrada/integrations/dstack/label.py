"""The words on dstack's own button.

dstack says "Continue with EntraID" and has no setting for it. Its page's script is served with that one text
changed, if it is there exactly once and nothing about the change can be misread; else untouched.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from entrada.errors import named
from entrada.web.messages import WebRequest, WebResponse

log = logging.getLogger("entrada")

_STOCK = re.compile(rb'"login_entra":"(?:Continue|Sign in) with EntraID"')
# The text stands in JSON inside a quoted string of JavaScript: nothing that either of them treats as special.
_PLAIN = re.compile(r"[A-Za-z0-9 .,:()/&+-]{1,80}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class LabelledScript:
    body: bytes = field(repr=False)
    tag: str

    def response_to(self, request: WebRequest) -> WebResponse:
        """dstack's script with the documented label, or 304 for who has it already."""
        headers = [("etag", self.tag), ("cache-control", "no-cache"), ("x-content-type-options", "nosniff")]
        if request.headers.get("if-none-match") == self.tag:
            return WebResponse(status=304, headers=headers)
        return WebResponse(
            status=200, headers=[("content-type", "text/javascript; charset=utf-8"), *headers], body=self.body
        )


def labelled_scripts(scripts: Mapping[str, bytes], label: str) -> Mapping[str, LabelledScript]:
    """By path, the scripts with the label in place; without those where that cannot be done soundly."""
    if not _PLAIN.fullmatch(label):
        log.warning(
            named("$[sign_in_label] holds characters that dstack's page cannot take; dstack's own stays.")
        )
        return {}
    made = {}
    for name, script in scripts.items():
        if len(_STOCK.findall(script)) == 1:
            body = _STOCK.sub(b'"login_entra":"%b"' % label.encode(), script)
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            made[f"/{name}"] = LabelledScript(body=body, tag=tag)
    if scripts and not made:
        log.info("dstack's button keeps its own words: they are not where this plug-in knows them.")
    return made
