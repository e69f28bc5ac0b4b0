"""The small application that `entrada demo` protects: a page that shows who you are, and one for editors.

It is written as any application would be: a middleware, two guards, and `principal_of`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from entrada.accounts.principal import UserPrincipal
from entrada.adapters.starlette import (
    auth_of,
    login_required,
    principal_of,
    roles_required,
    to_starlette,
    web_request_of,
)
from entrada.web.pages.values import Action, Fact, Page
from entrada.web.refusals import page_response


@login_required
async def who_you_are(request: Request) -> Response:
    person = _person(request)
    return _shown(
        request,
        title=f"Hello, {person.name}",
        paragraphs=["This is a small application behind Entrada. It knows this about you:"],
        facts=[
            Fact(label="E-mail", text=person.email or "none"),
            Fact(label="Roles", text=", ".join(sorted(person.roles)) or "none"),
            Fact(label="Account", text=person.user_id, exact=True),
            Fact(label="Tenant", text=person.identity.tenant_id, exact=True),
            Fact(label="Object", text=person.identity.object_id, exact=True),
        ],
        way=Action(label="Open the editors' page", path="/editors", first=True),
    )


@roles_required("Editor", "Admin")
async def editors(request: Request) -> Response:
    return _shown(
        request,
        title="The editors' page",
        paragraphs=[f"{_person(request).name}, you may open this because you are Editor or above."],
        facts=[],
        way=Action(label="Back", path="/", first=True),
    )


SAMPLE_ROUTES: list[BaseRoute] = [Route("/", who_you_are), Route("/editors", editors)]


def _person(request: Request) -> UserPrincipal:
    person = principal_of(request)
    assert person is not None  # both pages are guarded
    return person


def _shown(
    request: Request, *, title: str, paragraphs: list[str], facts: list[Fact], way: Action
) -> Response:
    auth = auth_of(request)
    sign_out = Action(
        label="Sign out", path=auth.site.logout_path, csrf_token=auth.form_token(web_request_of(request))
    )
    page: Page = auth.pages.note(
        title,
        paragraphs=paragraphs,
        facts=facts,
        actions=[way, sign_out],
        form_action_hosts=auth.form_action_hosts(),
    )
    return to_starlette(page_response(page))
