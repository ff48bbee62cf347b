"""A/A tests under pytest: one item per hypothesis, about the hypothesis itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crystallize.seam import BASELINE, BLIND_SPOT, Calibration, calibrate, rate_interval
from pytest_crystallize.collect.items import HypothesisItem, NotSupported, Unjudged


class CalibrationItem(Unjudged, HypothesisItem):
    """A hypothesis on samples of the baseline against itself; passes if it keeps to its alpha."""

    def decide(self, arms: dict[str, Any]) -> None:
        """Make the A/A tests."""
        assert self.hypothesis is not None
        runs = self.runs
        found = calibrate(
            self.hypothesis,
            arms[BASELINE],
            runs.sample_size,
            judging=runs.judging,
            cases=runs.analysis_plan.cases,
        )
        assert self.judged is not None
        self.evidence_missing = found.status == "invalid"
        self.carry(replace(self.judged, calibration={**found.to_dict(), "rate": found.rate}))
        self.add_properties(
            {
                "verdict": found.status,
                "false_positive_rate": found.rate,
                "interval_low": found.interval[0],
                "interval_high": found.interval[1],
                "tests": found.tests,
                "n": found.n,
                "alpha": found.alpha,
                "seed": runs.root_seed,
            }
        )
        if found.status != "calibrated":
            raise NotSupported(_explained(found))


def _explained(found: Calibration) -> str:
    lines = [f"{found.status.upper()}: {found.reason}"]
    if found.status == "miscalibrated":
        lines.append(f"  98 % interval of the rate: {rate_interval(found.to_dict())}")
    lines.append(f"  {BLIND_SPOT}")
    return "\n".join(lines)
