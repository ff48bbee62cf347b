"""The items: one per hypothesis and treatment, and the silent ones that only run replicates."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from crystallize import ConditionRuns, Verdict
from crystallize.errors import EngineError, NotPicklableError
from crystallize.seam import (
    PROPERTY,
    ConditionMetrics,
    Sample,
    Unit,
    check_failure,
    claimed_metrics,
    counted,
    failure,
    printable,
    printable_lines,
    score,
    unrecordable,
)
from pytest_crystallize.boundary import UNJUDGED
from pytest_crystallize.collect.hooked import OF_VERDICTS, GivenByHooks
from pytest_crystallize.isolation.late_errors import is_late
from pytest_crystallize.naming.tracebacks import is_users
from pytest_crystallize.pytest_seam import (
    ExceptionChainRepr,
    ReprEntry,
    ReprFileLocation,
    ReprTraceback,
    RunAgain,
    ShowsTraceback,
    evaluate_skip_marks,
    evaluate_xfail_marks,
    share_fixtures,
    skip_of_item,
)
from pytest_crystallize.records.exchange import STOPPED, unlike
from pytest_crystallize.report.explained import explain, run_line
from pytest_crystallize.report.judged import CacheUse, Judged, plain

if TYPE_CHECKING:
    from crystallize import Hypothesis
    from pytest_crystallize.units.experiment_runs import ExperimentRuns

PREFETCH_SECONDS = 0.25


class NotSupported(AssertionError):
    """Failure of an item whose hypothesis was not supported."""


class Unjudged:
    """A node whose outcome is no verdict: no mark ``xfail`` expects it, wherever it stands.

    Mixed in before a class of pytest's. What is not to be run, a mark that says so keeps from it, too.
    """

    def iter_markers_with_node(self, name: str | None = None) -> Iterator[tuple[Any, pytest.Mark]]:
        """Yield the other marks, each with the node that bears it."""
        for node, mark in super().iter_markers_with_node(name):  # type: ignore[misc]
            if mark.name != "xfail" or mark.kwargs.get("run") is False:
                yield node, mark


class ExperimentItem(RunAgain, ShowsTraceback, GivenByHooks):
    """Base of items; it has what conftests, and pytest's own reordering by parametrised fixtures, look at.

    Attributes
    ----------
    funcargs : dict
        Values of the fixtures of the latest condition run that was made here; empty outside of the test.
    fixturenames : list of str
        Names of all fixtures of the function; while the test is run, of those that have a value.
    """

    def __init__(self, *, runs: ExperimentRuns, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.runs = runs
        function = runs.function
        self.obj = self.function = function.obj
        self.originalname = self.name.partition("[")[0]
        self.funcargs: dict[str, Any] = {}
        self._fixturenames = list(function.fixturenames)
        self._is_set_up = False
        self.module, self.cls = function.module, function.cls
        share_fixtures(self, function)
        if hasattr(function, "callspec"):
            self.callspec = function.callspec

    def setup(self) -> None:
        """Name only fixtures that have a value from now on: each condition run sets up its own."""
        self._is_set_up = True

    def let_go(self) -> None:
        """Let go of what the latest condition run was made with, as pytest does behind a test."""
        self.funcargs = {}
        self._is_set_up = False
        self.runs.let_go()

    @property
    def instance(self) -> Any:
        """Instance of its class in the latest condition run that was made here; None outside of classes."""
        return self.runs.instance

    @property
    def fixturenames(self) -> list[str]:
        """Names that `funcargs` has, or will have."""
        if not self._is_set_up:
            return self._fixturenames
        return [name for name in self._fixturenames if name in self.funcargs]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Explain what is not supported; of other exceptions show the user's part of the traceback."""
        tbstyle = self.config.getoption("tbstyle", "auto")
        if not isinstance(excinfo.value, NotSupported):
            return super().repr_failure(excinfo, "long" if tbstyle == "auto" else tbstyle)
        path, line, _ = self.reportinfo()
        message = str(excinfo.value)
        first, *rest = message.split("\n")
        entry = lines_entry([first] if tbstyle == "line" else [first, *rest])
        _, _, reason = first.partition(": ")  # the word stands before it in the summary
        location = ReprFileLocation(str(path), (line or 0) + 1, reason or message)
        return ExceptionChainRepr([(ReprTraceback([entry], None, "native"), location, None)])

    def shown_traceback(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        """Show the user's part; of pytest's warnings of errors elsewhere, which have none, the last line."""
        entries = excinfo.traceback
        users = [entry for entry in entries if is_users(entry.path)]
        others = entries[-1:] if is_late(excinfo.value) else entries
        return type(entries)(users or others).filter(excinfo)


class HypothesisItem(ExperimentItem):
    """A hypothesis under one treatment; or, of an experiment without hypotheses, its runs.

    Attributes
    ----------
    label : str
        What reports call the hypothesis: its name, or the id that `pytest.param` gives it.
    judged : Judged or None
        What became of it; None before anything did.
    carried : str or None
        The same as text, which its report carries: made while the test runs, since values of others' types
        may raise.
    evidence_missing : bool
        Whether there is no verdict with complete evidence (yet).
    """

    judged: Judged | None = None
    carried: str | None = None

    def __init__(
        self,
        *,
        runs: ExperimentRuns,
        hypothesis: Hypothesis | None,
        label: str,
        treatment: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(runs=runs, **kwargs)
        self.hypothesis = hypothesis
        self.label = label
        self.treatment = treatment
        off = runs.settings.options.off.of(runs.id)
        if treatment is None or hypothesis is None:
            self.conditions = tuple(name for name in runs.conditions if name not in off)
        else:
            compared = runs.analysis_plan.rests_on(hypothesis, treatment)
            self.conditions = tuple(name for name in compared if name in runs.conditions)
        if (named := next((name for name in self.conditions if name in off), None)) is not None:
            shown = shlex.quote(named)
            reason = f"treatment {named!r} is switched off; --crystallize-enable={shown} switches it on"
            self.add_marker(pytest.mark.skip(reason=reason))
        self.evidence_missing = True
        self._properties: list[tuple[Any, Any]] = []

    def setup(self) -> None:
        """Begin anew: plugins that repeat a test set up the same item several times."""
        super().setup()
        self.judged = self.carried = None
        self.evidence_missing = True
        self.user_properties[:] = [entry for entry in self.user_properties if entry not in self._properties]

    def teardown(self) -> None:
        """Have the experiment let go of what nobody needs behind its last test."""
        self.runs.leave()

    def will_run(self) -> bool:
        """Return whether the marks let it run."""
        try:
            if evaluate_skip_marks(self) is not None:
                return False
            expected = evaluate_xfail_marks(self)
        except BaseException as error:  # a mark that is wrong is told when the item is set up
            check_failure(error)
            return True
        return expected is None or expected.run or self.config.option.runxfail

    def runtest(self) -> None:
        """Pull the replicates, decide, and raise `NotSupported` unless the hypothesis is supported."""
        repro: Unit | None = self.runs.settings.repro
        if repro is not None:
            self._repeat(repro)
        try:
            self._judge()
        except UNJUDGED as error:
            if getattr(error, "is_ours", False):
                raise
            self.evidence_missing = True  # pytest would take it for no failure of this test
            raise NotSupported(f"INVALID: judging it raised {failure(error)}") from error

    def _judge(self) -> None:
        try:
            self.runs.pull(self)
        except (EngineError, NotPicklableError) as fault:
            raise NotSupported(f"INVALID: {fault}") from fault
        found = unlike(self.runs.settings.exchange, self.runs.id)
        if found is not None and self.runs.settings.options.repeatable == "error":
            raise NotSupported(f"INVALID: {found}")
        arms = self.runs.runs(self.conditions)
        self.judged = self._judged_of(arms)
        try:
            kinds = [record for arm in arms.values() for record, _ in arm.records.kinds()]
            if kinds and all(record.skipped is not None for record in kinds):
                raise _skipped(kinds[0].skipped or "skipped")
            self.decide(arms)
        finally:
            if self.carried is None:  # no verdict was given
                self.carry(self.judged)

    def decide(self, arms: dict[str, ConditionRuns]) -> None:
        """Give the verdict on complete runs, and raise `NotSupported` unless it is that they support."""
        assert self.judged is not None
        if self.hypothesis is not None and (saved := self.runs.settings.options.save) is not None:
            self._check_evidence(self.hypothesis, arms)
            raise _skipped(f"run to be recorded as reference {saved!r}, so nothing is judged")
        if (shard := self.runs.settings.options.shard) is not None:
            raise _skipped(f"not judged here: shard {shard} of the replicates; crystallize merge judges all")
        verdict = self._verdict(arms)
        self.evidence_missing = verdict.status == "invalid"
        named = verdict if verdict.hypothesis == self.label else replace(verdict, hypothesis=self.label)
        self.carry(replace(self.judged, verdict=named, reference=self._reference()))
        self._add_properties(verdict, arms)
        if not verdict.passed:
            drawn = self.runs.root_seed if self.runs.seed_drawn else None
            baseline, treatment = self._compared()
            refuse(explain(verdict, drawn), baseline=baseline, treatment=treatment, verdict=verdict)

    def _compared(self) -> tuple[Sample, Sample]:
        """Return the values that were compared, by metric; they are read where somebody looks at them."""
        if self.hypothesis is None:
            return {}, {}
        baseline, treatment = self.runs.analysis.compared(self.hypothesis, self.treatment or "")
        return ConditionMetrics(baseline), ConditionMetrics(treatment)

    def carry(self, judged: Judged) -> None:
        """Have the report carry what became of the test."""
        self.judged, self.carried = judged, judged.to_json()

    def _reference(self) -> dict[str, Any] | None:
        """Return what stands for the baseline, if the hypothesis is against a reference."""
        if self.hypothesis is None or self.hypothesis.reference is None:
            return None
        return self.runs.references.shown(self.hypothesis, self.treatment or "")

    def _check_evidence(self, hypothesis: Hypothesis, arms: dict[str, ConditionRuns]) -> None:
        """Raise `NotSupported` if what is to be recorded lacks what a hypothesis is about."""
        claimed = claimed_metrics([hypothesis])
        for arm in arms.values():
            if (fault := arm.missing_evidence() or unrecordable(arm, claimed)) is not None:
                raise NotSupported(f"INVALID: {fault}")

    def _verdict(self, arms: dict[str, ConditionRuns]) -> Verdict:
        if self.hypothesis is not None:
            verdict = self.runs.analysis.verdict(self.hypothesis, self.treatment or "")
            if not self.hypothesis.has_ranker:
                return verdict
            return replace(verdict, rank=score(self.hypothesis, verdict))
        reasons = [reason for arm in arms.values() if (reason := arm.missing_evidence())]
        lacking = len({replicate for arm in arms.values() for replicate in arm.lacking})
        n = self.runs.replicates - lacking
        return Verdict(
            "",
            "",
            "",
            "invalid" if reasons else "supported",
            reasons[0] if reasons else "",
            n=n,
            lacking=lacking,
        )

    def _repeat(self, unit: Unit) -> None:
        """Run one unit by itself and let its exception through."""
        if self.runs.settings.repro_fault is not None:
            pytest.fail(self.runs.settings.repro_fault, pytrace=False)
        if unit.condition not in self.conditions:
            raise _skipped(f"{unit.condition!r} is no condition of this test")
        if unit.replicate >= self.runs.replicates:
            raise _skipped(f"there is no replicate {unit.replicate}: {self.runs.replicates} are declared")
        with self.runs.settings.output.of_units(self.runs.id):
            record = self.runs.run_alone(unit, self)
        self.runs.settings.note(f"{self.runs.name}: {run_line(record)}")
        raise _skipped(f"no verdict: 1 of {counted(self.runs.replicates, 'replicate')}")

    def _judged_of(self, arms: dict[str, ConditionRuns]) -> Judged:
        """Return what is known before there is a verdict."""
        cache = self.runs.cache
        return Judged(
            self.runs.id,
            tuple(arms),
            self.runs.size,
            unread=tuple(self.runs.unread(arms)),
            cache=CacheUse() if cache is None else cache.told(arms),
            enough=self.runs.enough,
        )

    def _add_properties(self, verdict: Verdict, arms: dict[str, ConditionRuns]) -> None:
        kinds = [kind for arm in arms.values() for kind in arm.records.kinds()]
        values = {
            "verdict": verdict.status if self.hypothesis is not None else None,
            "p_value": verdict.p_value,
            "adjusted_p": verdict.adjusted_p,
            "opposite_p": verdict.opposite_p,
            "test": verdict.test if self.hypothesis is not None else None,
            "n": verdict.n,
            "baseline_mean": verdict.baseline_mean,
            "treatment_mean": verdict.treatment_mean,
            "difference": verdict.difference,
            "estimand": verdict.estimand or None,
            "interval_low": verdict.interval and verdict.interval[0],
            "interval_high": verdict.interval and verdict.interval[1],
            "detectable": verdict.detectable,
            "margin": verdict.margin,
            "at_least": verdict.at_least,
            "detects": verdict.detects,
            "seed": self.runs.root_seed,
            "compute_seconds": round(sum(arm.records.seconds(cached=False) for arm in arms.values()), 6),
            "cached_runs": sum(times for record, times in kinds if record.cached) or None,
        }
        recorded = (section for record, _ in kinds for section in record.sections)
        values |= {
            title.removeprefix(PROPERTY): text for title, text in recorded if title.startswith(PROPERTY)
        }
        self.add_properties(values)

    def add_properties(self, values: Mapping[str, Any]) -> None:
        """Have the JUnit report show those values that there are, if it is to."""
        if self.runs.settings.options.junit_properties:
            given = {key: value for key, value in values.items() if value is not None}
            self._properties = [(printable(str(key)), _as_property(value)) for key, value in given.items()]
            self.user_properties.extend(self._properties)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where the experiment is defined, and the heading of this test."""
        path, line = self.runs.location
        parent = self.parent
        # pytest prints a dot as "::" where the heading is the end of the node id; nobody could paste that.
        separator = ": " if "." in self.name else "::"
        return path, line, f"{parent.name if parent else ''}{separator}{self.name}"


def refuse(message: str, *, baseline: Sample, treatment: Sample, verdict: Verdict) -> NoReturn:
    """Raise `NotSupported` where ``--pdb`` stops: what was compared, and the verdict, are arguments here."""
    raise NotSupported(message)


def lines_entry(lines: Sequence[str]) -> ReprEntry:
    """Return lines as a part of what a report says of a failure.

    They are written one by one, so that they stay lines where a terminal's encoding makes pytest escape them.
    """
    return ReprEntry(lines, None, None, None, "value")


def _skipped(reason: str) -> BaseException:
    """Return a skip that was decided here, and reports the place of the item."""
    skip = skip_of_item(reason)
    skip.is_ours = True  # type: ignore[attr-defined]
    return skip


def _as_property(value: Any) -> Any:
    """Return a value as XML, and whoever prints it, can take it."""
    value = plain(value)
    return printable_lines(value) if isinstance(value, str) else value


class PrefetchItem(Unjudged, ExperimentItem):
    """A token on a worker: in its call phase unclaimed replicates are run. It reports only failures.

    Parameters
    ----------
    share : int, optional
        How many replicates to run at least, and for how long; all, if left out, unless the session is
        stopped.
    """

    def __init__(self, *, runs: ExperimentRuns, share: int | None, **kwargs: Any) -> None:
        super().__init__(runs=runs, **kwargs)
        self.share = share
        given = self.callspec.marks if hasattr(self, "callspec") else ()
        self.own_markers.extend(mark for mark in given if mark.name not in OF_VERDICTS)

    @property
    def experiment(self) -> tuple[str, str]:
        """Node id and name of the experiment, of which its reports speak: nobody knows the token's."""
        assert self.parent is not None
        return self.parent.nodeid, printable(self.runs.name)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to run: all replicates are claimed."""
        return (
            self.runs.settings.exchange.is_claimed(self.runs.id, self.runs.size) and not self.runs.looks_again
        )

    @property
    def is_stopped(self) -> bool:
        """Whether the session ends behind the tests that are under way."""
        return bool(self.session.shouldfail) or self.runs.settings.exchange.agreed(STOPPED) is not None

    def runtest(self) -> None:
        """Run unclaimed replicates."""
        share, started = self.share, time.perf_counter()
        if share is None and (self.is_idle or self.is_stopped):
            return

        def enough(done: int) -> bool:
            if share is None:
                return self.is_stopped
            return done >= share and time.perf_counter() - started > PREFETCH_SECONDS

        try:
            self.runs.pull(self, enough=enough)
        except EngineError as fault:  # told in words, as by the tests
            raise NotSupported(f"INVALID: {fault}") from fault

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where the experiment is defined."""
        path, line = self.runs.location
        return path, line, self.name
