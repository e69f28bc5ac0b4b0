"""Django: a project with the admin site, views of its own, and the REST framework."""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adapters.applications.django_settings")
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

if __name__ == "__main__":
    call_command(*sys.argv[1:])
else:
    app = get_wsgi_application()
    asgi_app = get_asgi_application()
