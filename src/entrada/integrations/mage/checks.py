"""What `entrada mage check` says: whether the hooks fit this Mage, and whether the guard knows its handlers.

Without a project nothing is opened and nothing is made: Mage is imported with a database that is nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from entrada.integrations.kit.hooks import Finding
from entrada.integrations.mage import changes, guard, hooks
from entrada.integrations.mage.hooks import Mage


@dataclass(frozen=True, kw_only=True)
class Address:
    """One of Mage's, its handler, and what is asked there before Mage sees a request."""

    pattern: str
    handler: str
    reading: str
    changing: str
    why: str
    known: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    mage_version: str | None
    findings: Sequence[Finding]
    addresses: Sequence[Address] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing of this Mage is new to us, so that nothing of it is kept closed."""
        return self.fits and not self.unknown

    @property
    def unknown(self) -> Sequence[Address]:
        """The addresses of this Mage that the guard does not know; they stay closed."""
        return [address for address in self.addresses if not address.known]

    @property
    def fits(self) -> bool:
        """Whether Mage is here and every hook is as expected."""
        return self.mage_version is not None and not any(finding.problem for finding in self.findings)

    @property
    def was_tried(self) -> bool:
        """Whether this version is one of those that were tried."""
        return self.mage_version in hooks.TRIED_VERSIONS

    def as_json(self) -> dict[str, Any]:
        """The report for scripts."""
        return {
            "fits": self.fits,
            "mage_version": self.mage_version,
            "was_tried": self.was_tried,
            "tried_versions": list(hooks.TRIED_VERSIONS),
            "findings": [asdict(finding) for finding in self.findings],
            "addresses": [asdict(address) for address in self.addresses],
        }

    def as_text(self) -> str:
        """The report for people, one line a hook."""
        lines = [f"Mage {self.mage_version or 'is not installed'}"]
        for finding in self.findings:
            lines.append(f"  {'fits ' if finding.problem is None else 'WRONG'}  {finding.hook}")
            if finding.problem is not None:
                lines.append(f"         {finding.problem}")
        for address in self.unknown:
            lines.append(f"  NEW    {address.pattern} ({address.handler})")
        if not self.fits:
            lines.append("The hooks do not fit: `entrada mage start` will not start this Mage.")
        elif self.unknown:
            lines.append(
                "Every hook fits. The addresses above are new to Entrada; `entrada mage start` keeps them "
                "closed."
            )
        elif self.was_tried:
            lines.append("Every hook fits, and this version of Mage was tried.")
        else:
            tried = ", ".join(hooks.TRIED_VERSIONS)
            lines.append(f"Every hook fits. This version was not tried as a whole (tried: {tried}).")
        return "\n".join(lines)


def look() -> Report:
    """Everything that `entrada mage check` says. Imports Mage; changes nothing."""
    version = hooks.installed_version()
    if version is None:
        return Report(mage_version=None, findings=[])
    parts, findings = hooks.probe()
    report = Report(mage_version=version, findings=findings)
    if not report.fits:
        return report
    return Report(mage_version=version, findings=findings, addresses=look_at_addresses(Mage(parts)))


def look_at_addresses(mage: Mage) -> Sequence[Address]:
    """Every address that Mage registers, and whether the guard knows it."""
    found = []
    for pattern, handler in changes.addresses_of(mage):
        rule = guard.rule_of(handler, ours=())
        found.append(
            Address(
                pattern=pattern,
                handler=f"{handler.__module__}.{handler.__qualname__}",
                reading=rule.reading.name.lower(),
                changing=rule.changing.name.lower(),
                why=rule.why,
                known=rule is not guard.CLOSED,
            )
        )
    return found
