"""The page at `/_emulator/`: who exists, what was requested, which faults are on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from ..compatibility import UTC
from ..directory.records import Person
from ..faults.catalogue import ENDPOINTS, MEANING_FAULTS, WIRE_FAULTS
from ..faults.conformance import module_names
from ..protocol.http import Response
from ..sign_in.pages import attribute, page
from ..state.request_log import ReceivedRequest
from ..state.world import World

_SHOWN_REQUESTS = 50
_DEMANDS = {"block": "blocked by policy", "mfa": "second factor"}


def control_page(world: World) -> Response:
    """The whole page; its buttons speak the control API."""
    body = (
        f"<p>Listening on <code>{attribute(world.http_url)}</code> and "
        f"<code>{attribute(world.https_url)}</code>. "
        'Trust <a href="/_emulator/ca.pem">this authority</a> for https. '
        "Nothing here protects anything: use it for development and tests only.</p>"
        '<p id="answer" class="lead" role="status" aria-live="polite"></p>'
        + _people(world)
        + _apps(world)
        + _policies(world)
        + _faults(world)
        + '<h2>Everything</h2><div class="actions">'
        + _button("Rotate keys", "keys", {})
        + _button("Revoke all sessions", "sessions", {})
        + _button("Reset", "reset", {})
        + "</div>"
        + _requests(world)
    )
    return page("Entra emulator", body, script="control", wide=True)


def _button(label: str, call: str, body: dict[str, object], *, method: str = "POST") -> str:
    return (
        f'<button type="button" data-method="{method}" data-call="{attribute(call)}" '
        f'data-body="{attribute(json.dumps(body))}">{attribute(label)}</button>'
    )


def _table(
    caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, tall: bool = False
) -> str:
    """A table whose cells are HTML already; one that may grow `tall` scrolls in a frame of its own."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    kind = "scroll tall" if tall else "scroll"
    return (
        f'<h2>{caption}</h2><div class="{kind}" tabindex="0" role="region" aria-label="{caption}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _people(world: World) -> str:
    rows = [_person(world, person) for person in list(world.directory.people.values())]
    return _table("People", ("Name", "Sign in as", "Tenant", "Roles", "Groups", "State", "Change"), rows)


def _person(world: World, person: Person) -> tuple[str, ...]:
    tenant = world.directory.tenants.get(person.tenant_id)
    roles = [
        value
        for app in list(world.directory.apps.values())
        for value in world.directory.roles_of(app, person.object_id, person.groups)
    ]
    states = [
        "enabled" if person.enabled else "disabled",
        "guest" if person.guest else "",
        _DEMANDS.get(person.conditional_access, ""),
    ]
    path = f"people/{person.object_id}"
    change = _button(
        "Disable" if person.enabled else "Enable", path, {"enabled": not person.enabled}, method="PATCH"
    ) + _button("Revoke sessions", "sessions", {"person": person.object_id})
    return (
        attribute(person.display_name),
        f"<code>{attribute(person.sign_in_name)}</code>",
        attribute(tenant.domain if tenant else person.tenant_id),
        attribute(", ".join(roles)),
        str(len(world.directory.group_ids_of(person))),
        attribute(", ".join(state for state in states if state)),
        f'<div class="row">{change}</div>',
    )


def _apps(world: World) -> str:
    rows = [
        (
            attribute(app.display_name),
            f"<code>{attribute(app.client_id)}</code>",
            "<br>".join(f"<code>{attribute(secret.value)}</code>" for secret in app.secrets),
            "<br>".join(f"<code>{attribute(uri)}</code>" for uri in app.redirect_uris),
        )
        for app in list(world.directory.apps.values())
    ]
    return _table("Applications", ("Name", "Client ID", "Secrets", "Redirect URIs"), rows)


def _policies(world: World) -> str:
    if not world.directory.policies:
        return ""
    rows = [
        (
            attribute(policy.display_name),
            attribute(_DEMANDS.get(policy.control, policy.control)),
            attribute(_names(world, (*policy.people, *policy.groups)) or "everybody"),
            attribute(_names(world, policy.apps) or "every application"),
            _button(
                "Switch off" if policy.enabled else "Switch on",
                f"policies/{policy.policy_id}",
                {"enabled": not policy.enabled},
                method="PATCH",
            ),
        )
        for policy in list(world.directory.policies.values())
    ]
    return _table("Conditional Access", ("Policy", "Demands", "Of", "At", "Change"), rows)


def _names(world: World, ids: tuple[str, ...]) -> str:
    """What the page calls these people, groups and applications."""
    directory = world.directory
    records = [directory.people.get(i) or directory.groups.get(i) or directory.apps.get(i) for i in ids]
    return ", ".join(record.display_name for record in records if record is not None)


def _faults(world: World) -> str:
    rows = [
        (
            f"<code>{attribute(fault.origin or fault.name)}</code>",
            attribute(fault.endpoint or "any"),
            "until cleared" if fault.times is None else str(fault.times),
            f"<code>{attribute(json.dumps(fault.parameters))}</code>",
        )
        for fault in world.faults.active()
    ]
    names = [*WIRE_FAULTS, *MEANING_FAULTS, *module_names()]
    options = "".join(f'<option value="{attribute(name)}">{attribute(name)}</option>' for name in names)
    endpoints = "".join(f'<option value="{name}">{name}</option>' for name in ENDPOINTS)
    form = (
        '<form id="fault"><label for="f-name">Fault</label>'
        f'<select id="f-name" name="fault">{options}</select>'
        '<label for="f-endpoint">Endpoint</label>'
        f'<select id="f-endpoint" name="endpoint"><option value="">its usual one</option>{endpoints}</select>'
        '<label for="f-times">For how many requests (empty: until cleared)</label>'
        '<input id="f-times" name="times" type="number" min="1" value="1">'
        '<label for="f-more">Parameters as JSON</label>'
        '<input id="f-more" name="more" placeholder=\'{"code": 53003}\'>'
        '<div class="actions">'
        + _button("Clear all faults", "faults", {}, method="DELETE")
        + '<button class="primary">Switch on</button></div></form>'
    )
    return _table("Faults", ("Fault", "Endpoint", "Requests left", "Parameters"), rows) + form


def _requests(world: World) -> str:
    shown = [one for one in world.log.shown() if one.endpoint != "control"][-_SHOWN_REQUESTS:]
    rows = [_request(one) for one in reversed(shown)]
    heads = ("Time", "Request", "Endpoint", "Status", "Parameters")
    return _table("Requests received", heads, rows, tall=True) + (
        f"<p><small>The last {_SHOWN_REQUESTS}, the newest first; "
        '<a href="/_emulator/requests">all that are remembered</a>.</small></p>'
    )


def _request(one: ReceivedRequest) -> tuple[str, ...]:
    parameters = {**one.query, **one.form}
    return (
        datetime.fromtimestamp(one.at, UTC).strftime("%H:%M:%S"),
        f"<code>{attribute(one.method)} {attribute(one.path[:200])}</code>",
        attribute(one.endpoint),
        str(one.status),
        f"<code>{attribute(json.dumps(parameters)[:600])}</code>",
    )
