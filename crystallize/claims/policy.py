"""How the claims of an experiment are judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from crystallize.claims.claim import Claim
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.stopping import AnytimeValid, GroupSequential, Stopping
from crystallize.claims.tests_of_means import PairedTTest, ResampledTTest
from crystallize.claims.tests_of_rates import McNemarTest
from crystallize.claims.tests_of_scores import ScoredTest
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats import Correction


@dataclass(frozen=True, slots=True)
class Judging:
    """Policy by which the claims of an experiment are judged.

    Parameters
    ----------
    correction : {"holm", "bh", "none"}
        Of the p-values of all claims of superiority, over hypotheses and treatments.
    stopping : GroupSequential, AnytimeValid or Curtailment, optional
        When to look, and what a look may decide.
    resampled : float, optional
        Part of the data set that each replicate holds out, if replicates are resplits of one data set.

    Raises
    ------
    DefinitionError
        If an argument is none of these, or they make no sense together.
    """

    correction: Correction = "holm"
    stopping: Stopping | None = None
    resampled: float | None = None

    def __post_init__(self) -> None:
        if self.correction not in get_args(Correction):
            allowed = ", ".join(map(repr, get_args(Correction)))
            raise DefinitionError(f"correction is {self.correction!r}; allowed are {allowed}")
        if self.stopping is not None and not isinstance(self.stopping, Stopping):
            hint = "; call it" if isinstance(self.stopping, type) else ""
            raise DefinitionError(
                f"stopping is {self.stopping!r}; give GroupSequential(), AnytimeValid() or "
                f"Curtailment(){hint}"
            )
        if self.stopping is not None and self.correction == "bh":
            raise DefinitionError(
                "correction='bh' and stopping=: looks need the level of each claim beforehand; use "
                "'holm' (early "
                "stopping then splits alpha by Bonferroni) or 'none'"
            )
        make_plain(self)
        part = self.resampled
        if part is not None and (
            isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part < 1
        ):
            raise DefinitionError(
                f"resampled is {part!r}; give the part of the data set that each replicate holds out, a "
                "number "
                "between 0 and 1"
            )
        if part is not None and isinstance(self.stopping, AnytimeValid):
            raise DefinitionError(
                "resampled= and stopping=AnytimeValid(): there is no such test of resplits; use "
                "GroupSequential()"
            )

    def check(self, hypotheses: Iterable[Hypothesis], where: str) -> None:
        """Raise `DefinitionError` if a claim can't be judged in this way."""
        for hypothesis in hypotheses:
            if hypothesis.claim is not None and (fault := self._fault(hypothesis.claim)) is not None:
                raise DefinitionError(f"{where}: hypothesis {hypothesis.name!r} {fault}")
            if hypothesis.number is not None and isinstance(self.stopping, AnytimeValid):
                assert hypothesis.claim is not None
                if hypothesis.claim.kind == "binary":
                    raise DefinitionError(
                        f"{where}: hypothesis {hypothesis.name!r} compares a rate with a number, for which "
                        "AnytimeValid() has no test; use GroupSequential()"
                    )

    def _fault(self, claim: Claim) -> str | None:
        test = claim.test
        if self.resampled is not None and not claim.deterministic:
            own = test is not None and not type(test).__module__.startswith("crystallize.")
            allows = own or isinstance(test, ResampledTTest | ScoredTest)
            if test is not None and not allows:
                return (
                    f"uses the {test.name} test, but replicates are resplits (resampled={self.resampled:g}), "
                    "which overlap: it would find differences that are not there; leave statistical_test out"
                )
            if claim.kind == "binary" or claim.pairing == "none":
                what = "kind='binary'" if claim.kind == "binary" else "pairing='none'"
                return f"has {what}, and resampled= is for means of paired resplits; leave it out"
        if isinstance(self.stopping, AnytimeValid) and not claim.deterministic:
            return why_not_anytime(claim)
        one_sided = claim.alternative == "one-sided" and claim.level >= 0.5
        if isinstance(self.stopping, GroupSequential) and one_sided:
            return (
                f"is one-sided with alpha={claim.level:g}, and GroupSequential() has boundaries of levels "
                "below 0.5; lower alpha, or leave stopping out"
            )
        return None


def why_not_anytime(claim: Claim) -> str | None:
    """Say why `AnytimeValid` has no test of a claim, whatever its sample is; None if it has."""
    test = claim.test
    served = test is None or isinstance(test, PairedTTest) or test == McNemarTest()
    if not served or claim.pairing == "none":
        return "can't be stopped by AnytimeValid(), which serves the default tests of pairs only"
    if claim.second is not None:
        beside = f" with covariate {claim.covariate!r}" if claim.covariate else ""
        return (
            f"is about {claim.label!r}{beside}, for which AnytimeValid() has no test; use GroupSequential()"
        )
    if claim.detects is not None:
        return (
            "has detects=, which is decided at two levels, and AnytimeValid() has one; use GroupSequential()"
        )
    if claim.alternative == "one-sided":
        return "is one-sided, and AnytimeValid() tests both sides; leave alternative out"
    if claim.has_relative_size:
        return "has a relative margin, for which AnytimeValid() has no test; give an absolute one"
    if claim.kind == "binary" and claim.size is not None:
        return "has a margin of yes/no, for which AnytimeValid() has no test; use GroupSequential()"
    return None


DEFAULT_JUDGING: Final = Judging()
