"""``crystallize compare``: the claims of one session, judged against what another one measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import crystallize
from crystallize import (
    ConditionRuns,
    FisherExactTest,
    Hypothesis,
    LogRatioTest,
    Reference,
    StatisticalTest,
    Verdict,
    WilcoxonTest,
    WinRateTest,
)
from crystallize.errors import DefinitionError
from crystallize.seam import (
    BASELINE,
    REFERENCE,
    REPORT,
    Analysis,
    AnalysisPlan,
    Judging,
    References,
    StoredReference,
    counted,
    is_finite,
    load_reference,
    printable,
)
from pytest_crystallize.command.main import GOOD, NOT_SUPPORTED, CommandError
from pytest_crystallize.command.reading import other_than, read_data, session_results
from pytest_crystallize.command.show import width
from pytest_crystallize.records.shards import SHARD
from pytest_crystallize.report.text import table, wrapped
from pytest_crystallize.results import ExperimentResults, SessionResults

_NUMBERS: Final[dict[str, Any]] = {"kind": "numeric"}
_RATES: Final[dict[str, Any]] = {"kind": "binary"}
_UNPAIRED: Final[dict[str, Any]] = {"pairing": "none"}
_BY_NAME: Final[dict[str, dict[str, Any]]] = {
    "": {},
    "paired t": _NUMBERS,
    "Welch t": _NUMBERS | _UNPAIRED,
    "adjusted paired t": {},
    "adjusted Welch t": _UNPAIRED,
    "McNemar mid-p": _RATES,
    "Tango score": _RATES,
    "Boschloo": _RATES | _UNPAIRED,
    "Miettinen-Nurminen score": _RATES | _UNPAIRED,
    "deterministic": {"deterministic": True},
    "Fisher exact": {"statistical_test": FisherExactTest()},
    "Wilcoxon signed rank": {"statistical_test": WilcoxonTest()},
    "log paired t": {"statistical_test": LogRatioTest()},
    "log Welch t": {"statistical_test": LogRatioTest()} | _UNPAIRED,
    "win rate, paired t": {"statistical_test": WinRateTest()},
}
"""By what a test says it was, what of a claim makes it be that test."""
_CHANGES: Final = ("baseline", "reference", "revision")
"""Comparators of claims that may be about a change."""
_INSTEAD: Final = "run pytest --crystallize --crystallize-against=COMMIT, which runs both"


def compare(first: str, second: str, *, claims: Sequence[str] = ()) -> int:
    """Judge each claim of a report about a condition against the same condition of another session.

    Parameters
    ----------
    first : str
        A report, whose claims they are.
    second : str
        A report, or a reference, which speaks of one experiment.
    claims : sequence of str
        Names of hypotheses; all, where none is given.
    """
    found, data = read_data(first)
    if found != REPORT:
        raise other_than(first, found, "a report first, which holds the claims")
    today = session_results(first, data)
    known = {test.hypothesis for each in today.experiments for test in each.tests if test.hypothesis}
    if unknown := [name for name in claims if name not in known]:
        listed = ", ".join(map(repr, sorted(known))) or "none"
        raise CommandError(f"{first} has no claim {unknown[0]!r}; it has {listed}")
    then = _Then.read(second)
    statuses = Counter[str]()
    print(*wrapped(f"{first} ({today.provenance}) against {second}", width()), sep="\n")
    for each in today.experiments:
        wanted = {test.hypothesis for test in each.tests} & set(claims or known)
        if not wanted or not then.speaks_of(each):
            continue
        comparison = _Comparison(each, then)
        verdicts = [*comparison.verdicts(wanted), *comparison.gone(wanted)]
        statuses.update(verdict.status for verdict in verdicts)
        for line in _lines(each, verdicts):
            print(line)
    if not statuses:
        raise CommandError(f"{second} and {first} have no experiment in common of which something is claimed")
    for gone in then.without(today):
        print(printable(f"note: {second} has {gone}, which {first} has not"))
    total, unharmed = statuses.total(), statuses["no harm shown"]
    apart = f", {unharmed} with no harm shown," if unharmed else ""
    print(f"{statuses['supported']} of {total} supported{apart} against {printable(second)}")
    return GOOD if statuses["supported"] + unharmed == total else NOT_SUPPORTED


def _lines(each: ExperimentResults, verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield ""
    yield printable(each.id)
    yield from table([{**verdict.to_dict(), "outcome": ""} for verdict in verdicts], width())
    for verdict in verdicts:
        if not verdict.passed:
            text = f"{verdict.status.upper()} {verdict.hypothesis} [{verdict.treatment}]: {verdict.reason}"
            yield from wrapped(text, width(), indent="  ")


class _Then:
    """Samples that another session has left."""

    def __init__(self, path: str, results: SessionResults | None, reference: StoredReference | None) -> None:
        self.path = path
        self.results = results
        self.reference = reference

    @classmethod
    def read(cls, path: str) -> _Then:
        """Read a report or a reference."""
        found, data = read_data(path)
        if found == REPORT:
            return cls(path, session_results(path, data), None)
        if found != REFERENCE:
            wanted = (
                "the report that crystallize merge writes" if found == SHARD else "a report or a reference"
            )
            raise other_than(path, found, wanted)
        return cls(path, None, load_reference(Path(path)))

    def speaks_of(self, each: ExperimentResults) -> bool:
        """Return whether it is of the experiment; a reference is of one alone, a report of all there are."""
        return self.reference is None or self.reference.experiment == each.name

    def of(self, each: ExperimentResults) -> StoredReference | str:
        """Return what it holds of an experiment, or why that is nothing."""
        if self.reference is not None and each.units:
            return f"a report does not pair cases with those of a reference: {_INSTEAD}"
        if self.reference is not None:
            return self.reference
        found = self.experiment(each)
        if found is None or self.results is None:
            return f"{self.path} has no experiment {each.id}"
        return _stored(found, self.results, [unit.id for unit in each.units])

    def experiment(self, each: ExperimentResults) -> ExperimentResults | None:
        """Return the experiment of that session, if a report tells of it."""
        known = () if self.results is None else self.results.experiments
        return next((other for other in known if other.id == each.id), None)

    def without(self, today: SessionResults) -> list[str]:
        """Return the experiments of which something was claimed, and which another session has not."""
        known = () if self.results is None else self.results.experiments
        here = {each.id for each in today.experiments}
        return [e.id for e in known if e.id not in here and any(test.hypothesis for test in e.tests)]


def _stored(each: ExperimentResults, session: SessionResults, cases: Sequence[str]) -> StoredReference | str:
    """Return the samples of an experiment, or the means of its cases, as a reference of that session."""
    by_id = {unit.id: unit for unit in each.units}
    if odd := sorted(by_id.keys() ^ set(cases)):
        return f"only one of both has the case {odd[0]!r}" + (f", and {len(odd) - 1} more" if odd[1:] else "")
    if not cases and (None in each.seeds or not each.seeds):
        return f"a replicate of {each.id} was not run in the session of {session.started}"
    seeds: list[int | None] = [crc32(case.encode("utf-8", "surrogatepass")) for case in cases]
    metrics: dict[str, dict[str, Any]] = {}
    for metric, arms in samples_of(each, cases).items():
        for condition, values in arms.items():
            if _why_incomplete(values) is None:
                held = {"measured": metric in each.measured, "values": list(values)}
                metrics.setdefault(condition, {})[metric] = held
    recording = {
        "recorded": session.started,
        "commit": session.commit,
        "dirty": None,
        "machine": None,
        "versions": dict(session.versions),
        "inputs": {},
        "root_seed": each.seed,
        "seeds": seeds or list(each.seeds),
        "conditions": {name: {"metrics": metrics.get(name, {})} for name in each.seconds},
    }
    try:
        return StoredReference.from_data(
            {"format": REFERENCE.name, "experiment": each.name, "recordings": [recording]}
        )
    except ValueError as fault:
        return f"the samples of {each.id} can't be compared: {fault}"


def samples_of(each: ExperimentResults, cases: Sequence[str]) -> Mapping[str, Mapping[str, Sequence[Any]]]:
    """Return metric -> condition -> a value per replicate, or the mean of each case in a given order."""
    if not cases:
        return each.samples
    by_id = {unit.id: unit for unit in each.units}
    means = {
        condition: [by_id[case].conditions.get(condition) for case in cases] for condition in each.seconds
    }
    return {
        metric: {
            condition: [None if of is None else of.metrics.get(metric) for of in found]
            for condition, found in means.items()
            if condition in each.samples[metric]
        }
        for metric in each.samples
    }


def _why_incomplete(values: Sequence[Any]) -> str | None:
    """Say which value can't be compared; None if all can."""
    for i, value in enumerate(values):
        if value is None:
            return f"value {i} of {len(values)} is missing"
        if isinstance(value, int | float) and not is_finite(value):
            return f"value {i} of {len(values)} is {value}"
    return None


