"""From settings to what a server does for the audit trail."""

from __future__ import annotations

from entrada.audit.export import ExportTarget, target_at
from entrada.audit.refusals import Refusals
from entrada.build.stores import Stores
from entrada.clock import Clock
from entrada.errors import ConfigurationError
from entrada.flows.audit_export import AuditExport
from entrada.flows.auditing import Auditing
from entrada.flows.leased_job import LeasedJob
from entrada.settings import Settings


def build_auditing(settings: Settings, stores: Stores, clock: Clock) -> Auditing:
    """Raises:
    ConfigurationError: what entries shall be written to cannot be written to.
    """
    return Auditing(
        trail=stores.audit,
        refusals=Refusals(stores.audit, clock),
        keep=settings.audit_keep,
        export=None if settings.audit_log is None else _export(settings.audit_log.strip(), stores, clock),
    )


def _export(setting: str, stores: Stores, clock: Clock) -> AuditExport:
    target = _checked(setting)
    job = LeasedJob(name=f"audit export to {target.name}", leases=stores.leases, clock=clock)
    return AuditExport(trail=stores.audit, target=target, job=job, clock=clock)


def _checked(setting: str) -> ExportTarget:
    target = target_at(setting)
    try:
        target.check()
    except OSError as error:
        raise ConfigurationError(
            f"$[audit_log] names {setting}, which cannot be written to: {error.strerror or error}.",
            hint="Let the account that runs Entrada write there, or say stdout or syslog.",
            setting="audit_log",
        ) from None
    return target
