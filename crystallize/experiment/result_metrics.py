"""What a result shows of an experiment: samples by condition, and what became of its hypotheses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar

from crystallize.analysis.columns import mean
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.ranking import rank
from crystallize.analysis.recordable import Claimed, claimed_metrics
from crystallize.analysis.verdict import Verdict
from crystallize.claims.hypothesis import Hypothesis
from crystallize.declare.treatment import BASELINE

T = TypeVar("T")

_VERDICT: Final = "verdict on"
_VERSION_SUFFIX: Final = re.compile(r" \((v\d+)\)\Z")


class ByName(dict[str, T]):
    """Values by name, which say of a name that they lack what there is.

    Parameters
    ----------
    values : mapping
        The values.
    what, where : str
        What has a name, and where, for messages.
    """

    def __init__(self, values: Mapping[str, T], what: str, where: str = "") -> None:
        super().__init__(values)
        self._what, self._where = what, where

    def __missing__(self, name: str) -> T:
        raise KeyError(f"no {self._what} {name!r}{self._where}; there is {listed(self)}")


class ConditionMetrics(Mapping[str, list[Any]]):
    """Samples of one condition: metric -> one value per replicate.

    Position i belongs to replicate i; nan stands where a replicate gave no value.
    """

    def __init__(self, runs: ConditionRuns) -> None:
        self.runs = runs
        self._samples: dict[str, list[Any]] = {}

    @property
    def metrics(self) -> dict[str, list[Any]]:
        """Metric -> one value per replicate; copies, so that changing them changes no verdict."""
        return ByName(self, "metric", f" in {self.runs.condition!r}")

    def __getitem__(self, metric: str) -> list[Any]:
        if metric not in self._samples:
            if metric not in self.runs.names:
                raise KeyError(
                    f"no metric {metric!r} in {self.runs.condition!r}; it has {listed(self.runs.names)}"
                )
            self._samples |= self.runs.sample([metric])
        return self._samples[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.runs.names)

    def __len__(self) -> int:
        return len(self.runs.names)

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
            raise KeyError(f"no treatment {name!r}; there is {listed(self._conditions)}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._conditions)

    def __len__(self) -> int:
        return len(self._conditions)

    def __repr__(self) -> str:
        return repr(self._conditions)


class HypothesisResult:
    """Verdicts on one hypothesis.

    Attributes
    ----------
    name : str
        Name of the hypothesis.
    verdicts : dict of str to Verdict
        By treatment.
    hypothesis : Hypothesis or None
        The hypothesis; None of a result that was read from a file.
    claimed : list of Claimed
        The metrics that it is about.
    """

    def __init__(self, hypothesis: Hypothesis, verdicts: Mapping[str, Verdict]) -> None:
        self.hypothesis: Hypothesis | None = hypothesis
        self.name = hypothesis.name
        self.verdicts = ByName(verdicts, _VERDICT)
        self.claimed = claimed_metrics([hypothesis])

    @classmethod
    def read(
        cls,
        name: str,
        verdicts: Mapping[str, Verdict],
        *,
        claimed: Sequence[Claimed],
        ranking: Sequence[str],
    ) -> HypothesisResult:
        """Return what a file tells of one."""
        known = cls.__new__(cls)
        known.hypothesis = None
        known.name, known.verdicts, known.claimed = name, ByName(verdicts, _VERDICT), list(claimed)
        known.ranking = list(ranking)
        return known

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Treatment -> what the verifier returned, with ``accepted`` and ``verdict``."""
        summaries = {treatment: verdict.summary() for treatment, verdict in self.verdicts.items()}
        return ByName(summaries, _VERDICT)

    @cached_property
    def ranking(self) -> list[str]:
        """Treatments by the hypothesis's ranker, best (smallest) first."""
        assert self.hypothesis is not None  # else it was read
        return rank(self.hypothesis, self.verdicts)

    def __repr__(self) -> str:
        told = ", ".join(f"{about} {verdict.status}" for about, verdict in self.verdicts.items())
        return f"<HypothesisResult {self.name!r}: {told or 'no verdict'}>"


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
            f"{name}.{metric}: {sample_text(values)}"
            for name, condition in self.items()
            for metric, values in condition.items()
        )


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them."""
    return ", ".join(repr(name) for name in names) or "none"


def sample_text(values: Sequence[Any]) -> str:
    """Return the first values of a sample as text, behind their mean if they are numbers."""
    shown = ", ".join(f"{v:.4g}" if isinstance(v, float) else repr(v) for v in values[:6])
    if not all(isinstance(v, int | float) for v in values):
        return f"[{shown}{', ...' if len(values) > 6 else ''}]"
    present = [v for v in values if not math.isnan(v)]
    average = f"mean {mean(present):.4g}" if present else "no values"
    return f"{average}, n = {len(present)} of {len(values)} [{shown}{', ...' if len(values) > 6 else ''}]"
