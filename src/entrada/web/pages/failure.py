"""Every refusal as something a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from entrada.errors import EntradaError
from entrada.web.pages.failure_texts import FIXERS, evidence_of, heading_of
from entrada.web.pages.rendering import Rendering
from entrada.web.pages.values import Action, Fact, Page


class FailurePages(Rendering):
    def failure(
        self,
        error: EntradaError,
        *,
        actions: Sequence[Action],
        incident: str,
        when: datetime,
        heading: str | None = None,
        person: Sequence[Fact] = (),
    ) -> Page:
        """What happened, to whom, what to do, who can do it, and the evidence.

        `incident` is the number that the log has, too.
        """
        fixer, fixer_sentence = FIXERS[error.fixer]
        sentence, hint = error.told(self.names)
        return self._page(
            "failure.html",
            heading=heading or heading_of(error),
            sentence=sentence,
            hint=hint,
            fixer=fixer,
            fixer_sentence=fixer_sentence,
            actions=tuple(actions),
            person=tuple(person),
            evidence=evidence_of(error, incident, when, self.names),
        )
