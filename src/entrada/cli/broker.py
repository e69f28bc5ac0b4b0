"""`entrada broker`: one registration for many installations.

    entrada broker [--host 127.0.0.1] [--port 8000]                 the server
    entrada broker installations list [--json]                      who may sign people in here, or asks to
    entrada broker installations add PUBLIC_URL --tenant ID         let an installation in
    entrada broker installations approve CLIENT_ID                  let one in that has asked
    entrada broker installations remove CLIENT_ID                   shut it out, and end what it has
    entrada broker installations rotate CLIENT_ID                   a new secret, beside the last one
    entrada broker rotate-keys [--stolen]                           a new signing key

`entrada broker` is `entrada serve` with ENTRADA_BROKER=true.
What `[[installations]]` in entrada.toml lists is changed there; these commands keep theirs in the database.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from entrada.audit.acts import Actor
from entrada.broker import administration
from entrada.broker.administration import Untold
from entrada.broker.installations import Installation, installation_at
from entrada.broker.listed import read_listed
from entrada.broker.routes import BrokerRoutes
from entrada.broker.signing_keys import PUBLISHED_AHEAD
from entrada.broker.start import admin_consent_link, build_broker
from entrada.cli.accounts import by_command
from entrada.cli.logs import log_at
from entrada.cli.ports import port_number
from entrada.cli.serve import public_url_of, serve
from entrada.clock import SystemClock
from entrada.entra.authority import TenantId, parse_guid
from entrada.errors import ConfigurationError
from entrada.settings import default_file, load_settings

_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", 8000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "broker",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=_DEFAULT_HOST, help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=port_number, default=_DEFAULT_PORT, help="port (default %(default)s)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings file (default entrada.toml)")
    parser.set_defaults(func=_serve)
    commands = parser.add_subparsers(title="commands", metavar="[COMMAND]")
    rotate_keys = commands.add_parser("rotate-keys", help="a new signing key")
    rotate_keys.add_argument(
        "--stolen", action="store_true", help="withdraw the others at once: what they signed counts no more"
    )
    rotate_keys.set_defaults(func=_rotate_keys)
    _add_installations(commands.add_parser("installations", help="who may sign people in here"))


def _add_installations(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="all of them, those that ask to be let in first")
    listing.add_argument("--json", action="store_true", help="for scripts")
    listing.set_defaults(func=_list)
    add = commands.add_parser("add", help="let an installation in")
    add.add_argument(
        "public_url", metavar="PUBLIC_URL", help="its public URL, such as https://mage.example.com"
    )
    add.add_argument("--tenant", required=True, help="the Directory (tenant) ID whose people sign in there")
    add.add_argument("--secret", action="store_true", help="give it a client secret, which is shown once")
    add.set_defaults(func=_add)
    for name, summary, run in (
        ("approve", "let one in that has asked", _approve),
        ("remove", "shut it out, and end what it has", _remove),
        ("rotate", "a new client secret, beside the last one", _rotate),
    ):
        command = commands.add_parser(name, help=summary)
        command.add_argument("client_id", help="as `list` shows it; by default its public URL")
        command.set_defaults(func=run)


def _serve(args: argparse.Namespace) -> int:
    serve(args.host, args.port, file=args.settings or default_file(), is_broker=True)
    return 0


def _broker(args: argparse.Namespace) -> BrokerRoutes:
    file = getattr(args, "settings", None) or default_file()
    settings, found = load_settings(os.environ, file=file)
    with found.names.in_errors():
        listed = read_listed(file)
    log_at(settings.log_level)
    settings = public_url_of(
        settings, found, getattr(args, "host", _DEFAULT_HOST), getattr(args, "port", _DEFAULT_PORT)
    )
    return build_broker(settings, found, listed=listed)


def _list(args: argparse.Namespace) -> int:
    broker = _broker(args)
    installations = sorted(
        broker.broker.provider.installations(), key=lambda one: (one.is_let_in, one.client_id)
    )
    in_vain = administration.untold(broker.broker.provider, [one.client_id for one in installations])
    if args.json:
        documents = [_document(one, in_vain.get(one.client_id)) for one in installations]
        print(json.dumps(documents, indent=2))
        return 0
    if not installations:
        print("No installation is listed. Add one: entrada broker installations add PUBLIC_URL --tenant ID")
    for one in installations:
        asked = "" if one.asked_from is None else f", asked from {one.asked_from}"
        print(f"{one.standing:<9} {one.client_id}  tenant {one.tenant_id}  proof {one.proof}{asked}")
        if (missed := in_vain.get(one.client_id)) is not None:
            print(f"          {missed.count} sign-outs not taken, since {missed.since:%Y-%m-%d %H:%M} UTC")
    return 0


def _document(one: Installation, in_vain: Untold | None) -> dict[str, object]:
    return {
        "client_id": one.client_id,
        "tenant_id": one.tenant_id,
        "standing": one.standing,
        "proof": one.proof,
        "redirect_uris": one.redirect_uris,
        "origin_pattern": one.origin_pattern,
        "backchannel_logout_uri": one.backchannel_logout_uri,
        "claims": sorted(one.claims),
        "groups": None if one.groups is None else sorted(one.groups),
        "roles_claim": one.roles_claim,
        "roles_mapping": one.roles_mapping,
        "insecure_without_pkce": one.insecure_without_pkce,
        "asked_at": None if one.asked_at is None else one.asked_at.isoformat(),
        "asked_from": one.asked_from,
        "sign_outs_not_taken": 0 if in_vain is None else in_vain.count,
        "not_taken_since": None if in_vain is None else in_vain.since.isoformat(),
    }


def _add(args: argparse.Namespace) -> int:
    tenant = parse_guid(args.tenant.strip())
    if tenant is None:
        raise ConfigurationError(
            f"{args.tenant!r} is no tenant.",
            hint="It is a GUID: the Directory (tenant) ID on the overview page in the Entra admin center.",
        )
    try:
        made = installation_at(args.public_url, tenant_id=TenantId(tenant))
    except ValueError as error:
        raise ConfigurationError(
            f"{args.public_url!r} is no public URL: {error}.", hint="Write it as https://mage.example.com."
        ) from None
    broker = _broker(args)
    provider = broker.broker.provider
    if provider.installation(made.client_id) is not None:
        raise ConfigurationError(
            f"There is an installation {made.client_id!r} already.",
            hint="`entrada broker installations list` shows it; `approve` lets it in, `remove` shuts it out.",
        )
    if not provider.allows(made.tenant_id):
        raise ConfigurationError(
            f"The tenant {tenant} is not one of those that may sign in here.",
            hint="Add it to $[allowed_tenants] of the broker first.",
            setting="allowed_tenants",
        )
    secret = administration.add(provider, made, with_secret=args.secret, actor=_actor())
    print(f"{made.client_id} may sign in people of tenant {tenant}.")
    print("There, set:")
    print(f"  ENTRADA_BROKER_URL={provider.issuer}\n  ENTRADA_TENANT_ID={tenant}")
    print(f"  ENTRADA_PUBLIC_URL={made.client_id}")
    if secret is not None:
        print(f"  ENTRADA_CLIENT_SECRET={secret}      (shown once)")
    _print_consent(broker, TenantId(tenant))
    return 0


def _print_consent(broker: BrokerRoutes, tenant_id: TenantId) -> None:
    print("An administrator of that tenant accepts once, for everybody, at:")
    print(f"  {admin_consent_link(broker, tenant_id)}")


def _approve(args: argparse.Namespace) -> int:
    broker = _broker(args)
    installation = _stored(broker, args.client_id)
    administration.approve(broker.broker.provider, installation, actor=_actor())
    print(f"{installation.client_id} may sign in people of tenant {installation.tenant_id}.")
    _print_consent(broker, installation.tenant_id)
    return 0


def _remove(args: argparse.Namespace) -> int:
    broker = _broker(args)
    installation = _stored(broker, args.client_id)
    administration.remove(broker.broker.provider, installation, actor=_actor())
    print(f"{installation.client_id} is shut out, what it was given has ended, and it is told so.")
    return 0


def _rotate(args: argparse.Namespace) -> int:
    broker = _broker(args)
    installation = _stored(broker, args.client_id)
    secret = administration.rotate_secret(broker.broker.provider, installation, actor=_actor())
    print(f"ENTRADA_CLIENT_SECRET={secret}      (shown once; the last one works beside it until the next)")
    return 0


def _rotate_keys(args: argparse.Namespace) -> int:
    provider = _broker(args).broker.provider
    if args.stolen:
        key = provider.replace_stolen_keys()
        print(f"The key {key.kid} signs from now on. Every other is withdrawn.")
        print("Installations of Entrada forget a withdrawn key at their next sign-in.")
        return 0
    key = provider.rotate_keys()
    minutes = int(PUBLISHED_AHEAD.total_seconds() / 60)
    print(f"The key {key.kid} is published, and signs in {minutes} minutes.")
    print("What the others signed is believed for as long as it lives.")
    return 0


def _actor() -> Actor:
    return by_command(SystemClock().now()).actor


def _stored(broker: BrokerRoutes, client_id: str) -> Installation:
    """The installation stored in the database.

    Raises:
        ConfigurationError: unknown, or listed in the settings file.
    """
    provider = broker.broker.provider
    found = provider.store.find_installation(client_id)
    if found is None:
        listed = provider.installation(client_id) is not None
        raise ConfigurationError(
            f"{client_id!r} is listed in the settings file." if listed else f"There is no {client_id!r}.",
            hint="Change it there." if listed else "`entrada broker installations list` shows what there is.",
        )
    return found
