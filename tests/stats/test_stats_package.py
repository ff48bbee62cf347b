"""The package of statistics as a whole: imports, examples, samples and results."""

import dataclasses
import doctest
import importlib
import math
import pkgutil
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import crystallize.stats
from crystallize import stats
from crystallize.errors import SampleError
from crystallize.stats import is_binary, paired_t, power

MODULES = [module.name for module in pkgutil.walk_packages(crystallize.stats.__path__, "crystallize.stats.")]


@pytest.mark.parametrize("module", ["crystallize.stats", "crystallize.claims.stat_test"])
def test_import_is_free_of_scipy_stats(module):
    """Importing the tests does not import scipy.stats, which takes a second."""
    code = f"import sys, {module}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_true(module):
    """What the docstrings show is what happens."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_every_public_name_is_there():
    """Each name in __all__ can be imported."""
    assert all(hasattr(crystallize.stats, name) for name in crystallize.stats.__all__)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1], True),
        ([True, False], True),
        (np.array([0.0, 1.0]), True),
        ([0], True),
        ([], False),
        ([0, 0.5], False),
        ([0, float("nan")], False),
        ([-1, 1], False),
        (["0", "1"], False),
        ([None, 1], False),
        ([1j], False),
    ],
)
def test_is_binary(values, expected):
    """Zeros and ones, at least one of them, and nothing else are binary."""
    assert is_binary(values) is expected


@pytest.mark.parametrize(
    "values",
    [(1, 2, 4), np.array([1, 2, 4], dtype=np.int8), [Fraction(1), Decimal(2), 4], np.float32([1, 2, 4])],
)
def test_samples_may_be_any_sequence_of_real_numbers(values):
    """Tuples, integer and float arrays, fractions and decimals are read as floats."""
    assert paired_t([0, 0, 0], values).estimate == pytest.approx(7 / 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "2", "3"], "baseline holds values of type <U1; allowed are real numbers"),
        ([1j, 2, 3], "baseline holds values of type complex128"),
        ([None, 2, 3], "baseline can't be read as an array of numbers"),
        ([[1], [2, 3], [4]], "baseline can't be read as an array of numbers"),
        ([10**400, 2, 3], "baseline can't be read as an array of numbers"),
        ([[1, 2, 3]], r"baseline has shape \(1, 3\); allowed is one dimension"),
        (5, r"baseline has shape \(\); allowed is one dimension"),
        (np.array(["2024-01-01"] * 3, dtype="datetime64[D]"), "baseline holds values of type datetime64"),
    ],
)
def test_what_is_no_sequence_of_real_numbers_is_refused(values, message):
    """The message names the test, the arm, what was given and what is allowed."""
    with pytest.raises(SampleError, match=f"paired t: {message}"):
        paired_t(values, [1, 2, 3])


def test_a_long_double_beyond_float_is_refused_without_a_warning():
    """A value that only a long double can hold is infinite here."""
    wide = np.array([1, 2, 3], dtype=np.longdouble) * np.longdouble(2) ** 1020 * 2**10
    if not np.isfinite(wide).all():
        pytest.skip("long double is float64 here")
    with pytest.raises(SampleError, match=r"baseline\[0\] is inf"):
        paired_t(wide, [1, 2, 3])


def test_samples_are_left_alone():
    """A test does not write to its arguments."""
    values = np.array([1e300, 2.0, 3.0])
    values.setflags(write=False)
    paired_t(values, values + 1)
    assert values.tolist() == [1e300, 2.0, 3.0]


def test_result_is_frozen():
    """A result can't be changed, nor can it grow attributes."""
    result = paired_t([1, 2, 3], [1, 2, 4])
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.p_value = 0.0
    assert not hasattr(result, "__dict__")


