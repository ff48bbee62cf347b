"""What the built-in tests do, by simulation: how often each claims what is not so, and what it finds.

Samples are drawn with no difference, then with one that matters; `crystallize.stats` itself tests each.

Draws have unit variance and come from normal variables: as they are, exponentiated ("lognormal"), rounded to
whole numbers ("tied"), or cut at the median ("0/1"). Pairs are correlated by .5; their differences are
symmetric, since both members have one distribution. The treatment is moved by .8 standard deviations, a rate
from .5 to .8. Non-inferiority and equivalence have that difference as their margin: their false positives are
those at the margin, their power is that without difference. The n is that of pairs, of values in each arm, of
units (of 5 values, intraclass correlation .5), or of resplits; where looks stop early, it is the planned one.
Permutation tests take 999 rearrangements where they are random.

Numbers that follow a rate are Monte-Carlo standard errors. What is costly is repeated less often, as the
table says, and exact tests of 0/1 data are computed once per table of counts. The checks at the end allow
rates 4 standard errors beyond their bounds, so they are as strict as the repetitions are many.

Run ``python benchmarks/statistics_simulation.py``: it takes some minutes, and exits with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

import numpy as np
from claim_simulation import claims
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binom, bootstrap, ttest_ind
from verdict_simulation import designs

from crystallize.stats import (
    Comparison,
    Correction,
    adjust,
    anytime_mcnemar,
    anytime_t,
    barnard,
    barnard_p_value,
    boschloo,
    boschloo_p_value,
    brunner_munzel,
    clustered_t,
    conditional_power,
    equivalence,
    fisher_exact,
    fisher_p_value,
    group_sequential_boundaries,
    look_sizes,
    mann_whitney,
    mcnemar,
    mcnemar_p_value,
    nominal_p_values,
    non_inferiority,
    paired_permutation,
    paired_t,
    permutation,
    planned_drift,
    resampled_t,
    risk_difference_test,
    welch_t,
    wilcoxon,
    yuen_t,
)

Array = NDArray[np.float64]
PValue = Callable[[Array, Array], float]
Rejects = Callable[[Array, Array], Sequence[bool]]
"""Whether a pair of samples is rejected, at each of `ALPHAS`."""

ALPHAS: Final = (0.05, 0.01)
SIZES: Final = (5, 10, 12, 30, 100)
ERRORS: Final = 4
CHANCE: Final = float(ndtr(-ERRORS))  # that a rate at its bound fails the check: one in 30,000
EARLIER: Final = 4_000  # repetitions behind the figures that are checked for agreement
FEWEST: Final = 40
CASES: Final = 300
TEST_FRACTION: Final = 0.25


# What is drawn.


def moved_rate(normal: Array, shift: float) -> Array:
    return (normal < ndtri(0.5 + shift)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Data:
    """How values come from a standard normal variable and a shift, and the shift that matters."""

    values: Callable[[Array, float], Array]
    effect: float = 0.8


LOGNORMAL_SD: Final = math.sqrt((math.e - 1) * math.e)
DATA: Final = {
    "normal": Data(lambda normal, shift: normal + shift),
    "lognormal": Data(lambda normal, shift: np.exp(normal) / LOGNORMAL_SD + shift),
    "tied": Data(lambda normal, shift: np.rint(normal + shift)),
    "0/1": Data(moved_rate, effect=0.3),
}
NUMBERS: Final = ("normal", "lognormal", "tied")
BINARY: Final = ("0/1",)


def pairs(rng: np.random.Generator, repetitions: int, n: int, correlation: float = 0.5) -> Array:
    """Return standard normal variables, shape (repetitions, 2, n)."""
    normal = rng.standard_normal((repetitions, 2, n))
    normal[:, 1] = correlation * normal[:, 0] + math.sqrt(1 - correlation**2) * normal[:, 1]
    return normal


def arms(rng: np.random.Generator, repetitions: int, n: int) -> Array:
    """Return independent standard normal variables, shape (repetitions, 2, n)."""
    return rng.standard_normal((repetitions, 2, n))


UNIT_SIZE: Final = 5


def units(rng: np.random.Generator, repetitions: int, n: int) -> Array:
    """Return standard normal variables, correlated by .5 within units, shape (repetitions, 2, 5 n)."""
    common = rng.standard_normal((repetitions, 2, n)).repeat(UNIT_SIZE, axis=2)
    return (common + rng.standard_normal(common.shape)) / math.sqrt(2)


def resplit_accuracies(rng: np.random.Generator, n: int, shift: float = 0.0) -> tuple[Array, Array]:
    """Return the accuracies of two learners over n resplits of one new data set.

    Either sees one feature and cuts it midway between the classes' means in the training set. The features
    are independent; a shift makes the second learner's the more informative one.
    """
    label = rng.integers(0, 2, CASES).astype(np.float64)
    test = rng.random((n, CASES)).argsort(axis=1) < round(TEST_FRACTION * CASES)
    train = (~test).astype(np.float64)
    positives = train @ label
    accuracies = []
    for gap in (1.0, 1.0 + shift):
        feature = rng.standard_normal(CASES) + gap * label
        sums = train @ feature, train @ (feature * label)
        cut = (sums[1] / positives + (sums[0] - sums[1]) / (train.sum(axis=1) - positives)) / 2
        correct = (feature > cut[:, np.newaxis]) == (label == 1)
        accuracies.append((correct & test).sum(axis=1) / test.sum(axis=1))
    return accuracies[0], accuracies[1]


# What is simulated.


def fixed(p_value: PValue) -> Rejects:
    """Reject where p is at most alpha."""

    def rejects(baseline: Array, treatment: Array) -> Sequence[bool]:
        p = p_value(baseline, treatment)
        return [p <= alpha for alpha in ALPHAS]

    return rejects


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One test in one design.

    `margin` makes the hypothesis of no difference the one that is to be found. No size may exceed `bound`
    times alpha; there is no bound for approximate tests, and none for t tests of 0/1 data, where they are
    no default.
    """

    name: str
    p_value: PValue
    draw: Callable[..., Array]
    data: tuple[str, ...] = NUMBERS
    sizes: tuple[int, ...] = SIZES
    procedure: Callable[[PValue], Rejects] = fixed
    counts: bool = True  # 0/1 data matter by their counts alone, not by their order
    margin: bool = False
    share: float = 1.0  # of the repetitions
    null_share: float | None = None
    bound: float | None = None
    bounded: tuple[str, ...] = (*NUMBERS, *BINARY)


