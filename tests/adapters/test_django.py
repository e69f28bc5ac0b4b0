"""A Django project with Entrada: users, the admin site, the REST framework, and the checks."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.serving import TESTS, Place, Setup, serving
from emulator.relying_party import Entra
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from walks.visitor import Visitor


@pytest.fixture(scope="module")
def place(emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    setup = Setup(application="on_django", server="gunicorn-threads")
    with serving(emulator, setup, tmp_path_factory.mktemp("django")) as running:
        yield running


def signed_in(place: Place, http: httpx.Client, person: Any) -> Visitor:
    visitor = Visitor(place, http)
    answer = visitor.sign_in_as(person)
    assert answer.status_code == 303, answer.text
    return visitor


def test_a_person_is_a_user_made_once(place: Place, http: httpx.Client) -> None:
    """Linked by tenant and object id; another browser of theirs is the same user."""
    first = signed_in(place, http, "ed@contoso.test").fetch("/user").json()
    again = signed_in(place, http, "ed@contoso.test").fetch("/user").json()
    assert first == again
    assert first["username"] == "ed@contoso.test"
    assert (first["staff"], first["superuser"], first["groups"]) == (True, False, ["Editor"])


def test_a_new_name_is_the_same_user(place: Place, http: httpx.Client, emulator: RunningEmulator) -> None:
    """People marry; and whoever gets the old name is somebody else."""
    old = emulator.add_person("maiden@contoso.test", display_name="Mae Maiden")
    before = signed_in(place, http, old).fetch("/user").json()
    emulator.change_person("maiden@contoso.test", user_principal_name="married@contoso.test")
    assert signed_in(place, http, "married@contoso.test").fetch("/user").json()["id"] == before["id"]
    new = emulator.add_person("maiden@contoso.test", display_name="Mia Maiden")
    other = signed_in(place, http, new).fetch("/user").json()
    assert other["id"] != before["id"]
    assert other["username"] == f"maiden@contoso.test+{new.object_id}"


def test_flags_and_groups_follow_the_roles(
    place: Place, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """What Entra gave, Entra takes."""
    person = emulator.add_person("rolf@contoso.test", display_name="Rolf", roles=["Admin", "Viewer"])
    user = signed_in(place, http, person).fetch("/user").json()
    assert (user["staff"], user["superuser"], user["groups"]) == (True, True, ["Admin", "Viewer"])
    emulator.change_person("rolf@contoso.test", roles=["Viewer"])
    user = signed_in(place, http, person).fetch("/user").json()
    assert (user["staff"], user["superuser"], user["groups"]) == (False, False, ["Viewer"])


@pytest.mark.parametrize("server", ["gunicorn-sync", "uvicorn"])
def test_asynchronous_classes_are_guarded(
    server: str, emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """`method_decorator(login_required, name="dispatch")`, by WSGI and by ASGI, signed in and out."""
    application = "on_django_async" if server == "uvicorn" else "on_django"
    with serving(emulator, Setup(application=application, server=server), tmp_path) as place:
        visitor = Visitor(place, http)
        assert visitor.fetch("/members-class").status_code == 401
        assert visitor.open("/members-class").status_code == 303
        visitor.sign_in_as("ed@contoso.test")
        answer = visitor.fetch("/members-class")
        assert (answer.status_code, answer.json()["name"]) == (200, "Ed Codd")
        assert visitor.fetch("/members-class", "POST").status_code in (403, 405)


def test_djangos_session_goes_with_the_person(place: Place, http: httpx.Client) -> None:
    """What was in it before a sign-in stays; nobody else has it, nor who comes after a sign-out."""
    browser = Visitor(place, http)
    assert browser.fetch("/basket?put=a").json() == {"basket": "a"}
    before = browser.jar.cookies[("localhost", "sessionid")].value
    browser.sign_in_as("ed@contoso.test")
    browser.sign_in_as("ed@contoso.test")
    assert browser.fetch("/basket").json() == {"basket": "a"}
    assert browser.jar.cookies[("localhost", "sessionid")].value != before
    browser.sign_in_as("vi@contoso.test")
    assert browser.fetch("/basket?put=b").json() == {"basket": "b"}
    browser.sign_out()
    assert browser.fetch("/basket").json() == {"basket": None}
    browser.sign_in_as("ed@contoso.test")
    assert browser.fetch("/basket").json() == {"basket": None}


def test_djangos_own_login_required_leads_to_the_sign_in_page(place: Place, http: httpx.Client) -> None:
    """And back to the page."""
    visitor = Visitor(place, http)
    assert visitor.open("/user").headers["location"] == "/auth/login?next=/user"


def test_the_admin_site_is_signed_in_by_entra(place: Place, http: httpx.Client) -> None:
    """Staff enters; somebody else reads why not; nobody gets the sign-in page; no password is asked for."""
    nobody = Visitor(place, http)
    asked = nobody.open("/admin/")
    login = nobody.open(asked.headers["location"])
    assert login.headers["location"] == "/auth/login?next=/admin/"
    ed = signed_in(place, http, "ed@contoso.test")
    assert ed.open("/admin/").status_code == 200
    vi = signed_in(place, http, "vi@contoso.test")
    refused = vi.open(vi.open("/admin/").headers["location"])
    assert refused.status_code == 403
    assert "staff" in refused.text
    ada = signed_in(place, http, "ada@contoso.test")
    listed = ada.open("/admin/entrada/entraidentity/")
    assert listed.status_code == 200
    assert "ada@contoso.test" in listed.text
    assert ada.open("/admin/login/?next=//elsewhere.test").headers["location"] == "/"


def test_the_rest_framework_takes_sessions_and_tokens(
    place: Place, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """A session must bear the CSRF token to change anything, a token need not; nobody gets 401."""
    nobody = Visitor(place, http)
    refused = nobody.fetch("/api")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    ada = signed_in(place, http, "ada@contoso.test")
    assert ada.fetch("/api").json() == {"user": "ada@contoso.test", "name": "Ada Lovelace"}
    assert ada.fetch("/api", "POST").status_code == 403
    trust = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=trust, trust_env=False, timeout=20) as client:
        tokens = Entra(emulator, client).tokens(
            scope=f"openid api://{CLIENT_ID}/access_as_user", prompt="login"
        )
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    assert nobody.fetch("/api", "POST", **bearer).json()["user"] == "ada@contoso.test"
    assert nobody.fetch("/api", authorization="Bearer no.such.token").status_code == 401


def test_a_user_switched_off_here_is_nobody(
    place: Place, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Django's own `is_active` counts, whatever Entra says."""
    otto = emulator.add_person("otto@contoso.test", display_name="Otto", roles=["Viewer"])
    ada, off = signed_in(place, http, "ada@contoso.test"), signed_in(place, http, otto)
    number = off.fetch("/user").json()["id"]
    page = ada.open(f"/admin/auth/user/{number}/change/")
    fields = {"csrfmiddlewaretoken": page.text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]}
    fields |= {"username": "otto@contoso.test", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert ada.post(f"/admin/auth/user/{number}/change/", fields).status_code == 302
    assert off.open("/user").status_code == 302
    assert off.fetch("/api").status_code == 401
    for guarded in ("/members/a", "/files"):  # one synchronous, one not
        assert off.fetch(guarded).status_code == 403, guarded


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("", "no issues"),
        ("MIDDLEWARE.remove('entrada.adapters.django.EntradaMiddleware')", "entrada.E001"),
        ("MIDDLEWARE.sort(key=lambda name: not name.startswith('entrada'))", "entrada.E001"),
        ("AUTHENTICATION_BACKENDS[0] = 'django.contrib.auth.backends.ModelBackend'", "entrada.E002"),
        ("ENTRADA['staff'] = ['Admin']", "entrada.E003"),
        ("ENTRADA['staff_roles'] = 'Admin'", "entrada.E003"),
        ("ENTRADA['groups'] = 'yes'", "entrada.E003"),
        ("ENTRADA['new_user'] = 'no.such.function'", "entrada.E003"),
        ("ENTRADA['values'] = ['tenant_id']", "settings.ENTRADA['values']"),
        ("ENTRADA['values'] = {'tenant_id': 'no tenant'}", "tenant_id= cannot be used"),
        ("ENTRADA['values'] = {'database_url': 'memory:'}", "tenant_id= is not set"),
        ("os.environ['ENTRADA_TENANT_ID'] = 'no tenant'", "ENTRADA_TENANT_ID"),
        ("LOGIN_URL = '/accounts/login/'", "entrada.W001"),
        ("INSTALLED_APPS[0] = 'django.contrib.admin'", "entrada.W002"),
    ],
)
def test_checks_name_what_is_wrong(
    change: str, expected: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    """`manage.py check`, with one thing wrong at a time; each message has its fix."""
    (tmp_path / "changed.py").write_text(
        f"import os\nfrom adapters.applications.django_settings import *\n{change}\n", "utf-8"
    )
    environment = {**emulator.env("entrada"), "ENTRADA_PUBLIC_URL": "http://localhost:8000"}
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", "--settings", "changed"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{TESTS}", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert expected in said
    assert expected == "no issues" or "HINT" in said
    assert "Traceback" not in said
