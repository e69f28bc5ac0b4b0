"""The views of the Django project `on_django`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import login_required as djangos_login_required
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.decorators import api_view
from rest_framework.response import Response

from adapters.applications.numbers import lines, lines_async
from entrada.adapters.django import (
    atoken_for,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
    token_for,
)
from entrada.entra.callers import CallerKind

both = (CallerKind.PERSON, CallerKind.APPLICATION)


def who(request: HttpRequest, **_: Any) -> HttpResponse:
    principal = current_principal(request)
    return JsonResponse(
        {
            "name": principal.name if principal else None,
            "roles": sorted(principal.roles) if principal else [],
            "query": request.META["QUERY_STRING"],
        }
    )


async def who_async(request: HttpRequest, **_: Any) -> HttpResponse:
    return who(request)


@login_required
def mail(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"api": token_for(request, ["Mail.Read"]).scopes})


@login_required
async def mail_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"api": (await atoken_for(request, ["Mail.Read"])).scopes})


@login_required
def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(lines(request.META["QUERY_STRING"]))


@login_required
async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(lines_async(request.META["QUERY_STRING"]))


@djangos_login_required
def user(request: HttpRequest) -> HttpResponse:
    who_it_is: Any = request.user
    return JsonResponse(
        {
            "id": who_it_is.pk,
            "username": who_it_is.get_username(),
            "email": who_it_is.email,
            "staff": who_it_is.is_staff,
            "superuser": who_it_is.is_superuser,
            "groups": sorted(group.name for group in who_it_is.groups.all()),
        }
    )


@api_view(["GET", "POST"])
def api(request: Any) -> Response:
    return Response({"user": str(request.user), "name": request.auth.name})


def basket(request: HttpRequest) -> HttpResponse:
    """What this browser has put into Django's own session."""
    if "put" in request.GET:
        request.session["basket"] = request.GET["put"]
    return JsonResponse({"basket": request.session.get("basket")})


@method_decorator(login_required, name="dispatch")
class Members(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return who(request)


urlpatterns = [
    path("basket", basket),
    path("members-class", Members.as_view()),
    path("", who),
    re_path(r"^members/(?P<rest>.*)$", login_required(who)),
    path("editors/all", roles_required("Editor", "Admin")(who_async)),
    path("files", scopes_required("access_as_user")(who_async)),
    path("jobs", scopes_required("access_as_user", roles=["Editor"], callers=both)(who)),
    path("mail", mail),
    path("mail/async", mail_async),
    path("stream", stream),
    path("stream/async", stream_async),
    path("user", user),
    path("api", api),
    path("admin/", admin.site.urls),
]
