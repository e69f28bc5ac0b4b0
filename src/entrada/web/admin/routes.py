"""The addresses under /auth/admin."""

from __future__ import annotations

from collections.abc import Mapping

from entrada.web.admin import audit, changes, explaining, health, mapping, people
from entrada.web.admin.access import AdminRoute, for_administrators
from entrada.web.auth import Route
from entrada.web.site import Site

PAGES: Mapping[str, Mapping[str, AdminRoute]] = {
    "": {"GET": people.people},
    "person": {"GET": changes.person, "POST": changes.change},
    "explain": {"GET": explaining.explain},
    "mapping": {"GET": mapping.mapping, "POST": mapping.trial},
    "health": {"GET": health.health},
    "audit": {"GET": audit.audit},
}
"""One of `entrada.web.site.ADMIN_PAGES`, and what it does by method."""


def admin_routes(site: Site) -> Mapping[str, Mapping[str, Route]]:
    return {
        site.admin_path(page): {method: for_administrators(respond) for method, respond in by_method.items()}
        for page, by_method in PAGES.items()
    }
