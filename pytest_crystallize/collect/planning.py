"""Plans under pytest: one item per claim, which tells how many replicates it needs and tests nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crystallize.seam import Planner
from pytest_crystallize.collect.items import HypothesisItem, NotSupported, Unjudged


class PlanItem(Unjudged, HypothesisItem):
    """A hypothesis under one treatment, of which a pilot says how many replicates it needs."""

    def decide(self, arms: dict[str, Any]) -> None:
        """Plan the claim; without the runs of the pilot there is nothing to plan by."""
        assert self.hypothesis is not None
        assert self.judged is not None
        runs = self.runs
        if (fault := next(filter(None, (arm.missing_evidence() for arm in arms.values())), None)) is not None:
            raise NotSupported(f"INVALID: {fault}")
        planner = Planner(runs.later_plan, runs.runs(self.conditions), runs.references)
        plan = planner.claim(self.hypothesis, self.treatment or "")
        self.evidence_missing = False
        self.carry(replace(self.judged, planned={**plan.to_dict(), "hypothesis": self.label}))
