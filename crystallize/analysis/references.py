"""What hypotheses are against: the references, whether today can be compared with them, and the caveats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.history import (
    WHOLE,
    chosen,
    course,
    geometric_mean,
    load_history,
    no_means,
    session_spread,
    used_margin,
)
from crystallize.analysis.stored_reference import Recording, StoredReference
from crystallize.claims.reference import Reference, Revision
from crystallize.errors import ReferenceFileError
from crystallize.identity.provenance import Machine, machine
from crystallize.text.formatting import counted, first_of, number

if TYPE_CHECKING:
    from crystallize.claims.hypothesis import Hypothesis

HOW: Final = "check out the commit to compare with and record it there (--crystallize-save)"
WITHOUT_OPTION: Final = (
    "it is claimed against another commit, and nothing says which: run it under pytest with "
    "--crystallize-against=REV (a branch, a tag, a commit, or merge-base:main)"
)


class References:
    """The references that the hypotheses of an experiment are against.

    Parameters
    ----------
    found : mapping of Reference to StoredReference or str, optional
        Each reference, or why there is none.
    inputs : mapping of str to str, optional
        Digests of the inputs that are declared today.
    elsewhere : bool
        Whether today's runs are made on other machines than this one.
    repeats : callable
        Tells whether the same seed gives the same values, then and now.
    """

    def __init__(
        self,
        found: Mapping[Reference, StoredReference | str] | None = None,
        *,
        inputs: Mapping[str, str] | None = None,
        elsewhere: bool = False,
        repeats: Callable[[], bool] = lambda: True,
    ) -> None:
        self.repeats = repeats
        self._found = found or {}
        self._inputs = inputs or {}
        self._elsewhere = elsewhere
        self._geometric: dict[tuple[Reference, str, str], ConditionRuns] = {}

    @property
    def _here(self) -> Machine | None:
        """The machine of today's runs; None if nobody knows it."""
        return None if self._elsewhere else machine()

    def known(self, against: Reference) -> StoredReference | str | None:
        """Return a reference, or why there is none."""
        return self._found.get(against)

    def conditions(self, against: Reference | None) -> Sequence[str]:
        """Return the conditions that a reference holds."""
        known = None if against is None else self.known(against)
        return list(known.conditions) if isinstance(known, StoredReference) else []

    def recording(self, against: Reference, condition: str) -> Recording | None:
        """Return the recording that speaks of a condition."""
        known = self.known(against)
        return known.conditions.get(condition) if isinstance(known, StoredReference) else None

    def is_mean(self, against: Reference, condition: str) -> bool:
        """Return whether a condition is compared with the mean of several recordings."""
        held = self.recording(against, condition)
        return held is not None and len(held.parts) > 1

    def runs(self, against: Reference, condition: str) -> ConditionRuns:
        """Return the recorded runs of a condition; none, where there is no recording."""
        held = self.recording(against, condition)
        return ConditionRuns(condition, ()) if held is None else held.conditions[condition]

    def baseline(self, hypothesis: Hypothesis, condition: str) -> ConditionRuns:
        """Return what a hypothesis compares a condition with; of pooled ratios, geometric means."""
        against, claim = hypothesis.reference, hypothesis.claim
        assert against is not None
        held = self.recording(against, condition)
        if held is None or len(held.parts) < 2 or claim is None or not claim.is_ratio:
            return self.runs(against, condition)
        key = against, condition, claim.metric
        if key not in self._geometric:
            self._geometric[key] = geometric_mean(held, condition, claim.metric)
        return self._geometric[key]

    def cases(self, against: Reference | None, condition: str) -> list[str]:
        """Return the id of the case of each recorded replicate; none, where they are of no cases."""
        held = None if against is None else self.recording(against, condition)
        return [] if held is None else [name for name, _ in held.cases]

    def blocks(self, hypothesis: Hypothesis, condition: str, today: ConditionRuns) -> Sequence[int]:
        """Return the block of each replicate, where processes are what varies; nothing where they are not."""
        return ()

    def told(self, against: Reference, condition: str) -> str:
        """Return which recording a condition is compared with, in words; empty if with none."""
        held = self.recording(against, condition)
        return "" if held is None else f"recorded {held}"

    def shown(self, hypothesis: Hypothesis, condition: str) -> dict[str, Any] | None:
        """Return what a condition is compared with, as plain data for reports; None if with nothing."""
        against = hypothesis.reference
        held = None if against is None else self.recording(against, condition)
        if against is None or held is None:
            return None
        runs, origin = held.conditions[condition], held.origin
        metrics = runs.names if hypothesis.metrics is None else hypothesis.metrics
        known = self.known(against)
        whole = known.history if isinstance(known, StoredReference) else ()
        compared = held.parts or (held,)
        return {
            "name": against.name,
            "recorded": origin.recorded,
            "commit": origin.commit,
            "dirty": origin.dirty,
            "machine": None if origin.machine is None else asdict(origin.machine),
            "replicates": held.replicates,
            "root_seed": held.root_seed,
            "seeds": list(held.seeds),
            "samples": runs.sample(metric for metric in metrics if metric in runs.names),
            "recordings": {
                metric: course(whole, condition, metric, compared=compared)
                for metric in (metrics if len(whole) > 1 else ())
            },
        }

    def why_not(
        self,
        hypothesis: Hypothesis,
        condition: str,
        today: ConditionRuns | None,
        replicates: int,
        *,
        by_unit: bool = False,
        by_case: bool = False,
    ) -> str | None:
        """Say why a condition can't be compared with its past; None if it can.

        Nothing that is said here advises to record what is there today: it may be what does harm.

        Parameters
        ----------
        hypothesis : Hypothesis
            What is claimed.
        condition : str
            Of what.
        today : ConditionRuns or None
            Its runs of today; None if there is no such condition any more.
        replicates : int
            How many are planned.
        by_unit : bool
            Whether units pair with themselves, whatever replicates they are recorded in.
        by_case : bool
            Whether replicates are samples of cases, which pair with themselves.
        """
        against = hypothesis.reference
        if against is None:
            return None
        known = self.known(against)
        if known is None or isinstance(known, str):
            return known or f"there is no {against}"
        held = known.conditions.get(condition)
        if held is None:
            return (
                f"reference {against.name!r} has no condition {condition!r}, but "
                f"{listed(known.conditions)}, recorded {known}; if it was renamed, rename it in the file, "
                "too; if it is new, it has no past, so look at its values before you record it"
            )
        for metric in (WHOLE, *(held.left_out if hypothesis.metrics is None else hypothesis.metrics)):
            if metric in held.left_out:
                return f"reference {against.name!r} has no mean of recordings: {held.left_out[metric]}"
        if len(held.parts) > 1 and (test := no_means(hypothesis.claim)):
            return (
                f"pool={len(held.parts)} takes means over recordings, which vary less than values do, and "
                f"{test} compares no means: compare with one recording, or by a test of means"
            )
        named = f"reference {against.name!r} was recorded {held}"
        if today is None:
            return (
                f"condition {condition!r} is gone, and {named}; if it is meant to be gone, delete it from "
                "the file (to record anew would replace the other conditions, too)"
            )
        if (fault := self._other_machine(hypothesis, held, condition, today)) is not None:
            return f"{named}, {fault}"
        if by_case:
            return None
        if hypothesis.claim is None or (hypothesis.claim.pairing == "auto" and not by_unit):
            return _other_replicates(named, held, today, replicates)
        return None

    def _other_machine(
        self, hypothesis: Hypothesis, held: Recording, condition: str, today: ConditionRuns
    ) -> str | None:
        measured = measured_metrics(hypothesis, held.conditions[condition], today)
        against = hypothesis.reference
        assert against is not None
        if not measured or against.other_machines == "allow":
            return None
        there, here = held.origin.machine, self._here
        if there is None or here is None:
            where = "on machines that nobody knows" if there is None else "and today's machines are several"
        elif differences := there.differences(here):
            where = f"on another machine ({differences})"
        else:
            return None
        return (
            f"{where}, and {listed(measured)} is measured, which no other machine repeats; record that "
            f"commit on this machine, or say Reference({against.name!r}, other_machines='allow')"
        )

    def used_margin(
        self,
        hypothesis: Hypothesis,
        condition: str,
        difference: float | None,
        interval: tuple[float, float] | None,
    ) -> str:
        """Say how much of its margin a claim has used up since the recording that it is anchored at."""
        against, claim = hypothesis.reference, hypothesis.claim
        held = None if against is None else self.recording(against, condition)
        if against is None or against.at is None or claim is None or held is None:
            return ""
        since = f"{against.at} (recorded {held.origin})"
        return used_margin(claim, difference, interval, condition=condition, since=since)

    def caveats(self, hypothesis: Hypothesis, condition: str, today: ConditionRuns) -> Iterator[str]:
        """Yield what a comparison with a recording relies on."""
        against = hypothesis.reference
        held = None if against is None else self.recording(against, condition)
        if against is None or held is None:
            return
        name = f"reference {against.name!r}, recorded {held.origin}"
        if measured := measured_metrics(hypothesis, held.conditions[condition], today):
            there, here = held.origin.machine, self._here
            same = there is not None and here is not None and not there.differences(here)
            where = "" if same else ", on another machine"
            yield (
                f"{listed(measured)} was measured in another session{where} ({name}): seeds do not pair "
                "measured values, and how fast one process is by chance is in no interval"
                f"{_spread(held, condition, measured[0])}"
            )
        if changed := _changed(held.origin.inputs, self._inputs):
            named = first_of(list(map(repr, changed)))
            yield f"inputs are others than those of {name}: {named}"