PAIR = [3.1, 4.0, 2.2, 5.1, 3.9, 4.4]
TESTS = [
    stats.paired_t,
    stats.welch_t,
    stats.wilcoxon,
    stats.mann_whitney,
    stats.brunner_munzel,
    stats.paired_permutation,
    stats.permutation,
    stats.yuen_t,
    stats.log_ratio,
    stats.win_rate,
    partial(stats.resampled_t, test_fraction=0.2),
    partial(stats.ratio_of_totals, denominators=(PAIR, PAIR)),
    partial(stats.adjusted_t, covariates=(PAIR, PAIR)),
]

NO_SAMPLE = {
    "allowed is a count from 0 to what it is of": [
        lambda: stats.tango_interval(6, 6, 10, 0.05),
        lambda: stats.miettinen_nurminen_interval(6, 5, 2, 5, 0.05),
        lambda: stats.miettinen_nurminen_interval(math.nan, 5, 2, 5, 0.05),
        lambda: stats.binomial_p_value(1.5, 5, 0.5),
        lambda: stats.boschloo_p_value(1.5, 5, 1, 5),
    ],
    "a count of (-1|1.5|nan); allowed are whole numbers from 0": [
        lambda: stats.mcnemar_p_value(1.5, 3),
        lambda: stats.smallest_mcnemar_p(-1),
        lambda: stats.tango_interval(-1, 3, 10, 0.05),
        lambda: stats.log_binary_e_value(-1, 3),
        lambda: stats.log_binary_e_value(math.nan, 3),
    ],
    "allowed are whole numbers from [012]": [
        lambda: stats.tango_interval(0, 0, 0, 0.05),
        lambda: stats.miettinen_nurminen_interval(0, 0, 2, 5, 0.05),
        lambda: stats.smallest_permutation_p(-1),
        lambda: stats.smallest_permutation_p(5, -1),
        lambda: stats.smallest_rank_p(math.nan),
        lambda: stats.smallest_rank_p(2.5),
        lambda: stats.smallest_rank_p("5"),
        lambda: stats.smallest_binary_p(math.inf, 5),
        lambda: stats.log_t_e_value(2.0, 1),
    ],
    "alpha is (nan|0|2); allowed is a number between 0 and 1": [
        lambda: stats.tango_interval(1, 2, 10, math.nan),
        lambda: stats.tango_interval(1, 2, 10, 2),
        lambda: stats.miettinen_nurminen_interval(1, 5, 2, 5, 0),
    ],
    "[03] sizes; allowed are one, the number of pairs, or two": [
        lambda: stats.smallest_permutation_p(),
        lambda: stats.smallest_rank_p(5, 5, 5),
    ],
    "alternative is 'smaller'; allowed are": [
        lambda: stats.smallest_permutation_p(5, alternative="smaller"),
        lambda: stats.smallest_rank_p(5, alternative="smaller"),
        lambda: stats.is_too_skewed([1, 2, 3], claimed="smaller"),
    ],
    "resamples is 0; allowed are 99 and more": [
        lambda: stats.smallest_permutation_p(50, resamples=0),
        lambda: stats.step_down_max_t([[1.0, 2.0]], resamples=0),
    ],
    "resamples is (inf|99.5); allowed are 99 and more, whole numbers": [
        lambda: stats.smallest_permutation_p(50, resamples=math.inf),
        lambda: stats.permutation(range(30), range(30), resamples=99.5),
    ],
    r"looks are \[1.5, 3\]; allowed are ascending whole numbers": [
        lambda: stats.anytime_mcnemar([0, 1, 1], [1, 1, 1], looks=[1.5, 3])
    ],
    "a boundary is (nan|-2); allowed are numbers from 0": [
        lambda: stats.nominal_p_values([math.nan]),
        lambda: stats.exit_probabilities([0.5, 1], [-2, 2]),
        lambda: stats.conditional_power(1.0, 0.5, math.nan),
    ],
    "drift is nan; allowed are finite": [lambda: stats.exit_probabilities([0.5, 1], [2, 2], drift=math.nan)],
    "share is 1.5; allowed is a number from 0 to 1": [lambda: stats.log_binary_e_value(3, 3, 1.5)],
    "t is nan and g 1.0; allowed": [lambda: stats.log_t_e_value(math.nan, 5)],
    "t is 2.0 and g 0; allowed": [lambda: stats.log_t_e_value(2.0, 5, 0)],
    "0 samples; allowed are one": [lambda: stats.is_too_skewed(claimed="greater")],
    "total is (1.5|nan); allowed are 1 and more": [
        lambda: stats.adjust([0.1], total=1.5),
        lambda: stats.holm([0.1], total=math.nan),
    ],
    "alpha is '0.05'; allowed is a number": [lambda: stats.tango_interval(1, 2, 10, "0.05")],
    "looks is 2 with 10.5 replicates; allowed": [lambda: stats.look_sizes(10.5, 2)],
    "1.5 successes of 5; allowed": [lambda: stats.clopper_pearson_interval(1.5, 5)],
    "2.5 of 5 samples passed": [lambda: stats.pass_at_k(5, 2.5, 2)],
    "1.5 of 5 at level 0.8": [lambda: power.upper_rate_limit(1.5, 5)],
    "alpha is ('x'|None|1j|1000+); allowed is a number between 0 and 1": [
        *(
            partial(test, PAIR, PAIR[::-1], alpha=alpha)
            for test in TESTS
            for alpha in ("x", None, 1j, 10**400)
        ),
        partial(stats.clustered_t, PAIR, PAIR[::-1], baseline_units=range(6), alpha="x"),
        partial(stats.crossed_t, PAIR, PAIR, replicates=[1, 1, 2, 2, 3, 3], units=[1, 2] * 3, alpha="x"),
        partial(stats.anytime_t, PAIR, PAIR, alpha="x"),
        partial(stats.anytime_mcnemar, [0, 1], [1, 1], alpha="x"),
        partial(stats.hedges_g, PAIR, PAIR, alpha="x"),
        partial(stats.d_z, PAIR, PAIR, alpha="x"),
        partial(stats.cliffs_delta, PAIR, PAIR, alpha="x"),
        partial(stats.probability_of_superiority, PAIR, PAIR, alpha="x"),
        partial(stats.relative_change, stats.paired_t, PAIR, PAIR, alpha="x"),
        partial(stats.equivalence, stats.paired_t, PAIR, PAIR, margin=1, alpha="x"),
    ],
    "shift is ('x'|'1'|None|nan|1j|-?1000+); allowed are (finite )?numbers": [
        *(
            partial(test, PAIR, PAIR[::-1], shift=shift)
            for test in TESTS
            for shift in ("x", "1", None, math.nan, 1j, 10**400, -(10**400))
        ),
        partial(stats.mcnemar, [0, 1], [1, 1], shift="x"),
        partial(stats.boschloo, [0, 1], [1, 1], shift=10**400),
    ],
    "margin is ('x'|None|nan|1000+|-1); allowed are positive finite": [
        partial(claim, stats.paired_t, PAIR, PAIR, margin=margin)
        for claim in (stats.equivalence, stats.non_inferiority, stats.beyond_margin)
        for margin in ("x", None, math.nan, 10**400, -1)
    ],
    "change is ('x'|None|inf|1000+); allowed are finite": [
        partial(stats.relative_superiority, stats.paired_t, PAIR, PAIR, change=change)
        for change in ("x", None, math.inf, 10**400)
    ],
    r"guard is (''|\[\]|'equal'); allowed are 'no_decrease'": [
        partial(stats.beyond_margin, stats.paired_t, PAIR, PAIR, margin=1, guard=guard)
        for guard in ("", [], "equal")
    ],
    "g is ('x'|None|0); allowed are positive": [
        partial(stats.anytime_t, PAIR, PAIR, g=g) for g in ("x", None, 0)
    ],
    "number is ('x'|None|1000+); allowed are finite": [
        partial(stats.one_sample_quantile_test, PAIR * 2, q=0.5, number=number)
        for number in ("x", None, 10**400)
    ],
    "compare is 'paired_t'; allowed are functions": [
        partial(stats.non_inferiority, "paired_t", PAIR, PAIR, margin=1),
        partial(stats.relative_superiority, "paired_t", PAIR, PAIR, change=0.1),
        partial(stats.relative_change, "paired_t", PAIR, PAIR),
        partial(stats.win_rate, PAIR, PAIR, compare="paired_t"),
        partial(stats.log_ratio, PAIR, PAIR, compare="paired_t"),
        partial(stats.ratio_of_totals, PAIR, PAIR, denominators=(PAIR, PAIR), compare="paired_t"),
        partial(stats.adjusted_t, PAIR, PAIR, covariates=(PAIR, PAIR), compare="paired_t"),
    ],
    "(denominators|covariates) is None; allowed is a sequence of two samples": [
        partial(stats.ratio_of_totals, PAIR, PAIR, denominators=None),
        partial(stats.ratio_scores, PAIR, PAIR, None),
        partial(stats.adjusted_t, PAIR, PAIR, covariates=None),
        partial(stats.variance_saved, PAIR, PAIR, covariates=None),
    ],
    "(denominators|covariates) has 6 parts; allowed are two samples": [
        partial(stats.ratio_of_totals, PAIR, PAIR, denominators=PAIR),
        partial(stats.adjusted_t, PAIR, PAIR, covariates=PAIR),
    ],
    "is (None|5); allowed is a sequence of (units|labels|numbers)": [
        partial(stats.clustered_t, PAIR, PAIR, baseline_units=None),
        partial(stats.crossed_t, PAIR, PAIR, replicates=5, units=range(6)),
        partial(stats.anytime_t, PAIR, PAIR, looks=5),
        partial(stats.nominal_p_values, None),
        partial(stats.exit_probabilities, [0.5, 1], 5),
        partial(stats.cohen_kappa, None, [1]),
    ],
    "the differences are no table of numbers": [
        partial(stats.step_down_max_t, differences) for differences in ("x", [[1.0, 2.0], [3.0]], [[10**400]])
    ],
    r"allowed are whole numbers from 0 to 2\^53": [
        partial(stats.mcnemar_p_value, 10**400, 1),
        partial(stats.log_binary_e_value, 1, 10**400),
        partial(stats.smallest_mcnemar_p, 10**400),
    ],
    "df is inf and level 0.8": [lambda: power.upper_sd_factor(math.inf)],
}


