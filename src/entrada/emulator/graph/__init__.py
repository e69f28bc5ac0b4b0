"""Microsoft Graph v1.0, as far as signing in and registering applications needs it.

One table of paths in `routes`; each answer is made in `people`, `groups` or `applications`; who may ask is
decided in `access`; `$filter`, `$select`, `$top` and paging in `query`.
"""

from __future__ import annotations
