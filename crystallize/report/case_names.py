"""Which case each replicate is of, as far as reports and references say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystallize.analysis.case_runs import CaseRuns
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.declare.case_design import CaseStream
from crystallize.text.formatting import counted


def announced_cases(stream: CaseStream | None) -> dict[str, Any] | None:
    """Return what the controlling process is told of the cases of an experiment; plain data."""
    if stream is None:
        return None
    ids = range(0, len(stream.order) * stream.samples, stream.samples)
    return {
        "named": [stream.named(i) for i in ids],
        "samples": stream.samples,
        "rows": list(stream.design.cases.ids),
        "slices": {name: sorted(part) for name, part in stream.design.by_slice.items()},
    }


@dataclass(frozen=True)
class CaseNames:
    """The cases of an experiment, in the order in which they are run.

    Attributes
    ----------
    cases : sequence of (str, str)
        Id and digest of each.
    samples : int
        How many replicates there are of each.
    rows : sequence of str
        Their ids, in the order of the data set.
    slices : mapping of str to sequence of str
        Slice -> ids of its cases.
    """

    cases: Sequence[tuple[str, str]]
    samples: int
    rows: Sequence[str]
    slices: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, stream: CaseStream | None) -> CaseNames | None:
        """Return the cases of a stream; None where there is none."""
        return cls.announced(announced_cases(stream))

    @classmethod
    def announced(cls, told: Mapping[str, Any] | None) -> CaseNames | None:
        """Return what `announced_cases` told; None where there are no cases."""
        if told is None:
            return None
        return cls(
            [(name, digest) for name, digest in told["named"]], told["samples"], told["rows"], told["slices"]
        )

    def named(self, replicate: int) -> tuple[str, str]:
        """Return id and digest of the case of a replicate."""
        return self.cases[replicate // self.samples % len(self.cases)]

    def label(self, replicate: int) -> str:
        """Return what reports call a replicate."""
        sample = f", sample {replicate % self.samples}" if self.samples > 1 else ""
        return f"case {self.named(replicate)[0]!r}{sample}"

    def extent(self, replicates: int) -> str:
        """Return how many cases, and samples of each, so many replicates are, in words."""
        many = counted(replicates // self.samples, "case")
        return many if self.samples == 1 else f"{many} x {self.samples} samples"

    def by_case(self, runs: ConditionRuns) -> CaseRuns:
        """Return the runs of a condition by case."""
        size, samples = len(runs.records), self.samples
        padded = (*runs.records, *(None,) * (-size % samples))
        rows = [padded[i : i + samples] for i in range(0, size, samples)]
        return CaseRuns(runs.condition, [self.named(i)[0] for i in range(0, size, samples)], rows)
