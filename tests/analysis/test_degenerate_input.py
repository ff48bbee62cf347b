"""What no textbook formula takes, through `Experiment.run`: floors, gaps, single replicates, constants."""

import math

import numpy as np
import pytest
from recorded import arm, experiment

from crystallize import (
    AnytimeValid,
    BoschlooTest,
    GroupSequential,
    Hypothesis,
    MannWhitneyTest,
    McNemarTest,
    PairedTTest,
    PermutationTest,
    WelchTTest,
    WilcoxonTest,
    evaluate,
)

RISING = [0.3, 1.7, 0.2, 2.9, 1.1, 0.6, 2.2, 1.9]


def verdict(baseline, treatment, direction="increase", *, plan=None, **options):
    """Run an experiment that records these values, and return the verdict on its only claim."""
    hypothesis = Hypothesis(metric="x", direction=direction, name="claim", **options)
    made = experiment(baseline, [hypothesis], t=treatment)(**(plan or {}))
    return made.run().get_hypothesis("claim").verdicts["t"]


def plus(values, change):
    return [value + change for value in values]


@pytest.mark.parametrize("change", [1.0, 0.1, 1e-6, 1e9])  # of .1 and 1e9 the differences have float noise
@pytest.mark.parametrize("n", [3, 5, 6, 8])
def test_equal_differences_are_worth_their_signs(n, change):
    """P is the exact floor 2^(1-n), or 2^-n one-sided, and the verdict flagged.

    The interval is a point, but reaches to 0 where p does not exclude it.
    """
    two = verdict(RISING[:n], plus(RISING[:n], change))
    one = verdict(RISING[:n], plus(RISING[:n], change), alternative="one-sided")
    assert (two.p_value, one.p_value) == (2.0 ** (1 - n), 2.0**-n)
    for found in (two, one):
        assert found.degenerate
        assert found.passed is (found.p_value <= 0.05)
        assert found.interval == pytest.approx((change if found.passed else 0.0, change))
        assert found.detectable is None


@pytest.mark.parametrize("n", [3, 4, 5])
def test_two_constant_arms_without_pairs_have_the_floor_of_arrangements(n):
    """2 / C(2n, n), or half of it one-sided."""
    options = {"statistical_test": WelchTTest()}
    two = verdict([1.0] * n, [2.0] * n, **options)
    one = verdict([1.0] * n, [2.0] * n, alternative="one-sided", **options)
    assert two.p_value == pytest.approx(2 / math.comb(2 * n, n))
    assert one.p_value == pytest.approx(1 / math.comb(2 * n, n))
    assert two.degenerate
    assert two.interval == (1.0 if two.passed else 0.0, 1.0)


@pytest.mark.parametrize("test", ["auto", WelchTTest(), PermutationTest(), WilcoxonTest(), MannWhitneyTest()])
@pytest.mark.parametrize("direction", ["increase", "decrease", "differ"])
def test_no_difference_at_all_is_no_evidence(test, direction):
    """Superiority has p = 1; nothing is raised, warned of, or nan."""
    for values in ([0.5] * 8, [0.0] * 8):
        found = verdict(values, values, direction, statistical_test=test)
        assert (found.status, found.p_value, found.degenerate) == ("inconclusive", 1.0, True)
        assert found.difference == 0


@pytest.mark.parametrize("n", [4, 5, 8])
@pytest.mark.parametrize("direction", ["no_decrease", "no_increase", "equal"])
def test_no_difference_is_inside_every_margin(n, direction):
    """The floor 2^-n applies to the distance from the margin."""
    found = verdict(RISING[:n], RISING[:n], direction, margin=0.1)
    assert found.p_value == 2.0**-n
    assert found.degenerate
    assert found.status == ("supported" if 2.0**-n <= 0.05 else "inconclusive")


@pytest.mark.parametrize(
    ("change", "status"), [(-0.05, "supported"), (-0.1, "inconclusive"), (-0.2, "refuted")]
)
def test_equal_differences_are_held_against_the_margin(change, status):
    """Inside supports, beyond refutes, at the margin neither."""
    found = verdict(RISING, plus(RISING, change), "no_decrease", margin=0.1)
    assert found.status == status
    assert found.degenerate
    if status == "inconclusive":
        assert found.p_value == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, ValueError("broke")], ids=str)
@pytest.mark.parametrize("side", ["baseline", "treatment"])
def test_one_gap(value, side):
    """Invalid by default, and p is not computed of the rest; omitted if allowed; the worst for a guard."""
    baseline, treatment = list(RISING), [v + 0.5 + 0.01 * i for i, v in enumerate(RISING)]
    (baseline if side == "baseline" else treatment)[1] = value
    found = verdict(baseline, treatment)
    assert (found.status, found.p_value) == ("invalid", None)
    assert "replicate 1 " in found.reason
    found = verdict(baseline, treatment, nan_policy="omit", max_missing=1)
    assert (found.status, found.n, found.omitted) == ("supported", 7, 1)
    found = verdict(baseline, treatment, "no_decrease", margin=0.02, nan_policy="worst", worst=0.0)
    assert (found.omitted, found.n) == (1, 8)
    assert not found.passed
    for plan in ({"stopping": GroupSequential()}, {"stopping": AnytimeValid()}):
        assert verdict(baseline, treatment, plan=plan).status == "invalid"


