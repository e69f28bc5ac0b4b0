"""A running Mage with its Entra, and what people, administrators and attackers do there over HTTP.

The same few verbs serve Mage as it comes and Mage with entrada: `sign_in` begins where Mage's own button
begins and goes on as Mage's page would, whichever of the two answers.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from sqlalchemy import NullPool, create_engine, text

from clients.mage import Mage
from clients.plain_browser import Page, PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID, FABRIKAM_ID

OWNER, OWNER_PASSWORD = "admin@admin.com", "admin"
"""The owner that Mage makes in an empty database."""

FRONT_CHANNEL_PATH = "/auth/entra/logout"
RETURN_PATHS = ("/oauth", "/oauth?provider=active_directory", "/auth/signed-out", "/sign-in", "/")
_ELSEWHERE = "http://localhost:5000/auth/entra/callback"


class Person(PlainBrowser):
    """Somebody with a browser of their own."""

    def cookie(self, name: str, site: str) -> str:
        """The cookie's value as that site would be sent it, or nothing."""
        host = urlsplit(site).hostname
        found = [one.value for one in self._http.cookies.jar if one.name == name and one.domain == host]
        return (found[0] or "") if found else ""

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """A request that a script in this browser sends, with its cookies."""
        return self._http.request(method, url, **options)


