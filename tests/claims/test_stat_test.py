"""Statistical tests as objects."""

import dataclasses
import doctest
import pickle
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest

from crystallize import Hypothesis, LogRatioTest
from crystallize.analysis.decide import verdict_on
from crystallize.claims.default_test import default_test
from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_by_resampling import BootstrapTTest, PermutationTest
from crystallize.claims.tests_of_means import PairedTTest, ResampledTTest, WelchTTest
from crystallize.claims.tests_of_rates import BinomialTest, BoschlooTest, McNemarTest
from crystallize.errors import DefinitionError
from crystallize.stats import mcnemar, paired_t, resampled_t, welch_t

BASELINE, TREATMENT = [1.0, 2.0, 4.0, 3.0], [2.0, 2.5, 7.0, 3.5]
ZEROS, ONES = [0, 0, 1, 0], [1, 1, 1, 0]


def resampled(baseline, treatment, **options):
    return resampled_t(baseline, treatment, test_fraction=0.2, **options)


def exact(baseline, treatment, **options):
    return mcnemar(baseline, treatment, exact=True, **options)


@pytest.mark.parametrize(
    ("test", "function", "arms"),
    [
        (PairedTTest(), paired_t, (BASELINE, TREATMENT)),
        (WelchTTest(), welch_t, (BASELINE, TREATMENT)),
        (ResampledTTest(test_fraction=0.2), resampled, (BASELINE, TREATMENT)),
        (McNemarTest(), mcnemar, (ZEROS, ONES)),
        (McNemarTest(exact=True), exact, (ZEROS, ONES)),
    ],
)
def test_each_class_passes_everything_to_its_function(test, function, arms):
    """The result is the pure function's, with every option passed on."""
    assert test.compare(*arms) == function(*arms)
    options = {"alpha": 0.01, "alternative": "greater"}
    if function is not exact:
        options["shift"] = 0.25
    assert test.compare(*arms, **options) == function(*arms, **options)


@pytest.mark.parametrize(
    ("test", "name", "paired", "minimum_n"),
    [
        (PairedTTest(), "paired t", True, 3),
        (WelchTTest(), "Welch t", False, 3),
        (ResampledTTest(test_fraction=0.5), "resampled t", True, 3),
        (McNemarTest(), "McNemar", True, 1),
    ],
)
def test_each_class_says_what_it_needs(test, name, paired, minimum_n):
    """Name, pairing and the fewest values are known before a run, also on the class."""
    assert (test.name, test.paired, test.minimum_n) == (name, paired, minimum_n)
    assert type(test).paired is paired


@pytest.mark.parametrize("test", [PairedTTest(), WelchTTest(), ResampledTTest(test_fraction=0.2)])
def test_smallest_p_of_t_tests(test):
    """A t test can attain any p-value from three values on, and none below."""
    assert [test.smallest_p(*sizes) for sizes in [(2, 2), (3, 2), (3, 3), (30, 30)]] == [1, 1, 0, 0]


def test_smallest_p_of_mcnemar_depends_on_n_and_the_alternative():
    """Mid-p reaches .05 two-sided with five pairs, one-sided with four, exact with six."""
    assert McNemarTest().smallest_p(4, 4, "two-sided") > 0.05 >= McNemarTest().smallest_p(5, 5, "two-sided")
    assert McNemarTest().smallest_p(4, 4, "less") <= 0.05
    assert McNemarTest(exact=True).smallest_p(5, 5) > 0.05 >= McNemarTest(exact=True).smallest_p(6, 6)


@pytest.mark.parametrize(
    ("baseline", "treatment", "paired", "expected"),
    [
        (BASELINE, TREATMENT, True, PairedTTest()),
        (BASELINE, TREATMENT, False, WelchTTest()),
        (ZEROS, ONES, True, McNemarTest()),
        ([True, False], [False, False], True, McNemarTest()),
        (ZEROS, TREATMENT, True, PairedTTest()),
        (ZEROS, ONES, False, BoschlooTest()),
        ([], [], True, PairedTTest()),
    ],
)
def test_default_looks_at_pairing_and_kind_only(baseline, treatment, paired, expected):
    """0/1 values get McNemar or Boschloo, others the paired t or Welch."""
    assert default_test(baseline, treatment, paired=paired) == expected


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan"), "0.2", None, True, [0.2]])
def test_a_bad_test_fraction_is_refused_at_declaration(fraction):
    """The error comes when the test is declared, not after the replicates have run."""
    with pytest.raises(DefinitionError, match=r"ResampledTTest: test_fraction is .*; allowed is a number"):
        ResampledTTest(test_fraction=fraction)