class OncePerTable:
    """The p-value of 0/1 samples, computed when a table of counts is first met."""

    def __init__(self, p_value: PValue, *, paired: bool) -> None:
        self._p_value = p_value
        self._paired = paired
        self._known: dict[tuple[int, ...], float] = {}

    def __call__(self, baseline: Array, treatment: Array) -> float:
        """Return the p-value."""
        if self._paired:
            first, second = np.count_nonzero(treatment > baseline), np.count_nonzero(treatment < baseline)
        else:
            first, second = np.count_nonzero(baseline), np.count_nonzero(treatment)
        table = baseline.size, int(first), int(second)
        if table not in self._known:
            self._known[table] = self._p_value(baseline, treatment)
        return self._known[table]


def p_of(compare: Callable[..., Any], **options: Any) -> PValue:
    return lambda baseline, treatment: compare(baseline, treatment, **options).p_value


def guarded(guard: Callable[..., Any], compare: Comparison, data: str = "normal") -> PValue:
    return lambda baseline, treatment: guard(compare, baseline, treatment, margin=DATA[data].effect).p_value


def clustered(baseline: Array, treatment: Array) -> float:
    names = np.repeat(np.arange(baseline.size // UNIT_SIZE), UNIT_SIZE).tolist()
    return clustered_t(baseline, treatment, baseline_units=names).p_value


# Early stopping.


@dataclass(frozen=True, slots=True)
class Plan:
    """A group sequential design of n_max pairs."""

    sizes: list[int]
    fractions: list[float]
    boundaries: list[float]
    nominal: list[float]
    drift: float


@cache
def plan(n: int, alpha: float) -> Plan:
    sizes = look_sizes(n, 5 if n >= 15 else 3)
    fractions = [size / n for size in sizes]
    boundaries = group_sequential_boundaries(fractions, alpha=alpha)
    return Plan(sizes, fractions, boundaries, nominal_p_values(boundaries), planned_drift(alpha))


def stopped(
    p_value: PValue, baseline: Array, treatment: Array, *, alpha: float = 0.05, futility: bool = True
) -> tuple[bool, int]:
    """Return whether a group sequential design rejects, and how many pairs it takes."""
    design = plan(baseline.size, alpha)
    for n, fraction, nominal in zip(design.sizes, design.fractions, design.nominal, strict=True):
        p = p_value(baseline[:n], treatment[:n])
        if p <= nominal:
            return True, n
        z = math.copysign(float(ndtri(p / 2)), float(np.mean(treatment[:n] - baseline[:n])))
        if (
            futility
            and n < baseline.size
            and conditional_power(z, fraction, design.boundaries[-1], drift=design.drift) < 0.2
        ):
            return False, n
    return False, baseline.size


def group_sequential(p_value: PValue) -> Rejects:
    return lambda baseline, treatment: [
        stopped(p_value, baseline, treatment, alpha=alpha)[0] for alpha in ALPHAS
    ]


def naive_looking(baseline: Array, treatment: Array) -> bool:
    return any(
        paired_t(baseline[:n], treatment[:n]).p_value <= ALPHAS[0] for n in range(3, baseline.size + 1)
    )


# The bound of a default is the size that is known of it. Student's t is exact for normal differences, and
# conservative if their tails are heavy; Boschloo's test is exact. Welch's t has .054 if N(0, 1), n = 30, is
# compared with N(0, 9), n = 10; McNemar's mid-p has .057 at worst at n = 100. At .01 they are in proportion.
PAIRED_T: Final = 1.0
WELCH_T: Final = 0.054 / 0.05
MID_P: Final = 0.057 / 0.05
BOSCHLOO: Final = 1.0
STAGES: Final = 0.055 / 0.05  # nominal p-values carry the normal boundaries to t nearly
EXACT: Final = 1.0

ANY: Final = (*NUMBERS, *BINARY)
SUBJECTS: Final = (
    Subject(
        name="paired t",
        p_value=p_of(paired_t),
        draw=pairs,
        data=ANY,
        null_share=5,
        bound=PAIRED_T,
        bounded=NUMBERS,
    ),
    Subject(
        name="Welch t",
        p_value=p_of(welch_t),
        draw=arms,
        data=ANY,
        null_share=5,
        bound=WELCH_T,
        bounded=NUMBERS,
    ),
    Subject(name="McNemar mid-p", p_value=p_of(mcnemar), draw=pairs, data=BINARY, null_share=5, bound=MID_P),
    Subject(name="McNemar exact", p_value=p_of(mcnemar, exact=True), draw=pairs, data=BINARY, bound=EXACT),
    Subject(name="Boschloo", p_value=p_of(boschloo), draw=arms, data=BINARY, null_share=5, bound=BOSCHLOO),
    Subject(name="Fisher exact", p_value=p_of(fisher_exact), draw=arms, data=BINARY, bound=EXACT),
    Subject(name="Barnard", p_value=p_of(barnard), draw=arms, data=BINARY, bound=EXACT),
    Subject(
        name="paired permutation",
        p_value=p_of(paired_permutation, resamples=999),
        draw=pairs,
        data=ANY,
        share=0.5,
        bound=EXACT,
    ),
    Subject(
        name="permutation",
        p_value=p_of(permutation, resamples=999),
        draw=arms,
        data=ANY,
        share=0.1,
        bound=EXACT,
    ),
    Subject(name="Wilcoxon", p_value=p_of(wilcoxon), draw=pairs, data=ANY, share=0.25, bound=EXACT),
    Subject(name="Mann-Whitney", p_value=p_of(mann_whitney), draw=arms, data=ANY, share=0.1, bound=EXACT),
    Subject(name="Brunner-Munzel", p_value=p_of(brunner_munzel), draw=arms, data=ANY),
    Subject(name="Yuen t of pairs", p_value=p_of(yuen_t), draw=pairs, data=NUMBERS, bound=PAIRED_T),
    Subject(
        name="Yuen t",
        p_value=p_of(yuen_t, paired=False),
        draw=arms,
        data=NUMBERS,
        bound=WELCH_T,
        bounded=("normal", "lognormal"),  # of values rounded to their standard deviation .064, at .01 .021
    ),
    Subject(
        name="clustered t",
        p_value=clustered,
        draw=units,
        data=ANY,
        counts=False,
        share=0.5,
        bound=EXACT,
        bounded=NUMBERS,
    ),
    *(
        Subject(name=f"{name}, {title}", p_value=guarded(guard, compare), draw=draw, margin=True, bound=bound)
        for name, guard in (("non-inferiority", non_inferiority), ("equivalence", equivalence))
        for title, compare, draw, bound in (
            ("paired t", paired_t, pairs, PAIRED_T),
            ("Welch t", welch_t, arms, WELCH_T),
        )
    ),
    *(
        Subject(
            name=f"{name}, {title}",
            p_value=guarded(guard, compare, "0/1"),
            draw=draw,
            data=BINARY,
            margin=True,
        )
        for name, guard in (("non-inferiority", non_inferiority), ("equivalence", equivalence))
        for title, compare, draw in (
            ("paired score", mcnemar, pairs),
            ("score", risk_difference_test, arms),
        )
    ),
    Subject(
        name="group-sequential t",
        p_value=p_of(paired_t),
        draw=pairs,
        sizes=SIZES[1:],
        procedure=group_sequential,
        share=0.5,
        bound=STAGES,
    ),
    Subject(
        name="group-sequential McNemar",
        p_value=p_of(mcnemar),
        draw=pairs,
        data=BINARY,
        sizes=SIZES[1:],
        procedure=group_sequential,
        bound=MID_P,
    ),
    Subject(
        name="anytime-valid t",
        p_value=lambda baseline, treatment: anytime_t(baseline, treatment)[-1].p_value,
        draw=pairs,
        share=0.1,
        bound=EXACT,
    ),
    Subject(
        name="anytime-valid McNemar",
        p_value=lambda baseline, treatment: anytime_mcnemar(baseline, treatment)[-1].p_value,
        draw=pairs,
        data=BINARY,
        counts=False,
        share=0.1,
        bound=EXACT,
    ),
)


def generator(seed: int, *stream: str | int) -> np.random.Generator:
    """Return the generator of one part, which no other part's draws move."""
    return np.random.default_rng([seed, *"/".join(map(str, stream)).encode()])


def error(rate: float, repetitions: float) -> float:
    return math.sqrt(rate * (1 - rate) / repetitions)


@dataclass(slots=True)
class Simulation:
    """The options of a run, and the outcome of its checks."""

    seed: int
    repetitions: int
    checks: list[tuple[bool, str]] = field(default_factory=list)

    def check(self, ok: bool, text: str) -> None:
        """Record a check."""
        self.checks.append((ok, text))

    def share(self, share: float) -> int:
        """Return a part, or a multiple, of the repetitions."""
        return max(FEWEST, round(self.repetitions * share))

    def at_most(self, what: str, rate: float, bound: float, repetitions: int) -> None:
        """Check that a rate is not above a bound, but for chance: binomial, as small rates are skewed."""
        ok = not above(rate, bound, repetitions)
        self.check(ok, f"{what}: {number(rate, repetitions)}, at most {bound:.4g}")

    def about(self, what: str, rate: float, expected: float, repetitions: int) -> None:
        """Check that a rate agrees with one found in `EARLIER` repetitions, but for chance in both."""
        spread = error(min(max(expected, 1e-3), 1 - 1e-3), 1 / (1 / repetitions + 1 / EARLIER))
        ok = abs(rate - expected) <= ERRORS * spread + 0.0005
        self.check(ok, f"{what}: {number(rate, repetitions)}, as expected {expected:g}")

    def between(self, what: str, rate: float, low: float, high: float, repetitions: int) -> None:
        """Check that a rate lies between two, but for chance."""
        ok = not above(rate, high, repetitions) and not above(1 - rate, 1 - low, repetitions)
        self.check(ok, f"{what}: {number(rate, repetitions)}, {low:g} to {high:g}")


def above(rate: float, bound: float, repetitions: int) -> bool:
    """Tell whether a rate exceeds a bound by more than `ERRORS` standard errors, or what is as improbable."""
    return bool(binom.sf(round(rate * repetitions) - 1, repetitions, bound) < CHANCE)


def number(rate: float, repetitions: int) -> str:
    return f"{rate:.4f} ± {error(rate, repetitions):.4f}"


# The table.


def rates(
    subject: Subject, name: str, n: int, shift: float, repetitions: int, simulation: Simulation
) -> Array:
    """Return how often the subject rejects at each of `ALPHAS`.

    All subjects of one design meet the same draws, with and without a difference.
    """
    rng = generator(simulation.seed, subject.draw.__name__, name, n)
    data = DATA[name]
    normal = subject.draw(rng, repetitions, n)
    p_value = subject.p_value
    if name in BINARY and subject.counts:
        p_value = OncePerTable(p_value, paired=subject.draw is not arms)
    rejects = subject.procedure(p_value)
    baseline, treatment = data.values(normal[:, 0], 0.0), data.values(normal[:, 1], shift)
    rejected = [rejects(first, second) for first, second in zip(baseline, treatment, strict=True)]
    shares: Array = np.mean(rejected, axis=0)
    return shares


ROW: Final = "{:<29} {:<9} {:>4} {:>7}  {:<15} {:<15} {:>7}  {:<15}"


def row(name: str, data: str, n: int, size: Array, of: int, power: float, power_of: int) -> str:
    return ROW.format(
        name, data, n, of, *(number(rate, of) for rate in size), power_of, number(power, power_of)
    ).rstrip()


def heading(title: str) -> str:
    return f"\n{title}\n{'-' * len(title)}"


def table(simulation: Simulation, only: str = "") -> None:
    """Print size and power of every test and design; on request, of those whose name holds a text."""
    print(heading("False positives at alpha .05 and .01, and power at .05"))
    print(ROW.format("test", "data", "n", "repeats", "size .05", "size .01", "repeats", "power .05").rstrip())
    for subject in (each for each in SUBJECTS if only in each.name):
        null_repetitions = simulation.share(subject.null_share or subject.share)
        repetitions = simulation.share(subject.share)
        worst: dict[float, tuple[float, str, int]] = {}
        for name in subject.data:
            effect = DATA[name].effect
            null, alternative = (-effect, 0.0) if subject.margin else (0.0, effect)
            for n in subject.sizes:
                size = rates(subject, name, n, null, null_repetitions, simulation)
                power = float(rates(subject, name, n, alternative, repetitions, simulation)[0])
                print(row(subject.name, name, n, size, null_repetitions, power, repetitions), flush=True)
                if name in subject.bounded:
                    for alpha, rate in zip(ALPHAS, size.tolist(), strict=True):
                        worst[alpha] = max(worst.get(alpha, (-1.0, "", 0)), (rate, name, n))
        if subject.bound is not None:
            for alpha, (rate, data, n) in worst.items():
                what = f"{subject.name}, largest size at {alpha:g} ({data}, n = {n})"
                simulation.at_most(what, rate, alpha * subject.bound, null_repetitions)
    if not only:
        resplit_rows(simulation)


def resplit_rows(simulation: Simulation) -> None:
    repetitions = simulation.share(0.5)
    for n in SIZES:
        rng = generator(simulation.seed, "resplits", n)
        found = []
        for shift in (0.0, 0.8):
            p = [
                resampled_t(*resplit_accuracies(rng, n, shift), test_fraction=TEST_FRACTION).p_value
                for _ in range(repetitions)
            ]
            found.append(np.mean(np.array(p)[:, np.newaxis] <= ALPHAS, axis=0))
        print(row("resampled t", "resplits", n, found[0], repetitions, float(found[1][0]), repetitions))


# What the defaults rest on.


ENUMERATED: Final = (5, 10, 12, 16, 30, 50, 100)
SMALL: Final = ENUMERATED[:5]  # where all tables of two arms are few
WORST_EXPECTED: Final = (
    ("McNemar mid-p", 30, 0.049),
    ("McNemar mid-p", 100, 0.057),
    ("Boschloo", 30, 0.047),
    ("Fisher exact", 30, 0.027),
)


def worst_cases(simulation: Simulation) -> None:
    """Enumerate the largest sizes of the tests of 0/1 data over all rates."""
    found: dict[str, dict[int, float]] = {
        name: {n: largest_mcnemar_size(n, exact=exact) for n in ENUMERATED}
        for name, exact in (("McNemar mid-p", False), ("McNemar exact", True))
    }
    for name, p_value in (
        ("Boschloo", boschloo_p_value),
        ("Fisher exact", fisher_p_value),
        ("Barnard", barnard_p_value),
    ):
        found[name] = {n: largest_unpaired_size(n, p_value) for n in SMALL}
    print(heading("Largest size at alpha .05 over all rates, enumerated"))
    print(f"{'test':<16}" + "".join(f"{f'n = {n}':>10}" for n in ENUMERATED))
    for name, sizes in found.items():
        print(f"{name:<16}" + "".join(f"{size:10.4f}" for size in sizes.values()))
    half = max(largest_mcnemar_size(n, discordance=0.5) for n in range(1, 201))
    size, n = max((largest_mcnemar_size(n), n) for n in range(1, 201))
    known = MID_P * ALPHAS[0]
    print(
        f"\nNOTE: of all n up to 200 McNemar's mid-p has its largest size, {size:.4f}, at n = {n} if every\n"
        f"pair is discordant; that is more than {known:.3f}, the size at n = 100. Where at most half of the\n"
        f"pairs are discordant, it is {half:.4f} at most, at every n."
    )
    for name, n, size in WORST_EXPECTED:
        text = f"{name}, largest size, n = {n}: {found[name][n]:.4f}, as expected {size:g}"
        simulation.check(abs(found[name][n] - size) <= 0.0005, text)
    for name in ("McNemar exact", "Boschloo", "Fisher exact", "Barnard"):
        size = max(found[name].values())
        simulation.check(
            size <= ALPHAS[0], f"{name}, largest size at the n above: {size:.4f}, at most {ALPHAS[0]}"
        )
    text = f"McNemar mid-p, at most half of the pairs discordant: {half:.4f}, at most {ALPHAS[0]}"
    simulation.check(half <= ALPHAS[0], text)


def largest_mcnemar_size(n: int, *, exact: bool = False, discordance: float = 1.0) -> float:
    discordant = np.arange(n + 1)
    rejected = np.array([rejected_share(k, exact=exact) for k in discordant.tolist()])
    parts = np.linspace(0, discordance, 201)[:, np.newaxis]
    return float((binom.pmf(discordant, n, parts) @ rejected).max())


@cache
def rejected_share(discordant: int, *, exact: bool) -> float:
    """Return the probability of rejection if gains and losses are equally probable."""
    gains = range(discordant + 1)
    p = np.array([mcnemar_p_value(gain, discordant - gain, exact=exact) for gain in gains])
    return float(binom.pmf(gains, discordant, 0.5) @ (p <= ALPHAS[0]))


def largest_unpaired_size(n: int, p_value: Callable[[int, int, int, int], float]) -> float:
    counts = range(n + 1)
    rejected = np.array([[p_value(x, n, y, n) <= ALPHAS[0] for y in counts] for x in counts])
    mass = binom.pmf(counts, n, np.linspace(0, 1, 501)[:, np.newaxis])
    return float(((mass @ rejected) * mass).sum(axis=1).max())


def rejections(
    compares: Sequence[PValue], samples: Sequence[tuple[Array, Array]] | Array, alpha: float = 0.05
) -> list[float]:
    """Return how often each test rejects the same pairs of samples."""
    p = np.array([[compare(first, second) for compare in compares] for first, second in samples])
    shares: list[float] = np.mean(p <= alpha, axis=0).tolist()
    return shares


def moved(normal: Array, shift: float) -> Array:
    return normal + np.array([[0.0], [shift]])


# Size and power with the same pairs, at n = 5, 10 and 30.
PAIRS_EXPECTED: Final = {
    "paired t": ((0.052, 0.059, 0.051), (0.28, 0.62, 0.99)),
    "Welch t on pairs": ((0.015, 0.013, 0.005), (0.14, 0.37, 0.94)),
    "paired permutation": ((0.0, 0.054, 0.052), (0.0, 0.61, 0.99)),
}
BOOTSTRAP_EXPECTED: Final = {"percentile": (0.173, 0.099, 0.069), "BCa": (0.169, 0.099, 0.069)}


def contrasts(simulation: Simulation) -> None:
    """Compare the defaults with what they are preferred to, on normal data."""
    repetitions, fewer = simulation.repetitions, simulation.share(0.25)
    flip = p_of(paired_permutation, resamples=999)
    for i, n in enumerate((5, 10, 30)):
        normal = pairs(generator(simulation.seed, "contrasts", n), repetitions, n)
        compares = p_of(paired_t), p_of(welch_t), flip
        found = [rejections(compares, moved(normal, shift)) for shift in (0.0, 0.8)]
        for name, *observed in zip(PAIRS_EXPECTED, *found, strict=True):
            for what, rate, expected in zip(("size", "power"), observed, PAIRS_EXPECTED[name], strict=True):
                simulation.about(f"{name}, {what}, n = {n}", rate, expected[i], repetitions)
        for name, expected in BOOTSTRAP_EXPECTED.items():
            rate = bootstrap_size(normal[:fewer], name, simulation)
            simulation.about(f"{name} bootstrap (no gate), size, n = {n}", rate, expected[i], fewer)

    rng = generator(simulation.seed, "unequal")
    unequal = [(rng.normal(0, 1, 30), rng.normal(0, 3, 10)) for _ in range(repetitions)]
    compares = p_of(welch_t), lambda first, second: float(ttest_ind(first, second).pvalue)
    welch, pooled = rejections(compares, unequal)
    plain = p_of(permutation, statistic=lambda first, second: second.mean() - first.mean(), resamples=199)
    (raw,) = rejections([plain], unequal[:fewer])
    where = "N(0, 1) n = 30, N(0, 9) n = 10"
    simulation.about(f"Welch t, {where}", welch, 0.054, repetitions)
    simulation.about(f"pooled t (not ours), {where}", pooled, 0.212, repetitions)
    simulation.about(f"permuted mean (no default), {where}", raw, 0.211, fewer)

    normal = pairs(generator(simulation.seed, "smaller"), repetitions, 30)
    smaller = [lambda first, second: min(paired_t(first, second).p_value, wilcoxon(first, second).p_value)]
    (rate,) = rejections(smaller, normal)
    simulation.about("smaller p of paired t and Wilcoxon, n = 30", rate, 0.061, repetitions)

    normal = pairs(generator(simulation.seed, "correlated"), repetitions, 10, 0.9)
    paired, unpaired = rejections([p_of(paired_t), p_of(welch_t)], moved(normal, 0.8))
    simulation.about("paired t, power, correlation .9, n = 10", paired, 0.999, repetitions)
    simulation.about("Welch t, power, the same pairs", unpaired, 0.333, repetitions)

    normal = moved(arms(generator(simulation.seed, "dropped"), repetitions, 10), -0.8)
    (rate,) = rejections([without_the_worst], normal)
    simulation.about("non-inferiority, worst 2 of 10 dropped", rate, 0.168, repetitions)


def bootstrap_size(normal: Array, method: str, simulation: Simulation) -> float:
    rng = generator(simulation.seed, "bootstrap", method)
    interval = bootstrap(
        (normal[:, 1] - normal[:, 0],),
        np.mean,
        axis=-1,
        n_resamples=999,
        batch=100,
        method=method,
        random_state=rng,  # "rng" only since scipy 1.15
    ).confidence_interval
    return float(np.mean((interval.low > 0) | (interval.high < 0)))


def without_the_worst(baseline: Array, treatment: Array) -> float:
    kept = np.sort(treatment.argsort()[treatment.size // 5 :])
    return guarded(non_inferiority, paired_t)(baseline[kept], treatment[kept])


def early_stopping(simulation: Simulation) -> None:
    """Simulate five looks at 30 pairs, and looks after every pair."""
    repetitions = 5 * simulation.repetitions
    p_value, n = p_of(paired_t), 30
    normal = pairs(generator(simulation.seed, "looks"), repetitions, n)
    size = float(np.mean([stopped(p_value, *sample, futility=False)[0] for sample in normal]))
    simulation.at_most("five looks at 30 pairs, size, futility not binding", size, 0.055, repetitions)
    simulation.about("five looks at 30 pairs, size, futility not binding", size, 0.052, repetitions)

    repetitions = simulation.repetitions
    expected = ((0.5, 0.744, 0.754, 25.0), (0.8, 0.985, 0.988, 20.0), (1.2, 1.0, 1.0, 16.0))
    for effect, power, fixed_power, used in expected:
        samples = moved(normal[:repetitions], effect)
        outcomes = np.array([stopped(p_value, *sample) for sample in samples])
        (alone,) = rejections([p_value], samples)
        simulation.about(f"five looks, power at d = {effect:g}", outcomes[:, 0].mean(), power, repetitions)
        simulation.about(f"one look, power at d = {effect:g}", alone, fixed_power, repetitions)
        taken(simulation, f"five looks, pairs taken of 30 at d = {effect:g}", outcomes[:, 1], used, 0.5)
    outcomes = np.array([stopped(p_value, *sample) for sample in normal[:repetitions]])
    taken(simulation, "five looks, part of the pairs taken without effect", outcomes[:, 1] / n, 0.76, 0.005)

    for n, share in ((30, 0.5), (100, 0.25)):
        repetitions = simulation.share(share)
        normal = pairs(generator(simulation.seed, "anytime", n), repetitions, n)
        (anytime,) = rejections([lambda first, second: anytime_t(first, second)[-1].p_value], normal)
        naive = float(np.mean([naive_looking(*sample) for sample in normal]))
        simulation.at_most(f"anytime-valid t, looks from 3 to {n} pairs", anytime, 0.05, repetitions)
        simulation.between(f"paired t naively, looks from 3 to {n} pairs", naive, 0.2, 0.35, repetitions)


def taken(simulation: Simulation, what: str, used: Array, expected: float, rounding: float) -> None:
    """Check a mean against one that is known to `rounding`."""
    spread = float(used.std()) / math.sqrt(used.size)
    ok = abs(used.mean() - expected) <= rounding + ERRORS * spread
    simulation.check(ok, f"{what}: {used.mean():.3f} ± {spread:.3f}, as expected {expected:g}")


def dependence(simulation: Simulation) -> None:
    """Simulate resplits of one data set, and several values per unit."""
    repetitions = simulation.repetitions
    rng = generator(simulation.seed, "dependence")
    samples = [resplit_accuracies(rng, 30) for _ in range(repetitions)]
    compares = p_of(paired_t), p_of(resampled_t, test_fraction=TEST_FRACTION)
    paired, resampled = rejections(compares, samples)
    where = f"30 resplits of {CASES} cases"
    simulation.between(f"paired t, {where}", paired, 0.45, 0.6, repetitions)
    simulation.at_most(f"resampled t, {where}", resampled, 0.055, repetitions)

    normal = units(rng, repetitions, 8)
    naive, by_unit = rejections([p_of(paired_t), clustered], normal)
    simulation.about("paired t of all values, 8 units of 5, ICC .5", naive, 0.27, repetitions)
    simulation.at_most("clustered t, 8 units of 5, ICC .5", by_unit, 0.06, repetitions)


def families(simulation: Simulation) -> None:
    """Simulate 3 treatments with 4 hypotheses each, the treatments sharing their baseline."""
    repetitions, n = simulation.repetitions, 30
    rng = generator(simulation.seed, "families")
    claims = {(effects, correction): 0 for effects in (0, 2) for correction in CORRECTIONS}
    for _ in range(repetitions):
        baseline, treatments = rng.standard_normal((4, n)), rng.standard_normal((3, 4, n))
        for effects in (0, 2):
            treatments[0, :effects] += 2.0  # of the 12, so many are hypotheses that hold
            p = [paired_t(baseline[i], arm[i]).p_value for arm in treatments for i in range(4)]
            for correction in CORRECTIONS:
                false = adjust(p, correction)[effects:]
                claims[effects, correction] += min(false) <= ALPHAS[0]
    for correction, expected in CORRECTIONS.items():
        rate = claims[0, correction] / repetitions
        simulation.about(f"any false claim of 12, {correction}", rate, expected, repetitions)
    rate = claims[2, "holm"] / repetitions
    simulation.at_most("any false claim beside 2 true effects, holm", rate, 0.05, repetitions)
    rate = claims[2, "bh"] / repetitions
    simulation.about("any false claim beside 2 true effects, bh", rate, 0.101, repetitions)


CORRECTIONS: Final[dict[Correction, float]] = {"none": 0.404, "holm": 0.047, "bh": 0.049}


def markdown(simulation: Simulation) -> str:
    """Return the checks as a table."""
    lines = ["| design | rate ± Monte Carlo error | within |", "|---|---|---|"]
    for _, text in simulation.checks:
        design, _, rest = text.rpartition(": ")
        rate, _, bound = rest.partition(", ")
        lines.append(f"| {design} | {rate} | {bound} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=4_000)
    parser.add_argument("--quick", action="store_true", help="200 repetitions: shows that it runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--designs", action="store_true", help="only what verdicts do, not the tests alone")
    parser.add_argument("--only", metavar="TEST", help="only the rows of tests whose names hold this")
    parser.add_argument("--markdown", action="store_true", help="print the checks as a table of Markdown")
    options = parser.parse_args()
    simulation = Simulation(options.seed, 200 if options.quick else options.repetitions)
    start = time.perf_counter()
    tests = (table, worst_cases, contrasts, early_stopping, dependence, families)
    parts = (designs, claims) if options.designs else (*tests, designs, claims)
    for part in (partial(table, only=options.only),) if options.only else parts:
        part(simulation)
    if options.markdown:
        print(markdown(simulation))
        return int(not all(ok for ok, _ in simulation.checks))
    print(heading(f"Checks, allowing {ERRORS} standard errors"))
    for ok, text in simulation.checks:
        print(f"{'ok' if ok else 'NOT OK':<6} {text}")
    failed = sum(not ok for ok, _ in simulation.checks)
    print(f"\n{len(simulation.checks)} checks, {failed} failed; {time.perf_counter() - start:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
