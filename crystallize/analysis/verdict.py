"""What became of one hypothesis under one treatment."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

Status = Literal["supported", "no harm shown", "refuted", "inconclusive", "invalid"]

DETERMINISTIC: Final = "deterministic"
"""Test of verdicts on values that no seed changes, which are compared directly."""

PASSING: Final = ("supported", "no harm shown")

GOOD: Final = (*PASSING, "calibrated", "planned")
"""Statuses of tests that pass: of verdicts, calibrations and plans."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on one hypothesis under one treatment.

    A test or a verifier says what came out; the analysis adds what it is about, and how claims were judged
    together.

    Attributes
    ----------
    hypothesis, treatment, metric : str
        What it is about; `metric` may name several.
    status : str
        ``"supported"``, ``"no harm shown"`` (of a claim with `detects`), ``"refuted"``, ``"inconclusive"`` or
        ``"invalid"``; the first two pass.
    reason : str
        Why, and what to do about it, in a sentence.
    p_value : float or None
        The p-value, if there is one.
    alpha : float or None
        Significance level, if the hypothesis declares one.
    test : str
        Name of the test or verifier.
    n : int
        Replicates that the verdict rests on; of a clustered test, units.
    baseline_mean, treatment_mean, difference : float or None
        Means of the first metric over replicates, and treatment minus baseline, or what `estimand` names.
    interval : pair of float or None
        Confidence interval of the difference.
    degenerate : bool
        Whether the sample has no variance.
    lacking : int
        How many replicates gave no usable evidence.
    details : mapping
        What the verifier returned.
    adjusted_p : float or None
        The p-value corrected for the number of claims, where it is.
    opposite_p : float or None
        Of a refuted claim, the p-value of its opposite, which is small; adjusted for the number of claims.
    level : float or None
        What the p-value that decides (see `deciding_p`) is compared with: alpha, or of an early look less.
    family, correction : int, str
        How many claims the correction is for, and how it is done: ``"holm"``, ``"bh"``, ``"bonferroni"`` (of
        looks), ``"max-t"`` (of pairs); 1 and ``"none"`` where there is none.
    direction : str
        What is claimed; empty of a verifier.
    margin : float or None
        Margin of the claim, a part of the baseline's mean if `relative`.
    at_least : float or None
        What a claim with a sign has to exceed, where it says so; in the same units.
    detects : float or None
        The loss that a claim of no harm has to exclude; in the same units.
    worst : float or None
        The worst value that the metric can have, where the claim says it.
    relative : bool
        Whether the difference with its interval, and margins, are parts of the baseline's mean.
    confidence : float or None
        Level of the interval: the one at which this claim was decided, so that it never contradicts the
        verdict; in a family of claims they differ.
    estimand : str
        What `difference` estimates, where it is not a difference of means or rates.
    detectable : float or None
        The smallest difference that samples which vary like these show with probability .8.
    omitted : int
        Replicates left out, or filled in, for lack of a value, as the claim allows.
    population : str
        What the verdict speaks of: seeds of this data set, resampled splits of one data set, or cases.
    reading : str
        ``"yes/no"`` if the values were read as such without being declared to be.
    caveat : str
        What the verdict relies on, where that is worth saying.
    look, looks : int
        At which look of how many the claim was decided, from 1; 0 without early stopping.
    planned : int
        Replicates that were planned.
    comparator : str
        What stands for the baseline: ``"baseline"`` itself, ``"treatment"``, ``"number"``, ``"reference"``,
        ``"revision"``, or, of pairs, the first of each (``"pair"``).
    against : str
        Which treatment, number, reference or condition it is; empty of the baseline.
    recorded : str
        How many replicates of that reference were recorded at which commit, and when.
    trail : tuple of (int, float, float)
        Replicates, p-value and level at each look that gave a p-value; empty without early stopping.
    covariate : str
        The metric that means are adjusted for, if one is.
    saved : float or None
        Part of the variance of the difference that it saves; below 0 if it costs some.
    effect_sizes : mapping
        Of numbers, name -> ``estimate``, ``interval`` and ``confidence``: d_z of pairs, Hedges g and Cliff's
        delta of independent samples.
    rank : float or None
        What the hypothesis's own ranker gave for it under pytest; treatments are ranked smallest first.
    slices : mapping
        Slice of the cases -> ``n``, ``difference`` and ``interval`` there, or a ``reason`` why there is none;
        they are not corrected for their number.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     return data, {"score": boost + ctx.rng.normal()}
    >>> better = Hypothesis(metric="score", direction="increase")
    >>> boosted = {"boosted": {"boost": 3.0}}
    >>> result = Experiment(0, [score], treatments=boosted, hypotheses=[better], replicates=10).run()
    >>> verdict = result.get_hypothesis("score_increase").verdicts["boosted"]
    >>> verdict.status, verdict.n, verdict.test, verdict.p_value < 0.01
    ('supported', 10, 'paired t', True)
    """

    hypothesis: str = ""
    treatment: str = ""
    metric: str = ""
    status: Status = "invalid"
    reason: str = ""
    p_value: float | None = None
    alpha: float | None = None
    test: str = ""
    n: int = 0
    baseline_mean: float | None = None
    treatment_mean: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    degenerate: bool = False
    lacking: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    adjusted_p: float | None = None
    opposite_p: float | None = None
    level: float | None = None
    family: int = 1
    correction: str = "none"
    direction: str = ""
    margin: float | None = None
    at_least: float | None = None
    detects: float | None = None
    relative: bool = False
    confidence: float | None = None
    estimand: str = ""
    detectable: float | None = None
    omitted: int = 0
    population: str = ""
    reading: str = ""
    caveat: str = ""
    look: int = 0
    looks: int = 0
    planned: int = 0
    comparator: str = "baseline"
    against: str = ""
    recorded: str = ""
    trail: tuple[tuple[int, float, float], ...] = ()
    rank: float | None = None
    effect_sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    covariate: str = ""
    saved: float | None = None
    slices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    worst: float | None = None

    @classmethod
    def invalid(cls, reason: str, *, test: str = "", **known: Any) -> Verdict:
        """Return the verdict that there is none, with the reason."""
        return cls(status="invalid", reason=reason, test=test, **known)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """Return the verdict whose `to_dict` went through JSON."""
        interval = None if data["interval"] is None else tuple(data["interval"])
        return cls(**{**data, "interval": interval, "trail": tuple(map(tuple, data["trail"]))})

    def amended(self, **known: Any) -> Verdict:
        """Return it with other values of some fields: `dataclasses.replace`, without asking what they are."""
        other = object.__new__(Verdict)
        vars(other).update(vars(self), **known)
        return other

    @property
    def passed(self) -> bool:
        """Whether the hypothesis is supported, or no harm is shown where that is what is claimed."""
        return self.status in PASSING

    @property
    def deciding_p(self) -> float | None:
        """The p-value that decides: the adjusted one, if there is one; of a refuted claim its opposite's."""
        if self.opposite_p is not None:
            return self.opposite_p
        return self.p_value if self.adjusted_p is None else self.adjusted_p

    def to_dict(self) -> dict[str, Any]:
        """Return every field, as copies."""
        known = {name: getattr(self, name) for name in _FIELDS}  # `asdict` walks through each of them
        for name in ("details", "effect_sizes", "slices"):
            known[name] = _copied(dict(known[name]))
        return known

    def summary(self) -> dict[str, Any]:
        """Return what the verifier returned, with `verdict`, `accepted` and, of a claim, what it rests on."""
        summary: dict[str, Any] = {"p_value": self.p_value, "significant": False, "accepted": False}
        summary |= self.details
        summary |= {"accepted": self.passed, "verdict": self.status}
        if self.degenerate:
            summary["degenerate"] = True
        if self.reason:
            summary["reason"] = self.reason
        return summary


def _copied(value: Any) -> Any:
    """Return a copy of a value: what `copy.deepcopy` gives, sooner where it is of plain types."""
    kind = type(value)
    if value is None or kind in (float, str, int, bool):
        return value
    if kind is dict:
        return {_copied(key): _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if kind is list else copy.deepcopy(value)


_FIELDS: Final = tuple(entry.name for entry in fields(Verdict))
