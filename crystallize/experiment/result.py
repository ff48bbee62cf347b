"""What an experiment gave: metrics, verdicts, errors and provenance."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.evaluation import digest
from crystallize.analysis.recordable import claimed_metrics, make_recording
from crystallize.analysis.reference_file import write_reference
from crystallize.analysis.stored_reference import Origin
from crystallize.declare.case_design import CaseStream
from crystallize.errors import ReferenceFileError
from crystallize.experiment.result_metrics import ExperimentMetrics, HypothesisResult, listed, sample_text
from crystallize.experiment.run_records import RunRecords
from crystallize.experiment.tidy import frame, tidy_rows
from crystallize.experiment.tree import encodable, tree_lines
from crystallize.identity.provenance import git_commit as asked_commit
from crystallize.identity.provenance import has_changes, machine, versions
from crystallize.text.escaping import printable_lines
from crystallize.text.formatting import compared, level_of, name_of_p
from crystallize.text.strict_json import strict_json

FIRST_VERSION: Final = "v0"


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A condition run, or a hook around the whole run, that raised.

    Attributes
    ----------
    condition : str
        Name of the condition; empty for a hook around the whole run.
    replicate : int or None
        Number of the replicate.
    step : str
        Data source, treatment, step or hook that raised.
    message : str
        Type and text of the exception.
    traceback : str
        Its traceback.
    case : str
        Which sample of which case it is, in words; empty where there are no cases.
    """

    condition: str
    replicate: int | None
    step: str
    message: str
    traceback: str
    case: str = ""

    def __str__(self) -> str:
        which = self.case or f"replicate {self.replicate}"
        where = f"{which} of {self.condition!r}, " if self.condition else ""
        return f"{where}{self.step}: {self.message}"


