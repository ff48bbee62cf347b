"""What a session gave: the one model that every report is made of, and that hooks are given."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from crystallize.analysis.verdict import Verdict
from crystallize.identity.provenance import Machine
from crystallize.report.case_names import CaseNames
from crystallize.report.failures import Failure
from crystallize.report.unit_results import UnitResults
from crystallize.report.wording import duration, failed_anyway, fails_anyway, mark_of, p_of
from crystallize.storage.versioned import FileFormat
from crystallize.text.formatting import counted, short_commit

REPORT: Final = FileFormat(
    name="crystallize-report-1",
    noun="report",
    writer="--crystallize-report=report.json",
    again="write the report again",
    largest=4 << 30,
    key="schema",
)
_OPEN = ("refuted", "inconclusive", "miscalibrated", "invalid", "error", "skipped", "not run")
_BROKEN = ("failed", "error", "not run")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one test: a hypothesis under one treatment, or the runs of an experiment without one.

    Attributes
    ----------
    test : str
        Node id.
    hypothesis, treatment : str
        What it is about; empty where an experiment has no hypotheses.
    outcome : str
        ``"passed"``, ``"failed"``, ``"xfailed"``, ``"xpassed"``, ``"skipped"``, ``"error"`` (around the
        test), or ``"not run"``.
    command : str
        What repeats it, in the directory in which pytest was started.
    message : str
        What is to be said that the verdict does not say: why it was skipped, which error there was.
    expected : str
        Why a failure was expected.
    verdict : Verdict or None
        The verdict, if one was given.
    calibration : mapping or None
        What A/A tests found: the fields of `Calibration`, and ``rate``.
    planned : mapping or None
        How many replicates a claim needs: the fields of `ClaimPlan`.
    reference : mapping or None
        What stands for the baseline, if a hypothesis is against a reference: ``name``, ``recorded`` (a
        date), ``commit``, ``dirty``, ``machine``, ``replicates``, ``root_seed``, ``seeds``, and ``samples``
        by metric.
    """

    test: str
    hypothesis: str
    treatment: str
    outcome: str
    command: str
    message: str = ""
    expected: str = ""
    verdict: Verdict | None = None
    calibration: Mapping[str, Any] | None = None
    planned: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None

    @property
    def status(self) -> str:
        """Status of the verdict or the calibration; without one, the outcome."""
        if self.verdict is not None:
            return self.verdict.status
        if self.planned is not None:
            return "planned"
        return self.outcome if self.calibration is None else str(self.calibration["status"])

    @property
    def word(self) -> str:
        """The status in capitals, with what qualifies it."""
        degenerate = "*" if self.verdict is not None and self.verdict.degenerate else ""
        return self.status.upper() + degenerate + self.mark

    @property
    def mark(self) -> str:
        """Text behind the status that qualifies it; see `mark_of`."""
        return "" if self.status == self.outcome else mark_of(self.status, self.outcome)

    @property
    def fails_anyway(self) -> bool:
        """Whether the test failed in spite of a status that passes."""
        return fails_anyway(self.status, self.outcome)

    @property
    def reason(self) -> str:
        """Reason why it is not supported, or has no verdict."""
        given = self.verdict.reason if self.verdict is not None else (self.calibration or {}).get("reason")
        return self.message or str(given or "")

    @property
    def p_value(self) -> float | None:
        """The p-value that decides; see `Verdict.deciding_p`."""
        return None if self.verdict is None else self.verdict.deciding_p

    @property
    def shown_p(self) -> str:
        """The p-value that decides as text, or a dash."""
        return "-" if self.verdict is None else p_of(vars(self.verdict))


