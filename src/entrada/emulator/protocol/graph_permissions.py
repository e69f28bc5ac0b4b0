"""The names of Graph's delegated permissions: which exist, and how they are spelt.

A name is `Resource.Operation`, often with a third part that limits or widens it (`User.Read.All`,
`Mail.Send.Shared`).  The tables hold resources and operations rather than every name, so a name that Graph
lacks may pass when both its parts exist; a name of somebody else's resource does not.
Source: Microsoft Graph, "permissions reference".
"""

from __future__ import annotations

import re
from functools import lru_cache

_RESOURCES = """
    AccessReview AdministrativeUnit Agreement AgreementAcceptance Analytics APIConnectors AppCatalog
    AppRoleAssignment Application AuditLog AuthenticationContext BitlockerKey Bookings BookingsAppointment
    Calendars Channel ChannelMember ChannelMessage ChannelSettings Chat ChatMember ChatMessage CloudPC
    ConsentRequest Contacts CrossTenantInformation CrossTenantUserProfileSharing
    CustomAuthenticationExtension CustomSecAttributeAssignment CustomSecAttributeDefinition
    DelegatedAdminRelationship DelegatedPermissionGrant Device DeviceLocalCredential DeviceManagementApps
    DeviceManagementConfiguration DeviceManagementManagedDevices DeviceManagementRBAC
    DeviceManagementServiceConfig Directory DirectoryRecommendations Domain EAS eDiscovery EduAssignments
    EduRoster EntitlementManagement EventListener EWS ExternalConnection ExternalItem Family Files
    Financials Group GroupMember IdentityProvider IdentityRiskEvent IdentityRiskyServicePrincipal
    IdentityRiskyUser IdentityUserFlow IMAP InformationProtectionPolicy LearningContent LearningProvider
    LicenseAssignment LifecycleWorkflows Mail MailboxFolder MailboxItem MailboxSettings ManagedTenants
    Member Notes Notifications OnPremisesPublishingProfiles OnlineMeetingArtifact OnlineMeetingRecording
    OnlineMeetings OnlineMeetingTranscript Organization OrganizationalBranding OrgContact Origin People
    Place Policy POP Presence PrintConnector Printer PrinterShare PrintJob PrintSettings PrivilegedAccess
    PrivilegedAssignmentSchedule PrivilegedEligibilitySchedule ProfilePhoto ProgramControl
    RecordsManagement ReportSettings Reports RoleAssignmentSchedule RoleEligibilitySchedule RoleManagement
    RoleManagementPolicy Schedule SearchConfiguration SecurityActions SecurityAlert SecurityEvents
    SecurityIncident ServiceHealth ServiceMessage ServiceMessageViewpoint ServicePrincipalEndpoint
    SharePointTenantSettings ShortNotes Sites SMTP SubjectRightsRequest Subscription Synchronization Tasks
    Team TeamMember TeamSettings TeamsActivity TeamsAppInstallation TeamsTab TeamTemplates TermStore
    ThreatAssessment ThreatHunting ThreatIndicators TrustFrameworkKeySet UnifiedGroupMember User
    UserActivity UserAuthenticationMethod UserNotification UserShiftPreferences UserTimelineActivity
    VirtualAppointment VirtualEvent WindowsUpdates WorkforceIntegration
"""
_OPERATIONS = """
    AccessAsUser ConvertToInternal Create CreatedByApp Delete DeleteRestore EnableDisableAccount Export
    FullControl Invite Join Manage ManageAsApp ManageIdentities Read ReadBasic ReadForTeam ReadForUser
    ReadWrite ReadWriteForTeam ReadWriteForUser ReadWriteSelfForTeam ReadWriteSelfForUser
    ReadWriteSelfForChat RevokeSessions Send Submit UpdatePolicyViolation
"""
_RESOURCE = {name.lower(): name for name in _RESOURCES.split()}
_OPERATION = {name.lower(): name for name in _OPERATIONS.split()}
_FURTHER = re.compile(r"[A-Za-z][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)?")


@lru_cache(maxsize=512)
def permission_named(name: str) -> str | None:
    """The permission as Graph spells it, whatever the case it was asked in; None when there is none."""
    resource, _, rest = name.partition(".")
    operation, separator, further = rest.partition(".")
    known, can = _RESOURCE.get(resource.lower()), _OPERATION.get(operation.lower())
    if known is None or can is None or (separator and not _FURTHER.fullmatch(further)):
        return None
    if not separator:
        return f"{known}.{can}"
    return f"{known}.{can}.{'All' if further.lower() == 'all' else further}"
