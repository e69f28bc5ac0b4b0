"""Directory records as Graph's JSON resources.

Source: Microsoft Graph v1.0, resource types user, group, application, servicePrincipal, appRoleAssignment.
"""

from __future__ import annotations

from typing import Any

from ..clock import graph_time
from ..directory.directory import Directory
from ..directory.records import GRAPH_APP_ID, App, AppRole, Group, Person, RoleAssignment, Secret

GRAPH_PRINCIPAL_ID = "00000003-0000-4000-8000-00000000001d"


def user(person: Person) -> dict[str, Any]:
    """A user with the members `/me` shows by default and those often selected."""
    return {
        "businessPhones": [],
        "displayName": person.display_name,
        "givenName": person.given_name or None,
        "jobTitle": person.job_title or None,
        "mail": person.mail or None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "surname": person.surname or None,
        "userPrincipalName": person.user_principal_name,
        "id": person.object_id,
    }


def whole_user(person: Person) -> dict[str, Any]:
    """A user with everything `$select` and `$filter` may name."""
    return {
        **user(person),
        "accountEnabled": person.enabled,
        "userType": "Guest" if person.guest else "Member",
        "signInSessionsValidFromDateTime": graph_time(person.sessions_valid_from),
        "identities": [],
        "mailNickname": person.user_principal_name.partition("@")[0],
    }


def group(record: Group) -> dict[str, Any]:
    """A security group."""
    return {
        "@odata.type": "#microsoft.graph.group",
        "id": record.object_id,
        "displayName": record.display_name,
        "description": record.description or None,
        "mailEnabled": False,
        "mailNickname": record.display_name.replace(" ", ""),
        "securityEnabled": record.security_enabled,
        "groupTypes": [],
        "onPremisesSyncEnabled": None,
    }


def app_role(role: AppRole) -> dict[str, Any]:
    """An app role."""
    return {
        "allowedMemberTypes": list(role.allowed_member_types),
        "description": role.description or role.value,
        "displayName": role.display_name or role.value,
        "id": role.role_id,
        "isEnabled": role.enabled,
        "origin": "Application",
        "value": role.value,
    }


def password(secret: Secret) -> dict[str, Any]:
    """A password credential; its text is shown only when it is made."""
    return {
        "customKeyIdentifier": None,
        "displayName": secret.display_name or None,
        "endDateTime": graph_time(secret.expires) if secret.expires else "2299-12-31T00:00:00Z",
        "hint": secret.value[:3],
        "keyId": secret.key_id,
        "secretText": None,
        "startDateTime": graph_time(secret.starts),
    }


def _keys(app: App) -> list[dict[str, Any]]:
    return [
        {
            "customKeyIdentifier": None,
            "displayName": certificate.display_name or None,
            "key": None,
            "keyId": certificate.key_id,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        }
        for certificate in app.certificates
    ]


def application(app: App) -> dict[str, Any]:
    """An application registration."""
    return {
        "id": app.object_id,
        "appId": app.client_id,
        "displayName": app.display_name,
        "signInAudience": app.audience,
        "identifierUris": list(app.identifier_uris),
        "groupMembershipClaims": None if app.group_claims == "None" else app.group_claims,
        "isFallbackPublicClient": app.public_client,
        "appRoles": [app_role(role) for role in app.app_roles],
        "passwordCredentials": [password(secret) for secret in app.secrets],
        "keyCredentials": _keys(app),
        "web": {
            "redirectUris": list(app.web_redirect_uris),
            "logoutUrl": app.logout_url or None,
            "homePageUrl": None,
            "implicitGrantSettings": {
                "enableIdTokenIssuance": app.id_token_issuance,
                "enableAccessTokenIssuance": False,
            },
        },
        "spa": {"redirectUris": list(app.spa_redirect_uris)},
        "publicClient": {"redirectUris": list(app.public_redirect_uris)},
        "optionalClaims": {
            "idToken": [
                {"name": name, "source": None, "essential": False, "additionalProperties": []}
                for name in app.optional_claims
            ],
            "accessToken": [],
            "saml2Token": [],
        },
        "api": {
            "requestedAccessTokenVersion": 2 if app.access_token_version == 2 else None,
            "oauth2PermissionScopes": [
                {"value": name, "isEnabled": True, "type": "User"} for name in app.scopes
            ],
        },
        "requiredResourceAccess": [],
    }


def service_principal(app: App) -> dict[str, Any]:
    """The enterprise application of a registration."""
    return {
        "id": app.service_principal_id,
        "appId": app.client_id,
        "displayName": app.display_name,
        "accountEnabled": app.enabled,
        "appOwnerOrganizationId": app.tenant_id,
        "appRoleAssignmentRequired": app.assignment_required,
        "appRoles": [app_role(role) for role in app.app_roles],
        "servicePrincipalNames": [*app.identifier_uris, app.client_id],
        "servicePrincipalType": "Application",
        "signInAudience": app.audience,
        "logoutUrl": app.logout_url or None,
        "replyUrls": list(app.redirect_uris),
    }


def graph_principal() -> dict[str, Any]:
    """Graph's own service principal, which clients look up by its well-known application id."""
    return {
        "id": GRAPH_PRINCIPAL_ID,
        "appId": GRAPH_APP_ID,
        "displayName": "Microsoft Graph",
        "accountEnabled": True,
        "appRoles": [],
        "oauth2PermissionScopes": [],
        "servicePrincipalNames": [GRAPH_APP_ID, "https://graph.microsoft.com"],
        "servicePrincipalType": "Application",
    }


def role_assignment(record: RoleAssignment, directory: Directory) -> dict[str, Any]:
    """An app role assignment."""
    app = directory.apps.get(record.client_id)
    person = directory.people.get(record.principal_id)
    holder = directory.groups.get(record.principal_id)
    kind = "User" if person else "Group" if holder else "ServicePrincipal"
    name = person.display_name if person else holder.display_name if holder else ""
    return {
        "id": record.assignment_id,
        "appRoleId": record.role_id,
        "principalId": record.principal_id,
        "principalType": kind,
        "principalDisplayName": name,
        "resourceId": app.service_principal_id if app else None,
        "resourceDisplayName": app.display_name if app else None,
        "deletedDateTime": None,
    }
