"""Which claims are judged together: the plan of an analysis, and the correction for its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from crystallize.core.hypothesis import Hypothesis
from crystallize.core.policy import DEFAULT_JUDGING, Judging
from crystallize.core.treatment import BASELINE
from crystallize.core.unread import TreatmentKeys
from crystallize.stats import adjust

Member = tuple[Hypothesis, str]
"""A hypothesis, and the condition that it is about."""


@dataclass(frozen=True)
class AnalysisPlan:
    """What is claimed of which treatments, and how it is judged.

    Parameters
    ----------
    hypotheses : sequence of Hypothesis
        All of the experiment.
    treatments : sequence of str
        All of the experiment.
    replicates : int
        Planned number.
    judging : Judging
        How the claims are judged.
    keys : TreatmentKeys
        Which keys of treatments may stay unread.
    """

    hypotheses: tuple[Hypothesis, ...]
    treatments: tuple[str, ...]
    replicates: int
    judging: Judging = DEFAULT_JUDGING
    keys: TreatmentKeys = field(default_factory=TreatmentKeys)

    @property
    def family(self) -> int:
        """How many p-values a correction is for."""
        return len(self.members)

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return the conditions that a hypothesis is about: the treatments, or against a reference all."""
        return self.treatments if hypothesis.against is None else (BASELINE, *self.treatments)

    @property
    def sizes(self) -> list[int]:
        """Replicates at each look; all of them at the only one without early stopping."""
        stopping = self.judging.stopping
        return [self.replicates] if stopping is None else stopping.sizes(self.replicates)

    def is_corrected(self, hypothesis: Hypothesis) -> bool:
        """Whether the verdict on a hypothesis allows for the other claims."""
        return self.judging.correction != "none" and self.family > 1 and in_family(hypothesis)

    def conditions(self, hypothesis: Hypothesis, treatment: str) -> tuple[str, ...]:
        """Return the conditions that a verdict rests on: all of them if its p-value is adjusted."""
        if self.is_corrected(hypothesis) and self.judging.stopping is None:
            return (BASELINE, *self.treatments)
        return (treatment,) if hypothesis.against is not None else (BASELINE, treatment)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The claims whose p-values a correction is for: all of superiority, for all that they are about."""
        return tuple((h, subject) for h in self.hypotheses if in_family(h) for subject in self.subjects(h))

    def adjusted(self, p_values: Mapping[Member, float]) -> dict[Member, float]:
        """Return the adjusted p-values of the family; what has no p-value counts as 1."""
        given = [p_values.get(member, 1.0) for member in self.members]
        return dict(zip(self.members, adjust(given, self.judging.correction), strict=True))


def in_family(hypothesis: Hypothesis) -> bool:
    """Tell whether the p-value of a hypothesis is one of those that are corrected."""
    claim = hypothesis.claim
    return claim is not None and claim.is_superiority and not claim.deterministic
