"""Which claims are judged together: the plan of an analysis, and the correction for its claims."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from crystallize.analysis.claim_test import Outcome
from crystallize.analysis.decide import Levels, claim_of
from crystallize.analysis.unread import TreatmentKeys
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.policy import DEFAULT_JUDGING, Judging
from crystallize.claims.stopping import AnytimeValid
from crystallize.declare.treatment import BASELINE
from crystallize.errors import DefinitionError
from crystallize.stats import Correction, adjust

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

    @cached_property
    def guards(self) -> tuple[Member, ...]:
        """The claims with a margin: each has to hold, but that none is refuted by chance allows for all."""
        return tuple((h, subject) for h in self.hypotheses if _is_guard(h) for subject in self.subjects(h))

    def check_reach(self, where: str) -> None:
        """Raise `DefinitionError` if a claim can't be decided by early stopping, whatever is measured."""
        for hypothesis in self.hypotheses:
            if (fault := self.why_out_of_reach(hypothesis)) is not None:
                raise DefinitionError(f"{where}: hypothesis {hypothesis.name!r} can't be supported: {fault}")

    def why_out_of_reach(self, hypothesis: Hypothesis) -> str | None:
        """Say why no result could ever support a claim; None if one could, or a test says it itself."""
        stopping, claim = self.judging.stopping, hypothesis.claim
        if not isinstance(stopping, AnytimeValid) or claim is None or claim.deterministic:
            return None
        level = claim.level / self.family if self.is_corrected(hypothesis) else claim.level
        smallest = stopping.smallest_p(self.replicates, claim.kind)
        if smallest <= level:
            return None
        claims = f" / {self.family} claims" if level < claim.level else ""
        return (
            f"with {self.replicates} replicate{'s'[: self.replicates - 1]} AnytimeValid() can't give a "
            f"p-value below {smallest:.2g}, so it can't reach alpha = {claim.level:g}{claims}; plan at least "
            f"{stopping.enough(level, claim.kind)}"
        )

    def guard_share(self, alpha: float) -> float:
        """Return the level of each guard's opposite if all are to be wrong with probability alpha."""
        return alpha if self.judging.correction == "none" else alpha / max(len(self.guards), 1)

    def levels(self, outcomes: Mapping[Member, Outcome]) -> dict[Member, Levels]:
        """Return what each claim's p-values are compared with; what has no p-value counts as 1.

        The p-values of claims of superiority are corrected, and so are those of their opposites, and of the
        opposites of the guards. Beside each verdict stands the interval of the level at which a step-down or
        step-up procedure decided it.
        """
        correction = self.judging.correction
        found = {}
        for members, one_by_one in ((self.members, False), (self.guards, correction != "none")):
            known = [outcomes.get(member) for member in members]
            # A guard has to hold by itself; its opposite is one of several that may seem true by chance.
            claims = _Steps(_p_values(known, "p_value"), "none" if one_by_one else correction)
            mirrors = _Steps(_p_values(known, "mirror_p"), "holm" if one_by_one else correction)
            for i, (hypothesis, treatment) in enumerate(members):
                alpha = claim_of(hypothesis).level
                found[hypothesis, treatment] = Levels(
                    alpha,
                    alpha,
                    claims.level(i, alpha),
                    mirrors.level(i, alpha),
                    min(claims.level_beyond(alpha), mirrors.level_beyond(alpha)),
                    claims.adjusted[i] if self.is_corrected(hypothesis) else None,
                    mirrors.adjusted[i],
                )
        return found


def _p_values(outcomes: Sequence[Outcome | None], which: str) -> list[float]:
    return [1.0 if outcome is None else getattr(outcome, which) for outcome in outcomes]


class _Steps:
    """A procedure that goes through p-values in order, and the levels at which it compares each."""

    def __init__(self, p_values: Sequence[float], correction: Correction) -> None:
        self._correction = correction
        self._sorted = sorted(p_values)
        self._p_values = p_values
        self.adjusted = adjust(p_values, correction)

    def level(self, i: int, alpha: float) -> float:
        """Return the level at which a p-value that is rejected was compared."""
        m = len(self._p_values)
        if self._correction == "holm":
            return alpha / (m - bisect_left(self._sorted, self._p_values[i]))
        return self.level_beyond(alpha)

    def level_beyond(self, alpha: float) -> float:
        """Return the level that no p-value reaches which is not rejected."""
        m, rejected = len(self._p_values), sum(p <= alpha for p in self.adjusted)
        if self._correction == "holm":
            return alpha / (m - rejected) if rejected < m else alpha
        return alpha * max(rejected, 1) / m if self._correction == "bh" else alpha


def in_family(hypothesis: Hypothesis) -> bool:
    """Tell whether the p-value of a hypothesis is one of those that are corrected."""
    claim = hypothesis.claim
    return claim is not None and claim.is_superiority and not claim.deterministic


def _is_guard(hypothesis: Hypothesis) -> bool:
    claim = hypothesis.claim
    return claim is not None and not claim.is_superiority and not claim.deterministic
