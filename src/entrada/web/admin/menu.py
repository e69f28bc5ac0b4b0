"""What leads from one page of administrators to the others."""

from __future__ import annotations

from entrada.web.auth import Auth
from entrada.web.pages.values import MenuItem

PLACES = (
    ("", "People"),
    ("explain", "Explain"),
    ("mapping", "Roles mapping"),
    ("audit", "Audit"),
    ("health", "Health"),
)


def menu_of(auth: Auth, current: str | None) -> list[MenuItem]:
    """`current` is one of `ADMIN_PAGES`; None: one's own account."""
    site = auth.site
    items = [
        MenuItem(label=label, path=site.admin_path(page), is_current=page == current)
        for page, label in PLACES
        if auth.has_page(site.admin_path(page))
    ]
    if auth.has_page(site.installations_path):
        items.append(MenuItem(label="Installations", path=site.installations_path))
    return [*items, MenuItem(label="Your account", path=site.account_path, is_current=current is None)]
