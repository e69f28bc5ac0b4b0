"""How every page is made: templates, the stylesheet, the one script, and the policy that belongs to them.

Refuses outside requests, and inline styles and scripts other than those whose hash the policy names.
Knows no framework and no request: values in, a `Page` out; the caller picks the status code and sends
`Cache-Control: no-store` and `Referrer-Policy: no-referrer` with it.

Everything shown is escaped, and stripped of control characters and of the marks that reverse the reading
direction, because names, e-mail addresses and Entra's descriptions are written by strangers.

Source: W3C, Content Security Policy Level 3; WCAG 2.2 level AA.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from entrada.errors import NameOf, native_name
from entrada.web.pages.values import Page

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

CSRF_FIELD: Final = "csrf_token"
"""The name under which a page's form posts the token it was given."""


class Rendering:
    """Cheap to make; templates are compiled once, at their first use.

    `application_name` is what people call it; None leaves the name out wherever it would stand.
    `names` says what the administrator calls a setting.
    """

    def __init__(self, *, application_name: str | None = None, names: NameOf = native_name) -> None:
        self._application_name = application_name or None
        self.names = names

    def _page(
        self,
        template: str,
        *,
        form_action_hosts: Sequence[str] | None = None,
        frame_ancestors: str = "'none'",
        script: str | None = None,
        **values: object,
    ) -> Page:
        """`script` names a file of ours that the page carries; `frame_ancestors` who may frame it."""
        code = None if script is None else static_text(script)
        html = self._environment.get_template(template).render(values, script=code)
        policy = _policy(form_action_hosts, frame_ancestors=frame_ancestors, script=code)
        return Page(html=html.encode(), content_security_policy=policy)

    @cached_property
    def _environment(self) -> Environment:
        # Imported here: the base install does without Jinja2, and start-up without its cost.
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup

        environment = Environment(
            loader=PackageLoader("entrada.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_presentable,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"here": safe_path, "cut": _cut, "addresses": _with_addresses, "ours": Markup}
        environment.globals |= {
            "application_name": self._application_name,
            "csrf_field": CSRF_FIELD,
            "icon": _icon(),
            "stylesheet": stylesheet(),
        }
        return environment


def stylesheet() -> str:
    """The stylesheet of every page. Its custom properties are the design tokens."""
    return static_text("entrada.css")


@cache
def static_text(name: str) -> str:
    """A stylesheet or script of ours, without its comments."""
    from importlib.resources import files  # imported here: slow to import, needed once

    text = (files("entrada.web") / "static" / name).read_text(encoding="utf-8")
    return re.sub(r"\n\s*", "\n", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


@cache
def source_hash(text: str) -> str:
    """A stylesheet or script as a source expression, for the policy of a page that inlines it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def script_page(html: str, script: str) -> Page:
    """A page that runs the one `script` that stands in `html`, and fetches nothing."""
    policy = f"default-src 'none'; script-src {source_hash(script)}; base-uri 'none'; frame-ancestors 'none'"
    return Page(html=html.encode(), content_security_policy=policy)


def safe_path(path: str) -> str:
    """`path` if it stays on this origin, else "/". The last net; who takes a path from a visitor checks it.

    Refused: anything that a browser could read as another scheme or host, control characters included.
    """
    return path if _LOCAL_PATH.fullmatch(path) else "/"


_LOCAL_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\x9f\ud800-\udfff]{0,4095}")
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ADDRESS = re.compile(r"https?://[^\s<>\"'`]+")


def _policy(form_action_hosts: Sequence[str] | None, *, frame_ancestors: str, script: str | None) -> str:
    """`form_action_hosts` None: the page has no form.

    Chromium holds the redirects after a form post to `form-action` too, so the host that a sign-out ends at
    has to be named.
    """
    form_action = "'none'"
    if form_action_hosts is not None:
        form_action = " ".join(("'self'", *map(origin_of, form_action_hosts)))
    script_src = "" if script is None else f"script-src {source_hash(script)}; "
    return (
        f"default-src 'none'; style-src {source_hash(stylesheet())}; {script_src}img-src data:; "
        f"form-action {form_action}; base-uri 'none'; frame-ancestors {frame_ancestors}"
    )


def origin_of(url: str) -> str:
    """The origin of an http(s) URL, as a policy writes it.

    Raises:
        ValueError: not such a URL; a policy is no place for anything else.
    """
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"not an http or https origin: {url!r}")
    return origin


def _presentable(value: Any) -> Any:
    """Jinja hands every value that a template shows through here."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _UNWANTED.sub(" ", value)
    return value


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _with_addresses(text: str) -> Markup:
    """The text, escaped, with addresses set off so that they can be copied whole. Never a link."""
    from markupsafe import Markup

    text = _presentable(text)
    shown, end = Markup(), 0
    for match in _ADDRESS.finditer(text):
        address = match.group().rstrip(".,;:!?)")
        shown += Markup('{}<code class="address">{}</code>').format(text[end : match.start()], address)
        end = match.start() + len(address)
    return shown + text[end:]


def _icon() -> str:
    """The mark as a data address, so that a browser asks nobody for a favicon."""
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48'>"
        "<path fill='#e7b963' d='M6 46V20a18 18 0 0 1 36 0v26z'/>"
        "<path fill='#347a61' d='M6 46V20C6 9 11 3 19 3s13 6 13 16v23z'/>"
        "<circle fill='#fff' cx='26' cy='27' r='2.5'/></svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe="/:=' ")
