"""The pages people see: one frame, small parts, everything that came from outside escaped.

Nothing is loaded from elsewhere, nothing is inline: style and scripts are files of their own,
so that the Content-Security-Policy can refuse all else.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ..protocol.http import Response

if TYPE_CHECKING:
    from ..directory.records import App, Person
    from ..protocol.errors import Incident
    from ..protocol.scopes import RequestedScope

ASSETS = "/_emulator/assets"
_NOTHING = "'none'"
_LOOPBACK_SOURCES = "http://localhost:* https://localhost:* http://127.0.0.1:*"


def attribute(text: str) -> str:
    """Text safe inside a quoted attribute or an element."""
    return escape(text, quote=True)


def page(
    title: str,
    body: str,
    *,
    status: int = 200,
    script: str = "",
    form_target: str = "",
    frames: str = "",
    refresh: str = "",
    wide: bool = False,
) -> Response:
    """A whole page.

    `form_target` is a further origin a form may end at, since browsers apply `form-action` to the
    redirects that follow; `frames` lists what may be framed; `refresh` is a checked URL to go on to.
    """
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action 'self' {_LOOPBACK_SOURCES} {form_target}; frame-src {frames or _NOTHING}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    head = f'<script src="{ASSETS}/{script}.js" defer></script>' if script else ""
    if refresh:
        head += f'<noscript><meta http-equiv="refresh" content="3;url={attribute(refresh)}"></noscript>'
    document = (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"<title>{attribute(title)} - Entra emulator</title>"
        f'<link rel="stylesheet" href="{ASSETS}/style.css">'
        f'<link rel="icon" href="{ASSETS}/icon.svg" type="image/svg+xml">{head}</head>'
        f'<body><main class="card{" wide" if wide else ""}">'
        '<p class="brand"><span class="mark" aria-hidden="true"></span>Entra emulator</p>'
        f"<h1>{attribute(title)}</h1>{body}</main>"
        "<footer><p>A stand-in for Microsoft Entra ID on this machine. No real account is involved. "
        '<a href="/_emulator/">Open the emulator</a></p></footer></body></html>\n'
    )
    return Response(
        status=status,
        body=document.encode("utf-8", "replace"),
        content_type="text/html; charset=utf-8",
        headers=[
            ("content-security-policy", policy),
            ("cache-control", "no-store, no-cache"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
        ],
    )


def _form(action: str, reference: str, inside: str, *, label: str = "") -> str:
    name = f' aria-label="{attribute(label)}"' if label else ""
    return (
        f'<form method="post" action="{attribute(action)}"{name}>'
        f'<input type="hidden" name="ctx" value="{attribute(reference)}">{inside}</form>'
    )


_CANCEL = '<button name="action" value="cancel" formnovalidate>Cancel</button>'
"""Never the first button of a form with fields: Enter in a field presses the first."""


def _initials(name: str) -> str:
    return "".join(word[:1] for word in name.split()[:2]).upper() or "?"


_KINDS = {"block": "blocked by policy", "mfa": "second factor"}


def _tile(person: Person, *, signed_in: bool, roles: list[str]) -> str:
    notes = [
        *roles,
        "signed in" if signed_in else "",
        "guest" if person.guest else "",
        "" if person.enabled else "disabled",
        _KINDS.get(person.conditional_access, ""),
        f"AADSTS{person.error}" if person.error else "",
    ]
    tags = "".join(f'<span class="tag">{attribute(note)}</span>' for note in notes if note)
    return (
        f'<li><button class="tile" name="pick" value="{attribute(person.object_id)}">'
        f'<span class="avatar" aria-hidden="true">{attribute(_initials(person.display_name))}</span>'
        f'<span class="who"><strong>{attribute(person.display_name or person.sign_in_name)}</strong>'
        f"<small>{attribute(person.sign_in_name)}</small>"
        f"{f'<small class=job>{attribute(person.job_title)}</small>' if person.job_title else ''}</span>"
        f"<span class=tags>{tags}</span></button></li>"
    )


def account_picker(
    action: str,
    reference: str,
    *,
    app: App,
    people: list[tuple[Person, list[str]]],
    signed_in: set[str],
    hint: str,
    form_target: str,
    problem: str = "",
) -> Response:
    """Pick an account, type another name, or cancel; each person with the roles held at the application."""
    tiles = "".join(
        _tile(person, signed_in=person.object_id in signed_in, roles=roles) for person, roles in people
    )
    alert = f'<p class="alert" role="alert">{attribute(problem)}</p>' if problem else ""
    other = (
        '<div class="other"><label for="name">Another account</label>'
        '<div class="row"><input id="name" name="name" autocomplete="username" spellcheck="false" '
        f'placeholder="name@contoso.test" value="{attribute(hint)}">'
        '<button class="primary" name="action" value="name">Next</button></div></div>'
    )
    body = (
        f'<p class="lead">to continue to <strong>{attribute(app.display_name or app.client_id)}</strong></p>'
        + alert
        + _form(action, reference, f'<ul class="tiles">{tiles}</ul>', label="Accounts")
        + _form(action, reference, other)
        + _form(action, reference, f'<div class="actions">{_CANCEL}</div>')
    )
    return page("Pick an account", body, form_target=form_target)


def second_factor(
    action: str, reference: str, *, person: Person, form_target: str, problem: str = ""
) -> Response:
    """Ask for the code of a second factor."""
    alert = f'<p class="alert" id="problem" role="alert">{attribute(problem)}</p>' if problem else ""
    inside = (
        f'{alert}<label for="code">Code</label>'
        '<input id="code" name="otp" inputmode="numeric" autocomplete="one-time-code" maxlength="6" '
        'pattern="[0-9]{6}" required autofocus aria-describedby="explain">'
        '<div class="actions"><button class="primary" name="action" value="otp">Verify</button>'
        f"{_CANCEL}</div>"
    )
    body = (
        f'<p class="lead">{attribute(person.sign_in_name)}</p>'
        '<p id="explain">Policy asks for a second factor. '
        "Any six digits are right here, except 000000, which stands for a wrong code.</p>"
        + _form(action, reference, inside)
    )
    return page("Enter code", body, form_target=form_target)


def consent(
    action: str,
    reference: str,
    *,
    app: App,
    person: Person,
    permissions: list[str],
    scope: RequestedScope,
    form_target: str,
) -> Response:
    """Ask for consent to permissions."""
    names = [permission.rpartition("/")[2] for permission in permissions] or [*scope.oidc, *scope.permissions]
    items = "".join(f"<li>{attribute(name)}</li>" for name in names)
    organisation = (
        '<label class="check"><input type="checkbox" name="organisation" value="1"> '
        "Consent on behalf of the organisation</label>"
        if person.administrator
        else ""
    )
    inside = (
        f'<ul class="plain">{items}</ul>{organisation}'
        '<div class="actions"><button class="primary" name="action" value="consent">Accept</button>'
        f"{_CANCEL}</div>"
    )
    body = (
        f'<p class="lead">{attribute(person.sign_in_name)}</p>'
        f"<p><strong>{attribute(app.display_name or app.client_id)}</strong> would like to:</p>"
        + _form(action, reference, inside)
    )
    return page("Permissions requested", body, form_target=form_target)


def error_page(happened: Incident, *, return_url: str = "", status: int = 200) -> Response:
    """Entra's own page for what it does not return to the application."""
    error = happened.error
    link = (
        f'<p><a class="button" href="{attribute(return_url)}">Return this error to the application</a></p>'
        "<p><small>The live service has no such link; it is here for tests.</small></p>"
        if return_url
        else ""
    )
    body = (
        f'<p class="alert" role="alert">AADSTS{error.code}: {attribute(error.sentence)}</p>'
        "<h2>Details</h2><dl>"
        f"<dt>Error</dt><dd>{attribute(error.error)}</dd>"
        f"<dt>Code</dt><dd>{error.code}</dd>"
        f'<dt>Correlation ID</dt><dd id="correlation-id">{attribute(happened.correlation_id)}</dd>'
        f'<dt>Trace ID</dt><dd id="trace-id">{attribute(happened.trace_id)}</dd>'
        f"<dt>Timestamp</dt><dd>{attribute(happened.timestamp)}</dd></dl>{link}"
    )
    return page("You could not be signed in", body, status=status)


