"""The Django user of a person: found by tenant and object id, made at their first visit, kept in step.

Nobody is found by name or e-mail: both change hands. A user that was there before is linked by hand, by
adding an Entra identity to them in the admin site.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from entrada.accounts.principal import UserPrincipal
from entrada.adapters.django.models import EntraIdentity
from entrada.adapters.django.options import Options, read_options

EntraId = tuple[str, str]
SECONDS_ACTIVE = 1.0
"""How long a user stays known to be active; longer only in what was saved around Django's signals."""
_MOST_ACTIVE = 10_000
_active_until: dict[EntraId, float] = {}


def is_lately_active(principal: UserPrincipal) -> bool:
    """Whether their user was active a moment ago, so that a guard need not ask the database."""
    until = _active_until.get((principal.tenant_id, principal.object_id))
    return until is not None and time.monotonic() < until


def note_active(principal: UserPrincipal) -> None:
    """Their user has just been read, and is active."""
    if len(_active_until) >= _MOST_ACTIVE:
        _active_until.clear()
    _active_until[principal.tenant_id, principal.object_id] = time.monotonic() + SECONDS_ACTIVE


def forget_active(**_: Any) -> None:
    """A user was saved or deleted in this process."""
    _active_until.clear()


def user_of(principal: UserPrincipal) -> Any:
    """The user, with flags and groups as the roles say; they may be inactive."""
    options = read_options()
    identity = _linked(principal, options)
    if identity.roles_seen != sorted(principal.roles):
        _keep_in_step(identity, principal, options)
    return identity.user


def _linked(principal: UserPrincipal, options: Options) -> EntraIdentity:
    who = {"tenant_id": principal.tenant_id, "object_id": principal.object_id}
    identities = EntraIdentity.objects.select_related("user")
    found = identities.filter(**who).first()
    if found is not None:
        return found
    try:
        with transaction.atomic():
            return EntraIdentity.objects.create(user=_new_user(principal, options), **who)
    except IntegrityError:
        return identities.get(**who)  # another request of the same person was first


def _new_user(principal: UserPrincipal, options: Options) -> Any:
    if options.new_user is not None:
        return options.new_user(principal)
    model = get_user_model()
    user = model()
    known = {field.name for field in model._meta.get_fields()}
    first, _, last = principal.name.partition(" ")
    for name, value in (("email", principal.email or ""), ("first_name", first), ("last_name", last)):
        if name in known:
            limit = model._meta.get_field(name).max_length or len(value)
            setattr(user, name, value[:limit])
    setattr(user, model.USERNAME_FIELD, _free_name(model, principal))
    user.set_unusable_password()
    user.save()
    return user


def _free_name(model: Any, principal: UserPrincipal) -> str:
    """The name that people know them by; if somebody has it here already, with their object id behind it."""
    name = model.USERNAME_FIELD
    limit = model._meta.get_field(name).max_length or 254
    wanted = principal.username or principal.email or principal.object_id
    taken = model._default_manager.filter(**{f"{name}__iexact": wanted[:limit]}).exists()
    if not taken and len(wanted) <= limit:
        return wanted
    return f"{wanted[: limit - len(principal.object_id) - 1]}+{principal.object_id}"


def _keep_in_step(identity: EntraIdentity, principal: UserPrincipal, options: Options) -> None:
    """Flags and groups are Entra's where it has given them; what was given here by hand stays."""
    user, before, now = identity.user, set(identity.roles_seen or ()), set(principal.roles)
    with transaction.atomic():
        for flag, roles in (
            ("is_superuser", options.superuser_roles),
            ("is_staff", options.staff_roles | options.superuser_roles),
        ):
            if not hasattr(user, flag) or not roles:
                continue
            held, had = bool(now & roles), bool(before & roles)
            if held or had:
                setattr(user, flag, held)
        user.save()
        if options.groups and hasattr(user, "groups"):
            user.groups.add(*(Group.objects.get_or_create(name=role)[0] for role in sorted(now - before)))
            user.groups.remove(*Group.objects.filter(name__in=before - now))
        identity.roles_seen = sorted(now)
        identity.save(update_fields=["roles_seen"])
