"""What verdicts on claims of particular kinds do, by simulation: numbers, pairs, and what follows.

As `verdict_simulation`, whose checks these stand beside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from verdict_simulation import Array, Checks, claim, generator, judged, one, runs, share

from crystallize import (
    Curtailment,
    GroupSequential,
    Hypothesis,
    LogRatioTest,
    QuantileTest,
    Verdict,
    WinRateTest,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.planning import Planner
from crystallize.claims.policy import Judging
from crystallize.errors import SampleError
from crystallize.stats import Comparison, adjusted_t, paired_t, ratio_of_totals, welch_t
from crystallize.stats.power import PairedT, replicates


def numbers(checks: Checks) -> None:
    """Simulate one sample against a number: rates, exactly, and means."""
    repetitions = checks.share(0.5)
    rng = generator(checks, "numbers")
    above = claim(against=0.85, alternative="one-sided")
    for n in (20, 60):
        draws = (rng.random(n) < 0.85 for _ in range(repetitions))
        rate = share(judged(above, values.astype(float), {})[0].passed for values in draws)
        checks.at_most(f"a rate of .85 against .85, n = {n}: SUPPORTED", rate, 0.05, repetitions)
    differ = claim("differ", against=0.0)
    draws = (rng.normal(size=10) for _ in range(repetitions))
    rate = share(judged(differ, values, {})[0].passed for values in draws)
    checks.between("a mean of 0 against 0, n = 10: SUPPORTED", rate, 0.04, 0.06, repetitions)


def pairwise(checks: Checks) -> None:
    """Simulate four conditions that are compared with one another, of which none or one differs."""
    repetitions = checks.share(0.125)
    pairs = claim("differ", pairwise=True)
    for n in (6, 30):
        rng = generator(checks, "pairwise", n)
        wrong = found = 0
        for _ in range(repetitions):
            arms = rng.normal(size=(4, n)) + rng.normal(size=n)
            wrong += any(v.passed for v in _pairs(pairs, arms))
            if n == 30:
                arms[3] += 1.0
                verdicts = _pairs(pairs, arms)
                found += sum(v.passed for v in verdicts if "3" in v.treatment.split("-vs-")) / 3
        checks.at_most(
            f"six pairs of equal conditions, n = {n}: any SUPPORTED", wrong / repetitions, 0.05, repetitions
        )
    checks.between(
        "three of six pairs differ by 1 SD, n = 30: found", found / repetitions, 0.75, 0.95, repetitions
    )


def _pairs(hypothesis: Hypothesis, arms: Array) -> list[Verdict]:
    return judged(hypothesis, arms[0], {str(i): arm for i, arm in enumerate(arms[1:], start=1)})


def sizes(checks: Checks) -> None:
    """Simulate what lies just at the size that is claimed, as a mean and as a ratio."""
    repetitions, n = checks.share(0.25), 15
    rng = generator(checks, "sizes")
    for name, options in (
        ("absolute", {"at_least": 0.5}),
        ("relative", {"at_least": 0.05, "relative": True}),
        ("by ratio", {"at_least": 0.05, "relative": True, "statistical_test": LogRatioTest()}),
    ):
        less = claim("decrease", alternative="one-sided", **options)
        before = 10 * np.exp(rng.normal(0, 0.1, (repetitions, n)))
        if name == "by ratio":
            after = before * np.exp(rng.normal(np.log(0.95), 0.1, (repetitions, n)))
        else:
            after = before + rng.normal(
                -0.05 * 10 * math.exp(0.005) if name == "relative" else -0.5, 1, (repetitions, n)
            )
        rate = share(judged(less, b, {"t": a})[0].passed for b, a in zip(before, after, strict=True))
        checks.between(
            f"just the size that is claimed, {name}, n = {n}: SUPPORTED", rate, 0.035, 0.06, repetitions
        )
    n = 30
    ratio = claim("differ", statistical_test=LogRatioTest())
    pairs = np.exp(rng.normal(0, [[0.5], [1.0]], (repetitions, 2, n)))
    rate = share(judged(ratio, b, {"t": a})[0].passed for b, a in pairs)
    checks.between(
        f"by ratio, log SD .5 and 1, equal geometric means, n = {n}", rate, 0.035, 0.065, repetitions
    )
    pairs[:, 0] *= math.exp(0.375)  # so that the arithmetic means are equal
    rate = share(judged(ratio, b, {"t": a})[0].passed for b, a in pairs)
    checks.between(
        f"by ratio, log SD .5 and 1, equal means, n = {n} (no totals)",
        rate,
        0.3,
        0.75,
        repetitions,
    )


def no_harm(checks: Checks) -> None:
    """Simulate a loss of what an alarm is to detect, and code that is unchanged."""
    repetitions = checks.share(0.5)
    alarm = claim("no_decrease", detects=0.5)
    planned = replicates(PairedT(), 0.5, alternative="greater")
    assert planned is not None
    for n in (5, 10, planned):
        rng = generator(checks, "no harm", n)
        rate = share(one(alarm, rng.normal(-0.5, 1, n)).passed for _ in range(repetitions))
        checks.at_most(f"a loss of what is to be detected, n = {n}: passes", rate, 0.2, repetitions)
    rng = generator(checks, "looks at harm")
    looks = {"stopping": GroupSequential()}
    rate = share(one(alarm, rng.normal(-0.5, 1, planned), **looks).passed for _ in range(repetitions // 2))
    checks.at_most(
        f"a loss of what is to be detected, five looks at {planned}: passes", rate, 0.2, repetitions // 2
    )
    for n, low, high in ((planned, 0.92, 0.97), (planned // 2, 0.79, 0.87)):
        rng = generator(checks, "unharmed", n)
        rate = share(one(alarm, rng.normal(0, 1, n)).passed for _ in range(repetitions))
        checks.between(f"unchanged code under an alarm, n = {n}: passes", rate, low, high, repetitions)
        rng = generator(checks, "harmed", n)
    rate = share(one(alarm, rng.normal(0, 1, planned)).status == "refuted" for _ in range(repetitions))
    checks.at_most(f"unchanged code under an alarm, n = {planned}: REFUTED", rate, 0.05, repetitions)


def scored(checks: Checks) -> None:
    """Simulate quantiles, wins, ratios of totals and covariates where there is no difference."""
    repetitions = checks.share(0.5)
    differ = {
        "95 % quantile, n = 100": (100, QuantileTest(0.95)),
        "95 % quantile, n = 200": (200, QuantileTest(0.95)),
        "median, n = 30": (30, QuantileTest(0.5)),
        "win rate of ratings, n = 10": (10, WinRateTest()),
        "win rate of ratings, n = 30": (30, WinRateTest()),
    }
    for name, (n, test) in differ.items():
        rng = generator(checks, name)
        hypothesis = claim("differ", statistical_test=test)
        draws = rng.lognormal(size=(repetitions, 2, n)) * rng.lognormal(size=(repetitions, 1, n))
        if isinstance(test, WinRateTest):
            draws = np.clip(np.rint(2 * np.log(draws)) + 3, 1, 5)
        rate = share(judged(hypothesis, b, {"t": a})[0].passed for b, a in draws)
        checks.at_most(f"{name}: SUPPORTED", rate, 0.058, repetitions)
    for n in (10, 30):
        rng = generator(checks, "ratio", n)
        counts = rng.binomial(5, 0.5, (repetitions, 2, n))
        costs = rng.exponential(2, counts.shape) + 1.5 * counts
        tests = [ratio_of_totals(*y, denominators=(x[0], x[1])) for y, x in zip(costs, counts, strict=True)]
        rate = share(test.p_value <= 0.05 for test in tests)
        checks.at_most(f"ratio of totals, n = {n}: p at most .05", rate, 0.057, repetitions)
        covariates = rng.normal(size=counts.shape)
        values = covariates + rng.normal(size=counts.shape)
        for compare in (paired_t, welch_t):
            pairs = zip(values, covariates, strict=True)
            rate = share(_adjusted(y, x, compare) <= 0.05 for y, x in pairs)
            name = "pairs" if compare is paired_t else "independent arms"
            checks.at_most(f"a covariate of {name}, n = {n}: p at most .05", rate, 0.06, repetitions)


def _adjusted(values: Array, covariates: Array, compare: Comparison) -> float:
    try:
        return adjusted_t(*values, covariates=(covariates[0], covariates[1]), compare=compare).p_value
    except SampleError:  # by chance it seems to be changed, and the verdict is invalid
        return 1.0


def experiments(checks: Checks) -> None:
    """Simulate twelve experiments with a claim each, of which none holds."""
    repetitions, n = checks.share(0.25), 16
    up = claim()
    for split, low, high in ((None, 0.18, 0.35), (12, 0.0, 0.05)):
        rng = generator(checks, "experiments", str(split))
        plan = AnalysisPlan((up,), ("t",), n, Judging(), claims=split)
        wrong = 0
        for _ in range(repetitions):
            found = (
                Analysis(plan, {"baseline": runs("baseline", b), "t": runs("t", t)}).verdict(up, "t")
                for b, t in rng.normal(size=(12, 2, n))
            )
            wrong += any(verdict.passed for verdict in found)
        what = "alone" if split is None else "crystallize_claims = 12"
        checks.between(
            f"12 null experiments, {what}: any SUPPORTED", wrong / repetitions, low, high, repetitions
        )


def planning(checks: Checks) -> None:
    """Simulate experiments that are planned by a pilot of ten, and run as planned."""
    repetitions, effect = checks.share(0.25), 0.8
    rng = generator(checks, "planning")
    up = claim(effect=effect)
    plan = AnalysisPlan((up,), ("t",), 15, Judging())
    supported, needed = 0, []
    for _ in range(repetitions):
        pilot = {"baseline": runs("baseline", np.zeros(10)), "t": runs("t", rng.normal(0, 1, 10))}
        n = Planner(plan, pilot).claim(up, "t").needed
        assert n is not None
        needed.append(n)
        supported += one(up, rng.normal(effect, 1, n)).passed
    checks.between(
        "planned by a pilot of 10 for .8: SUPPORTED", supported / repetitions, 0.83, 0.95, repetitions
    )
    enough = replicates(PairedT(), effect)
    assert enough is not None
    rate = float(np.mean(np.array(needed) >= enough))
    checks.between("planned by a pilot of 10: at least as many as it takes", rate, 0.74, 0.86, repetitions)


def used(checks: Checks) -> None:
    """Simulate how many of the planned replicates are run."""
    repetitions, n = checks.share(0.25), 15
    up, looks = claim(), GroupSequential()
    for what, effect, low, high in (("true effect .8 SD", 0.8, 0.7, 0.83), ("no effect", 0.0, 0.55, 0.66)):
        rng = generator(checks, "used", what)
        found = [one(up, rng.normal(effect, 1, n), stopping=looks) for _ in range(repetitions)]
        share_used = float(np.mean([verdict.n / n for verdict in found]))
        checks.between(f"five looks at 15, {what}: replicates used", share_used, low, high, repetitions)
        if effect:
            power = share(verdict.passed for verdict in found)
            checks.between("five looks at 15, true effect .8 SD: SUPPORTED", power, 0.79, 0.9, repetitions)
    rng = generator(checks, "arms")
    sizes = []
    for _ in range(repetitions):
        arms = rng.normal([[0.8], [0.0], [0.0], [0.0]], 1, (4, n))
        found = judged(up, np.zeros(n), {str(i): arm for i, arm in enumerate(arms)}, stopping=looks)
        sizes.append(sum(verdict.n for verdict in found) + max(verdict.n for verdict in found))
    rate = float(np.mean(sizes)) / (5 * n)
    checks.between("four treatments of which one works: runs made", rate, 0.55, 0.72, repetitions)
    repetitions, n = checks.share(0.05), 60
    rng = generator(checks, "curtailed")
    rate_up = claim(kind="binary")
    same, parts = 0, []
    for _ in range(repetitions):
        before = (rng.random(n) < 0.5).astype(float)
        after = np.where(rng.random(n) < 0.5, before, rng.random(n) < 0.5).astype(float)
        whole = judged(rate_up, before, {"t": after})[0]
        early = judged(rate_up, before, {"t": after}, stopping=Curtailment(every=1))[0]
        same += early.status == whole.status
        parts.append(early.n / n)
    checks.between(
        "curtailed McNemar, no effect: the same verdict", same / repetitions, 1.0, 1.0, repetitions
    )
    checks.between(
        "curtailed McNemar, no effect: replicates used", float(np.mean(parts)), 0.66, 0.95, repetitions
    )


DESIGNS: Final[tuple[Callable[[Checks], None], ...]] = (
    numbers,
    pairwise,
    sizes,
    no_harm,
    scored,
    experiments,
    planning,
    used,
)


def claims(checks: Checks) -> None:
    """Simulate every design."""
    for design in DESIGNS:
        design(checks)
