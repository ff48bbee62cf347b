"""What a result is made of: all that is shown, written and read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.experiment.result_metrics import HypothesisResult
from crystallize.experiment.run_failure import RunFailure
from crystallize.identity.provenance import Machine
from crystallize.report.case_names import CaseNames


@dataclass(frozen=True, slots=True)
class ResultParts:
    """Parts of a result.

    Attributes
    ----------
    name : str
        Of the experiment.
    started : str
        Date and time, ISO 8601, UTC.
    root_seed, planned : int
        The root seed, and how many replicates were planned.
    conditions : mapping of str to ConditionRuns
        Their runs, the baseline first.
    hypotheses : tuple of HypothesisResult
        Verdicts.
    errors : tuple of RunFailure
        What raised.
    steps : sequence of mapping
        Name and parameters of each step.
    commit : str or None
        Git commit that was checked out.
    versions : mapping of str to str
        Of Python and packages.
    machine : Machine or None
        Where it was run; None if on several.
    inputs : mapping of str to str
        Declared input -> digest of its content.
    cases : CaseNames or None
        The cases that replicates are samples of, if they are.
    version_dir : str or None
        Where its artifacts are.
    """

    name: str
    started: str
    root_seed: int
    planned: int
    conditions: Mapping[str, ConditionRuns]
    hypotheses: tuple[HypothesisResult, ...]
    errors: tuple[RunFailure, ...]
    steps: Sequence[Mapping[str, Any]]
    commit: str | None
    versions: Mapping[str, str]
    machine: Machine | None
    inputs: Mapping[str, str]
    cases: CaseNames | None
    version_dir: str | None

    @property
    def replicates(self) -> int:
        """Number of replicates that were run."""
        return max(len(known.records) for known in self.conditions.values())