@dataclass(frozen=True, kw_only=True)
class MageUser:
    """A row of Mage's users with the names of its roles."""

    user_id: int
    username: str
    email: str
    owner: bool
    roles: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One running Mage and the Entra it was told of."""

    mage: Mage
    entra: RunningEmulator

    def as_new(self) -> Desk:
        """Entra as at the start, with this Mage's addresses registered; Mage keeps whom it knows."""
        self.entra.reset()
        self.register()
        return self

    def register(self, *paths: str) -> None:
        """Register these paths of this Mage as redirect URIs; by default all that it may need."""
        site = self.mage.site
        self.entra.change_app(
            CLIENT_ID,
            web_redirect_uris=[site + path for path in paths or RETURN_PATHS],
            logout_url=site + FRONT_CHANNEL_PATH,
        )

    # --- people ---

    @contextmanager
    def person(self) -> Iterator[Person]:
        """A browser with no past."""
        browser = Person(self.entra.ca_file)
        with browser:
            yield browser

    def sign_in(self, who: str, *, browser: Person | None = None) -> str:
        """The session cookie that Mage's button and an account at Entra end in; nothing if they do not.

        `browser.page` is what the person sees in the end.
        """
        if browser is None:
            with self.person() as browser:
                return self.sign_in(who, browser=browser)
        page = browser.open(self.button())
        if "Pick an account" in page.text:
            page = browser.press("Next", name=who)
        token = browser.cookie("oauth_token", self.mage.site)
        return token or self._as_the_page_goes_on(page)

    def signs_out(self, browser: Person) -> httpx.Response:
        """What Mage's page asks of its server when somebody chooses to sign out."""
        return browser.send(
            "PUT",
            f"{self.mage.site}/api/sessions/1?api_key={self.mage.api_key}",
            json={},
            headers={"origin": self.mage.site, "sec-fetch-site": "same-origin"},
        )

    def button(self) -> str:
        """Where Mage's own Microsoft button leads."""
        with self.api() as api:
            offered = api.get("/api/oauths", params={"redirect_uri": f"{self.mage.site}/sign-in"}).json()
        (address,) = [one["url"] for one in offered["oauths"] if one["provider"] == "active_directory"]
        # As a browser takes a link of that page.
        return str(httpx.URL(f"{self.mage.site}/sign-in").join(address))

    def _as_the_page_goes_on(self, page: Page) -> str:
        """Mage as it comes leaves the rest to the script of its page `/oauth`."""
        if urlsplit(page.url).path != "/oauth" or "code" not in page.parameters:
            return ""
        told = self.redeemed(page.parameters)
        return self.session_for(told["access_token"]) if "access_token" in told else ""

    def redeemed(self, answer: dict[str, str], *, provider: str = "active_directory") -> dict[str, str]:
        """What Mage's page is told for an authorization response that it hands over."""
        sign_in = f"{self.mage.site}/sign-in"
        with self.api() as api:
            told = api.get(f"/api/oauths/{provider}", params={"redirect_uri": sign_in, **answer}).json()
        return dict(parse_qsl(urlsplit(told.get("oauth", {}).get("url") or "").query))

    def session_for(self, graph_token: str, *, provider: str = "active_directory") -> str:
        """The session that Mage opens for who brings that token, or nothing."""
        return self._session({"provider": provider, "token": graph_token})

    def password_session(
        self, email: str = OWNER, password: str = OWNER_PASSWORD, *, base_path: str = ""
    ) -> str:
        """The session that Mage's own password form ends in, or nothing."""
        return self._session({"email": email, "password": password}, base_path=base_path)

    def _session(self, asked: dict[str, str], *, base_path: str = "") -> str:
        with self.api() as api:
            body = {"session": asked, "api_key": self.mage.api_key}
            answer = api.post(f"{base_path}/api/sessions", json=body)
        try:
            return str(answer.json()["session"]["token"])
        except (ValueError, KeyError, TypeError):
            return ""

    # --- what Mage thinks ---

    @contextmanager
    def api(self, session: str = "") -> Iterator[httpx.Client]:
        """Mage's API as its pages call it, with a session or without."""
        with httpx.Client(
            base_url=self.mage.site,
            params={"api_key": self.mage.api_key},
            headers={"cookie": f"oauth_token={session}"} if session else {},
            trust_env=False,
            timeout=60,
        ) as client:
            yield client

    def opens(self, session: str) -> bool:
        """Whether Mage's API takes that session."""
        if not session:
            return False
        with self.api(session) as api:
            answer = api.get("/api/pipelines").json()
        if "pipelines" in answer:
            return True
        assert answer["error"]["code"] in (401, 403), answer
        return False

    def users(self) -> dict[int, MageUser]:
        """All users of Mage by their id, as its database has them."""
        rows = self._asked(
            'select u.id, u.username, u.email, u.owner, r.name from "user" u '
            "left join user_role ur on ur.user_id = u.id left join role r on r.id = ur.role_id"
        )
        found: dict[int, MageUser] = {}
        for user_id, username, email, owner, role in rows:
            before = found.get(user_id)
            found[user_id] = MageUser(
                user_id=user_id,
                username=username,
                email=email,
                owner=bool(owner),
                roles=(before.roles if before else frozenset()) | ({role} if role else frozenset()),
            )
        return found

    def behind(self, session: str) -> MageUser | None:
        """The user a session belongs to, or None for no session."""
        if not session:
            return None
        ((user_id,),) = self._asked(
            "select user_id from oauth2_access_token where token = :token", token=self.token_in(session)
        )
        return self.users()[user_id]

    @property
    def our_cookie(self) -> str:
        """The name of the cookie that finds the session at sign-out."""
        return f"entrada_mage_{urlsplit(self.mage.site).port}"

    def token_in(self, session: str) -> str:
        """The token inside the cookie's value: what clients and sockets send."""
        return str(json.loads(_unpadded(session.split(".")[1]))["token"])

    def roles_of(self, session: str) -> list[str]:
        """The names of that user's roles."""
        user = self.behind(session)
        assert user is not None, "there is no session"
        return sorted(user.roles)

    def user_called(self, username: str) -> MageUser | None:
        """The user of that name."""
        return next((user for user in self.users().values() if user.username == username), None)

    def make_user(self, email: str, *, username: str) -> int:
        """An owner makes a user with a password, as Mage's settings page does; its id.

        Observed 2026-11-22: Mage 0.9.80 makes the user and then answers 500, because it presents the result
        with a method that SQLAlchemy 2, which it requires, no longer has. So the result is read here.
        """
        user = {
            "email": email,
            "username": username,
            "password": "a long password",
            "password_confirmation": "a long password",
            "role_ids": [],
        }
        with self.api(self.password_session()) as api:
            api.post("/api/users", json={"user": user, "api_key": self.mage.api_key})
        made = self.user_called(username)
        assert made is not None
        return made.user_id

    def give_role(self, user_id: int, role: str) -> None:
        """An owner gives somebody one more role, as Mage's settings page does; answered like `make_user`."""
        with self.api(self.password_session()) as api:
            numbers = {one["name"]: one["id"] for one in api.get("/api/roles").json()["roles"]}
            held = [numbers[name] for name in self.users()[user_id].roles]
            asked = {"user": {"role_ids": [*held, numbers[role]]}, "api_key": self.mage.api_key}
            api.put(f"/api/users/{user_id}", json=asked)
        assert role in self.users()[user_id].roles

    def permit(self, role: str, access: int) -> None:
        """What an owner lets a role do with everything, where REQUIRE_USER_PERMISSIONS is on.

        `access` is made of Mage's bits (PermissionAccess). Its own way of writing these rows, POST
        /api/seeds, did not come to its end when tried (observed 2026-11-22), so they are written here.
        """
        engine = create_engine(self._driver_url(), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "insert into permission (entity, entity_name, access, created_at, updated_at) "
                    "values ('GLOBAL', 'ALL', :access, current_timestamp, current_timestamp)"
                ),
                {"access": access},
            )
            connection.execute(
                text(
                    "insert into role_permission (role_id, permission_id, created_at, updated_at) "
                    "select r.id, (select max(id) from permission), current_timestamp, current_timestamp "
                    "from role r where r.name = :role"
                ),
                {"role": role},
            )

    def in_the_database(self, query: str, **values: Any) -> list[Any]:
        """What Mage's database answers, or nothing for a change: for what an administrator does there."""
        engine = create_engine(self._driver_url(), poolclass=NullPool)
        with engine.begin() as connection:
            answer = connection.execute(text(query), values)
            return list(answer) if answer.returns_rows else []

    def _driver_url(self) -> str:
        """Mage uses one driver for PostgreSQL, these tests the other."""
        return self.mage.database_url.replace("+psycopg2:", "+psycopg:")

    def _asked(self, query: str, **values: str) -> list[Any]:
        engine = create_engine(self._driver_url(), poolclass=NullPool)
        with engine.connect() as connection:
            return list(connection.execute(text(query), values))

    # --- attackers ---

    def answer_for(self, who: str, authorization_url: str) -> dict[str, str]:
        """The authorization response that somebody gets for a request, as they can read it themselves."""
        return dict(parse_qsl(urlsplit(self.entra.answer(authorization_url, as_=who)).query))

    def foreign_graph_token(self, who: str) -> str:
        """A token for Graph that `who` of Fabrikam gave to some other application there."""
        name = "Newsletter"
        known = [app for app in self.entra.directory.apps.values() if app.display_name == name]
        app = (
            known[0]
            if known
            else self.entra.add_app(
                name,
                tenant_id=FABRIKAM_ID,
                web_redirect_uris=[_ELSEWHERE],
                secrets=[{"value": CLIENT_SECRET}],
                admin_consented=["User.Read"],
            )
        )
        request = {
            "client_id": app.client_id,
            "redirect_uri": _ELSEWHERE,
            "response_type": "code",
            "scope": "User.Read",
        }
        base = f"{self.entra.http_url}/{FABRIKAM_ID}/oauth2/v2.0"
        answer = self.answer_for(who, f"{base}/authorize?{urlencode(request)}")
        form = {
            "client_id": app.client_id,
            "client_secret": CLIENT_SECRET,
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": _ELSEWHERE,
        }
        told = httpx.post(f"{base}/token", data=form, trust_env=False, timeout=30).json()
        return str(told["access_token"])

    def foreign_code(self, who: str) -> dict[str, str]:
        """A code of `who` for Mage's own application, of a sign-in that Mage never began."""
        request = {
            "client_id": CLIENT_ID,
            "redirect_uri": f"{self.mage.site}/oauth",
            "response_type": "code",
            "scope": "openid profile User.Read",
            "state": "made-up",
        }
        base = f"{self.entra.http_url}/{CONTOSO_ID}/oauth2/v2.0"
        return self.answer_for(who, f"{base}/authorize?{urlencode(request)}")

    def redemptions(self) -> int:
        """How many codes Mage has brought to Entra."""
        return sum(1 for one in self.entra.requests if one.form.get("grant_type") == "authorization_code")


def _unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
