"""The pages people see: signing in, signing out, and every refusal as something they can act on.

Owns the templates, the stylesheet and the content security policy that belongs to them.
Refuses scripts, outside requests and inline styles other than the one whose hash the policy names.
Knows no framework and no request: values in, a `Page` out; the caller picks the status code and sends
`Cache-Control: no-store` and `Referrer-Policy: no-referrer` with it.

Everything shown is escaped, and stripped of control characters and of the marks that reverse the reading
direction, because names, e-mail addresses and Entra's descriptions are written by strangers.

Source: W3C, Content Security Policy Level 3; WCAG 2.2 level AA; Microsoft, "Sign in with Microsoft: branding
guidelines for applications".
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from entrada.errors import EntradaError, NameOf, native_name
from entrada.web.failure_words import FIXERS, evidence_of, heading_of
from entrada.web.page_parts import Action, Fact, Notice, Page

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

CSRF_FIELD: Final = "csrf_token"
"""The name under which a page's form posts the token it was given."""

DEFAULT_LABEL: Final = "Sign in with Microsoft Entra ID"


class Pages:
    """Every page of one application. Cheap to make; templates are compiled at their first use and kept.

    `application_name` is what people call it; None leaves the name out wherever it would stand.
    `names` says what the administrator calls a setting.
    """

    def __init__(self, *, application_name: str | None = None, names: NameOf = native_name) -> None:
        self._application_name = application_name or None
        self.names = names

    def login(
        self,
        *,
        start_path: str,
        label: str = DEFAULT_LABEL,
        notice: Notice | None = None,
        insecure_http: bool = False,
    ) -> Page:
        """The sign-in page: one button that leads to `start_path`."""
        return self._page(
            "login.html", start_path=start_path, label=label, notice=notice, insecure_http=insecure_http
        )

    def failure(
        self,
        error: EntradaError,
        *,
        login_path: str,
        correlation_id: str,
        when: datetime,
        retry_path: str | None = None,
    ) -> Page:
        """What happened, what to do, who can do it, and the evidence.

        `correlation_id` is the request's own, as the log has it. `retry_path` None: trying again is no help.
        """
        fixer, fixer_sentence = FIXERS[error.fixer]
        sentence, hint = error.told(self.names)
        return self._page(
            "failure.html",
            heading=heading_of(error),
            sentence=sentence,
            hint=hint,
            fixer=fixer,
            fixer_sentence=fixer_sentence,
            retry_path=retry_path,
            login_path=login_path,
            evidence=evidence_of(error, correlation_id, when, self.names),
        )

    def signed_out(self, *, login_path: str) -> Page:
        """The end of a sign-out. Leads to the sign-in page only when asked to."""
        return self._page("signed_out.html", login_path=login_path)

    def confirm_sign_out(
        self,
        *,
        logout_path: str,
        csrf_token: str,
        name: str,
        next_path: str = "/",
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """Asks before signing out, for a sign-out that came as a link. `next_path` is where staying leads."""
        sign_out = Action(label="Sign out", path=logout_path, csrf_token=csrf_token, first=True)
        return self._page(
            "confirm_sign_out.html",
            form_action_hosts=form_action_hosts,
            sign_out=sign_out,
            name=name,
            next_path=next_path,
        )

    def signed_in(
        self,
        *,
        logout_path: str,
        csrf_token: str,
        name: str,
        email: str | None,
        roles: Sequence[str],
        application_path: str = "/",
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """Who is signed in, with which roles, and the way out."""
        actions = (
            Action(label="Go to the application", path=application_path, first=True),
            Action(label="Sign out", path=logout_path, csrf_token=csrf_token),
        )
        return self._page(
            "signed_in.html",
            form_action_hosts=form_action_hosts,
            name=name,
            email=email,
            roles=tuple(roles),
            actions=actions,
        )

    def note(
        self,
        title: str,
        *,
        paragraphs: Sequence[str] = (),
        facts: Sequence[Fact] = (),
        actions: Sequence[Action] = (),
        notice: Notice | None = None,
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """A page of the same make for anything else that has to be said."""
        return self._page(
            "note.html",
            form_action_hosts=form_action_hosts,
            title=title,
            paragraphs=tuple(paragraphs),
            facts=tuple(facts),
            actions=tuple(actions),
            notice=notice,
        )

    def front_channel_done(self, *, framed_by: Sequence[str]) -> Page:
        """Nothing to see, in a frame of Entra's. `framed_by` are the only origins that may show it.

        Source: OpenID Connect Front-Channel Logout 1.0, section 3.
        """
        ancestors = " ".join(map(_origin, framed_by)) or "'none'"
        policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
        html = self._environment.get_template("front_channel_done.html").render()
        return Page(html=html.encode(), content_security_policy=policy)

    def _page(
        self, template: str, *, form_action_hosts: Sequence[str] | None = None, **values: object
    ) -> Page:
        html = self._environment.get_template(template).render(values)
        return Page(html=html.encode(), content_security_policy=_policy(form_action_hosts))

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
        environment.filters |= {"here": safe_path, "cut": _cut, "addresses": _with_addresses}
        environment.globals |= {
            "application_name": self._application_name,
            "csrf_field": CSRF_FIELD,
            "icon": _icon(),
            # Our own file, and the policy carries its hash.
            "stylesheet": Markup(stylesheet()),  # noqa: S704
        }
        return environment


@cache
def stylesheet() -> str:
    """The stylesheet of every page, without its comments. Its custom properties are the design tokens."""
    from importlib.resources import files  # imported here: slow to import, needed once

    text = (files("entrada.web") / "static" / "entrada.css").read_text(encoding="utf-8")
    return re.sub(r"\n\s*", "\n", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


@cache
def stylesheet_hash() -> str:
    """The stylesheet as a source expression, for the policy of a page that inlines it."""
    digest = hashlib.sha256(stylesheet().encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def safe_path(path: str) -> str:
    """`path` if it stays on this origin, else "/". The last net; who takes a path from a visitor checks it.

    Refused: anything that a browser could read as another scheme or host, control characters included.
    """
    return path if _LOCAL_PATH.fullmatch(path) else "/"


_LOCAL_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\x9f\ud800-\udfff]{0,4095}")
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ADDRESS = re.compile(r"https?://[^\s<>\"'`]+")


def _policy(form_action_hosts: Sequence[str] | None) -> str:
    """`form_action_hosts` None: the page has no form.

    Chromium holds the redirects after a form post to `form-action` too, so the host that a sign-out ends at
    has to be named.
    """
    form_action = "'none'"
    if form_action_hosts is not None:
        form_action = " ".join(("'self'", *map(_origin, form_action_hosts)))
    return (
        f"default-src 'none'; style-src {stylesheet_hash()}; img-src data:; "
        f"form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )


def _origin(url: str) -> str:
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
