"""Hypotheses in both spellings."""

import copy
import doctest
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from crystallize import (
    AnytimeValid,
    BinomialTest,
    BootstrapTTest,
    Budget,
    Curtailment,
    Experiment,
    GroupSequential,
    Hypothesis,
    PassAt,
    PermutationTest,
    QuantileTest,
    Reference,
    ResampledTTest,
    WelchTTest,
    YuenTest,
    hypothesis,
    pipeline_step,
    verifier,
)
from crystallize.analysis.decide import verdict_on
from crystallize.claims import hypothesis as module
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError


@verifier
def welch(baseline, treatment, alpha=0.05):
    _, p_value = stats.ttest_ind(treatment["x"], baseline["x"], equal_var=False)
    return {"p_value": p_value, "significant": p_value < alpha}


def by_effect(result):
    return -result["effect"]


@hypothesis(verifier=welch(alpha=0.1), metrics="x")
def by_p_value(result):
    return result["p_value"]


def test_decorated_hypotheses_are_pickled():
    """By name, so that a process of a pool can return the result; a copy is another one still."""
    assert pickle.loads(pickle.dumps(by_p_value)) is by_p_value
    for copied in (copy.copy, copy.deepcopy):
        changed = copied(by_p_value)
        changed.name = "other"
        assert (by_p_value.name, changed.ranker) == ("by_p_value", by_p_value.ranker)
    other = pickle.loads(pickle.dumps(Hypothesis(welch(alpha=0.1), "x", by_effect)))
    assert (other.alpha, other.ranker) == (0.1, by_effect)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, Fraction])
def test_any_real_number_may_be_claimed_with(kind):
    """It becomes Python's, with which verdicts and files are made: numbers that scipy gives are numpy's."""
    quarter = kind(0.25)
    declared = [
        *(
            getattr(Hypothesis(metric="x", direction="no_decrease", **{name: quarter}).claim, name)
            for name in ("margin", "detects")
        ),
        *(
            getattr(Hypothesis(metric="x", direction="increase", **{name: quarter}).claim, name)
            for name in ("at_least", "effect", "alpha")
        ),
        Hypothesis(metric="x", direction="equal", margin=1, worst=quarter).claim.worst,
        Hypothesis(metric="x", direction="differ", nan_policy="omit", max_missing=quarter).claim.max_missing,
        Hypothesis(metric="x", direction="increase", against=quarter).against,
        QuantileTest(quarter).q,
        YuenTest(quarter).trim,
        ResampledTTest(test_fraction=quarter).test_fraction,
        BinomialTest(quarter).rate,
        AnytimeValid(g=quarter).g,
        Judging(resampled=quarter).resampled,
        Budget(minutes=quarter).minutes,
    ]
    assert [(type(number), number) for number in declared] == [(float, 0.25)] * len(declared)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_any_whole_number_counts(kind):
    """As a length that numpy gives; what is no whole number does not, also if it is a yes/no."""
    hundred = kind(100)
    declared = [
        Hypothesis(metric="x", direction="differ", nan_policy="omit", max_missing=hundred).claim.max_missing,
        GroupSequential(looks=hundred).looks,
        Curtailment(every=hundred).every,
        PassAt(hundred).k,
        PermutationTest(resamples=hundred).resamples,
        BootstrapTTest(draws=hundred).draws,
        Reference("main", pool=hundred).pool,
        Budget(calls=hundred).calls,
        Experiment(0, [pipeline_step()(lambda data: data)], replicates=hundred).replicates,
    ]
    assert [(type(number), number) for number in declared] == [(int, 100)] * len(declared)
    for wrong in (np.True_, np.float64(100.0), np.array(100), "100", Fraction(100)):
        with pytest.raises(DefinitionError, match=r"looks is .*; allowed is an integer >= 2"):
            GroupSequential(looks=wrong)
    for wrong in (np.True_, "1", np.array(1.0), np.float32("nan"), Fraction(10**400), 1j):
        with pytest.raises(DefinitionError, match=r"margin=.*; allowed are positive finite numbers"):
            Hypothesis(metric="x", direction="equal", margin=wrong)


@pytest.mark.parametrize("name", ["metric", "direction", "margin", "alpha", "statistical_test"])
def test_what_is_claimed_stays(name):
    """It would be set beside the claim, and be of no effect."""
    claimed = Hypothesis(metric="x", direction="no_decrease", margin=1.0)
    with pytest.raises(AttributeError, match=f"'{name}' of hypothesis 'x_no_decrease' can't be set to 3"):
        setattr(claimed, name, 3)


class Named(Hypothesis):
    """Keeps what it was given, before and behind what it is made of."""

    def __init__(self, metric, margin):
        self.metric = metric
        super().__init__(metric=metric, direction="no_decrease", margin=margin)
        self.margin = margin


def test_a_subclass_may_have_what_is_claimed_under_a_name_of_its_own():
    """As what its methods use; another name is refused as ever."""
    claimed = Named("x", 1.0)
    assert (claimed.metric, claimed.margin) == ("x", 1.0)
    with pytest.raises(AttributeError, match="'alpha' of hypothesis 'x_no_decrease' can't be set to 3"):
        claimed.alpha = 3


