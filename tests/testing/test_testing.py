"""What `check_verifier` says of sound verifiers, and of faulty ones."""

import doctest
import itertools
import math
import random
import statistics
import sys
import warnings

import numpy as np
import pytest
from scipy import stats

from crystallize import (
    Hypothesis,
    McNemarTest,
    QuantileTest,
    StatisticalTest,
    WelchTTest,
    YuenTest,
    hypothesis,
    verifier,
)
from crystallize.errors import CrystallizeError, DefinitionError, MissingExtraError, VerifierCheckError
from crystallize.stats import paired_t
from crystallize.testing import check_verifier

ORDINARY = "ordinary samples are decided"
REPEATED = "the same samples get the same answer"
UNCHANGED = "the samples are left as they were"
ORDER = "the order of replicates does not matter"
SIGNIFICANCE = "significance follows the p-value"
SWAPPED = "swapped arms are coherent"
NOT_FINITE = "nan and infinity are no evidence"
EMPTY = "no replicates are no evidence"
SINGLE = "one replicate is no evidence"
IDENTICAL = "identical arms are decided, and not significant"
CONSTANT = "constant arms are decided"
SHIFTED = "constant differences are decided"
TIED = "tied values are decided"
EXTREME = "extreme values get a p-value or an error"
TYPES = "numbers of every type get the same answer"


def answer(p_value, alpha=0.05):
    return {"p_value": p_value, "significant": p_value < alpha}


def finite(*samples):
    """Return samples as arrays of floats, or raise."""
    arrays = [np.asarray(sample, dtype=float) for sample in samples]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a value is nan or infinite")
    if min(map(len, arrays)) < 2:
        raise ValueError("a test needs two replicates or more")
    return arrays


@verifier
def welch(baseline, treatment, alpha=0.05):
    """Welch's t-test; p is 1 where scipy finds no variance to divide by, and no difference."""
    first, second = finite(baseline["x"], treatment["x"])
    p_value = float(stats.ttest_ind(second, first, equal_var=False).pvalue)
    return answer(1.0 if math.isnan(p_value) else p_value, alpha)


def distance(baseline, treatment):
    """Give a number that falls with the distance of the arms: no test, but sound in all that is checked."""
    first, second = (array.tolist() for array in finite(baseline["x"], treatment["x"]))
    scale = max(map(abs, first + second)) or 1.0
    far = abs(math.fsum(x / scale for x in second) - math.fsum(x / scale for x in first))
    return answer(0.1**far)


def sign_test(baseline, treatment):
    """One-sided sign test of an increase."""
    first, second = finite(baseline["x"], treatment["x"])
    wins, losses = int((second > first).sum()), int((second < first).sum())
    return answer(math.fsum(math.comb(wins + losses, k) for k in range(losses + 1)) / 2 ** (wins + losses))


def sign_flips(baseline, treatment):
    """Two-sided test by every assignment of signs to the differences, which passes on an increase only."""
    first, second = finite(baseline["x"], treatment["x"])
    differences = second / 2 - first / 2
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    sums = np.abs(signs @ differences)
    p_value = float(np.mean(sums >= abs(differences.sum()) * (1 - 1e-12)))
    return {**answer(p_value), "accepted": p_value < 0.05 and bool(differences.sum() > 0)}


def random_flips(baseline, treatment):
    """As `sign_flips`, by random signs from the global generator."""
    first, second = finite(baseline["x"], treatment["x"])
    differences = second / 2 - first / 2
    signs = np.random.choice((-1, 1), (199, len(differences)))  # noqa: NPY002 - seeded by the library
    sums = np.abs(signs @ differences)
    return answer(float((1 + np.sum(sums >= abs(differences.sum()) * (1 - 1e-12))) / 200))


def failed(checked, examples=8, **options):
    """Return what is said of each check that fails."""
    with pytest.raises(VerifierCheckError) as raised:
        check_verifier(checked, metrics="x", examples=examples, **options)
    assert all(text in str(raised.value) for text in raised.value.failures.values())
    return raised.value.failures


