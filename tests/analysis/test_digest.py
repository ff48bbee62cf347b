"""The digest of records."""

import math

from recorded import FAILED, record

from crystallize import ConditionRuns, digest


def test_the_digest_leaves_out_what_is_measured():
    """It changes with values, units, seeds and failures, and with nothing else."""
    one = record(x=1.0, time=3.0)
    assert digest([one]) == digest([record(x=1.0, time=4.0)])
    changed = [
        record(x=1),
        record(x=math.nextafter(1.0, 2)),
        record(y=1.0),
        record(x=1.0, seed=3),
        record(x=1.0, error=FAILED),
        record(x=1.0, skipped="no"),
        record("boost", x=1.0),
        record(replicate=1, x=1.0),
    ]
    assert len({digest([r]) for r in [one, *changed]}) == 9
    assert digest([record(x=-0.0)]) != digest([record(x=0.0)])
    assert digest([record(x=math.nan)]) == digest([record(x=math.nan)])
    assert ConditionRuns("baseline", [one]).measured == {"time"}
