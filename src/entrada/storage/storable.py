"""What every store makes of what it is given, so that all of them answer alike.

    storable_profile        a profile, cut to what can be stored
    email_key               how e-mail addresses are compared
    new_user                the user that a first sign-in makes
    user_after_sign_in      the user that a later one leaves
    user_after_recheck      the user as Entra sees them between two sign-ins
    with_…, without_…       the user with one identity or grant more, or less

Values in, values out: no I/O, no clock, no lock. What a text means is not judged, only if it can be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from entrada.accounts.groups import Membership
from entrada.accounts.identity import (
    EntraIdentity,
    GrantSource,
    LinkedIdentity,
    Profile,
    RoleGrant,
    User,
    UserId,
)
from entrada.accounts.role_end import require_future

NAME_LENGTH = 512
"""Characters stored of a name or username; the rest is cut off."""

EMAIL_LENGTH = 320
"""Characters an e-mail address may have. A longer one is not stored: cut, it would be another address."""

UNSTORABLE = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""Half surrogate pairs, which JSON can carry and UTF-8 cannot."""


def storable_profile(profile: Profile) -> Profile:
    """The profile as it is stored; the same object where nothing needs doing.

    NUL is removed and half surrogate pairs are replaced in names.
    An e-mail address that would need either is dropped, and with it the claim that it is verified.
    """
    texts = (profile.name, profile.username or "", profile.email or "")
    if all(len(text) <= EMAIL_LENGTH and text.isprintable() and text.isascii() for text in texts):
        return profile
    name, username = storable_text(profile.name), profile.username and storable_text(profile.username)
    email = profile.email if profile.email and is_storable_email(profile.email) else None
    verified = profile.email_is_verified and email is not None
    stored = replace(profile, name=name, username=username, email=email, email_is_verified=verified)
    return profile if stored == profile else stored


def storable_text(text: str) -> str:
    """The text without NUL and half surrogate pairs, cut to `NAME_LENGTH`."""
    if len(text) <= NAME_LENGTH and text.isprintable():
        return text
    return text.replace("\0", "").translate(UNSTORABLE)[:NAME_LENGTH]


def is_storable_email(email: str) -> bool:
    """Whether the address can be stored as it is, whatever it means."""
    return len(email) <= EMAIL_LENGTH and "\0" not in email and is_unicode(email)


def is_unicode(text: str) -> bool:
    """Whether the text has no half surrogate pair, and so can be written as UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def email_key(email: str) -> str:
    """Equal for two addresses that differ only in the case of ASCII letters.

    Other letters count as they are: Unicode's case folding makes one address of two that different
    people can own (K and the Kelvin sign, ss and ß).
    """
    return email.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def verified_email_key(profile: Profile) -> str | None:
    """What `find_by_verified_email` finds the profile by; None: by nothing."""
    return email_key(profile.email) if profile.email and profile.email_is_verified else None


def new_user(
    user_id: UserId,
    identity: EntraIdentity,
    profile: Profile,
    entra_grants: Sequence[RoleGrant],
    now: datetime,
) -> User:
    """The user that a first sign-in makes.

    Raises:
        ValueError: one of `entra_grants` is not from Entra.
    """
    return User(
        id=user_id,
        profile=storable_profile(profile),
        created_at=now,
        identities=(LinkedIdentity(identity=identity, linked_at=now, last_sign_in_at=now),),
        grants=grants_after_sign_in((), entra_grants),
    )


def user_after_sign_in(
    user: User,
    identity: EntraIdentity,
    profile: Profile,
    entra_grants: Sequence[RoleGrant] | None,
    now: datetime,
) -> User:
    """The user with a new profile, new grants from Entra and the time of the sign-in.

    Raises:
        LookupError: the identity is not one of this user's.
    """
    if not is_linked(user, identity):
        raise LookupError("this identity is not linked to this user")
    return replace(
        user,
        profile=storable_profile(profile),
        identities=tuple(
            replace(linked, last_sign_in_at=now) if linked.identity == identity else linked
            for linked in user.identities
        ),
        grants=grants_after_sign_in(user.grants, entra_grants),
    )


def user_after_recheck(
    user: User,
    identity: EntraIdentity,
    profile: Profile,
    entra_grants: Sequence[RoleGrant] | None,
    membership: Membership,
) -> User:
    """The user with that identity's groups, and with a new profile and new grants from Entra.

    But for the groups unchanged, unless this identity is the one that signed in last: two of them would take
    turns.
    """
    user = with_membership(user, identity, membership)
    signed_in = [linked for linked in user.identities if linked.last_sign_in_at is not None]
    newest = max(signed_in, key=lambda linked: linked.last_sign_in_at or linked.linked_at, default=None)
    if newest is None or newest.identity != identity:
        return user
    return replace(
        user, profile=storable_profile(profile), grants=grants_after_sign_in(user.grants, entra_grants)
    )


def names_of_user(user: User) -> list[str]:
    """What people call a user by, letters as they are compared."""
    texts = (user.profile.name, user.profile.username, user.profile.email)
    return [email_key(text) for text in texts if text]


def is_called(user: User, text: str) -> bool:
    """Whether this is the user's id, object id, name, username or e-mail address, the whole of it."""
    key = email_key(text)
    ids = [user.id, *(linked.identity.object_id for linked in user.identities)]
    return key in ids or key in names_of_user(user)