def _spread(held: Recording, condition: str, metric: str) -> str:
    """Say by how much the means of pooled recordings vary, by which today's may differ by chance alone."""
    spread = session_spread(held, condition, metric)
    if spread is None:
        return ""
    return f" (the means of these {len(held.parts)} recordings have a standard deviation of {number(spread)})"


def measured_metrics(hypothesis: Hypothesis, held: ConditionRuns, today: ConditionRuns) -> list[str]:
    """Return the metrics of a hypothesis that no seed repeats, then or now."""
    metrics = (*held.names, *today.names) if hypothesis.metrics is None else hypothesis.metrics
    measured = held.measured | today.measured
    return [metric for metric in dict.fromkeys(metrics) if metric in measured]


def _other_replicates(named: str, held: Recording, today: ConditionRuns, replicates: int) -> str | None:
    """Say in what the replicates of a recording differ from those of today; None if they pair."""
    if held.replicates != replicates:
        return (
            f"{named}, and today's replicates are {replicates}; to compare, record "
            f"{counted(replicates, 'replicate')} at that commit, or run {held.replicates} today"
        )
    for replicate, (seed, then) in enumerate(zip(today.seeds, held.seeds, strict=False)):
        if seed is not None and seed != then:
            return (
                f"{named}: its replicate {replicate} has seed {then}, and today's has {seed}; to compare, "
                f"run today's with root seed {held.root_seed}"
            )
    return None


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def listed(names: Iterable[str]) -> str:
    """Return names in quotes."""
    return ", ".join(map(repr, names))


