"""What verdicts do, by simulation: how often each is wrong, through the same analysis that judges records.

`statistics_simulation` runs these designs after the tests themselves; its `--designs` runs them alone, and
`--markdown` prints them as the table of the guide. Unless said otherwise alpha is .05, differences are normal
with standard deviation 1, and samples are pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from crystallize import (
    AnytimeValid,
    BootstrapTTest,
    Cases,
    ClusteredTTest,
    ConditionRuns,
    GroupSequential,
    Hypothesis,
    PairedTTest,
    RunRecord,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.claim_test import chosen_test
from crystallize.analysis.condition_samples import claim_sample
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.unchanged import unchanged_passes
from crystallize.analysis.verdict import Verdict
from crystallize.claims.policy import Judging
from crystallize.claims.stopping import Stopping
from crystallize.context.recording import MetricEntry
from crystallize.context.trace import untouched
from crystallize.declare.case_design import CaseDesign, CaseStream
from crystallize.stats import is_too_skewed
from crystallize.stats.power import PairedT, power, replicates, upper_sd_factor

Array = NDArray[np.float64]


class Checks(Protocol):
    """What takes rates, and says whether they are within their bounds."""

    seed: int

    def share(self, share: float) -> int:
        """Return a part of the repetitions."""

    def at_most(self, what: str, rate: float, bound: float, repetitions: int) -> None:
        """Check that a rate is not above a bound, but for chance."""

    def between(self, what: str, rate: float, low: float, high: float, repetitions: int) -> None:
        """Check that a rate lies between two, but for chance."""


def runs(condition: str, values: Array, units: Sequence[str] | None = None) -> ConditionRuns:
    """Return runs whose replicate i records values[i], a number or one of each unit (nan of none)."""
    rows = values.reshape(len(values), -1).tolist()
    return ConditionRuns(
        condition,
        [
            RunRecord(
                condition,
                i,
                i,
                tuple(
                    MetricEntry("x", value, None if units is None else units[j], False, "step")
                    for j, value in enumerate(row)
                    if not math.isnan(value)
                ),
            )
            for i, row in enumerate(rows)
        ],
    )


def judged(
    claim: Hypothesis,
    baseline: Array,
    treatments: Mapping[str, Array],
    units: Sequence[str] | None = None,
    **judging: Any,
) -> list[Verdict]:
    """Return the verdicts on a claim about each treatment, or whatever it is about."""
    made = {"baseline": runs("baseline", baseline, units)}
    made |= {name: runs(name, values, units) for name, values in treatments.items()}
    plan = AnalysisPlan((claim,), tuple(treatments), len(baseline), Judging(**judging))
    analysis = Analysis(plan, made)
    return [analysis.verdict(claim, name) for name in analysis.subjects(claim)]


def one(claim: Hypothesis, treatment: Array, units: Sequence[str] | None = None, **judging: Any) -> Verdict:
    """Return the verdict on differences."""
    return judged(claim, treatment * 0.0, {"t": treatment}, units, **judging)[0]


def claim(direction: Any = "increase", **options: Any) -> Hypothesis:
    return Hypothesis(metric="x", direction=direction, **options)


def share(draws: Iterator[bool]) -> float:
    return float(np.mean(list(draws)))


def generator(checks: Checks, *stream: str | int) -> np.random.Generator:
    return np.random.default_rng([checks.seed, *"/".join(map(str, stream)).encode()])


def refutations(checks: Checks) -> None:
    """Simulate twelve claims of which none holds, and twelve guards at their margin."""
    repetitions, n = checks.share(0.25), 16
    rng = generator(checks, "refutations")
    up, guard = claim(), claim("no_decrease", margin=0.5)
    false_up = false_harm = contradictions = harm = 0
    for _ in range(repetitions):
        noise = rng.normal(size=(13, n))
        treatments = {str(i): row for i, row in enumerate(noise[1:])}
        found = judged(up, noise[0], treatments)
        statuses = {verdict.status for verdict in found}
        false_up += "supported" in statuses
        false_harm += "refuted" in statuses
        contradictions += sum(_contradicts(verdict) for verdict in found)
        moved = {name: row - 0.5 for name, row in treatments.items()}
        harm += any(verdict.status == "refuted" for verdict in judged(guard, noise[0], moved))
    for what, count, bound in (("SUPPORTED", false_up, 0.05), ("REFUTED", false_harm, 0.05)):
        checks.at_most(f"12 null claims, n = {n}: any {what}", count / repetitions, bound, repetitions)
    checks.at_most(f"12 guards at the margin, n = {n}: any REFUTED", harm / repetitions, 0.05, repetitions)
    checks.at_most(
        "12 null claims: intervals that contradict their verdict",
        contradictions / 12 / repetitions,
        1e-9,
        12 * repetitions,
    )
    all_hold = [
        all(low <= 1.5 <= high for low, high in (verdict.interval for verdict in found))  # type: ignore[misc]
        for found in (
            judged(up, np.zeros(n), {str(i): rng.normal(1.5, 1, n) for i in range(12)})
            for _ in range(repetitions)
        )
    ]
    checks.between(
        "12 true effects of 1.5 SD: all intervals hold them", float(np.mean(all_hold)), 0.75, 0.9, repetitions
    )


def _contradicts(verdict: Verdict) -> bool:
    assert verdict.interval is not None
    low, high = verdict.interval
    excludes = low > 0 or high < 0
    return excludes != (verdict.status in DECIDED)


def futility(checks: Checks) -> None:
    """Simulate five looks at 30 pairs: harm is shown though futility stops, and alpha is kept."""
    repetitions, n = checks.share(0.25), 30
    rng = generator(checks, "futility")
    up = claim()
    stopping = GroupSequential()
    harmed = [one(up, rng.normal(-1, 1, n), stopping=stopping) for _ in range(repetitions)]
    null = [one(up, rng.normal(0, 1, n), stopping=stopping) for _ in range(repetitions)]
    rate = share(verdict.status == "refuted" for verdict in harmed)
    checks.between("five looks at 30, true effect -1 SD: REFUTED", rate, 0.96, 1.0, repetitions)
    fewer = checks.share(0.05)
    twelve = [
        verdict.status == "refuted"
        for _ in range(fewer)
        for verdict in judged(
            up, np.zeros(n), {str(i): rng.normal(-1, 1, n) for i in range(12)}, stopping=stopping
        )
    ]
    checks.between("the same of 12 claims: REFUTED", float(np.mean(twelve)), 0.85, 0.93, len(twelve))
    rate = share(verdict.status == "supported" for verdict in null)
    checks.at_most("five looks at 30, no effect: SUPPORTED", rate, 0.0275, repetitions)
    used = float(np.mean([verdict.n / n for verdict in null]))
    checks.between("five looks at 30, no effect: part of the replicates used", used, 0.58, 0.70, repetitions)


DECIDED: Final = ("supported", "refuted")
UNITS: Final = [f"case {i}" for i in range(40)]


def crossed(checks: Checks) -> None:
    """Simulate cases under the same seeds, both drawn at random."""
    repetitions = checks.share(0.5)
    differ = claim("differ")
    for r, c in ((4, 4), (5, 20), (20, 5), (12, 12)):
        rng = generator(checks, "crossed", r, c)
        for what, missing in (("", 0.0), (", 30 % of cells empty", 0.3)):
            if missing and min(r, c) < 5:
                continue
            tables = [_table(rng, r, c, missing) for _ in range(repetitions)]
            rate = share(one(differ, table, UNITS[:c]).status in DECIDED for table in tables)
            bound = 0.061 if missing else 0.059
            checks.at_most(f"crossed t, {r} seeds of {c} cases{what}", rate, bound, repetitions)
    rng = generator(checks, "means")
    means = claim("differ", statistical_test=PairedTTest())
    tables = [_table(rng, 20, 5) for _ in range(repetitions)]
    rate = share(one(means, table, UNITS[:5]).status in DECIDED for table in tables)
    checks.between(
        "paired t of replicate means (no default), 20 seeds of 5 cases", rate, 0.25, 0.65, repetitions
    )
    clusters = claim("differ", statistical_test=ClusteredTTest())
    tables = [_table(rng, 5, 20) for _ in range(repetitions)]
    rate = share(one(clusters, table, UNITS[:20]).status in DECIDED for table in tables)
    checks.between(
        "clustered t of crossed values (no default), 5 seeds of 20 cases", rate, 0.3, 0.75, repetitions
    )


def _table(rng: np.random.Generator, r: int, c: int, missing: float = 0.0) -> Array:
    values = rng.normal(size=(r, c)) + rng.normal(size=(r, 1)) + rng.normal(size=(1, c))
    values[rng.random((r, c)) < missing] = math.nan
    return values


def crossed_looks(checks: Checks) -> None:
    """Simulate five looks at whole replicates of the same cases, which vary alike at each look."""
    repetitions = checks.share(0.5)
    stopping = GroupSequential(futility=False)
    differ = claim("differ")
    for r, c in ((20, 5), (20, 20)):
        rng = generator(checks, "crossed looks", r, c)
        rate = share(
            one(differ, _table(rng, r, c), UNITS[:c], stopping=stopping).status in DECIDED
            for _ in range(repetitions)
        )
        checks.at_most(f"crossed t, five looks at {r} seeds of {c} cases", rate, 0.059, repetitions)


def cases(checks: Checks) -> None:
    """Simulate cases that vary, as does what a treatment does to them, with several samples of each."""
    differ, guard = claim("differ"), claim("no_decrease", margin=0.05)
    for number, samples, looks in ((20, 1, None), (20, 3, None), (200, 3, None), (40, 3, GroupSequential())):
        repetitions = checks.share(0.2 if number * samples < 200 else 0.05)
        rng = generator(checks, "cases", number, samples)
        design = CaseDesign(Cases([{"id": str(i)} for i in range(number)]), samples).stream(0)
        what = f"{number} cases of {samples} sample{'s'[: samples - 1]}"
        what += "" if looks is None else ", five looks"

        def numbers(rng: np.random.Generator = rng, shape: tuple[int, int] = (number, samples)) -> Array:
            return (rng.normal(size=(shape[0], 1)) + rng.normal(size=shape)).ravel()

        rate = share(
            _on_cases(differ, numbers(), numbers(), design, looks).status in DECIDED
            for _ in range(repetitions)
        )
        checks.at_most(f"default test, {what}: numbers", rate, 0.06, repetitions)

        def rates(loss: float, n: int = number, k: int = samples, rng: Any = rng) -> tuple[Array, Array]:
            level = rng.beta(2, 1, size=(n, 1)) * 0.7 + 0.15
            changed = level - loss + rng.choice([-0.05, 0.05], size=(n, 1))
            return tuple((rng.random((n, k)) < p).ravel().astype(float) for p in (level, changed))

        rate = share(
            _on_cases(differ, *rates(0.0), design, looks).status in DECIDED for _ in range(repetitions)
        )
        checks.at_most(f"default test, {what}: yes/no", rate, 0.06, repetitions)
        rate = share(
            _on_cases(guard, *rates(0.05), design, looks).status == "supported" for _ in range(repetitions)
        )
        checks.at_most(f"default test, {what}: yes/no at the margin", rate, 0.06, repetitions)


_READS_CASE: Final = (untouched("step", 0).then("read", "case", None),)


def _on_cases(
    claim: Hypothesis, baseline: Array, treatment: Array, cases: CaseStream, stopping: Stopping | None
) -> Verdict:
    made = {
        name: ConditionRuns(
            name,
            [
                RunRecord(name, i, i, (MetricEntry("x", value, None, False, "step"),), _READS_CASE)
                for i, value in enumerate(values.tolist())
            ],
        )
        for name, values in (("baseline", baseline), ("t", treatment))
    }
    plan = AnalysisPlan((claim,), ("t",), len(cases.order), Judging(stopping=stopping), cases=cases)
    return Analysis(plan, made).verdict(claim, "t")


def nested(checks: Checks) -> None:
    """Simulate samples of one case each, and clusters of very different sizes."""
    repetitions = checks.share(0.5)
    rng = generator(checks, "nested")
    differ = claim("differ")

    def by_case(**judging: Any) -> bool:
        case = rng.normal(size=20).repeat(3)
        values = case + rng.normal(size=60)
        made = {
            name: ConditionRuns(
                name,
                [
                    RunRecord(name, i, i, (MetricEntry("x", float(v), UNITS[i // 3], False, "step"),))
                    for i, v in enumerate(column)
                ],
            )
            for name, column in (("baseline", np.zeros(60)), ("t", values))
        }
        plan = AnalysisPlan((differ,), ("t",), 60, Judging(**judging))
        return Analysis(plan, made).verdict(differ, "t").status in DECIDED

    rate = share(by_case() for _ in range(repetitions))
    checks.at_most("paired t over case means, 20 cases of 3 samples", rate, 0.055, repetitions)
    rate = share(by_case(stopping=GroupSequential()) for _ in range(repetitions))
    checks.at_most("the same under GroupSequential, looked at once", rate, 0.055, repetitions)

    clusters = claim("differ", statistical_test=ClusteredTTest())
    sizes = [1, 2, 2, 3, 5, 8, 12, 20]
    labels = [UNITS[i] for i, size in enumerate(sizes) for _ in range(size)]

    def by_cluster() -> bool:
        values = np.concatenate([rng.normal() + rng.normal(size=size) for size in sizes])
        return one(clusters, values[np.newaxis], labels).status in DECIDED

    rate = share(by_cluster() for _ in range(repetitions))
    checks.at_most("clustered t (CR2), 8 clusters of 1 to 20 values", rate, 0.069, repetitions)


def skewed(checks: Checks) -> None:
    """Simulate skewed differences whose long tail is on the far side of a claim, and the caveat."""
    repetitions = checks.share(0.25)
    rng = generator(checks, "skewed")

    def lognormal(n: int) -> Array:
        # A baseline of lognormal values, against normal ones of the same mean: SD .5, correlation .7.
        first, second = rng.normal(size=(2, n))
        return math.exp(0.5) + 0.5 * (0.7 * first + math.sqrt(0.51) * second) - np.exp(first)

    def costs(n: int) -> Array:
        # One replicate in ten costs something: exponential, of mean 20 SD of the noise, so 2 on average.
        return rng.normal(size=n) - 20 * (rng.random(n) < 0.1) * rng.exponential(1, n)

    up, guard = claim(), claim("no_decrease", margin=2.0)
    bootstrap = BootstrapTTest(draws=1_999)
    boot_up = claim(statistical_test=bootstrap)
    boot_guard = claim("no_decrease", margin=2.0, statistical_test=bootstrap)
    for n, tests in (
        (5, ((up, guard, "paired t", 0.175, 0.215, 0.59, 0.65),)),
        (
            30,
            (
                (up, guard, "paired t", 0.11, 0.15, 0.24, 0.3),
                (boot_up, boot_guard, "bootstrap t", 0.05, 0.1, 0.11, 0.18),
            ),
        ),
        (100, ((up, guard, "paired t", 0.075, 0.105, 0.12, 0.18),)),
    ):
        for more, harmless, name, low, high, low_cost, high_cost in tests:
            many = repetitions if name == "bootstrap t" else 4 * repetitions
            rate = share(one(more, lognormal(n)).status == "supported" for _ in range(many))
            what = f"{name}, lognormal against normal of one mean, n = {n}: SUPPORTED"
            checks.between(what, rate, low, high, many)
            rate = share(one(harmless, costs(n)).passed for _ in range(many))
            checks.between(
                f"{name}, rare costs at the margin, n = {n}: passes", rate, low_cost, high_cost, many
            )
    n = 30

    def told(draw: Callable[[], Array]) -> float:
        return share(is_too_skewed(draw(), claimed="greater") for _ in range(4 * repetitions))

    rate = told(lambda: rng.normal(size=n))
    checks.at_most("caveat of skewness, normal differences", rate, 0.05, 4 * repetitions)
    rate = told(lambda: costs(n))
    checks.between("caveat of skewness, rare costs", rate, 0.9, 1.0, 4 * repetitions)
    rate = told(lambda: lognormal(n))
    name = "caveat of skewness, lognormal against normal of SD .5, correlation .7"
    checks.between(name, rate, 0.9, 1.0, 4 * repetitions)
    for what, sd, low, high in (
        ("SD 1", 1.0, 0.66, 0.75),
        ("equal SD", math.sqrt((math.e - 1) * math.e), 0.3, 0.39),
    ):
        rate = told(lambda sd=sd: rng.normal(0, sd, n) - np.exp(rng.normal(size=n)))  # type: ignore[misc]
        name = f"caveat of skewness, lognormal against normal of {what}"
        checks.between(name, rate, low, high, 4 * repetitions)


def identical(checks: Checks) -> None:
    """Simulate a total loss in a part of the replicates that is just the margin."""
    repetitions = checks.share(0.5)
    rng = generator(checks, "identical")
    for n, seen in ((5, 0.77), (10, 0.60), (30, 0.215)):
        samples = [1.0 - (rng.random(n) < 0.05) for _ in range(repetitions)]
        for options, what, low, high in (
            ({}, "no worst=", seen - 0.03, seen + 0.03),
            ({"worst": 0.0}, "worst=0", 0.0, 0.05),
        ):
            guard = claim("no_decrease", margin=0.05, kind="numeric", **options)
            rate = share(judged(guard, np.ones(n), {"t": values})[0].passed for values in samples)
            checks.between(
                f"rare total loss at the margin, n = {n}, {what}: passes", rate, low, high, repetitions
            )


def growing(checks: Checks) -> None:
    """Simulate replicates that are added until something is significant, eight times."""
    repetitions = checks.share(0.25)
    rng = generator(checks, "growing")
    differ = claim("differ")
    sizes = range(10, 90, 10)
    for name, judging, low, high in (
        ("one look", {}, 0.15, 0.22),
        ("GroupSequential", {"stopping": GroupSequential()}, 0.13, 0.20),
        ("AnytimeValid", {"stopping": AnytimeValid()}, 0.0, 0.05),
    ):

        def ever(judging: Mapping[str, Any] = judging) -> bool:
            values = rng.normal(size=sizes[-1])
            return any(one(differ, values[:size], **judging).status == "supported" for size in sizes)

        rate = share(ever() for _ in range(repetitions))
        checks.between(f"a plan grown eight times, {name}: ever SUPPORTED", rate, low, high, repetitions)


def pilots(checks: Checks) -> None:
    """Simulate replicates that are planned by the spread of a pilot."""
    repetitions, n, effect = checks.share(1.0), 10, 0.5
    rng = generator(checks, "pilots")
    reached, powers, plain = 0, [], []
    for _ in range(repetitions):
        sd = float(rng.normal(size=n).std(ddof=1))
        for factor, into in ((upper_sd_factor(n - 1), powers), (1.0, plain)):
            needed = replicates(PairedT(sd * factor), effect)
            assert needed is not None
            into.append(power(PairedT(1.0), needed, effect))
        reached += powers[-1] >= 0.8
    checks.between(
        "n by the upper limit of a pilot of 10: power reached", reached / repetitions, 0.75, 0.85, repetitions
    )
    checks.between(
        "n by the upper limit of a pilot of 10: mean power", float(np.mean(powers)), 0.85, 0.93, repetitions
    )
    checks.between(
        "n by the observed spread of a pilot of 10: mean power",
        float(np.mean(plain)),
        0.70,
        0.80,
        repetitions,
    )


def unchanged(checks: Checks) -> None:
    """Simulate references that do not repeat, and what is told of unchanged code."""
    repetitions = checks.share(0.25)
    rng = generator(checks, "unchanged")

    def numbers() -> Array:
        return rng.normal(size=(2, 30))

    def rates(n: int) -> Array:
        return (rng.random((2, n)) < 0.8).astype(np.float64)

    def cases() -> Array:
        return rng.normal(size=10) + 0.5 * rng.normal(size=(2, 8, 1)) + rng.normal(size=(2, 8, 10))

    for what, draw, units, margin, low, high in (
        ("30 numbers, margin .7 SD", numbers, None, 0.7, 0.8, 0.9),
        ("30 yes/no of rate .8, margin .1", lambda: rates(30), None, 0.1, 0.17, 0.3),
        ("100 yes/no of rate .8, margin .1", lambda: rates(100), None, 0.1, 0.5, 0.6),
        ("8 seeds of 10 cases, margin 1 SD", cases, UNITS[:10], 1.0, 0.8, 0.92),
    ):
        guard = claim("no_decrease", margin=margin)
        told, passed = [], 0
        for _ in range(repetitions):
            before, after = draw()
            recorded = runs("baseline", before, units)
            sample = claim_sample(guard.claim, recorded, recorded)  # type: ignore[arg-type]
            assert isinstance(sample, ClaimSample)
            test = chosen_test(guard.claim, sample, None)  # type: ignore[arg-type]
            chance = unchanged_passes(guard.claim, sample, test, 0.05)  # type: ignore[arg-type]
            assert chance is not None
            told.append(chance)
            passed += judged(guard, before, {"t": after}, units)[0].passed
        rate = passed / repetitions
        checks.between(f"unchanged code, {what}: passes", rate, low, high, repetitions)
        lower = float(np.mean(np.array(told) <= rate))
        checks.between(f"unchanged code, {what}: no more than that is told", lower, 0.6, 1.0, repetitions)


def renewed(checks: Checks) -> None:
    """Simulate a reference that each passing run replaces, though the code never changes."""
    repetitions, n, sessions = checks.share(0.05), 30, 40
    rng = generator(checks, "renewed")
    guard = claim("no_decrease", margin=0.53)
    first = last = 0
    for _ in range(repetitions):
        reference = rng.normal(size=n)
        for session in range(sessions):
            today = rng.normal(size=n)
            passed = judged(guard, reference, {"t": today})[0].passed
            first += passed and session == 0
            last += passed and session == sessions - 1
            if passed:
                reference = today
    what = "each passing run becomes the reference: passes"
    checks.between(f"{what} at first", first / repetitions, 0.5, 0.75, repetitions)
    checks.between(f"{what} in the 40th session", last / repetitions, 0.0, 0.25, repetitions)


DESIGNS: Final = (
    refutations,
    futility,
    crossed,
    crossed_looks,
    nested,
    cases,
    skewed,
    identical,
    growing,
    pilots,
    unchanged,
    renewed,
)


def designs(checks: Checks) -> None:
    """Simulate every design."""
    for design in DESIGNS:
        design(checks)