@pytest.mark.parametrize(
    "direction", ["increase", "decrease", "differ", "equal", "no_decrease", "no_increase"]
)
@pytest.mark.parametrize("plan", [{}, {"stopping": GroupSequential()}], ids=str)
def test_one_replicate(direction, plan):
    """N is too small, and the reason says how many it takes; a deterministic claim needs no more."""
    options = {"margin": 0.5} if direction in ("equal", "no_decrease", "no_increase") else {}
    found = verdict([1.5], [2.5], direction, plan=plan, **options)
    assert (found.status, found.p_value) == ("invalid", None)
    assert "at least 3 replicates, not 1" in found.reason
    exact = verdict([1.5], [2.5], direction, plan=plan, deterministic=True, **options)
    assert exact.status == ("supported" if direction in ("increase", "differ", "no_decrease") else "refuted")
    assert (exact.p_value, exact.n, exact.alpha) == (None, 1, None)


@pytest.mark.parametrize(
    ("direction", "options", "pairs"),
    [
        ("increase", {}, {(1, 2): True, (2, 1): False, (1, 1): False, (0.3, 0.1 + 0.2): False}),
        ("decrease", {}, {(2, 1): True, (1, 1): False, (-1, -1.5): True}),
        ("differ", {}, {(1, 1.5): True, (0, 0): False, (0.3, 0.1 + 0.2): False}),
        ("equal", {"margin": 0}, {(1, 1): True, (1, 1.0001): False, (0.3, 0.1 + 0.2): True}),
        ("equal", {"margin": 0.1}, {(1, 1.1): True, (1, 0.9): True, (1, 1.101): False, (0, 0.1): True}),
        ("no_decrease", {"margin": 0.5}, {(1, 0.5): True, (1, 9): True, (1, 0.49): False}),
        ("no_increase", {"margin": 0.5}, {(1, 1.5): True, (1, -9): True, (1, 1.51): False}),
        ("no_decrease", {"margin": 0.1, "relative": True}, {(-10, -11): True, (-10, -11.1): False}),
        ("no_increase", {"margin": 0.1, "relative": True}, {(10, 11): True, (10, 11.1): False}),
    ],
)
def test_deterministic_values_are_compared(direction, options, pairs):
    """Directly with the margin, up to rounding, without a p-value."""
    for (before, after), holds in pairs.items():
        found = verdict([before] * 2, [after] * 2, direction, deterministic=True, **options)
        assert found.status == ("supported" if holds else "refuted"), (before, after)
        assert found.p_value is None
        assert found.test == "deterministic"


def test_a_declaration_that_is_wrong_is_invalid():
    """Values that differ between replicates are not deterministic; a margin of nothing is none."""
    found = verdict([1.0, 1.0, 1.1], [2.0] * 3, deterministic=True)
    assert found.status == "invalid"
    assert "declared deterministic, but metric 'x' of 'baseline' is 1.0 in replicate 0" in found.reason
    found = verdict([0.0], [1.0], "equal", margin=0.1, relative=True, deterministic=True)
    assert found.status == "invalid"
    assert "use a margin in the units of the metric" in found.reason


@pytest.mark.parametrize("test", [WelchTTest(), PairedTTest(), PermutationTest(paired=False)], ids=str)
def test_one_constant_arm_is_fine(test):
    """No floor, no flag: the other arm varies."""
    found = verdict([1.0] * 8, plus(RISING, 2.0), statistical_test=test)
    assert (found.status, found.degenerate) == ("supported", False)
    assert found.interval[0] < found.difference < found.interval[1]


def test_binary_values_that_never_differ():
    """No discordant pair: p = 1; and no doubt within a margin if there are enough."""
    found = verdict([1] * 8, [1] * 8, statistical_test=McNemarTest())
    assert (found.status, found.p_value) == ("inconclusive", 1.0)
    unpaired = verdict([1] * 8, [1] * 8, statistical_test=BoschlooTest())
    assert (unpaired.status, unpaired.p_value) == ("inconclusive", 1.0)
    assert verdict([1] * 40, [1] * 40, "equal", margin=0.1).passed


@pytest.mark.parametrize(
    ("n", "status"), [(2, "invalid"), (3, "inconclusive"), (5, "inconclusive"), (6, "refuted")]
)
def test_equal_differences_of_the_wrong_sign_refute_by_their_number(n, status):
    """Five equal signs are no evidence at .05, whatever the point that the interval is."""
    assert verdict(RISING[:n], plus(RISING[:n], -1.0)).status == status


