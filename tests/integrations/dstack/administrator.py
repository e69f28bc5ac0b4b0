"""dstack's administrator at work, through dstack's own API: users, projects, members."""

from __future__ import annotations

from typing import Any

import httpx

from clients.dstack import Dstack


class Administrator:
    def __init__(self, dstack: Dstack) -> None:
        self._dstack = dstack

    def users(self, email: str) -> list[dict[str, Any]]:
        """Everybody with that address."""
        return [user for user in self._ask("users/list") if user["email"] == email]

    def user(self, username: str) -> dict[str, Any]:
        """Everything about one user, token included."""
        return self._ask("users/get_user", username=username)

    def make_user(self, username: str, *, email: str | None = None, role: str = "user") -> dict[str, Any]:
        return self._ask("users/create", username=username, global_role=role, email=email, active=True)

    def change_user(self, user: dict[str, Any], **changes: Any) -> dict[str, Any]:
        kept = {name: user[name] for name in ("username", "global_role", "email", "active")}
        return self._ask("users/update", **{**kept, **changes})

    def delete_user(self, username: str) -> None:
        self._ask("users/delete", users=[username])

    def make_project(self, name: str) -> None:
        self._ask("projects/create", project_name=name)

    def add_member(self, project: str, username: str, role: str) -> None:
        self._ask(f"projects/{project}/add_members", members=[{"username": username, "project_role": role}])

    def members(self, project: str) -> dict[str, str]:
        """Project role by username."""
        found = self._ask(f"projects/{project}/get")["members"]
        return {member["user"]["username"]: member["project_role"] for member in found}

    def memberships(self, username: str, *projects: str) -> dict[str, str]:
        """Project role by project, of these projects."""
        roles = {project: self.members(project).get(username) for project in projects}
        return {project: role for project, role in roles.items() if role is not None}

    def runs(self) -> dict[str, str]:
        """The state of the newest run of each user."""
        return {run["user"]: run["status"] for run in reversed(self._ask("runs/list", limit=100))}

    def _ask(self, what: str, **body: Any) -> Any:
        answer = self._dstack.api.post(f"/api/{what}", json=body or None)
        assert answer.status_code == 200, f"{what}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


def may_use(dstack: Dstack, token: str) -> bool:
    """Whether dstack's API takes this token."""
    answer = ask_as(dstack, token, "users/get_my_user")
    assert answer.status_code in (200, 401, 403), answer.text
    return answer.status_code == 200


def ask_as(dstack: Dstack, token: str, what: str, body: Any = None) -> httpx.Response:
    return dstack.api.post(f"/api/{what}", json=body, headers={"authorization": f"Bearer {token}"})