class Result:
    """Result of an experiment.

    Attributes
    ----------
    name : str
        Name of the experiment.
    replicates, planned_replicates : int
        How often each condition was run, and was to be: less, if the experiment was stopped early.
    metrics : ExperimentMetrics
        Samples: ``metrics.baseline.metrics["total"]``, ``metrics.treatments["boost"].metrics["total"]``.
    hypotheses : tuple of HypothesisResult
        Verdicts, in the order of declaration.
    errors : tuple of RunFailure
        What raised, by replicate and condition.
    records : sequence of RunRecord
        Every condition run, by replicate, the baseline first; each record is made when it is looked at.
    version_dir : Path or None
        Where its artifacts are, with a copy of this result; None if there are none.
    """

    def __init__(
        self,
        name: str,
        conditions: Mapping[str, ConditionRuns],
        hypotheses: Sequence[HypothesisResult] = (),
        *,
        root_seed: int,
        steps: Sequence[Mapping[str, Any]] = (),
        git_commit: str | None = None,
        planned: int | None = None,
        inputs: Mapping[str, str] | None = None,
        elsewhere: bool = False,
        cases: CaseStream | None = None,
    ) -> None:
        self.name = name
        self.replicates = max(len(known.records) for known in conditions.values())
        self.root_seed = root_seed
        self.version_dir: Path | None = None
        self._conditions = conditions
        self._steps = steps
        self._git_commit = git_commit
        self.planned_replicates = self.replicates if planned is None else planned
        self._inputs, self._elsewhere = inputs, elsewhere
        self._cases = cases
        self.hypotheses = tuple(hypotheses)
        self.metrics = ExperimentMetrics(conditions, self.hypotheses, self._version)
        failed = (each for runs in conditions.values() for each in runs.records.whole())
        self.errors = tuple(
            RunFailure(
                r.condition,
                r.replicate,
                r.error.step,
                str(r.error),
                r.error.traceback,
                "" if cases is None else cases.label(r.replicate),
            )
            for _, r in sorted(failed, key=itemgetter(0))
            if r.error is not None
        )

    def _version(self) -> str:
        return FIRST_VERSION if self.version_dir is None else self.version_dir.name

    @cached_property
    def records(self) -> RunRecords:
        """Every condition run, by replicate, the baseline first."""
        return RunRecords([runs.records for runs in self._conditions.values()])

    def get_hypothesis(self, name: str) -> HypothesisResult:
        """Return what became of the hypothesis `name`.

        Raises
        ------
        KeyError
            If there is none of that name; the message lists those there are.
        """
        for result in self.hypotheses:
            if result.name == name:
                return result
        raise KeyError(f"no hypothesis {name!r}; there is {listed(h.name for h in self.hypotheses)}")

    @property
    def digest(self) -> str:
        """Digest of every metric that is not measured: equal digests mean equal bits."""
        return digest(self.records)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the numbers: seeds, step parameters, context reads and writes, versions, commit."""
        return {
            "experiment": self.name,
            "root_seed": self.root_seed,
            "seeds": {record.replicate: record.seed for record in self.records},
            "steps": [dict(step) for step in self._steps],
            "runs": [
                {
                    "replicate": record.replicate,
                    "condition": record.condition,
                    "seed": record.seed,
                    "seconds": record.seconds,
                    "steps": [
                        {
                            "step": s.name,
                            "reads": dict(s.reads),
                            "absent": list(s.absent),
                            "writes": dict(s.writes),
                        }
                        for s in record.scopes
                    ],
                    "artifacts": [artifact._asdict() for artifact in record.artifacts],
                }
                for record in self.records
            ],
            "versions": versions(),
            "git_commit": self._git_commit,
        }

    def save_reference(self, path: str | os.PathLike[str]) -> list[str]:
        """Write what was measured to a file that later runs can be compared with; see `Reference`.

        Returns
        -------
        list of str
            Which metrics are not in it, and why: those of which nothing is claimed, and that are not complete
            and finite.

        Raises
        ------
        ReferenceFileError
            If a replicate failed, or gave no finite value of a metric of which something is claimed, or the
            experiment was stopped early: only complete runs are recorded. The file stays as it was.
        OSError
            If the file can't be written.
        """
        fewest = min(len(known.records) for known in self._conditions.values())
        if fewest < self.planned_replicates:
            raise ReferenceFileError(
                f"{self.name} was stopped early, after {fewest} of {self.planned_replicates} "
                "replicates, and only complete runs are recorded; run it without stopping="
            )
        with asked_commit() as ask:
            changed = has_changes()
            dirty = changed if ask() == self._git_commit else None  # another commit is checked out by now
        here = None if self._elsewhere else machine()
        origin = Origin.now(commit=self._git_commit, dirty=dirty, machine=here, inputs=self._inputs)
        claimed = claimed_metrics(result.hypothesis for result in self.hypotheses)
        cases = [] if self._cases is None else [self._cases.named(i) for i in range(fewest)]
        recording, left_out = make_recording(
            self.name, self._conditions, origin, root_seed=self.root_seed, claimed=claimed, cases=cases
        )
        if recording.is_empty:
            raise ReferenceFileError(f"{self.name} has no metric to record")
        write_reference(Path(path), self.name, recording)
        return left_out

    def to_dict(self) -> dict[str, Any]:
        """Return metrics, verdicts, errors and provenance as plain data."""
        return {
            "experiment": self.name,
            "replicates": self.replicates,
            "planned_replicates": self.planned_replicates,
            "metrics": {name: dict(condition) for name, condition in self.metrics.items()},
            "hypotheses": [
                {"name": h.name, "results": h.results, "ranking": h.ranking} for h in self.hypotheses
            ],
            "errors": [
                {
                    "condition": e.condition,
                    "replicate": e.replicate,
                    "step": e.step,
                    "message": e.message,
                    "traceback": e.traceback,
                }
                for e in self.errors
            ],
            "digest": self.digest,
            "provenance": self.provenance,
        }

    def to_frame(self) -> Any:
        """Return every recorded value as a row of a pandas DataFrame; needs the extra ``pandas``.

        Returns
        -------
        pandas.DataFrame
            Columns ``condition``, ``replicate``, ``seed``, ``metric``, ``unit``, ``value``, ``measured``. A
            replicate that gave no value has a row with nan.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return frame(tidy_rows(self._conditions.values()))

    def print_tree(self, levels: str = "treatment > replicate > step > action") -> None:
        """Print what each step of each run read and wrote of the context, recorded and kept, as a tree.

        Parameters
        ----------
        levels : str
            Some or all of treatment, replicate, step and action, in any order, from the root to the leaves;
            what is equal at a level is shown once.

        Raises
        ------
        DefinitionError
            If a level is unknown or named twice.
        """
        title = f"{self.name}: {self.replicates} replicates, seed {self.root_seed}"
        for line in tree_lines(title, self.records, levels):
            print(encodable(line, sys.stdout.encoding))

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON; nan and infinities become the strings "nan", "inf" and "-inf"."""
        return json.dumps(strict_json(self.to_dict()), indent=indent, allow_nan=False)

    def __str__(self) -> str:
        planned = self.planned_replicates
        stopped = f" (stopped at {self.replicates} of {planned})" if planned > self.replicates else ""
        lines = [f"{self.name}: {self.replicates} replicates{stopped}, seed {self.root_seed}"]
        for name, condition in self.metrics.items():
            lines += [f"  {name}.{metric}: {sample_text(values)}" for metric, values in condition.items()]
        for result in self.hypotheses:
            for treatment, verdict in result.verdicts.items():
                shown, row = verdict.deciding_p, verdict.to_dict()
                name = ("" if verdict.adjusted_p is None else "adjusted ") + name_of_p(row)
                p_value = (
                    "" if shown is None else f" ({name} = {compared(shown, level_of(row), digits=3)[0]})"
                )
                reason = f": {verdict.reason}" if verdict.reason else ""
                lines.append(f"  {result.name} [{treatment}]: {verdict.status.upper()}{p_value}{reason}")
        lines += [f"  error in {error}" for error in self.errors[:5]]
        if len(self.errors) > 5:
            lines.append(f"  and {len(self.errors) - 5} more errors")
        return "\n".join(map(printable_lines, lines))

    def __repr__(self) -> str:
        return f"<Result of {self.name!r}: {self.replicates} replicates, {len(self.errors)} errors>"
