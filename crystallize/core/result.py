"""What an experiment gave: metrics, verdicts, errors and provenance."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from crystallize.core.condition_runs import ConditionRuns
from crystallize.core.escaping import printable_lines
from crystallize.core.evaluation import digest, rank
from crystallize.core.formatting import compared, level_of, name_of_p
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.provenance import git_commit as asked_commit
from crystallize.core.provenance import has_changes, machine, versions
from crystallize.core.record import RunRecord
from crystallize.core.reference_file import write_reference
from crystallize.core.stored_reference import Origin, claimed_metrics, recorded
from crystallize.core.tidy import frame, tidy_rows
from crystallize.core.treatment import BASELINE
from crystallize.core.tree import encodable, tree_lines
from crystallize.core.verdict import Verdict
from crystallize.errors import ReferenceFileError

FIRST_VERSION: Final = "v0"
_VERSION_SUFFIX = re.compile(r" \((v\d+)\)\Z")


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
    """

    condition: str
    replicate: int | None
    step: str
    message: str
    traceback: str

    def __str__(self) -> str:
        where = f"replicate {self.replicate} of {self.condition!r}, " if self.condition else ""
        return f"{where}{self.step}: {self.message}"


class ConditionMetrics(Mapping[str, list[Any]]):
    """Samples of one condition: metric -> one value per replicate.

    Position i belongs to replicate i; nan stands where a replicate gave no value.
    """

    def __init__(self, runs: ConditionRuns) -> None:
        self.runs = runs

    @cached_property
    def metrics(self) -> dict[str, list[Any]]:
        """Metric -> one value per replicate; copies, so that changing them changes no verdict."""
        return self.runs.sample(self.runs.metrics)

    def __getitem__(self, metric: str) -> list[Any]:
        if metric not in self.metrics:
            raise KeyError(f"no metric {metric!r} in {self.runs.condition!r}; it has {_names(self.metrics)}")
        return self.metrics[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __repr__(self) -> str:
        return repr(self.metrics)


class TreatmentMetrics(Mapping[str, ConditionMetrics]):
    """Samples by treatment; a name with the version of the run behind it, as in ``"boost (v0)"``, too.

    Parameters
    ----------
    conditions : mapping of str to ConditionMetrics
        By treatment.
    version : callable
        Returns the version whose artifacts the run wrote; ``"v0"`` if it wrote none.
    """

    def __init__(self, conditions: Mapping[str, ConditionMetrics], version: Callable[[], str]) -> None:
        self._conditions = dict(conditions)
        self._version = version

    def __getitem__(self, name: str) -> ConditionMetrics:
        found = self._conditions.get(name)
        if found is None and (match := _VERSION_SUFFIX.search(name)) is not None:
            found = self._conditions.get(name[: match.start()])
            if found is not None and match[1] != self._version():
                raise KeyError(
                    f"{name!r} is of another run: this one is {self._version()}; earlier ones are read by "
                    "stored_versions"
                )
        if found is None:
            raise KeyError(f"no treatment {name!r}; there is {_names(self._conditions)}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._conditions)

    def __len__(self) -> int:
        return len(self._conditions)

    def __repr__(self) -> str:
        return repr(self._conditions)


class HypothesisResult:
    """What became of one hypothesis.

    Attributes
    ----------
    name : str
        Name of the hypothesis.
    verdicts : dict of str to Verdict
        By treatment.
    """

    def __init__(self, hypothesis: Hypothesis, verdicts: Mapping[str, Verdict]) -> None:
        self.hypothesis = hypothesis
        self.name = hypothesis.name
        self.verdicts = dict(verdicts)

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Treatment -> what the verifier returned, with ``accepted`` and ``verdict``."""
        return {treatment: verdict.summary() for treatment, verdict in self.verdicts.items()}

    @cached_property
    def ranking(self) -> list[str]:
        """Treatments by the hypothesis's ranker, best (smallest) first."""
        return rank(self.hypothesis, self.verdicts)

    def __repr__(self) -> str:
        return f"HypothesisResult({self.name!r}, {self.results})"


class ExperimentMetrics(Mapping[str, Any]):
    """Samples by condition, and ``["hypothesis"]`` for the verdict where there is just one.

    Attributes
    ----------
    baseline : ConditionMetrics
        Samples of the baseline.
    treatments : TreatmentMetrics
        Samples by treatment.
    """

    def __init__(
        self,
        conditions: Mapping[str, ConditionRuns],
        hypotheses: Sequence[HypothesisResult],
        version: Callable[[], str],
    ) -> None:
        metrics = {name: ConditionMetrics(runs) for name, runs in conditions.items()}
        self.baseline = metrics.pop(BASELINE)
        self.treatments = TreatmentMetrics(metrics, version)
        self._hypotheses = hypotheses

    def __getitem__(self, key: str) -> Any:
        if key == "hypothesis":
            return self._only_verdict()
        return self.baseline if key == BASELINE else self.treatments[key]

    def _only_verdict(self) -> dict[str, Any]:
        found = [(h.name, treatment) for h in self._hypotheses for treatment in h.verdicts]
        if len(found) != 1:
            ways = ", ".join(f"get_hypothesis({name!r}).results[{treatment!r}]" for name, treatment in found)
            raise KeyError(
                f"metrics['hypothesis'] is for one hypothesis and one treatment; there are {len(found)}: "
                f"{ways}"
                if found
                else "metrics['hypothesis']: the experiment was run without hypotheses"
            )
        name, treatment = found[0]
        return next(h for h in self._hypotheses if h.name == name).results[treatment]

    def __iter__(self) -> Iterator[str]:
        return iter((BASELINE, *self.treatments))

    def __len__(self) -> int:
        return 1 + len(self.treatments)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __str__(self) -> str:
        return "\n".join(
            f"{name}.{metric}: {_sample_text(values)}"
            for name, condition in self.items()
            for metric, values in condition.items()
        )


class Result:
    """What an experiment gave.

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
    records : tuple of RunRecord
        Every condition run, by replicate, the baseline first.
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
    ) -> None:
        self.name = name
        self.replicates = len(conditions[BASELINE].records)
        self.root_seed = root_seed
        self.version_dir: Path | None = None
        self._conditions = conditions
        self._steps = steps
        self._git_commit = git_commit
        self.planned_replicates = self.replicates if planned is None else planned
        self._inputs, self._elsewhere = inputs, elsewhere
        self.hypotheses = tuple(hypotheses)
        self.metrics = ExperimentMetrics(conditions, self.hypotheses, self._version)
        self.errors = tuple(
            RunFailure(r.condition, r.replicate, r.error.step, str(r.error), r.error.traceback)
            for r in self.records
            if r.error is not None
        )

    def _version(self) -> str:
        return FIRST_VERSION if self.version_dir is None else self.version_dir.name

    @cached_property
    def records(self) -> tuple[RunRecord, ...]:
        """Every condition run, by replicate, the baseline first."""
        rows = zip(*(runs.records for runs in self._conditions.values()), strict=True)
        return tuple(record for row in rows for record in row if record is not None)

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
        raise KeyError(f"no hypothesis {name!r}; there is {_names(h.name for h in self.hypotheses)}")

    @property
    def digest(self) -> str:
        """Digest of every metric that is not measured: equal digests mean equal bits."""
        return digest(self.records)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: seeds, step parameters, context reads and writes, versions, commit."""
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
        if self.replicates < self.planned_replicates:
            raise ReferenceFileError(
                f"{self.name} was stopped early, after {self.replicates} of {self.planned_replicates} "
                "replicates, and only complete runs are recorded; run it without stopping="
            )
        with asked_commit() as ask:
            changed = has_changes()
            dirty = changed if ask() == self._git_commit else None  # another commit is checked out by now
        here = None if self._elsewhere else machine()
        origin = Origin.now(commit=self._git_commit, dirty=dirty, machine=here, inputs=self._inputs)
        claimed = claimed_metrics(result.hypothesis for result in self.hypotheses)
        recording, left_out = recorded(
            self.name, self._conditions, origin, root_seed=self.root_seed, claimed=claimed
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
        return json.dumps(_strict(self.to_dict()), indent=indent, allow_nan=False)

    def __str__(self) -> str:
        planned = self.planned_replicates
        stopped = f" (stopped at {self.replicates} of {planned})" if planned > self.replicates else ""
        lines = [f"{self.name}: {self.replicates} replicates{stopped}, seed {self.root_seed}"]
        for name, condition in self.metrics.items():
            lines += [f"  {name}.{metric}: {_sample_text(values)}" for metric, values in condition.items()]
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


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _sample_text(values: Sequence[Any]) -> str:
    shown = ", ".join(f"{v:.4g}" if isinstance(v, float) else repr(v) for v in values[:6])
    if not all(isinstance(v, int | float) for v in values):
        return f"[{shown}{', ...' if len(values) > 6 else ''}]"
    present = [v for v in values if not math.isnan(v)]
    average = f"mean {math.fsum(present) / len(present):.4g}" if present else "no values"
    return f"{average}, n = {len(present)} of {len(values)} [{shown}{', ...' if len(values) > 6 else ''}]"


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, set | frozenset):
        return [_strict(item) for item in sorted(value, key=repr)]
    if isinstance(value, np.generic | np.ndarray):
        return _strict(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)