@pytest.mark.parametrize(
    ("message", "call"), [(message, call) for message, calls in NO_SAMPLE.items() for call in calls]
)
def test_what_no_sample_has_is_refused(message, call):
    """Each was a number that looked like an answer, or an error that says nothing of what was given."""
    with pytest.raises(SampleError, match=message):
        call()


@pytest.mark.parametrize(
    "smallest",
    [
        partial(stats.smallest_mcnemar_p, 0),
        partial(stats.smallest_binomial_p, 0, 0.5),
        partial(stats.smallest_permutation_p, 5, 0),
        partial(stats.smallest_rank_p, 0),
        *(
            partial(stats.smallest_binary_p, 0, 5, test=test)
            for test in (stats.boschloo_p_value, stats.fisher_p_value, stats.barnard_p_value)
        ),
    ],
)
def test_no_values_show_nothing(smallest):
    """Of none the smallest p-value is 1."""
    assert smallest() == 1.0


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, float, np.float32, Fraction, Decimal])
@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (stats.look_sizes, (100, 5)),
        (stats.smallest_permutation_p, (63,)),
        (stats.smallest_permutation_p, (20, 100)),
        (stats.smallest_rank_p, (100,)),
        (stats.smallest_rank_p, (3, 4)),
        (stats.smallest_mcnemar_p, (100,)),
        (stats.smallest_binary_p, (100, 120)),
        (partial(stats.smallest_binomial_p, rate=0.5), (100,)),
        (stats.mcnemar_p_value, (100, 100)),
        (stats.log_binary_e_value, (100, 27)),
        (partial(stats.log_t_e_value, 3.0), (127,)),
        (partial(stats.binomial_p_value, rate=0.5), (100, 120)),
        (stats.fisher_p_value, (40, 100, 60, 100)),
        (stats.boschloo_p_value, (40, 100, 60, 100)),
        (stats.barnard_p_value, (40, 100, 60, 100)),
        (partial(stats.tango_interval, alpha=0.05), (100, 20, 125)),
        (partial(stats.miettinen_nurminen_interval, alpha=0.05), (48, 80, 56, 70)),
        (stats.clopper_pearson_interval, (127, 127)),
        (stats.pass_at_k, (100, 60, 9)),
        (stats.pass_all_k, (100, 60, 9)),
        (lambda total: stats.holm([0.01, 0.02], total=total), (100,)),
        (lambda *looks: stats.anytime_mcnemar([0, 0, 1], [1, 1, 1], looks=looks), (1, 3)),
        (lambda *looks: stats.anytime_t([0, 0, 1, 2], [1, 2, 1, 5], looks=looks), (3, 4)),
        (lambda draws: stats.bootstrap_t(range(20), [3, 5] * 10, draws=draws), (100,)),
        (lambda draws: stats.permutation(range(20), [3, 5] * 10, resamples=draws), (100,)),
        (lambda draws: stats.paired_permutation(range(20), [3, 5] * 10, resamples=draws), (100,)),
        (lambda draws: stats.smallest_permutation_p(63, resamples=draws), (127,)),
        (lambda draws: stats.step_down_max_t([[3.0, 1.0], [2.0, -1.0]] * 9, resamples=draws), (100,)),
        (lambda *boundaries: stats.nominal_p_values(boundaries), (3, 2)),
        (lambda *boundaries: stats.exit_probabilities([0.5, 1.0], boundaries, drift=1), (3, 2)),
        (stats.conditional_power, (1, 1, 3)),
        (lambda drift: stats.conditional_power(1.0, 0.5, 2.0, drift=drift), (3,)),
        (partial(power.power, power.TwoSampleT(), effect=0.25), (127,)),
        (partial(power.minimum_detectable_effect, power.ResampledT()), (100,)),
        (power.upper_rate_limit, (100, 120)),
        (power.upper_sd_factor, (100,)),
    ],
)
def test_a_whole_number_may_be_of_any_type(function, numbers, kind):
    """What would overflow as a small integer, or index no table as a float, is what a plain int is."""
    if kind is np.int8 and max(numbers) > 127:
        pytest.skip("no int8")
    assert repr(function(*map(kind, numbers))) == repr(function(*numbers))


def test_a_boolean_counts_as_a_number():
    """As a mask it would choose a row of a table."""
    assert stats.smallest_binary_p(True, True) == stats.smallest_binary_p(1, 1) == 0.5
    assert stats.barnard_p_value(np.True_, 1, False, 1) == stats.barnard_p_value(1, 1, 0, 1)


def test_a_number_of_single_precision_is_computed_with_in_double_precision():
    """What it is, is exact; only what is made of it was rounded."""
    half = np.float32(0.5)
    assert stats.nominal_p_values([half]) == stats.nominal_p_values([0.5])
    assert repr(stats.pocock_spending(half, half)) == repr(stats.pocock_spending(0.5, 0.5))
    assert stats.binomial_p_value(3, 5, half) == stats.binomial_p_value(3, 5, 0.5)
    assert stats.planned_drift(half, Fraction(1, 2)) == stats.planned_drift(0.5, 0.5)
    assert stats.quantile_test([0] * 10, range(10), q=Decimal("0.5")).p_value == pytest.approx(
        stats.quantile_test([0] * 10, range(10), q=0.5).p_value, abs=0
    )
