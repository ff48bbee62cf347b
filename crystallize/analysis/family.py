"""Which claims are judged together: the plan of an analysis, and the correction for its claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from crystallize.analysis.claim_test import Outcome
from crystallize.analysis.correction import FixedSteps, Steps, flipped_steps
from crystallize.analysis.decide import Levels, claim_of
from crystallize.analysis.unread import TreatmentKeys
from crystallize.claims.comparator import pairs_of
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.policy import DEFAULT_JUDGING, Judging
from crystallize.claims.stopping import AnytimeValid
from crystallize.declare.case_design import CaseStream
from crystallize.declare.treatment import BASELINE
from crystallize.errors import DefinitionError
from crystallize.stats import Correction
from crystallize.text.formatting import compared

Member = tuple[Hypothesis, str]
"""A hypothesis, and the condition that it is about."""


@dataclass(frozen=True)
class AnalysisPlan:
    """Claims of an experiment by treatment, and the policy that they are judged by.

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
    claims : int, optional
        Over how many claims alpha is split, those of other experiments too: this one has as large a share of
        it as it has claims.
    cases : CaseStream, optional
        Which case each run is of, where they are samples of cases. Then what is counted and judged are cases.
    """

    hypotheses: tuple[Hypothesis, ...]
    treatments: tuple[str, ...]
    replicates: int
    judging: Judging = DEFAULT_JUDGING
    keys: TreatmentKeys = field(default_factory=TreatmentKeys)
    claims: int | None = None
    cases: CaseStream | None = None

    @property
    def samples(self) -> int:
        """Number of runs of a condition in each replicate here: samples of a case, or one."""
        return 1 if self.cases is None else self.cases.samples

    @property
    def family(self) -> int:
        """Number of p-values that a correction is for."""
        return max(self.claims or 0, len(self.members))

    @property
    def alarms(self) -> int:
        """Number of claims over which alpha is split that a guard is refuted."""
        return max(self.claims or 0, len(self.guards), 1)

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return what a hypothesis has verdicts on: treatments, all conditions, or pairs of them."""
        if hypothesis.pairwise:
            return tuple(self._pairs(hypothesis))
        about = (BASELINE, *self.treatments) if hypothesis.is_by_itself else self.treatments
        named = tuple(name for name in self._named(hypothesis, about) if name != hypothesis.against)
        return tuple(self._sliced(named)) if hypothesis.slices else named

    def _sliced(self, conditions: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return what a claim of each slice is about -> condition and slice."""
        slices = () if self.cases is None else self.cases.design.by_slice
        return {f"{name} in {part}": (name, part) for name in conditions for part in slices}

    def slice_of(self, hypothesis: Hypothesis, subject: str) -> frozenset[str] | None:
        """Return the ids of the cases that a claim is about; None for all."""
        if not hypothesis.slices or self.cases is None:
            return None
        _, part = self._sliced((BASELINE, *self.treatments)).get(subject, ("", ""))
        return self.cases.design.by_slice.get(part)

    def planned(self, hypothesis: Hypothesis, subject: str) -> int:
        """Return how many replicates, or cases, a verdict was to rest on."""
        part = self.slice_of(hypothesis, subject)
        return self.replicates if part is None else len(part)

    def sides(self, hypothesis: Hypothesis, subject: str) -> tuple[str | None, str]:
        """Return the condition of today that stands for the baseline, if one does, and the other side."""
        if hypothesis.pairwise:
            return self._pairs(hypothesis)[subject]
        if hypothesis.slices:
            subject = self._sliced((BASELINE, *self.treatments)).get(subject, (subject, ""))[0]
        against = BASELINE if hypothesis.against is None else hypothesis.against
        return against if isinstance(against, str) else None, subject

    def rests_on(self, hypothesis: Hypothesis, subject: str) -> tuple[str, ...]:
        """Return the conditions of today that are compared."""
        first, second = self.sides(hypothesis, subject)
        return (second,) if first is None else (first, second)

    def _pairs(self, hypothesis: Hypothesis) -> dict[str, tuple[str, str]]:
        return pairs_of(self._named(hypothesis, (BASELINE, *self.treatments)))

    def _named(self, hypothesis: Hypothesis, conditions: tuple[str, ...]) -> tuple[str, ...]:
        chosen = hypothesis.treatments
        return conditions if chosen is None else tuple(name for name in conditions if name in chosen)

    @property
    def sizes(self) -> list[int]:
        """Replicates at each look; all of them at the only one without early stopping."""
        stopping = self.judging.stopping
        return [self.replicates] if stopping is None else stopping.sizes(self.replicates)

    def is_corrected(self, hypothesis: Hypothesis) -> bool:
        """Return whether the verdict on a hypothesis allows for the other claims."""
        return self.judging.correction != "none" and self.family > 1 and in_family(hypothesis)

    def conditions(self, hypothesis: Hypothesis, treatment: str) -> tuple[str, ...]:
        """Return the conditions that a verdict rests on: those of its family, if its p-value is adjusted."""
        if self.is_corrected(hypothesis) and self.judging.stopping is None:
            return self._of_family
        return self.rests_on(hypothesis, treatment)

    @cached_property
    def _of_family(self) -> tuple[str, ...]:
        needed = {name for member in self.members for name in self.rests_on(*member)}
        return tuple(name for name in (BASELINE, *self.treatments) if name in needed)

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

    def check_cases(self, where: str) -> None:
        """Raise `DefinitionError` if a claim is about cases that there are not, or more samples of them."""
        for hypothesis in self.hypotheses:
            passes = None if hypothesis.claim is None else hypothesis.claim.passes
            fault = None
            if passes is not None and self.cases is None:
                fault = f"is about {passes}, so about samples of cases, and there are none; give cases="
            elif passes is not None and passes.k > self.samples:
                there = "is 1 sample" if self.samples == 1 else f"are {self.samples} samples"
                fault = f"is about {passes}, and there {there} of each case; give samples={passes.k} or more"
            elif hypothesis.slices and (self.cases is None or self.cases.design.slices is None):
                fault = (
                    "has slices=True, and nothing says what the slices are; give the experiment slices='key'"
                )
            if fault is not None:
                raise DefinitionError(f"{where}: hypothesis {hypothesis.name!r} {fault}")

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
        least, _ = compared(smallest, level, digits=2)
        return (
            f"with {self.replicates} replicate{'s'[: self.replicates - 1]} AnytimeValid() can't give a "
            f"p-value below {least}, so it can't reach alpha = {claim.level:g}{claims}; plan at least "
            f"{stopping.enough(level, claim.kind)}"
        )

    def guard_share(self, alpha: float) -> float:
        """Return the level of each guard's opposite if all are to be wrong with probability alpha."""
        return alpha if self.judging.correction == "none" else alpha / self.alarms

    def levels(self, outcomes: Mapping[Member, Outcome]) -> dict[Member, Levels]:
        """Return what each claim's p-values are compared with; what has no p-value counts as 1.

        The p-values of claims of superiority are corrected, and so are those of their opposites, and of the
        opposites of the guards. Beside each verdict stands the interval of the level at which a step-down or
        step-up procedure decided it.
        """
        found = {}
        for members, steps in self._corrected(outcomes):
            for i, (hypothesis, treatment) in enumerate(members):
                claims, mirrors = steps
                claim = claim_of(hypothesis)
                alpha, mirror = claim.deciding_level, claim.level
                found[hypothesis, treatment] = Levels(
                    alpha,
                    mirror,
                    claims.level(i, alpha),
                    mirrors.level(i, mirror),
                    min(claims.level_beyond(alpha), mirrors.level_beyond(mirror)),
                    claims.adjusted[i] if self.is_corrected(hypothesis) else None,
                    mirrors.adjusted[i],
                    claims.name,
                )
        return found

    def _corrected(
        self, outcomes: Mapping[Member, Outcome]
    ) -> Iterator[tuple[Sequence[Member], tuple[Steps, Steps]]]:
        """Yield members that are corrected together, and the procedures for their claims and opposites."""
        correction = self.judging.correction
        by_steps = list(self.members)
        for hypothesis in self.hypotheses if correction == "holm" else ():
            pairs = [member for member in self.members if member[0] is hypothesis]
            if hypothesis.pairwise and self.is_corrected(hypothesis):
                known = [outcomes[pair] for pair in pairs if pair in outcomes]
                share = len(pairs), self.family
                flipped = flipped_steps(known, share) if len(known) == len(pairs) else None
                if flipped is not None:
                    yield pairs, (flipped, FixedSteps([1.0] * len(pairs), correction, self.family))
                    by_steps = [member for member in by_steps if member[0] is not hypothesis]
        # A guard has to hold by itself; its opposite is one of several that may seem true by chance.
        one_by_one: Correction = "none" if correction == "none" else "holm"
        groups: tuple[tuple[Sequence[Member], Correction, Correction, int], ...] = (
            (by_steps, correction, correction, self.family),
            (self.guards, "none", one_by_one, self.alarms),
        )
        for members, of_claims, of_mirrors, total in groups:
            if not members:
                continue
            found = [outcomes.get(member) for member in members]
            claims = FixedSteps(_p_values(found, "p_value"), of_claims, total)
            yield members, (claims, FixedSteps(_p_values(found, "mirror_p"), of_mirrors, total))


def _p_values(outcomes: Sequence[Outcome | None], which: str) -> list[float]:
    return [1.0 if outcome is None else getattr(outcome, which) for outcome in outcomes]


def in_family(hypothesis: Hypothesis) -> bool:
    """Return whether the p-value of a hypothesis is one of those that are corrected."""
    claim = hypothesis.claim
    return claim is not None and claim.is_superiority and not claim.deterministic


def _is_guard(hypothesis: Hypothesis) -> bool:
    claim = hypothesis.claim
    return claim is not None and not claim.is_superiority and not claim.deterministic
