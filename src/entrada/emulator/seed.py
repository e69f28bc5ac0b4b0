"""The seeded directory: two tenants, ten people, a few groups and one application.

Every name, id and secret here is public and documented in docs/how-to/emulator.md; none protects anything.
"""

from __future__ import annotations

from .directory.directory import Directory
from .directory.records import App, AppRole, Group, Person, Secret, Tenant

CONTOSO_ID = "c0000000-0000-4000-8000-000000000001"
FABRIKAM_ID = "f0000000-0000-4000-8000-000000000002"

CLIENT_ID = "e0000000-0000-4000-8000-00000000000a"
CLIENT_SECRET = "emu~public.secret-one_of_the_Entra.emulator"  # noqa: S105 public by design
SECOND_CLIENT_SECRET = "emu~public.secret-two_of_the_Entra.emulator"  # noqa: S105 public by design

_PERSON = "a0000000-0000-4000-8000-0000000000{:02d}"
_GROUP = "90000000-0000-4000-8000-000000000{:03d}"
_ROLE = "50000000-0000-4000-8000-00000000000{}"

STAFF, ENGINEERS, PLATFORM, FINANCE, ADMINS, EDITORS, VIEWERS = (_GROUP.format(n) for n in range(1, 8))
OLGA_GROUPS = 250
_OLGA = tuple(_GROUP.format(n + 101) for n in range(OLGA_GROUPS))

REDIRECT_PATHS = (
    "/auth/entra/callback",
    "/oauth",
    "/oauth?provider=active_directory",
    "/oauth2/callback",
    "/signin-oidc",
    "/.auth/login/aad/callback",
)
POST_LOGOUT_PATHS = ("/", "/auth/login", "/auth/signed-out", "/sign-in", "/signed-out")


def seed(directory: Directory) -> None:
    """Fill an empty directory with the seeded records."""
    directory.put(
        Tenant(tenant_id=CONTOSO_ID, domain="contoso.test", display_name="Contoso"),
        Tenant(tenant_id=FABRIKAM_ID, domain="fabrikam.test", display_name="Fabrikam"),
    )
    _groups(directory)
    app = _app()
    directory.put(app)
    _people(directory, app)


def _app() -> App:
    localhost = tuple(f"http://localhost{path}" for path in (*REDIRECT_PATHS, *POST_LOGOUT_PATHS))
    return App(
        tenant_id=CONTOSO_ID,
        client_id=CLIENT_ID,
        object_id="e0000000-0000-4000-8000-00000000000b",
        service_principal_id="e0000000-0000-4000-8000-00000000000c",
        display_name="Entrada (emulated)",
        secrets=(
            Secret(value=CLIENT_SECRET, key_id="e0000000-0000-4000-8000-0000000000d1", display_name="first"),
            Secret(
                value=SECOND_CLIENT_SECRET,
                key_id="e0000000-0000-4000-8000-0000000000d2",
                display_name="second",
            ),
        ),
        web_redirect_uris=localhost,
        logout_url="http://localhost/auth/entra/logout",
        identifier_uris=(f"api://{CLIENT_ID}",),
        scopes=("access_as_user",),
        app_roles=tuple(
            AppRole(
                value=value, role_id=_ROLE.format(n), display_name=value, description=f"{value} of the app"
            )
            for n, value in enumerate(("Admin", "Editor", "Viewer"), start=1)
        ),
        optional_claims=("sid", "login_hint", "acct", "email"),
        group_claims="SecurityGroup",
        admin_consented=("User.Read", "GroupMember.Read.All", "Application.Read.All", "Directory.Read.All"),
    )


def _groups(directory: Directory) -> None:
    names = {
        STAFF: ("Contoso Staff", ()),
        ENGINEERS: ("Engineers", (STAFF,)),
        PLATFORM: ("Platform Team", (ENGINEERS,)),
        FINANCE: ("Finance", (STAFF,)),
        ADMINS: ("App Admins", ()),
        EDITORS: ("App Editors", ()),
        VIEWERS: ("App Viewers", ()),
    }
    for object_id, (name, member_of) in names.items():
        directory.put(
            Group(tenant_id=CONTOSO_ID, display_name=name, object_id=object_id, member_of=member_of)
        )
    for n, object_id in enumerate(_OLGA, start=1):
        directory.put(Group(tenant_id=CONTOSO_ID, display_name=f"Project {n:03d}", object_id=object_id))


def _people(directory: Directory, app: App) -> None:
    contoso: tuple[tuple[str, str, str, str, tuple[str, ...], str], ...] = (
        ("ada", "Ada", "Lovelace", "Chief engineer", (PLATFORM, ADMINS), "Admin"),
        ("ed", "Ed", "Codd", "Editor in chief", (ENGINEERS, EDITORS), "Editor"),
        ("vi", "Vi", "Hart", "Reader", (STAFF, VIEWERS), "Viewer"),
        ("nora", "Nora", "Noether", "New colleague", (), ""),
        ("olga", "Olga", "Ladyzhenskaya", "Member of everything", _OLGA, "Viewer"),
        ("gus", "Gus", "Guest", "Partner at Fabrikam", (), "Viewer"),
        ("dan", "Dan", "Disabled", "Left the company", (STAFF,), "Viewer"),
        ("carla", "Carla", "Conditional", "On an unmanaged device", (STAFF,), "Viewer"),
        ("mia", "Mia", "Multifactor", "Must use a second factor", (FINANCE,), "Viewer"),
    )
    for n, (name, given, surname, title, groups, role) in enumerate(contoso, start=1):
        guest = name == "gus"
        home_name = f"{name}@fabrikam.test"
        upn = "gus_fabrikam.test#EXT#@contoso.test" if guest else f"{name}@contoso.test"
        person = Person(
            object_id=_PERSON.format(n),
            tenant_id=CONTOSO_ID,
            user_principal_name=upn,
            display_name=f"{given} {surname}",
            given_name=given,
            surname=surname,
            mail=home_name if guest else upn,
            job_title=title,
            enabled=name != "dan",
            home_tenant_id=FABRIKAM_ID if guest else "",
            home_user_principal_name=home_name if guest else "",
            groups=groups,
            conditional_access={"carla": "block", "mia": "mfa"}.get(name, ""),
            photo=name == "ada",
            administrator=name == "ada",
        )
        directory.put(person)
        if role:
            directory.assign(app, person.object_id, role)
    directory.put(
        Person(
            object_id=_PERSON.format(21),
            tenant_id=FABRIKAM_ID,
            user_principal_name="mallory@fabrikam.test",
            display_name="Mallory Malice",
            given_name="Mallory",
            surname="Malice",
            mail="ada@contoso.test",
            mail_verified=False,
            job_title="Carries somebody else's address",
        )
    )