@dataclass(frozen=True, slots=True)
class Used:
    """The runs that the tests of an experiment rest on, and where they came from.

    Attributes
    ----------
    conditions : tuple of str
        Those that a test is about, in the order of the experiment.
    run : int
        How many replicates were run until the verdicts were given.
    seconds : float
        Compute time.
    cached, verified : int
        How many runs earlier sessions had stored, and how many of these were run again and gave the same.
    cached_steps : mapping of str to int
        Step -> runs in which an earlier call stood for it.
    why_run : str or None
        Why all runs are made in every session.
    changes : str
        Why nothing that is stored could be used.
    measured_on : tuple of str
        Dates on which stored values were measured that claims are about.
    means : mapping of str to mapping
        Condition -> metric -> mean, of an experiment without hypotheses.
    runs : int
        How many condition runs the verdicts rest on.
    """

    conditions: tuple[str, ...] = ()
    run: int = 0
    seconds: float = 0.0
    cached: int = 0
    verified: int = 0
    cached_steps: Mapping[str, int] = field(default_factory=dict)
    why_run: str | None = None
    changes: str = ""
    measured_on: tuple[str, ...] = ()
    means: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    runs: int = 0


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """Results of one experiment.

    Attributes
    ----------
    id, name, where : str
        Unique id, name with parameters, and ``file:line``.
    seed : int
        Root seed.
    seed_drawn : bool
        Whether it was drawn at random.
    planned, run : int
        Replicates that were planned, and how many were run: fewer, if it was stopped early or interrupted.
    conditions, off : tuple of str
        All conditions, the baseline first; and the treatments that are switched off.
    condition_runs, cached : int
        How many condition runs there are, and how many of them came from the cache.
    seconds : mapping of str to float
        Compute time by condition.
    digests : mapping of str to str
        Digest of the metrics that are not measured, by condition.
    seeds : tuple of int or None
        Of each replicate; None where there is no record of it.
    samples : mapping
        Metric -> condition -> one value per replicate; None where there is none. Several numbers in one
        replicate are averaged.
    measured : tuple of str
        Metrics that no seed repeats.
    tests : tuple of Outcome
        In order of collection.
    failures : tuple of Failure
        Failed condition runs, by kind.
    notes : tuple of str
        What else is worth knowing.
    node : str
        Node id of its function, as it can be given to pytest.
    used : Used or None
        The runs that its verdicts rest on; None if none of its tests was judged.
    cases : CaseNames or None
        The cases that its replicates are samples of, if they are.
    units : tuple of UnitResults
        What each case gave, in the order of the data set.
    inputs : mapping of str to str
        Declared input -> digest of its content.
    """

    id: str
    name: str
    where: str
    seed: int
    seed_drawn: bool
    planned: int
    run: int
    conditions: tuple[str, ...]
    off: tuple[str, ...]
    condition_runs: int
    cached: int
    seconds: Mapping[str, float]
    digests: Mapping[str, str]
    seeds: tuple[int | None, ...]
    samples: Mapping[str, Mapping[str, Sequence[Any]]]
    measured: tuple[str, ...]
    tests: tuple[Outcome, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    node: str = ""
    used: Used | None = None
    cases: CaseNames | None = None
    units: tuple[UnitResults, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return every field but those that only sort out or repeat what others say."""
        known = asdict(replace(self, digests={}, samples={}, used=None))
        known["digests"] = dict(self.digests)
        known["samples"] = {metric: dict(arms) for metric, arms in self.samples.items()}
        for failure in known["failures"]:
            del failure["sections"]
        return {name: value for name, value in known.items() if name not in ("node", "used", "cases")}

    def by_hypothesis(self) -> dict[str, list[tuple[int, Outcome]]]:
        """Return by hypothesis its tests, each with its position, in the order of conditions.

        Tests of pairs and slices, which are about several conditions, come last.
        """
        groups: dict[str, list[tuple[int, Outcome]]] = {}
        for place, test in enumerate(self.tests):
            groups.setdefault(test.hypothesis, []).append((place, test))
        order = {name: place for place, name in enumerate(self.conditions)}
        for group in groups.values():
            group.sort(key=lambda entry: order.get(entry[1].treatment, len(order)))
        return groups

    @property
    def extent(self) -> str:
        """Extent of the runs in words: replicates, conditions, seed, compute time, what was cached."""
        many = f"{self.often} of {counted(len(self.seconds), 'condition')}"
        cached = f", {self.cached} of {self.condition_runs} runs from cache" if self.cached else ""
        return f"{many}, seed {self.seed}, {duration(math.fsum(self.seconds.values()))}{cached}"

    @property
    def often(self) -> str:
        """Number of replicates, or of samples of cases, of each condition, in words."""
        if self.cases is not None:
            whole, run = self.cases.extent(self.planned), self.run // self.cases.samples
        else:
            whole, run = counted(self.planned, "replicate"), self.run
        return f"{run} of {whole}" if self.run < self.planned else whole


@dataclass(frozen=True, slots=True)
class SessionResults:
    """Results of a session.

    Attributes
    ----------
    started : str
        Date and time, ISO 8601, UTC.
    seconds : float
        Wall time.
    exit_status : int or None
        Of pytest; None of a run without pytest.
    arguments : tuple of str
        Command line.
    commit : str or None
        Git commit that was checked out.
    versions : mapping of str to str
        Of Python and packages.
    experiments : tuple of ExperimentResults
        In order of collection.
    notes : tuple of str
        What the summary of the session says of no experiment in particular.
    dirty : bool or None
        Whether the code differed from that commit; None if nobody can tell.
    machine : Machine or None
        Where it was run; None if on several.
    """

    started: str
    seconds: float
    exit_status: int | None
    arguments: tuple[str, ...]
    commit: str | None
    versions: Mapping[str, str]
    experiments: tuple[ExperimentResults, ...] = ()
    notes: tuple[str, ...] = ()
    dirty: bool | None = None
    machine: Machine | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return every field, and the name of the schema first."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["machine"] = None if self.machine is None else asdict(self.machine)
        plain["experiments"] = [each.to_dict() for each in self.experiments]
        return {"schema": REPORT.name, **plain}

    @property
    def provenance(self) -> str:
        """When it was, how long it took, and with which code."""
        commit = [] if self.commit is None else [f"commit {short_commit(self.commit)}"]
        versions = (f"{name} {version}" for name, version in self.versions.items())
        return ", ".join([self.started, duration(self.seconds), *commit, *versions])

    def headline(self) -> tuple[str, str]:
        """Return how many hypotheses passed, and what became of the others."""
        outcomes = [outcome for each in self.experiments for outcome in each.tests]
        counts = Counter(outcome.status for outcome in outcomes if outcome.hypothesis)
        expected = Counter(outcome.status for outcome in outcomes if outcome.outcome == "xfailed")
        parts = [
            f"{counts[status]} {status}" + (f" ({expected[status]} expected)" if expected[status] else "")
            for status in _OPEN
            if counts[status]
        ]
        if broken := sum(not each.hypothesis and each.outcome in _BROKEN for each in outcomes):
            parts.append(f"{counted(broken, 'experiment')} without hypotheses failed")
        if anyway := sum(each.fails_anyway for each in outcomes):
            parts.append(failed_anyway(anyway))
        if self.exit_status and not any(each.outcome in _BROKEN for each in outcomes):
            parts.append(f"but the session ended with exit status {self.exit_status}")
        rest = ", ".join(parts)
        total = sum(counts.values())
        if not total:
            return "No hypotheses tested", rest
        if counts["planned"]:
            return f"{counts['planned']} of {counted(total, 'claim')} planned", rest
        good = "calibrated" if counts["calibrated"] + counts["miscalibrated"] else "supported"
        head = f"{counts[good]} of {total} {'hypothesis' if total == 1 else 'hypotheses'} {good}"
        unharmed = counts["no harm shown"]
        return head + (f", {unharmed} with no harm shown" if unharmed else ""), rest
