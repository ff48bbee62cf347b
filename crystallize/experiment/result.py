"""What an experiment gave: metrics, verdicts, errors and provenance."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.digest import digest
from crystallize.declare.case_design import CaseStream
from crystallize.experiment.result_metrics import ExperimentMetrics, HypothesisResult, listed
from crystallize.experiment.result_parts import ResultParts
from crystallize.experiment.result_text import result_lines
from crystallize.experiment.run_failure import RunFailure
from crystallize.experiment.run_records import RunRecords, provenance_of
from crystallize.experiment.tidy import frame, tidy_rows, verdict_frame
from crystallize.experiment.tree import encodable, tree_lines
from crystallize.identity.provenance import machine, versions
from crystallize.report.case_names import CaseNames
from crystallize.text.formatting import counted
from crystallize.text.strict_json import strict_json

FIRST_VERSION: Final = "v0"
_OF_AN_ERROR: Final = ("condition", "replicate", "step", "message", "traceback")


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

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     return data, {"score": boost + ctx.rng.normal()}
    >>> better = Hypothesis(metric="score", direction="increase")
    >>> boosted = {"boosted": {"boost": 3.0}}
    >>> result = Experiment(0, [score], treatments=boosted, hypotheses=[better], replicates=10).run()
    >>> len(result.metrics.baseline["score"]), result.errors
    (10, ())
    >>> result.get_hypothesis("score_increase").results["boosted"]["verdict"]
    'supported'
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
        started: str = "",
    ) -> None:
        self.name = name
        self.replicates = max(len(known.records) for known in conditions.values())
        self.root_seed = root_seed
        self.version_dir: Path | None = None
        self._conditions = conditions
        self._steps = steps
        self._git_commit = git_commit
        self.planned_replicates = self.replicates if planned is None else planned
        self.started = started or datetime.now(UTC).isoformat(timespec="seconds")
        self._inputs = dict(inputs or {})
        self._elsewhere = elsewhere
        self._cases = CaseNames.of(cases)
        self._read: ResultParts | None = None
        self.hypotheses = tuple(hypotheses)
        self.metrics = ExperimentMetrics(conditions, self.hypotheses, self._version)
        whole = (
            each for runs in conditions.values() if runs.lacking for each in runs.records.whole().items()
        )
        failed = [(place, r, r.error) for place, r in whole if r.error is not None]
        self.errors = tuple(
            RunFailure.of(record, error, "" if cases is None else cases.label(record.replicate))
            for _, record, error in sorted(failed, key=itemgetter(0))
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
            "runs": list(map(provenance_of, self.records)),
            "versions": versions() if self._read is None else dict(self._read.versions),
            "git_commit": self._git_commit,
        }

    def _parts(self) -> ResultParts:
        read = self._read
        here = None if self._elsewhere else machine()
        return ResultParts(
            name=self.name,
            started=self.started,
            root_seed=self.root_seed,
            planned=self.planned_replicates,
            conditions=self._conditions,
            hypotheses=self.hypotheses,
            errors=self.errors,
            steps=self._steps,
            commit=self._git_commit,
            versions=versions() if read is None else read.versions,
            machine=here if read is None else read.machine,
            inputs=self._inputs,
            cases=self._cases,
            version_dir=None if self.version_dir is None else str(self.version_dir),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file that `load` reads; see `docs/notebooks.md` for what is kept.

        Raises
        ------
        OSError
            If the file can't be written. What was there stays there.
        """
        from crystallize.experiment.result_file import write_result  # not needed to run

        write_result(Path(path), self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Result:
        """Return the result that `save` wrote: the same values, bit for bit, and the verdicts given then.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ResultFileError
            If the file holds no saved result, or was changed or damaged since.
        """
        from crystallize.experiment.result_file import read_result  # not needed to run

        read = read_result(Path(path))
        result = cls(
            read.name,
            read.conditions,
            read.hypotheses,
            root_seed=read.root_seed,
            steps=read.steps,
            git_commit=read.commit,
            planned=read.planned,
            inputs=read.inputs,
            elsewhere=read.machine is None,
            started=read.started,
        )
        result.errors, result._cases, result._read = read.errors, read.cases, read
        result.version_dir = None if read.version_dir is None else Path(read.version_dir)
        return result

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a report; the suffix says which: ``.html`` for readers, ``.md`` for GitHub.

        Raises
        ------
        DefinitionError
            If the suffix is another one.
        OSError
            If the file can't be written.
        """
        from crystallize.experiment.result_report import write_report  # not needed to run

        write_report(Path(path), self._parts())

    def _repr_html_(self) -> str:
        from crystallize.experiment.result_report import section  # not needed to run

        return section(self._parts())

    def save_reference(self, path: str | os.PathLike[str], *, append: bool = False) -> list[str]:
        """Write what was measured to a file that later runs can be compared with; see `Reference`.

        Parameters
        ----------
        path : path
            The file, whose suffix is ``.json``.
        append : bool
            Leave it as it is, and add a file to the directory beside it of the same name without suffix: a
            history, of which `Reference` takes the latest recording, the mean of some, or one for good.

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
        # Not needed to run.
        from crystallize.experiment.result_reference import origin_now, origin_then, write_recording

        parts = self._parts()
        origin = origin_now(parts) if self._read is None else origin_then(parts)
        return write_recording(Path(path), parts, origin, append=append)

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
            "errors": [{name: getattr(each, name) for name in _OF_AN_ERROR} for each in self.errors],
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

    @property
    def verdicts(self) -> Any:
        """Every verdict as a row of a pandas DataFrame; needs the extra ``pandas``.

        The columns are the fields of `Verdict`, without those that hold several values. The two ends of the
        interval are ``low`` and ``high``, the p-value that decides is ``deciding_p``.
        """
        known = (verdict for each in self.hypotheses for verdict in each.verdicts.values())
        return verdict_frame(known)

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
        title = f"{self.name}: {counted(self.replicates, 'replicate')}, seed {self.root_seed}"
        for line in tree_lines(title, self.records, levels):
            print(encodable(line, sys.stdout.encoding))

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON; nan and infinities become the strings "nan", "inf" and "-inf"."""
        return json.dumps(strict_json(self.to_dict()), indent=indent, allow_nan=False)

    def __str__(self) -> str:
        return "\n".join(result_lines(self._parts(), self.metrics))

    def __repr__(self) -> str:
        runs, errors = counted(self.replicates, "replicate"), counted(len(self.errors), "error")
        return f"<Result of {self.name!r}: {runs}, {errors}>"
