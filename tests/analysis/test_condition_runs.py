"""The runs of a condition: sorted out of records, and the samples and means in them."""

import itertools
import math
import sys

import pytest
from recorded import FAILED, record

from crystallize import ConditionRuns
from crystallize.analysis.columns import mean
from crystallize.analysis.condition_runs import runs_by_condition


def test_values_of_one_replicate_are_one_unit():
    """Several numbers are averaged, whatever the order of replicates; other values stay a list."""
    runs = ConditionRuns(
        "baseline", [record(x=[1, 2, 6], name=["a", "b"], y=1.5), record(replicate=1, x=4.0, name="c", y=2)]
    )
    assert runs.metrics == {"x": [3.0, 4.0], "name": [["a", "b"], "c"], "y": [1.5, 2]}
    assert runs.mean("x") == 3.5
    assert runs.mean("name") is None
    assert runs.mean("absent") is None


def test_samples_keep_their_replicate_numbers():
    """A failed replicate leaves a nan in its place."""
    failed = record("boost", 1, error=FAILED, x=9.0)
    runs = ConditionRuns("boost", [record("boost", x=1.0), failed, record("boost", 2, x=3.0), None])
    assert repr(runs.metrics["x"]) == "[1.0, nan, 3.0, nan]"
    assert runs.lacking == (1, 3)
    assert "2 of 4 replicates" in runs.missing_evidence()
    assert "(as did 1 more)" in runs.missing_evidence()


def test_a_unit_that_failed_once_has_failed():
    """Of two records of a unit the failed one counts, whichever comes first."""
    pair = [record(x=1.0), record(error=FAILED)]
    for some in itertools.permutations(pair):
        assert runs_by_condition(some, ["baseline"], 1)["baseline"].lacking == (0,)


def test_records_of_others_are_left_out():
    """Other conditions, and replicates beyond the number asked for."""
    some = [record(), record("other"), record(replicate=5), record(replicate=-1)]
    assert runs_by_condition(some, ["baseline"], 2)["baseline"].records == (some[0], None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 6], 3.0),
        ([0.1] * 10, 0.1),
        ([1e308, 1e308], 1e308),
        ([1.7e308] * 3 + [-1.7e308], 8.5e307),
        ([sys.float_info.max] * 3, sys.float_info.max),
        ([2**1023, -(2**1023), 2**1023, 0.0], 2.0**1021),
        ([True, False], 0.5),
        ([1e16, 1, -1e16], 1 / 3),
    ],
)
def test_means_are_exact_and_never_raise(values, expected):
    """The order of the values makes no difference, and large ones do not overflow."""
    for order in itertools.permutations(values[:4]) if len(values) <= 4 else [values]:
        assert mean(list(order)) == expected


def test_means_of_what_has_no_mean():
    """Opposite infinities have none."""
    assert math.isnan(mean([math.inf, -math.inf]))
    assert math.isnan(mean([1.7e308, 1.7e308, math.inf, -math.inf]))