def posting(action: str, fields: dict[str, str], *, form_target: str) -> Response:
    """A form that sends itself: `response_mode=form_post`."""
    inputs = "".join(
        f'<input type="hidden" name="{attribute(name)}" value="{attribute(value)}">'
        for name, value in fields.items()
    )
    body = (
        f'<form id="post" method="post" action="{attribute(action)}">{inputs}'
        "<p>Working… press the button if nothing happens.</p>"
        '<div class="actions"><button class="primary">Continue</button></div></form>'
    )
    return page("Working…", body, script="post", form_target=form_target)


def signed_out(frames: list[str], *, go_on: str = "") -> Response:
    """Tell every application that the session ended, then go on to the checked address, if there is one."""
    inside = "".join(
        f'<iframe class="hidden" title="Signing out of an application" src="{attribute(url)}"></iframe>'
        for url in frames
    )
    link = f'<p><a class="button" id="go-on" href="{attribute(go_on)}">Continue</a></p>' if go_on else ""
    body = f"<p>Nobody is signed in to this account here any more.</p>{link}{inside}"
    origins = " ".join(dict.fromkeys(url.partition("?")[0] for url in frames))
    return page("You are signed out", body, script="signout", frames=origins, refresh=go_on)


def choose_sign_out(action: str, people: list[Person], hidden: dict[str, str]) -> Response:
    """Ask which of several accounts to sign out."""
    fields = "".join(
        f'<input type="hidden" name="{attribute(name)}" value="{attribute(value)}">'
        for name, value in hidden.items()
    )
    tiles = "".join(_tile(person, signed_in=True, roles=[]) for person in people)
    body = f'<form method="post" action="{attribute(action)}">{fields}<ul class="tiles">{tiles}</ul></form>'
    return page("Which account do you want to sign out of?", body)


def message(title: str, text: str, *, status: int = 200) -> Response:
    """A page with one sentence."""
    return page(title, f"<p>{attribute(text)}</p>", status=status)


def device_code(action: str, *, problem: str = "", code: str = "") -> Response:
    """Ask for the code that a device shows."""
    alert = f'<p class="alert" role="alert">{attribute(problem)}</p>' if problem else ""
    body = (
        f'{alert}<form method="post" action="{attribute(action)}">'
        '<label for="code">Code shown on your device</label>'
        f'<input id="code" name="otc" autocomplete="off" spellcheck="false" required autofocus '
        f'value="{attribute(code)}">'
        '<div class="actions"><button class="primary">Next</button></div></form>'
    )
    return page("Enter code", body)
