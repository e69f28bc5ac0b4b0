"""The bridge to the real Flask-Login: its names go by Entrada's session."""

from __future__ import annotations

from typing import Any

import flask
import flask_login
import pytest

from entrada.adapters.flask import EntradaFlask, FlaskLoginUser, current_principal
from flows.world import PAGE_VISIT, PUBLIC_URL, SCRIPT, Browser, new_browser


class Held:
    """An `Entrada` as the extension is given one."""

    def __init__(self, browser: Browser) -> None:
        self.auth = browser.auth


def client_of(browser: Browser, *, load_user: Any = None) -> Any:
    app = flask.Flask(__name__)
    app.secret_key = "of the tests alone"
    extension, manager = EntradaFlask(Held(browser), app), flask_login.LoginManager(app)
    extension.init_login_manager(manager, load_user=load_user)

    @app.get("/me")
    @flask_login.login_required
    def me() -> Any:
        user = flask_login.current_user
        return {"id": user.get_id(), "name": current_principal.name}

    @app.get("/")
    def front() -> Any:
        return {"known": flask_login.current_user.is_authenticated}

    return app.test_client(use_cookies=False)


def get(client: Any, browser: Browser, path: str, headers: dict[str, str]) -> Any:
    cookie = {"cookie": browser.cookie_header} if browser.cookie_header else {}
    return client.get(path, base_url=PUBLIC_URL, headers={**headers, **cookie})


def test_its_login_required_leads_to_our_sign_in_and_knows_who_came_back() -> None:
    """Nobody: our page, or 401 for a script; then the person, and nobody again once they signed out."""
    browser = new_browser()
    client = client_of(browser)
    assert get(client, browser, "/me?x=1", PAGE_VISIT).headers["location"] == "/auth/login?next=/me%3Fx%3D1"
    assert get(client, browser, "/me", SCRIPT).status_code == 401
    assert get(client, browser, "/", SCRIPT).get_json() == {"known": False}
    browser.sign_in()
    shown = get(client, browser, "/me", SCRIPT).get_json()
    (user,) = browser.auth.relying_party.accounts.list_users()
    assert shown == {"id": user.id, "name": "Ada Lovelace"}
    browser.auth.relying_party.sign_out.end(browser.session_cookie or "", everywhere=True)
    browser.entra.clock.advance(seconds=1)
    assert get(client, browser, "/me", SCRIPT).status_code == 401


@pytest.mark.parametrize(("headers", "status"), [(PAGE_VISIT, 403), (SCRIPT, 403)])
def test_whom_the_application_has_no_user_for_is_told_so(headers: dict[str, str], status: int) -> None:
    """And not sent to sign in again and again."""
    browser = new_browser()
    browser.sign_in()
    refused = get(client_of(browser, load_user=lambda _: None), browser, "/me", headers)
    assert refused.status_code == status
    assert "no user for you" in refused.get_data(as_text=True)


def test_the_application_makes_its_own_user_of_a_person() -> None:
    """`load_user` gets the principal."""

    class Own(FlaskLoginUser):
        def get_id(self) -> str:
            return f"own {self.principal.object_id[:4]}"

    browser = new_browser()
    browser.sign_in()
    shown = get(client_of(browser, load_user=Own), browser, "/me", SCRIPT).get_json()
    (user,) = browser.auth.relying_party.accounts.list_users()
    assert shown["id"].startswith("own ")
    assert shown["id"] != user.id