def test_a_verifier_names_its_metrics():
    """One, several, or none for all; the name is the verifier's unless given."""
    assert Hypothesis(welch, "x").metrics == ("x",)
    assert Hypothesis(verifier=welch(), metrics=["x", "y"]).metrics == ("x", "y")
    assert Hypothesis(welch).metrics is None
    assert (Hypothesis(welch).name, Hypothesis(welch, name="n").name) == ("welch", "n")
    assert (Hypothesis(welch, ["x", "y"]).metric_label, Hypothesis(welch).metric_label) == ("x, y", "all")
    assert (Hypothesis(welch).alpha, Hypothesis(welch(alpha=0.1)).alpha) == (0.05, 0.1)
    assert Hypothesis(lambda b, t: None, name="n").alpha is None


def test_a_claim_names_itself():
    """After metric and direction."""
    claim = Hypothesis(metric="acc", direction="increase", statistical_test=WelchTTest(), alpha=0.01)
    assert (claim.name, claim.metrics, claim.alpha) == ("acc_increase", ("acc",), 0.01)
    assert repr(claim) == "Hypothesis('acc_increase', metric='acc')"


def test_the_decorator_makes_a_hypothesis_of_a_ranker():
    """Under the ranker's name unless another is given."""

    @hypothesis(verifier=welch(), metrics="x")
    def order_by_p(result):
        return result["p_value"]

    assert isinstance(order_by_p, Hypothesis)
    assert (order_by_p.name, order_by_p.metrics) == ("order_by_p", ("x",))
    assert order_by_p.rank({"p_value": np.float64(0.5)}) == 0.5
    assert hypothesis(verifier=welch, name="n")(by_effect).name == "n"


def test_treatments_are_ranked_by_p_unless_told_otherwise():
    """The smallest comes first."""
    assert Hypothesis(welch).rank({"p_value": 0.3}) == 0.3
    assert Hypothesis(welch, ranker=by_effect).rank({"effect": 2}) == -2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either verifier=.* or a claim .*; neither given"),
        ({"metrics": "x", "direction": "increase"}, "neither given, but metrics='x'; a claim has metric='x'"),
        ({"verifier": welch, "metric": "x"}, "both given"),
        ({"metric": "x", "direction": "increase", "metrics": "x"}, "metrics='x' belongs to a verifier"),
        ({"verifier": welch, "direction": "increase"}, "direction='increase' belongs to a claim"),
        ({"verifier": welch, "alpha": 0.1}, "alpha=0.1 belongs to a claim"),
        ({"verifier": welch, "alternative": "one-sided"}, "alternative='one-sided' belongs to a claim"),
        ({"verifier": welch, "statistical_test": WelchTTest()}, "statistical_test=.* belongs to a claim"),
        ({"verifier": 3}, "verifier is 3; give a function of"),
        (
            {"verifier": "x"},
            r"verifier is 'x'; .*, or claim .* Hypothesis\(metric='x', direction='increase'\)",
        ),
        (
            {"verifier": "x", "direction": "no_decrease", "margin": 0.1},
            r"verifier is 'x'; .* Hypothesis\(metric='x', direction='no_decrease'\)",
        ),
        ({"verifier": welch, "ranker": "p"}, "ranker is 'p'; give a function"),
        ({"verifier": welch, "metrics": []}, r"metrics=\[\]; give the name"),
        ({"verifier": welch, "metrics": ["x", 3]}, "give the name of a metric or a list of names"),
        (
            {"metric": "x", "direction": "increase", "against": 10**400},
            "against is 1000+; give a number",
        ),
        ({"verifier": welch, "name": " "}, "a hypothesis is named ' '"),
        ({"verifier": welch, "name": 3}, "a hypothesis is named 3"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    """The error says what was given and what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        Hypothesis(**arguments)


@pytest.mark.parametrize(
    ("baseline", "treatment"),
    [([1.0] * 5, [2.0] * 5), ([1.0] * 5, [1.0] * 5), ([0.1] * 5, [0.1 + 1e-17] * 5), ([1.0], [2.0])],
)
@pytest.mark.parametrize("how", ["default", "error"])
def test_no_warning_of_scipys_gets_out(baseline, treatment, how):
    """Neither from a claim nor from a verifier, whatever filters and numpy's error state say."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="raise"):
        warnings.simplefilter("always" if how == "default" else "error")
        for claimed in (
            Hypothesis(welch, "x"),
            Hypothesis(metric="x", direction="increase"),
            Hypothesis(lambda b, t: {"p_value": np.log(0.0), "significant": True}, "x", name="n"),
        ):
            verdict_on(claimed, {"x": baseline}, {"x": treatment})
            claimed.rank({"p_value": 0.5})
        assert caught == []


def test_other_warnings_of_a_verifier_get_out():
    """What its author wants said is said."""

    def talkative(baseline, treatment):
        warnings.warn("small sample", UserWarning, stacklevel=1)
        return {"p_value": 0.5, "significant": False}

    with pytest.warns(UserWarning, match="small sample"):
        verdict_on(Hypothesis(talkative, "x"), {"x": [1]}, {"x": [2]})


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert doctest.testmod(module).failed == 0
