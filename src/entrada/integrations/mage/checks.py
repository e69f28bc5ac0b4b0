"""What `entrada mage check` says: whether the hooks fit this Mage, and what an owner should know.

Without a project nothing is opened and nothing is made: Mage is imported with a database that is nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from entrada.integrations.inside import Finding
from entrada.integrations.mage import hooks


@dataclass(frozen=True, kw_only=True)
class Report:
    mage_version: str | None
    findings: Sequence[Finding]

    @property
    def fits(self) -> bool:
        return self.mage_version is not None and not any(finding.problem for finding in self.findings)

    @property
    def was_tried(self) -> bool:
        return self.mage_version in hooks.TRIED_VERSIONS

    def as_json(self) -> dict[str, Any]:
        return {
            "fits": self.fits,
            "mage_version": self.mage_version,
            "was_tried": self.was_tried,
            "tried_versions": list(hooks.TRIED_VERSIONS),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def as_text(self) -> str:
        lines = [f"Mage {self.mage_version or 'is not installed'}"]
        for finding in self.findings:
            lines.append(f"  {'fits ' if finding.problem is None else 'WRONG'}  {finding.hook}")
            if finding.problem is not None:
                lines.append(f"         {finding.problem}")
        if not self.fits:
            lines.append("The hooks do not fit: `entrada mage start` will not start this Mage.")
        elif self.was_tried:
            lines.append("Every hook fits, and this version of Mage was tried.")
        else:
            tried = ", ".join(hooks.TRIED_VERSIONS)
            lines.append(f"Every hook fits. This version was not tried as a whole (tried: {tried}).")
        return "\n".join(lines)


def look() -> Report:
    version = hooks.installed_version()
    if version is None:
        return Report(mage_version=None, findings=[])
    _, findings = hooks.probe()
    return Report(mage_version=version, findings=findings)