def is_found_by(user: User, text: str) -> bool:
    """Whether a search for this text finds the user: called so exactly, or so in part."""
    return is_called(user, text) or any(email_key(text) in name for name in names_of_user(user))


def is_linked(user: User, identity: EntraIdentity) -> bool:
    """Whether the identity signs in as this user."""
    return any(linked.identity == identity for linked in user.identities)


def with_identity(user: User, linked: LinkedIdentity) -> User:
    """The user with one identity more, in its place."""
    return replace(user, identities=identities_in_order([*user.identities, linked]))


def with_membership(user: User, identity: EntraIdentity, membership: Membership) -> User:
    """The user with what is known of this identity's groups; the same object where nothing changes."""
    if user.membership_of(identity) == membership:
        return user
    return replace(
        user,
        identities=tuple(
            replace(linked, membership=membership) if linked.identity == identity else linked
            for linked in user.identities
        ),
    )


def has_other_rights(before: User, after: User) -> bool:
    """Whether live sessions must learn of the difference: roles, or what is known of groups."""
    groups = [{each.identity: each.membership for each in user.identities} for user in (before, after)]
    return before.roles != after.roles or groups[0] != groups[1]


def manual_grant(user: User | None, role: str) -> RoleGrant | None:
    """The grant by which somebody gave the user this role by hand, if any did."""
    grants = user.grants if user is not None else ()
    return next((g for g in grants if g.role == role and g.source is GrantSource.MANUAL), None)


def new_manual_grant(role: str, *, granted_by: str, now: datetime, until: datetime | None) -> RoleGrant:
    """What gives a role by hand.

    Raises:
        AdministrationRefused: the end has passed.
    """
    require_future(until, now=now)
    return RoleGrant(role=role, source=GrantSource.MANUAL, granted_by=granted_by, granted_at=now, until=until)


def with_grant(user: User, grant: RoleGrant) -> User:
    """The user with this grant, in the place of one of the same role and source."""
    return replace(user, grants=grants_in_order([*without_grant(user, grant).grants, grant]))


def without_grant(user: User, lost: RoleGrant) -> User:
    """The user without this role of this source; the same role of another stays."""
    gone = (lost.role, lost.source)
    return replace(user, grants=tuple(grant for grant in user.grants if (grant.role, grant.source) != gone))


def grants_after_sign_in(
    held: Sequence[RoleGrant], entra_grants: Sequence[RoleGrant] | None
) -> tuple[RoleGrant, ...]:
    """The grants held after a sign-in, in order.

    `entra_grants` replace those from Entra, one a role: the first counts. Those that stay keep `granted_at`.
    None changes nothing. Manual grants stay.

    Raises:
        ValueError: one of `entra_grants` is not from Entra.
    """
    if entra_grants is None:
        return grants_in_order(held)
    if any(grant.source is not GrantSource.ENTRA for grant in entra_grants):
        raise ValueError("entra_grants may hold only grants whose source is Entra")
    since = {grant.role: grant.granted_at for grant in held if grant.source is GrantSource.ENTRA}
    first = {grant.role: grant for grant in reversed(entra_grants)}
    from_entra = [
        replace(grant, granted_at=since[role]) if role in since else grant for role, grant in first.items()
    ]
    manual = [grant for grant in held if grant.source is not GrantSource.ENTRA]
    return grants_in_order([*manual, *from_entra])


def grants_in_order(grants: Iterable[RoleGrant]) -> tuple[RoleGrant, ...]:
    """By role, then by source: the order in which every store gives them."""
    return tuple(sorted(grants, key=lambda grant: (grant.role, grant.source)))


def identities_in_order(identities: Iterable[LinkedIdentity]) -> tuple[LinkedIdentity, ...]:
    """The longest linked first."""
    return tuple(
        sorted(
            identities,
            key=lambda linked: (linked.linked_at, linked.identity.tenant_id, linked.identity.object_id),
        )
    )