def test_looks_apply_the_same_floors():
    """An early look can't be passed by floors that are above its level."""
    n = 30
    baseline = [math.sin(i) for i in range(n)]
    found = verdict(baseline, plus(baseline, 1.0), plan={"stopping": GroupSequential()})
    sizes, levels = GroupSequential().sizes(n), GroupSequential().boundaries(n, 0.05, "two-sided").levels
    first = next(k for k, level in zip(sizes, levels, strict=True) if 2.0 ** (1 - k) <= level)
    assert (found.status, found.n, found.p_value) == ("supported", first, 2.0 ** (1 - first))
    anytime = verdict(baseline, plus(baseline, -1.0), plan={"stopping": AnytimeValid(every=3)})
    assert (anytime.status, anytime.n) == ("refuted", 9)


def test_partial_overlap_of_seeds():
    """An error, unless it is said what to make of it."""
    treatment = arm("t", plus(RISING, 1.5)[:6])
    baseline = arm("baseline", RISING)
    for pairing, status, test in (
        ("auto", "invalid", ""),
        ("intersect", "supported", "paired t"),
        ("none", "inconclusive", "Welch t"),
    ):
        hypothesis = Hypothesis(metric="x", direction="increase", pairing=pairing, alpha=0.04)
        found = evaluate(hypothesis, baseline, treatment)
        assert (found.test, found.status if pairing != "none" else status) == (test, status)


def test_no_numerical_warning_reaches_the_user(recwarn):
    """Neither of the tests nor of a verifier that divides by zero."""
    import numpy as np
    from scipy.stats import ttest_rel

    def naive(baseline, treatment):
        p_value = ttest_rel(treatment["x"], baseline["x"]).pvalue
        return {
            "p_value": p_value,
            "significant": bool(p_value < 0.05),
            "ratio": np.float64(1.0) / np.float64(0.0),
        }

    hypotheses = [Hypothesis(naive, "x", name="naive"), Hypothesis(metric="x", direction="increase")]
    result = experiment(RISING, hypotheses, t=RISING, u=plus(RISING, 1.0))().run()
    found = result.get_hypothesis("naive").verdicts
    assert found["t"].status == "invalid"  # nan is no p-value
    assert "which is no probability" in found["t"].reason
    assert found["u"].degenerate
    assert not recwarn.list


@pytest.mark.parametrize("factor", [1.0, 0.99], ids=["identical", "one ratio"])
@pytest.mark.parametrize("direction", ["no_decrease", "equal"])
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_pairs_of_one_ratio_show_no_more_than_their_number(direction, factor, dtype):
    """However much the baseline varies: a relative margin is no way around what equal pairs are worth."""
    before = np.array([100, 101, 99, 102.5], dtype=dtype)
    after = (before * dtype(factor)).tolist()
    options = {"margin": 0.05, "relative": True}
    found = verdict(before.tolist(), after, direction, **options)
    assert (found.status, found.p_value, found.degenerate) == ("inconclusive", 2.0**-4, True)
    assert f"4 equal changes of {'0' if factor == 1 else '-1'} % give p = 0.0625" in found.reason
    assert "4 replicates are alike" in found.caveat
    harm = verdict(before.tolist(), (before * dtype(0.9)).tolist(), direction, **options)
    assert harm.status == "inconclusive"


def test_ratios_that_nearly_agree_are_judged_nearly_alike():
    """Nothing jumps where equal ratios end."""
    before = [100.0, 101.25, 99.5, 102.5]
    for wobble in (0.0, 1e-12, 1e-11, 1e-10):
        after = [value * (1 + wobble * (-1) ** i) for i, value in enumerate(before)]
        p_values = verdict(before, after, "no_decrease", margin=0.05, relative=True).p_value
        assert p_values == pytest.approx(2.0**-4 if wobble < 1e-11 else 0.0, abs=2.0**-4)
        assert p_values > 1e-10


def test_a_bounded_loss_is_bounded_at_every_look():
    """Ten replicates without a loss do not exclude one in twenty of all that there is to lose."""
    plan = {"stopping": AnytimeValid()}
    same = [0.97] * 30
    options = {"margin": 0.05, "plan": plan}
    assert verdict(same, same, "no_decrease", **options).status == "supported"
    found = verdict(same, same, "no_decrease", worst=0.0, **options)
    assert (found.status, found.p_value) == ("inconclusive", pytest.approx((1 - 0.05 / 0.97) ** 30))


@pytest.mark.parametrize("options", [{}, {"statistical_test": WelchTTest()}, {"at_least": 1.0}])
def test_differences_beyond_floats_are_decided(options):
    """Both values of each pair are floats, what lies between them is none."""
    low = [-1.7e308 + i * 1e300 for i in range(12)]
    assert verdict(low, [-value for value in low], **options).status == "supported"
    assert verdict([-value for value in low], low, **options).status == "refuted"


class Nameless(PairedTTest):
    """A test of a user's, whose name can't be told."""

    @property
    def name(self):
        raise RuntimeError("no name")


@pytest.mark.parametrize(("test", "named"), [(WilcoxonTest(), "Wilcoxon"), (Nameless(), ""), ("auto", "")])
def test_what_no_test_came_to_see_names_the_test_of_the_claim(test, named):
    """Where a value is missing; a name that is none changes nothing."""
    found = verdict(RISING, [*RISING[:-1], math.nan], statistical_test=test)
    assert (found.status, found.test) == ("invalid", named)