class _Comparison:
    """Comparison of one experiment of today with then."""

    def __init__(self, each: ExperimentResults, then: _Then) -> None:
        self.each = each
        self.then = then
        self.cases = [unit.id for unit in each.units]
        self.held = then.of(each)

    def verdicts(self, names: set[str]) -> Iterator[Verdict]:
        """Yield a verdict for each test of some hypotheses, corrected for all that are compared."""
        tests = [test for test in self.each.tests if test.hypothesis]
        why: dict[str, str] = {}
        hypotheses: dict[str, Hypothesis] = {}
        against = _reference(self.then.path)
        for name, found in groupby(sorted(tests, key=lambda test: test.hypothesis), lambda t: t.hypothesis):
            group = list(found)
            known = _telling([test.verdict for test in group if test.verdict is not None])
            of = {test.treatment for test in group}.intersection(self.each.conditions)
            made: Hypothesis | str = "no verdict says what is claimed"
            if known is not None:
                made = _hypothesis(name, known, sorted(of), against)
            if isinstance(made, str):
                why[name] = made
            else:
                hypotheses[name] = made
        analysis = self._analysis(list(hypotheses.values()), against)
        for test in (test for test in tests if test.hypothesis in names):
            known = test.verdict
            reason = analysis if isinstance(analysis, str) else why.get(test.hypothesis)
            if reason is None and known is not None:
                reason = self._why_not(known.metric, test.treatment)
            if reason is not None or isinstance(analysis, str):
                verdict = Verdict.invalid(str(reason), metric="" if known is None else known.metric)
            else:
                verdict = self._alike(known, analysis.verdict(hypotheses[test.hypothesis], test.treatment))
            yield replace(verdict, hypothesis=test.hypothesis, treatment=test.treatment)

    def _alike(self, known: Verdict | None, verdict: Verdict) -> Verdict:
        """Return a verdict, or why it is invalid: it speaks of something else than the one of the session."""
        if known is None or verdict.status == "invalid":
            return verdict
        if known.estimand and known.estimand != verdict.estimand:  # the test had arguments
            return Verdict.invalid(_not_made_again(known), metric=known.metric)
        if known.population not in ("", verdict.population) and not self.cases:
            reason = f"it speaks of {known.population}, whose values are in no report: {_INSTEAD}"
            return Verdict.invalid(reason, metric=known.metric)
        return verdict

    def gone(self, names: set[str]) -> Iterator[Verdict]:
        """Yield what is said of conditions that only the other session has, by claims about all there are."""
        if isinstance(self.held, str):
            return
        then = self.then.experiment(self.each)
        for name in sorted(names):
            of = {test.treatment for test in self.each.tests if test.hypothesis == name}
            before = {test.treatment for test in then.tests if test.hypothesis == name} if then else set()
            if not of.issuperset(condition for condition in self.each.conditions if condition != BASELINE):
                continue
            for condition in self.held.conditions:
                if condition not in self.each.conditions and (not before or condition in before):
                    reason = f"condition {condition!r} is gone: {self.then.path} has it"
                    yield replace(Verdict.invalid(reason), hypothesis=name, treatment=condition)

    def _analysis(self, hypotheses: Sequence[Hypothesis], against: Reference) -> Analysis | str:
        if isinstance(self.held, str):
            return self.held
        session = SessionResults("1970-01-01T00:00:00+00:00", 0.0, 0, (), None, {})
        today = _stored(self.each, session, self.cases)
        if isinstance(today, str):
            return today
        (recording,) = today.recordings
        arms: Mapping[str, ConditionRuns] = recording.conditions
        treatments = tuple(name for name in self.each.conditions if name != BASELINE)
        counted = len(self.cases) or self.each.planned
        plan = AnalysisPlan(tuple(hypotheses), treatments, counted, self._judging())
        found = {against: self.held.labelled(against.name)}
        return Analysis(plan, arms, References(found, elsewhere=True))

    def _judging(self) -> Judging:
        """Return how claims are judged: corrected as declared, which looks and pairs do in their own ways."""
        found = {test.verdict.correction for test in self.each.tests if test.verdict is not None}
        if "bh" in found:
            return Judging("bh")
        return Judging("none") if found == {"none"} else Judging()

    def _why_not(self, metric: str, condition: str) -> str | None:
        """Say why a condition can't be compared by a metric; None if nothing stands against it."""
        if metric in self.each.measured:
            return f"{metric!r} is measured, which no other session repeats: {_INSTEAD}, one after the other"
        for session in (self.each, self.then.experiment(self.each)):
            if session is None:
                continue
            if session.run < session.planned:
                run = f"{session.run} of {counted(session.planned, 'replicate')}"
                return f"a session has {run}, since it was stopped"
            failed = sum(len(f.replicates) for f in session.failures if f.condition == condition)
            if failed:
                return f"{failed} of {counted(session.run, 'replicate')} of {condition!r} failed in a session"
        values = samples_of(self.each, self.cases).get(metric, {}).get(condition)
        if values is None:
            return f"{condition!r} has no sample of {metric!r}"
        fault = _why_incomplete(values)
        return None if fault is None else f"{metric!r} of {condition!r}: {fault}"


