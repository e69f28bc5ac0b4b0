"""Who comes in: what restricted there restricts here, or something stricter stands in its place."""

from __future__ import annotations

from entrada.cli.import_oauth2_proxy.draft import Draft
from entrada.cli.import_oauth2_proxy.options import Said
from entrada.cli.import_oauth2_proxy.remarks import Verdict
from entrada.cli.import_oauth2_proxy.typed import refuse
from entrada.entra.authority import parse_guid


def people(draft: Draft) -> None:
    domains, file = draft.take("email_domains"), draft.take("authenticated_emails_file")
    whose = "these groups" if draft.says("allowed_groups") else "the tenant"
    if domains is not None and "*" in domains.items and draft.says("allowed_groups"):
        draft.remark(Verdict.SAME, domains, "Addresses are not looked at; groups are.")
    elif domains is not None:
        draft.remark(
            Verdict.DANGEROUS,
            domains,
            f"Addresses are not looked at: everybody of {whose} comes in, whatever theirs is. Ask for roles "
            "or groups in a rule if that is too many.",
        )
    if file is not None and domains is None:
        draft.settings["roles_required"] = True
        draft.remark(
            Verdict.DANGEROUS,
            file,
            "Nobody is let in by address. Nobody at all comes in (roles_required) until you give these "
            "people an app role or group in Entra and name it in roles_mapping.",
        )
    elif file is not None:
        draft.remark(Verdict.NEEDLESS, file, "It only added people to those of email_domains.")
    _groups(draft, by_file=file is not None and domains is None)
    roles = draft.take("allowed_roles")
    if roles is not None:
        draft.remark(
            Verdict.DANGEROUS,
            roles,
            "oauth2-proxy looks at it for Keycloak alone, so it kept nobody out; it was not taken over. A "
            "rule with roles asks for one.",
        )


def _groups(draft: Draft, *, by_file: bool) -> None:
    claim, by_field = draft.take("oidc_groups_claim"), draft.take("azure_graph_group_field")
    said = draft.take("allowed_groups")
    by_role = claim is not None and claim.text == "roles"
    if claim is not None:
        known = claim.text in ("groups", "roles")
        draft.remark(
            Verdict.SAME if known else Verdict.DANGEROUS,
            claim,
            "Entra's groups and app roles are read."
            if known
            else "Only groups and app roles are read, no other claim.",
        )
    if by_field is not None:
        draft.remark(Verdict.SAME, by_field, "A group is named by its object id, or as group:NAME.")
    if said is None:
        return
    if claim is not None and claim.text not in ("groups", "roles"):
        refuse(
            said.place, f"asks for values of {claim.text}, which is not read.", "Ask for groups or app roles."
        )
    asked = [key for item in said.items for key in _keys(draft, said, item, by_role=by_role)]
    if by_file:
        draft.remark(Verdict.DANGEROUS, said, "Left out, since it let in only who was in the file besides.")
        return
    if by_role:
        draft.settings["roles_mapping"] = dict(zip(asked, asked, strict=True))
    draft.asked_everywhere = {"roles" if by_role else "groups": asked}
    draft.remark(
        Verdict.DIFFERENT,
        said,
        "A rule for everything that is not public: who is in none of them can sign in, and gets 403.",
    )


def _keys(draft: Draft, said: Said, item: str, *, by_role: bool) -> list[str]:
    """This group or app role, as a rule names it."""
    if by_role:
        if parse_guid(item) or "/" in item or " " in item or item.startswith("group:"):
            refuse(
                said.place, f"names {item!r}, which is no app role's value.", "Name the value of an app role."
            )
        return [item]
    guid = parse_guid(item)
    if guid is None and len(draft.tenants) > 1:
        refuse(
            said.place,
            f"names {item!r}, and every tenant may have a group of that name.",
            "Write its object id.",
        )
    if guid is None:
        return [f"group:{item}"]
    return [guid] if len(draft.tenants) == 1 else [f"{tenant}/{guid}" for tenant in draft.tenants]