def find_references(
    hypotheses: Iterable[Hypothesis],
    where: Callable[[Reference], Path | None],
    *,
    experiment: str | None = None,
    names: Callable[[], Sequence[str]] = tuple,
) -> dict[Reference, StoredReference | str]:
    """Return the reference that each hypothesis is against, or why there is none.

    Parameters
    ----------
    hypotheses : iterable of Hypothesis
        Of one experiment.
    where : callable
        Returns the file of a reference, None if nobody says which it is.
    experiment : str, optional
        Whose references they are to be.
    names : callable
        Returns the names of all references of the experiment that are there, for messages.
    """
    found: dict[Reference, StoredReference | str] = {}
    for hypothesis in hypotheses:
        against = hypothesis.reference
        if against is None or against in found:
            continue
        path = where(against)
        if isinstance(against, Revision):
            found[against] = WITHOUT_OPTION
            continue
        if path is None:
            found[against] = (
                f"nothing says where reference {against.name!r} is: give Reference({against.name!r}, "
                "path=...)"
            )
            continue
        try:
            found[against] = chosen(load_history(path, experiment), against).labelled(against.name)
        except FileNotFoundError:
            there = f" (of this experiment there are {listed(known)})" if (known := names()) else ""
            found[against] = (
                f"there is no reference {against.name!r}: {path} is not there{there}; {HOW}, or, if the "
                "experiment was renamed, rename its file"
            )
        except ReferenceFileError as fault:
            found[against] = f"{fault}; restore it, or {HOW}"
    return found


def references_by_path(
    hypotheses: Iterable[Hypothesis],
    **options: Any,
) -> References:
    """Return the references of hypotheses that say themselves where they are; see `References`."""
    return References(find_references(hypotheses, lambda it: it.file), **options)
