"""The Django project of `on_django`, as an ASGI application."""

from __future__ import annotations

from adapters.applications.on_django import asgi_app as app

__all__ = ["app"]
