"""What Entra's refusals mean to a person.

Owns the reading of an error answer and the words for it, from the table in `entrada.entra.aadsts`.
Refuses to decide anything: behaviour belongs to `error`; a code only picks words.

    read_entra_error   an error answer, untrusted and of any size -> EntraRefused
    help_for           (error, code, context) -> Help
    cause_of           the technical cause behind a code, for the detail panel
    reference_page     docs/reference/aadsts.md, written from the table

Source: RFC 6749, sections 4.1.2.1 and 5.2; OpenID Connect Core 1.0, section 3.1.2.6.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from entrada.entra.aadsts import BY_CODE, BY_ERROR, TABLE, UNKNOWN, UNLISTED, Entry
from entrada.errors import EntraRefused, Fixer, named


@dataclass(frozen=True, kw_only=True)
class AadstsContext:
    """What this deployment uses, so that a hint can print it to the letter. Nothing here is secret.

    `redirect_uri` is the one sent to Entra; `tenant` a GUID, a domain or a multi-tenant segment.
    """

    redirect_uri: str | None = None
    tenant: str | None = None
    client_id: str | None = None
    admin_consent_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Help:
    """`sentence` says what happened, `hint` the next step, `fixer` who takes it; `cause` is for experts."""

    sentence: str
    hint: str
    fixer: Fixer
    cause: str


def help_for(error: str, aadsts: str | None, *, context: AadstsContext | None = None) -> Help:
    """Words for a refusal: by code if it is known, else by `error`, else general ones.

    Only words: whoever branches, branches on `error`.
    """
    entry = BY_CODE.get(aadsts) if aadsts else None
    if entry is None:
        entry = BY_ERROR.get(error, UNKNOWN)
    context = context or AadstsContext()
    hint = entry.hint.format_map(_phrases(context))
    return Help(sentence=entry.sentence, hint=hint, fixer=entry.fixer, cause=entry.cause)


def cause_of(aadsts: str | None) -> str | None:
    """The technical cause behind a code, or None for an unknown one."""
    entry = BY_CODE.get(aadsts) if aadsts else None
    return entry.cause if entry else None


def admin_consent_url(*, login_url: str, tenant: str, client_id: str, redirect_uri: str | None) -> str:
    """The link on which an administrator of `tenant` accepts for everyone. `login_url` is an origin.

    `redirect_uri` is where Entra brings them back to: a registered one, or it refuses (AADSTS900971).

    Source: Microsoft, "Grant tenant-wide admin consent to an application".
    """
    query = {"client_id": client_id} | ({} if redirect_uri is None else {"redirect_uri": redirect_uri})
    return f"{login_url}/{tenant}/adminconsent?{urlencode(query)}"


def _phrases(context: AadstsContext) -> dict[str, str]:
    consent = (
        f"An administrator of your organisation opens this link and accepts: {context.admin_consent_url}"
        if context.admin_consent_url
        else "An administrator of your organisation opens Enterprise applications, this application, "
        "Permissions, and grants admin consent."
    )
    return {
        "redirect_uri": context.redirect_uri or "the redirect URI that Entrada prints when it starts",
        "tenant": context.tenant or "that is configured",
        "client_id": context.client_id or "that is configured",
        "consent": consent,
    }


# Reading an error answer. Everything here came through a stranger's browser or a proxy.

_READ_AT_MOST: Final = 4_000
_KEEP_AT_MOST: Final = 500
_ERROR = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_AADSTS = re.compile(r"(?<![A-Za-z0-9])AADSTS([0-9]{4,9})(?![0-9])", re.ASCII)
_DIGITS = re.compile(r"[0-9]{4,9}", re.ASCII)
_GUID_TEXT = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_GUID = re.compile(_GUID_TEXT, re.ASCII)
_CORRELATION = re.compile(rf"Correlation ID: ?({_GUID_TEXT})(?![0-9A-Za-z-])", re.ASCII)
_TRACE = re.compile(rf"Trace ID: ?({_GUID_TEXT})(?![0-9A-Za-z-])", re.ASCII)
_TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

UNREADABLE_ERROR: Final = "unreadable_error"
"""Stands in `EntraRefused.error` for an `error` that is empty or not a name."""


def read_entra_error(
    error: str,
    error_description: str | None,
    *,
    context: AadstsContext | None = None,
    error_codes: Sequence[object] = (),
    correlation_id: str | None = None,
    trace_id: str | None = None,
) -> EntraRefused:
    """The refusal behind an error answer, ready to raise; text of any size and content is taken.

    From a token endpoint, `error_codes`, `correlation_id` and `trace_id` are the JSON members of that name;
    where they are missing or misshapen, the description is read instead. `error_uri` is never looked at.
    """
    name = error if _ERROR.fullmatch(error) else UNREADABLE_ERROR
    text = _one_line(error_description or "")
    aadsts = _first_code(error_codes) or _group(_AADSTS.search(text))
    help_ = help_for(name, aadsts, context=context)
    return EntraRefused(
        help_.sentence,
        hint=help_.hint,
        fixer=help_.fixer,
        error=name,
        aadsts=aadsts,
        description=text if len(text) <= _KEEP_AT_MOST else text[: _KEEP_AT_MOST - 1] + "…",
        correlation_id=_guid(correlation_id) or _group(_CORRELATION.search(text)),
        trace_id=_guid(trace_id) or _group(_TRACE.search(text)),
    )


def _one_line(text: str) -> str:
    """Cut first, so that nothing below sees more than a page; then one line of visible characters."""
    text = _TERMINAL_SEQUENCE.sub(" ", text[:_READ_AT_MOST])
    visible = (" " if unicodedata.category(character) in _INVISIBLE else character for character in text)
    return " ".join("".join(visible).split())


def _first_code(error_codes: Sequence[object]) -> str | None:
    if isinstance(error_codes, str | bytes):
        return None
    for code in error_codes[:1]:
        if isinstance(code, str) and _DIGITS.fullmatch(code):
            return code
        if isinstance(code, int) and 1_000 <= code < 10**9:
            return str(code)
    return None


def _guid(text: object) -> str | None:
    return text.lower() if isinstance(text, str) and _GUID.fullmatch(text) else None


def _group(match: re.Match[str] | None) -> str | None:
    return match.group(1).lower() if match else None


def reference_page() -> str:
    """docs/reference/aadsts.md, whole. `python -m entrada.entra.entra_errors` prints it."""
    example = AadstsContext(
        redirect_uri="`https://your.app/auth/entra/callback`",
        tenant="`$[tenant_id]`",
        client_id="`$[client_id]`",
        admin_consent_url="`https://login.microsoftonline.com/<tenant>/adminconsent?client_id=<client ID>`",
    )
    lines = [
        "# Error codes of Microsoft Entra ID",
        "",
        "<!-- Written by `python -m entrada.entra.entra_errors`; the table is entrada.entra.aadsts. -->",
        "",
        "When Entra refuses a sign-in, its answer names an OAuth `error` and, in the description, a code: "
        "`AADSTS` and four to nine digits.",
        "Entrada decides by `error` alone, as Microsoft asks; the code only picks the words on the page.",
        "Addresses and ids below stand for those of your deployment, which the page prints to the letter.",
        "Codes marked † are met in practice but missing from Microsoft's own list.",
    ]
    for title, entries in TABLE.items():
        lines += ["", f"## {title}", "", "| code | cause | what the person reads | next step | who |"]
        lines.append("| --- | --- | --- | --- | --- |")
        lines += [_row(", ".join(map(_marked, entry.codes)), entry, example) for entry in entries]
    lines += ["", "## By `error`, when there is no known code", ""]
    lines += [
        "| error | cause | what the person reads | next step | who |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_row(f"`{name}`", entry, example) for name, entry in BY_ERROR.items()]
    lines += [_row("anything else", UNKNOWN, example)]
    return "\n".join(lines) + "\n"


def _marked(code: str) -> str:
    return f"{code}†" if code in UNLISTED else code


def _row(name: str, entry: Entry, example: AadstsContext) -> str:
    hint = named(entry.hint.format_map(_phrases(example)))
    cells = (name, entry.cause, entry.sentence, hint, entry.fixer.value)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(reference_page(), end="")
