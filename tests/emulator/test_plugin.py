"""The pytest plug-in and the sign-in helper for test clients, used as a project would use them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from house import tools

pytest_plugins = ["pytester"]

PROJECT = """
    import urllib.request, ssl, pytest
    from entrada.emulator.remote import RemoteError

    def test_people_and_apps(entra):
        entra.person("sam@contoso.test", roles=["Editor"])
        assert entra.person("sam@contoso.test", enabled=False)["enabled"] is False
        assert entra.app(display_name="Mine")["display_name"] == "Mine"
        assert entra.app("Second", web_redirect_uris=["http://localhost/x"])["client_id"]
        entra.group("Makers")
        with pytest.raises(RemoteError, match="no role"):
            entra.person("tom@contoso.test", roles=["King"])

    def test_every_test_begins_anew(entra):
        assert entra.app()["display_name"] != "Mine"
        assert entra.requests == []

    def test_faults(entra, entra_env, monkeypatch):
        import os
        assert os.environ["ENTRADA_AUTHORITY_HOST"] == entra.https_url
        url = entra.https_url + "/common/discovery/v2.0/keys"
        trust = ssl.create_default_context(cafile=entra.ca_file)
        with entra.failing("server_error", endpoint="keys"), pytest.raises(OSError):
            urllib.request.urlopen(url, context=trust)
        assert urllib.request.urlopen(url, context=trust).status == 200
        assert [r["status"] for r in entra.requests] == [500, 200]
        assert entra.rotate_keys()
        entra.clock(5)
        entra.revoke_sessions()
        entra.clear_faults()
"""

STARLETTE = """
    from urllib.parse import parse_qsl
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, RedirectResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    def client_of(login, callback):
        def start(request):
            return RedirectResponse(login())

        async def back(request):
            values = dict(request.query_params) or dict(parse_qsl((await request.body()).decode()))
            return PlainTextResponse(callback(values))

        routes = [Route("/login", start), Route("/oauth", back, methods=["GET", "POST"])]
        return TestClient(Starlette(routes=routes))
"""

FLASK = """
    import flask

    def client_of(login, callback):
        app = flask.Flask("app")
        app.add_url_rule("/login", view_func=lambda: flask.redirect(login()), endpoint="login")

        def back():
            return callback(flask.request.values.to_dict())

        app.add_url_rule("/oauth", view_func=back, methods=["GET", "POST"])
        return app.test_client()
"""

DJANGO = """
    import sys, types
    import django
    from django.conf import settings
    from django.http import HttpResponse, HttpResponseRedirect
    from django.test import Client
    from django.urls import path

    def client_of(login, callback):
        urls = types.ModuleType("urls")
        urls.urlpatterns = [
            path("login", lambda request: HttpResponseRedirect(login())),
            path("oauth", lambda request: HttpResponse(callback((request.POST or request.GET).dict()))),
        ]
        sys.modules["urls"] = urls
        if not settings.configured:
            settings.configure(ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
            django.setup()
        return Client()
"""

SIGN_IN = """
    import pytest
    from urllib.parse import urlencode
    from entrada.emulator.remote import RemoteError

    def _login(entra, mode="query"):
        values = entra.env("entrada")
        query = {"client_id": values["ENTRADA_CLIENT_ID"], "response_type": "code", "scope": "openid",
                 "redirect_uri": "http://localhost:1/oauth", "state": "s", "response_mode": mode}
        tenant = entra.http_url + "/" + values["ENTRADA_TENANT_ID"]
        return tenant + "/oauth2/v2.0/authorize?" + urlencode(query)

    @pytest.mark.parametrize("mode", ["query", "form_post"])
    def test_signed_in(entra, entra_sign_in, mode):
        client = client_of(lambda: _login(entra, mode), lambda values: "state=" + values["state"])
        answer = entra_sign_in(client, "ed@contoso.test", start="/login")
        body = answer.data if hasattr(answer, "data") else answer.content
        assert body == b"state=s"

    def test_refused(entra, entra_sign_in):
        client = client_of(lambda: _login(entra), lambda values: "")
        with pytest.raises(RemoteError, match="50057"):
            entra_sign_in(client, "dan@contoso.test", start="/login")
        with pytest.raises(RemoteError, match="not a redirect"):
            entra_sign_in(client, start="/oauth?state=s")
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project in whose environment entrada is installed: nothing has to be switched on."""
    return pytester


@pytest.mark.parametrize("options", [[], ["--entra-process"]])
def test_a_projects_tests(project: pytest.Pytester, options: list[str]) -> None:
    """The fixtures work with the emulator in this process and in one of its own."""
    project.makepyfile(PROJECT)
    result = project.runpytest_subprocess("-q", "-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("apart", [True, False])
def test_a_process_of_its_own_by_configuration(project: pytest.Pytester, apart: bool) -> None:
    """`entra_process` in the pytest configuration says whether the emulator runs in the tests' process."""
    project.makeini(f"[pytest]\nentra_process = {str(apart).lower()}\n")
    project.makepyfile(f"""
        import threading

        def test_where(entra):
            here = any(thread.name == "entra-emulator" for thread in threading.enumerate())
            assert here is not {apart}
            assert entra.env()["ENTRADA_AUTHORITY_HOST"] == entra.https_url
    """)
    result = project.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("framework", "code"), [("starlette", STARLETTE), ("flask", FLASK), ("django", DJANGO)]
)
def test_a_test_client_signs_in(project: pytest.Pytester, framework: str, code: str) -> None:
    """One call signs in a test client of each framework, by query and by posted form."""
    if importlib.util.find_spec(framework) is None:
        tools.could_not_run(f"{framework} is not installed; requirements/dev.txt has it")
    path: Path = project.makepyfile(dedent(code) + dedent(SIGN_IN))
    assert path.exists()
    result: Any = project.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)