@pytest.mark.parametrize(
    ("test", "option", "allowed"),
    [
        (McNemarTest, "exact", "True and False"),
        (PermutationTest, "paired", "True and False"),
        (BootstrapTTest, "paired", "True and False"),
        (BinomialTest, "rate", "a number from 0 to 1"),
    ],
)
@pytest.mark.parametrize("given", ["no", None, [1], 1j])
def test_an_option_of_another_kind_is_refused_at_declaration(test, option, allowed, given):
    """Whatever is true counted as True; a rate was found to be none when the replicates had run."""
    with pytest.raises(DefinitionError) as caught:
        test(**{option: given})
    assert str(caught.value).startswith(f"{test.__name__}: {option} is {given!r}; allowed")
    assert str(caught.value).endswith(allowed)


@pytest.mark.parametrize("rate", [-0.1, 1.1, 2, float("nan"), float("inf")])
def test_a_rate_beyond_those_that_there_are_is_refused_at_declaration(rate):
    """It was found to be none when the replicates had run."""
    with pytest.raises(DefinitionError, match=r"BinomialTest: rate is .*; allowed is a number from 0 to 1"):
        BinomialTest(rate=rate)


@pytest.mark.parametrize("given", [np.float32(0.25), np.float16(0.25), Fraction(1, 4)])
def test_any_real_number_is_a_part_and_a_rate(given):
    """As a mean of values of single precision is; they were refused with what is no number."""
    ones = [1.0, 0.0, 1.0, 1.0]
    found, same = (ResampledTTest(test_fraction=part).compare(BASELINE, TREATMENT) for part in (given, 0.25))
    assert found == same
    assert BinomialTest(rate=given).compare(ones, ones) == BinomialTest(rate=0.25).compare(ones, ones)
    assert BinomialTest(rate=np.int64(1)).compare(ones, ones) == BinomialTest(rate=1).compare(ones, ones)


@pytest.mark.parametrize("test", [PairedTTest(), ResampledTTest(test_fraction=0.2), McNemarTest(exact=True)])
def test_tests_are_values(test):
    """A test is frozen, equal to its copy in another process, and hashable."""
    copy = pickle.loads(pickle.dumps(test))
    assert copy == test
    assert hash(copy) == hash(test)
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        test.exact = False


def test_a_test_of_ones_own_needs_name_pairing_and_compare():
    """A subclass with these three works, with defaults for the rest."""

    class Lenient(StatisticalTest):
        name = "lenient"
        paired = False

        def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
            return welch_t(baseline, treatment, alpha=alpha, alternative=alternative, shift=shift)

    test = Lenient()
    assert test.compare(BASELINE, TREATMENT).test == "Welch t"
    assert [test.smallest_p(1, 9), test.smallest_p(2, 9)] == [1.0, 0.0]


@pytest.mark.parametrize("missing", ["name", "paired"])
def test_a_test_of_ones_own_without_name_or_pairing_is_refused(missing):
    """The error names the class and what to add, as soon as the class is defined."""
    body = {"name": "mine", "paired": True, "compare": PairedTTest.compare}
    del body[missing]
    with pytest.raises(DefinitionError, match=f"Mine defines compare\\(\\) but not '{missing}'"):
        type("Mine", (StatisticalTest,), body)


class Doubtful(LogRatioTest):
    """A test that is never sure of what another one finds."""

    def compare(self, baseline, treatment, **options):
        return dataclasses.replace(super().compare(baseline, treatment, **options), p_value=1.0)


@pytest.mark.parametrize(("test", "status"), [(LogRatioTest(), "supported"), (Doubtful(), "inconclusive")])
def test_what_a_subclass_compares_by_is_what_counts(test, status):
    """Also where the test that it refines makes its comparison by the design."""
    claim = Hypothesis(metric="x", direction="increase", statistical_test=test)
    arms = {"x": [1.0, 1.1, 1.2, 1.3]}, {"x": [2.0, 2.3, 2.4, 2.7]}
    assert verdict_on(claim, *arms).status == status


def test_the_base_class_is_abstract():
    """A test without compare() can't be made."""
    with pytest.raises(TypeError, match="abstract"):
        StatisticalTest()


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    for module in ("stat_test", "default_test"):
        assert doctest.testmod(import_module(f"crystallize.claims.{module}")).failed == 0
