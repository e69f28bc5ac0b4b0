"""How an answer goes back to an installation: a code or an error, with `state` and, always, `iss`.

Source: RFC 6749, section 4.1.2; RFC 9207; OAuth 2.0 Form Post Response Mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from entrada.broker.authorization_request import ReturnAddress
from entrada.broker.oauth_errors import OAuthError
from entrada.web.messages import WebResponse, redirect
from entrada.web.pages.rendering import script_page
from entrada.web.refusals import page_response

_SUBMIT = "document.forms[0].submit()"


def code_response(address: ReturnAddress, code: str, *, issuer: str) -> WebResponse:
    return _response(address, {"code": code}, issuer)


def error_response(address: ReturnAddress, error: OAuthError, *, issuer: str) -> WebResponse:
    return _response(address, {"error": error.error, "error_description": error.description}, issuer)


def _response(address: ReturnAddress, values: Mapping[str, str], issuer: str) -> WebResponse:
    sent = {**values, **({} if address.state is None else {"state": address.state}), "iss": issuer}
    if address.response_mode == "form_post":
        return _posted(address.redirect_uri, sent)
    separator = "&" if "?" in address.redirect_uri else "?"
    return redirect(f"{address.redirect_uri}{separator}{urlencode(sent)}")


def _posted(redirect_uri: str, values: Mapping[str, str]) -> WebResponse:
    """A form that submits itself; without scripts, one button."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in values.items()
    )
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Signing in</title>'
        f'<form method="post" action="{escape(redirect_uri)}">{fields}'
        f"<noscript><button>Go on to the application</button></noscript></form>"
        f"<script>{_SUBMIT}</script></html>"
    )
    return page_response(script_page(html, _SUBMIT))