def samples(text):
    """Return the samples that a failure shows, by running its lines of Python."""
    found = []
    for line in text.splitlines():
        if line.startswith("     "):
            scope = {"np": np}
            exec(line.strip(), scope)
            found += [scope[arm]["x"] for arm in ("baseline", "treatment") if arm in scope]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sound", "options"),
    [
        (welch, {"paired": False, "examples": 40}),
        (welch(alpha=0.001), {"paired": False}),
        (sign_test, {"alternative": "one-sided"}),
        (sign_flips, {}),
        (random_flips, {"tolerance": 0.2}),
        (Hypothesis(distance), {}),
        (Hypothesis(distance, "x"), {"metrics": None}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_sound_verifier_passes(sound, options):
    """Welch's test, a sign test, permutation tests, and hypotheses made of one."""
    check_verifier(sound, **{"metrics": "x", "examples": 8, **options})


CLAIMS = [
    ("increase", "two-sided", "auto"),
    ("decrease", "two-sided", WelchTTest()),
    ("differ", "two-sided", "auto"),
    ("increase", "one-sided", WelchTTest()),
    ("decrease", "one-sided", "auto"),
    ("increase", "two-sided", McNemarTest()),
    ("decrease", "one-sided", McNemarTest(exact=True)),
    ("differ", "two-sided", McNemarTest()),
    ("increase", "two-sided", YuenTest()),
    ("decrease", "one-sided", QuantileTest(0.5)),
]


@pytest.mark.parametrize(("direction", "alternative", "test"), CLAIMS, ids=str)
def test_a_claim_passes(direction, alternative, test):
    """In every direction; it knows its own pairing, alternative and fewest replicates."""
    check_verifier(
        Hypothesis(metric="x", direction=direction, alternative=alternative, statistical_test=test),
        examples=6,
    )


def omits_nan(baseline, treatment):
    """Drop what is not finite."""
    pairs = [(b, t) for b, t in zip(baseline["x"], treatment["x"], strict=True) if math.isfinite(b + t)]
    return distance(*({"x": list(arm)} for arm in zip(*pairs, strict=True)))


def not_above(baseline, treatment):
    """Take a p-value of nan, which is not above anything, for a small one."""
    first, second = (np.asarray(arm["x"], dtype=float) for arm in (baseline, treatment))
    p_value = np.exp(-np.abs(np.mean(second) - np.mean(first)) / np.std(second - first))
    return {"p_value": p_value, "significant": not p_value >= 0.05}


def paired(baseline, treatment):
    """Use scipy's paired t-test as most would."""
    return answer(stats.ttest_rel(treatment["x"], baseline["x"]).pvalue)


def doubled(baseline, treatment):
    """Double a one-sided p-value, beyond 1."""
    up, down = (sign_test(*arms)["p_value"] for arms in ((baseline, treatment), (treatment, baseline)))
    return answer(2 * min(up, down))


def last_three(baseline, treatment):
    """Look at some of the replicates only."""
    return distance({"x": baseline["x"][-3:]}, {"x": treatment["x"][-3:]})


def sorts(baseline, treatment):
    """Sort what was given, in place."""
    baseline["x"].sort()
    return distance(baseline, treatment)


def drops(baseline, treatment):
    """Take the metric out of the samples."""
    return distance({"x": baseline.pop("x")}, treatment)


def unseeded(baseline, treatment):
    """Draw from a generator that nobody can seed."""
    finite(baseline["x"], treatment["x"])
    return answer(np.random.default_rng().uniform(0.0001, 1.0))


CALLS = itertools.count()


def counting(baseline, treatment):
    """Know how often it was called."""
    finite(baseline["x"], treatment["x"])
    return {**answer(0.5), "accepted": next(CALLS) % 2 == 1}


def no_ties(baseline, treatment):
    """Refuse ties, as some rank tests do."""
    if len({*baseline["x"], *treatment["x"]}) < 2 * len(baseline["x"]):
        raise ValueError("the ranks are not unique")
    return distance(baseline, treatment)


def divides(baseline, treatment):
    """Divide by a standard deviation that may be 0."""
    first, second = (array.tolist() for array in finite(baseline["x"], treatment["x"]))
    spread = statistics.stdev([t - b for b, t in zip(first, second, strict=True)])
    shift = math.fsum(t / len(first) - b / len(first) for b, t in zip(first, second, strict=True))
    return answer(math.erfc(abs(shift / spread) * math.sqrt(len(first) / 2)))


def all_larger(baseline, treatment):
    """Accept if all values are larger, which holds of none at all."""
    first, second = baseline["x"], treatment["x"]
    wins = all(t > b for b, t in zip(first, second, strict=True)) and all(map(math.isfinite, first + second))
    return {"p_value": 0.5 ** len(first) if wins else 1.0, "significant": wins}


def separated(baseline, treatment):
    """Accept a single value that is larger."""
    first, second = baseline["x"], treatment["x"]
    wins = bool(first) and all(map(math.isfinite, first + second)) and min(second) > max(first)
    return {"p_value": 0.01 if wins else 0.5, "significant": wins}


def squares(baseline, treatment):
    """Square integers, until they overflow."""
    finite(baseline["x"], treatment["x"])
    differences = np.array(treatment["x"]) * 1 - np.array(baseline["x"]) * 1
    total = np.sum(differences**2)
    return answer(1.0 if total <= 0 or not np.isfinite(total) else 0.05 + 0.95 / (1 + total))


def upside_down(baseline, treatment):
    """Call significant what is not."""
    result = distance(baseline, treatment)
    return {**result, "significant": 0.01 < result["p_value"] < 1}


@verifier
def strict(baseline, treatment, alpha=0.001):
    """Say alpha = 0.001, and use 0.05."""
    return distance(baseline, treatment)


def by_size(baseline, treatment):
    """Call nothing significant if the number of replicates is odd, whatever p."""
    result = distance(baseline, treatment)
    return {**result, "significant": result["significant"] and len(baseline["x"]) % 2 == 0}


def absolute(baseline, treatment):
    """Claim an increase wherever the arms differ."""
    result = distance(baseline, treatment)
    return {**result, "accepted": result["significant"]}


ONE_SIDED = {"alternative": "one-sided"}
NO_PAIRS = {"paired": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faulty", "options", "expected"),
    [
        (omits_nan, {}, {NOT_FINITE: 8}),
        (not_above, {}, {NOT_FINITE: 3, EMPTY: 0, SINGLE: 1, IDENTICAL: 3, EXTREME: 3}),
        (paired, {}, {IDENTICAL: 3, EXTREME: 3, TYPES: 3}),
        (last_three, {"examples": 25}, {ORDER: 4, NOT_FINITE: 6}),
        (sorts, {}, {UNCHANGED: 3}),
        (drops, {}, {UNCHANGED: 3}),
        (counting, {}, {REPEATED: 3, IDENTICAL: 10}),
        (sign_test, {}, {SWAPPED: 3}),
        (absolute, ONE_SIDED, {SWAPPED: 6}),
        (no_ties, {}, {IDENTICAL: 3, CONSTANT: 3, SHIFTED: 3, TIED: 3}),
        (divides, {}, {IDENTICAL: 3, CONSTANT: 3, SHIFTED: 3}),
        (all_larger, ONE_SIDED, {EMPTY: 0, SINGLE: 1}),
        (separated, ONE_SIDED, {SINGLE: 1}),
        (squares, {"examples": 25}, {TYPES: 3}),
        (upside_down, {"examples": 25}, {SIGNIFICANCE: 5}),
        (strict, {}, {SIGNIFICANCE: 5}),
        (by_size, {"examples": 40}, {SIGNIFICANCE: 5}),
        (sign_flips, NO_PAIRS, {ORDER: 3}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_fault_is_found_and_shown_with_small_samples(faulty, options, expected):
    """By its checks and by no others; the samples can be pasted, and have few replicates."""
    failures = failed(faulty, **options)
    assert set(failures) == set(expected)
    for name, largest in expected.items():
        shown = samples(failures[name])
        assert shown
        assert max(map(len, shown)) <= largest, failures[name]


def test_what_is_shown_fails_again():
    """Pasted into a call, the samples get the answers that were reported."""
    before, after, *as_bools = samples(failed(paired)[TYPES])
    assert [before, after] == as_bools
    assert 0 <= paired({"x": before}, {"x": after})["p_value"] <= 1
    with pytest.raises(TypeError, match="numpy boolean subtract"):
        paired(*({"x": as_bool} for as_bool in as_bools))


def test_a_p_value_above_1_is_found():
    """As it comes from doubling a one-sided one; an answer of this kind everywhere is reported once."""
    assert {TIED, IDENTICAL} <= set(failed(doubled))
    (text,) = failed(lambda baseline, treatment: answer(1.2)).values()
    assert "got       p_value = 1.2, significant = False" in text


def test_random_numbers_must_be_seeded():
    """Two answers to one sample are shown; what compares answers is not checked any further."""
    failures = failed(unseeded)
    first, second, *again = samples(failures[REPEATED])
    assert [first, second] == again
    assert failures[REPEATED].count("got       p_value = ") == 2
    assert not set(failures) & {ORDER, SWAPPED, TYPES}


REPORT = """\
verifier 'divides' fails 3 of 15 checks

1. identical arms are decided, and not significant
     baseline = {'x': [0.0, 0.0, 0.0]}
     treatment = {'x': [0.0, 0.0, 0.0]}
   got       the verifier raised ZeroDivisionError: float division by zero; it is 'divides', metrics given: 'x'
   expected  a p_value from 0 to 1, and neither significant nor accepted
   because   they show no difference; a claim that needs none is checked with alternative='margin'

2. constant arms are decided
     baseline = {'x': [0.0, 0.0, 0.0]}
     treatment = {'x': [1.0, 1.0, 1.0]}
   got       the verifier raised ZeroDivisionError: float division by zero; it is 'divides', metrics given: 'x'
   expected  a p_value from 0 to 1, and True or False for significant (or accepted)
   because   without randomness, or with a metric of few values, such samples are common

3. constant differences are decided
     baseline = {'x': [0.0, 1.0, 0.0]}
     treatment = {'x': [1.0, 2.0, 1.0]}
   got       the verifier raised ZeroDivisionError: float division by zero; it is 'divides', metrics given: 'x'
   expected  a p_value from 0 to 1, and True or False for significant (or accepted)
   because   without randomness, or with a metric of few values, such samples are common"""  # noqa: E501


def test_everything_is_reported_in_one_error():
    """Numbered, each with what was given, answered and expected, and why."""
    with pytest.raises(AssertionError) as raised:
        check_verifier(divides, metrics="x", examples=8)
    assert isinstance(raised.value, CrystallizeError)
    assert str(raised.value) == REPORT
    assert list(raised.value.failures) == [IDENTICAL, CONSTANT, SHIFTED]


def test_the_same_faults_are_found_every_time():
    """The samples are random, but the same in every call, and leave the global generators alone."""
    state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert failed(divides, examples=5) == failed(divides, examples=5)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state  # noqa: NPY002


def test_a_verifier_that_never_answers_is_reported_once():
    """A metric by another name is one fault, not fifteen."""
    with pytest.raises(VerifierCheckError, match="fails 1 of 1 checks") as raised:
        check_verifier(welch, examples=8)
    assert "raised KeyError: 'x'; it is " in raised.value.failures[ORDINARY]


def test_where_the_verifier_may_decline():
    """It has to answer from the fewest replicates on."""

    def careful(baseline, treatment):
        if len(baseline["x"]) < 6:
            raise ValueError("too few")
        return distance(baseline, treatment)

    check_verifier(careful, metrics="x", minimum_n=6, examples=10)
    text = failed(careful)[ORDINARY]
    assert "raised ValueError: too few" in text
    assert set(map(len, samples(text))) == {3}


@pytest.mark.slow
def test_claims_about_a_margin_hold_of_identical_arms():
    """And of swapped ones, so neither is checked; that they are decided is."""

    def no_worse(baseline, treatment):
        first, second = finite(baseline["x"], treatment["x"])
        worst = min(second / 2 - first / 2)
        return {"p_value": 0.01 if worst > -50 else 0.5, "significant": bool(worst > -50)}

    check_verifier(no_worse, metrics="x", alternative="margin", examples=8)
    assert {IDENTICAL, SWAPPED} <= set(failed(no_worse, examples=20))
    assert "identical arms are decided" in failed(divides, alternative="margin")


def test_a_verdict_may_rest_on_more_than_p():
    """On the sign of the difference, or on whatever `accepted` stands for."""

    def with_sign(baseline, treatment):
        higher = math.fsum(treatment["x"]) > math.fsum(baseline["x"])
        result = distance(baseline, treatment)
        return {**result, "significant": result["significant"] and higher}

    def relevant(baseline, treatment):
        result = distance(baseline, treatment)
        return {**result, "accepted": result["significant"] and max(treatment["x"]) > 1000}

    check_verifier(with_sign, metrics="x", examples=8)
    check_verifier(relevant, metrics="x", examples=8)


def test_binary_values_only():
    """A verifier of successes is given nothing but 0 and 1, in every type."""

    def successes(baseline, treatment):
        assert {*baseline["x"], *treatment["x"]} <= {0, 1}, "no success and no failure"
        return sign_flips(baseline, treatment)

    check_verifier(successes, metrics="x", binary=True, examples=10)
    assert ORDINARY in failed(successes)

    assert set(failed(sign_test, binary=True)) == {SWAPPED}


def test_several_metrics():
    """Each is sampled by itself, and a fault in one is found."""

    def intersection(baseline, treatment):
        p_values = [distance({"x": baseline[m]}, {"x": treatment[m]})["p_value"] for m in ("cost", "gain")]
        return answer(max(p_values))

    check_verifier(intersection, metrics=["cost", "gain"], examples=5)

    def second_ignored(baseline, treatment):
        return distance({"x": baseline["cost"]}, {"x": treatment["cost"]})

    with pytest.raises(VerifierCheckError) as raised:
        check_verifier(second_ignored, metrics=["cost", "gain"], examples=10)
    assert set(raised.value.failures) == {NOT_FINITE}
    assert "'gain': [float('nan')" in raised.value.failures[NOT_FINITE]


class Hasty(StatisticalTest):
    """Paired t-test that leaves out what is nan, and knows nothing of too few replicates."""

    name = "hasty"
    paired = True

    def compare(self, baseline, treatment, **options):
        known = [
            i for i, pair in enumerate(zip(baseline, treatment, strict=True)) if not math.isnan(sum(pair))
        ]
        return paired_t([baseline[i] for i in known], [treatment[i] for i in known], **options)


def test_faults_of_a_test_within_a_claim_are_found():
    """Under the claim's name."""
    claim = Hypothesis(metric="x", direction="increase", statistical_test=Hasty())
    with pytest.raises(VerifierCheckError, match=r"claim 'x_increase' fails \d of 15 checks") as raised:
        check_verifier(claim, examples=25, minimum_n=3)
    assert set(raised.value.failures) == {NOT_FINITE}


def test_a_ranked_hypothesis_is_checked_by_its_verifier():
    """What `@hypothesis` makes is as good as the verifier."""

    @hypothesis(verifier=paired, metrics="x")
    def order_by_p(result):
        return result["p_value"]

    with pytest.raises(VerifierCheckError, match="verifier 'order_by_p' fails 3 of 15 checks"):
        check_verifier(order_by_p, examples=8)


@pytest.mark.slow
def test_no_warning_gets_out():
    """Neither numpy's nor scipy's, nor what the verifier says thousands of times."""

    def talkative(baseline, treatment):
        warnings.warn("small sample", UserWarning, stacklevel=1)
        return distance(baseline, treatment)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_verifier(talkative, metrics="x", examples=3)
        failed(paired, examples=3)
    assert caught == []


@pytest.mark.parametrize(
    ("checked", "options", "message"),
    [
        (3, {}, "verifier is 3; give a function"),
        (welch, {"metrics": []}, r"metrics=\[\]; give the name"),
        (
            welch,
            {"alternative": "greater"},
            "alternative='greater'; allowed are 'two-sided', 'one-sided', 'margin'",
        ),
        (welch, {"minimum_n": 0}, "minimum_n=0; give an integer, 1 or more"),
        (welch, {"minimum_n": 2.5}, "minimum_n=2.5; give an integer"),
        (welch, {"examples": 0}, "examples=0; give an integer"),
        (welch, {"examples": True}, "examples=True; give an integer"),
        (welch, {"tolerance": -1e-9}, "tolerance=-1e-09; give a difference of p-values"),
        (welch, {"tolerance": math.nan}, "tolerance=nan; give a difference"),
        (
            Hypothesis(welch, "x"),
            {"metrics": "y"},
            r"metrics='y' was given, but Hypothesis\('welch', metric='x'\)",
        ),
        (Hypothesis(metric="x", direction="differ"), {"metrics": "x"}, "metrics='x' was given, but"),
        (Hypothesis(metric="x", direction="differ"), {"paired": False}, "paired=False belongs to a verifier"),
        (
            Hypothesis(metric="x", direction="increase"),
            {"alternative": "one-sided"},
            "alternative='one-sided' belongs to a verifier",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(checked, options, message):
    """The error says what was given and what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        check_verifier(checked, **options)


def test_the_extra_is_named(monkeypatch):
    """Without the Hypothesis library the checks are missing, and nothing else is."""
    for name in ("crystallize.testing.checks", "crystallize.testing.samples"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pytest-crystallize\[testing\]'"):
        check_verifier(welch, metrics="x")


def test_examples_in_docstrings_are_true():
    """What the docstring shows is what happens."""
    assert doctest.testmod(sys.modules["crystallize.testing"]).failed == 0
