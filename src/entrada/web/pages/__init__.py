"""The pages people see, one module an area; `Pages` has them all for one application."""

from __future__ import annotations

from entrada.web.pages.account import AccountPages
from entrada.web.pages.desk import DeskPages
from entrada.web.pages.failure import FailurePages
from entrada.web.pages.rendering import CSRF_FIELD
from entrada.web.pages.sign_in import DEFAULT_LABEL, SignInPages

__all__ = ["CSRF_FIELD", "DEFAULT_LABEL", "Pages"]


class Pages(SignInPages, AccountPages, DeskPages, FailurePages):
    """Every page of one application."""
