"""Verifiers of the user's own."""

import doctest
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from crystallize import Hypothesis, verifier
from crystallize.analysis.decide import verdict_on
from crystallize.claims import verifier as module
from crystallize.errors import DefinitionError, StepParameterError


@verifier
def fixed(baseline, treatment, alpha: float = 0.05, *, p_value=0.01):
    return {"p_value": p_value, "significant": p_value < alpha}


def decide(returned):
    """Return the decision on what a verifier returned."""
    return verdict_on(Hypothesis(lambda baseline, treatment: returned, "x", name="h"), {"x": [1]}, {"x": [2]})


@pytest.mark.parametrize(
    ("returned", "status"),
    [
        ({"p_value": 0.01, "significant": True}, "supported"),
        ({"p_value": 0.01, "significant": False}, "inconclusive"),
        ({"p_value": 0.01, "significant": True, "accepted": False}, "inconclusive"),
        ({"p_value": 0.5, "significant": False, "accepted": True}, "supported"),
        ({"p_value": 0.01, "accepted": True}, "supported"),
        ({"p_value": np.float64(0.01), "significant": np.bool_(True)}, "supported"),
        ({"p_value": np.array(0.01), "significant": np.array(True)}, "supported"),
        ({"p_value": np.float32(0.5), "significant": np.False_}, "inconclusive"),
        ({"p_value": 0, "significant": True}, "supported"),
        ({"p_value": 1, "significant": False}, "inconclusive"),
    ],
)
def test_a_verifier_decides_by_itself(returned, status):
    """`accepted` if it returns that, else `significant`; numpy's types are as good as Python's."""
    decision = decide(returned)
    assert decision.status == status
    assert type(decision.p_value) is float
    assert decision.details["accepted"] is (status == "supported")
    assert type(decision.details["significant"]) is bool


@pytest.mark.parametrize(
    "returned",
    [
        None,
        True,
        0.01,
        (0.01, True),
        "significant",
        {},
        {"p_value": 0.01},
        {"significant": True},
        {"p": 0.01, "significant": True},
        {"p_value": math.nan, "significant": True},
        {"p_value": np.nan, "significant": np.nan < 0.05, "accepted": True},
        {"p_value": type("Agreeable", (float,), {"__ge__": lambda *_: True})("nan"), "significant": True},
        {"p_value": None, "significant": True},
        {"p_value": -1e-9, "significant": True},
        {"p_value": 1.5, "significant": True},
        {"p_value": "0.01", "significant": True},
        {"p_value": True, "significant": True},
        {"p_value": np.array([0.01]), "significant": True},
        {"p_value": 0.01 + 0j, "significant": True},
        {"p_value": 0.01, "significant": "yes"},
        {"p_value": 0.01, "significant": 1},
        {"p_value": 0.01, "significant": None},
        {"p_value": 0.01, "significant": math.nan},
        {"p_value": 0.01, "significant": True, "accepted": None},
        {"p_value": 0.01, "significant": np.array([True])},
    ],
    ids=str,
)
def test_garbage_is_never_a_pass(returned):
    """What is no probability, or no decision, is invalid, and the reason shows it and names the verifier."""
    decision = decide(returned)
    assert decision.status == "invalid"
    assert "verifier '<lambda>' returned" in decision.reason


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("x"),
        ValueError(),
        RecursionError(),
        SystemExit(0),
        GeneratorExit(),
        pytest.skip.Exception("no module"),
        type("Wordless", (Exception,), {"__str__": lambda self: sys.exit()})(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_verifier_that_raises_is_invalid(error):
    """The reason names verifier and error, and the metrics that it was given."""

    def broken(baseline, treatment):
        raise error

    decision = verdict_on(Hypothesis(broken), {"x": [1]}, {"x": [2]})
    assert decision.status == "invalid"
    assert decision.reason.startswith(f"the verifier raised {type(error).__name__}")
    assert decision.reason.endswith("; it is 'broken', metrics given: 'x'")


def test_an_interrupt_is_no_failure_of_a_verifier():
    """Ctrl-C ends more than a verdict."""

    def interrupted(baseline, treatment):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict_on(Hypothesis(interrupted), {"x": [1]}, {"x": [2]})


def test_what_has_no_repr_is_no_verdict():
    """Nothing that a verifier returns gets out of it as an exception."""

    class Nameless:
        def __repr__(self):
            sys.exit(0)

    decision = verdict_on(Hypothesis(lambda baseline, treatment: Nameless()), {"x": [1]}, {"x": [2]})
    assert decision.status == "invalid"
    assert "Nameless" in decision.reason


def test_parameters_are_fixed_by_calling_it():
    """Step by step, or on the samples directly; without any it is usable as it is."""
    assert fixed({}, {}) == {"p_value": 0.01, "significant": True}
    assert fixed()({}, {}) == fixed({}, {})
    strict = fixed(alpha=0.001)
    assert strict({}, {}) == {"p_value": 0.01, "significant": False}
    assert strict(p_value=0.0001)({}, {})["significant"] is True
    assert (fixed.alpha, strict.alpha) == (0.05, 0.001)
    assert fixed.__name__ == strict.__name__ == "fixed"


def test_unknown_parameters_are_named():
    """The error lists those there are."""
    with pytest.raises(
        StepParameterError, match=r"verifier 'fixed' has no parameter 'aplha'; .* 'alpha', 'p_value'"
    ):
        fixed(aplha=0.1)

    @verifier
    def open_verifier(*samples, **options):
        return options

    assert open_verifier(anything=1)({}, {}) == {"anything": 1}


def test_a_verifier_takes_two_samples():
    """The error says how to write it."""
    with pytest.raises(
        DefinitionError, match=r"verifier 'short' takes 1 .* def short\(baseline, treatment\)"
    ):

        @verifier
        def short(baseline):
            return {}


def test_verifiers_are_pickled():
    """By name if it is the module's, with their parameters otherwise."""
    assert pickle.loads(pickle.dumps(fixed)) is fixed
    assert pickle.loads(pickle.dumps(fixed)).alpha == 0.05
    sent = pickle.loads(pickle.dumps(fixed(p_value=0.2)))
    assert (sent.params, sent.function) == ({"p_value": 0.2}, fixed.function)


def test_verifiers_of_the_script_are_sent_with_their_parameters():
    """Another process has another script, and makes them again."""
    pytest.importorskip("cloudpickle")
    code = (
        "import pickle; from crystallize import verifier\n"
        "from crystallize.engines.payload import portable_dumps\n"
        "@verifier\n"
        "def own(baseline, treatment, alpha=0.05): return {}\n"
        "sent = pickle.loads(portable_dumps()(own(alpha=0.2)))\n"
        "print(sent.alpha, sent.params)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.2 {'alpha': 0.2}"


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert doctest.testmod(module).failed == 0
