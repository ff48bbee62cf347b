"""What the report of a test carries between processes."""

import json
import math

from crystallize import Verdict
from pytest_crystallize.report.judged import CacheUse, Judged, judged_of


class Report:
    """A report as another plugin may have sent it."""

    def __init__(self, judged):
        self.crystallize = judged.to_json()


def test_what_is_carried_comes_back():
    """Names that no encoding holds, every field of a verdict, and how the runs were stored."""
    verdict = Verdict(
        "h", "t\udc80", "m", "refuted", "why", p_value=0.1 + 0.2, n=3, interval=(-math.inf, 1e-300),
        details={"share": 0.5, "words": ["a"]}, looks=2, look=1, trail=((5, 0.3, 0.01),),
    )  # fmt: skip
    cache = CacheUse(True, ((3, "t\udc80"),), "it is impure", "a change", ("2026-01-02",))
    judged = Judged(
        "dir\udc80/a.py::e",
        ("baseline", "t\udc80"),
        3,
        verdict,
        unread=("x",),
        cache=cache,
        enough={"t\udc80": 2},
    )
    found = judged_of(Report(judged))
    assert found.experiment == judged.experiment  # by which the experiment is found
    assert found.conditions == judged.conditions
    assert found.cache == cache
    assert found.verdict.to_dict() | {"treatment": ""} == verdict.to_dict() | {"treatment": ""}
    assert found.claim is found.verdict
    assert found.status == "refuted"


def test_values_of_others_become_their_text():
    """What no format can carry is shown; numbers that are too large for some are, too."""

    class Odd:
        def __repr__(self):
            raise ValueError("repr")

    judged = Judged("e", (), 0, calibration={"status": "calibrated", "odd": Odd(), "big": 2**70, 3: math.nan})
    assert json.loads(judged.to_json())["calibration"]["big"] == str(2**70)
    found = judged_of(Report(judged))
    assert "Odd" in found.calibration["odd"]
    assert math.isnan(found.calibration["3"])
    assert found.status == "calibrated"
    assert found.claim is None


def test_a_report_of_another_test_carries_nothing():
    """Nor does one that was made before anything was judged."""
    assert judged_of(object()) is None