def _reference(path: str) -> Reference:
    """Return what claims are to be against: it is called as the file is, as far as that can be a name."""
    try:
        return Reference(Path(path).name)
    except DefinitionError:
        return Reference("then")


def _telling(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the verdict of a hypothesis that tells by which test it is judged; invalid ones may not."""
    return max(verdicts, key=lambda verdict: (verdict.status != "invalid", bool(verdict.test)), default=None)


def _hypothesis(name: str, known: Verdict, of: Sequence[str], against: Reference) -> Hypothesis | str:
    """Return the hypothesis of a verdict, of some conditions against a reference; or why there is none."""
    if known.comparator not in _CHANGES:
        what = known.against or known.comparator
        return f"it compares with {what}, not with another session; name the other claims by --claim"
    if not known.direction or not known.metric:
        return f"a verifier decides it, which is code: {_INSTEAD}"
    chosen = _BY_NAME.get(known.test.removeprefix("TOST "))
    if chosen is None:
        test = _tests().get(known.test.removeprefix("TOST "))
        if test is None:
            return _not_made_again(known)
        chosen = {"statistical_test": test}
    if known.reading:  # nobody declared what the values are, and those of another session may be others
        chosen = {key: value for key, value in chosen.items() if key != "kind"}
    sizes = known.margin, known.at_least, known.detects
    given = {name: getattr(known, name) for name in ("margin", "at_least", "detects", "worst", "alpha")}
    try:
        return Hypothesis(
            name=name,
            metric=known.metric,
            direction=known.direction,  # type: ignore[arg-type]  # as it was declared
            relative=known.relative and any(size is not None for size in sizes),  # a test may say it itself
            against=against,
            treatments=of or None,
            covariate=known.covariate or None,
            **chosen,
            **{key: value for key, value in given.items() if value is not None},
        )
    except DefinitionError as fault:
        return f"it can't be made again from its verdict: {fault}"


def _not_made_again(known: Verdict) -> str:
    """Say that the test of a verdict is not known by what the verdict tells of it."""
    return f"its test, {known.test!r}, can't be made again from its name: {_INSTEAD}"


def _tests() -> dict[str, StatisticalTest]:
    """Return the tests of the library that take no argument, by name."""
    kinds = [getattr(crystallize, name) for name in crystallize.__all__]
    tests = [k for k in kinds if isinstance(k, type) and issubclass(k, StatisticalTest) and is_dataclass(k)]
    # The name of one that takes arguments does not say which they were.
    return {kind.name: kind() for kind in tests if not fields(kind)}
