"""Writing the references of a session: ``--crystallize-save``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from crystallize import ConditionRuns, Hypothesis, LogRatioTest
from crystallize.errors import ReferenceFileError
from crystallize.seam import (
    CaseNames,
    Claim,
    Claimed,
    ClusteredTTest,
    Origin,
    Recording,
    add_recording,
    claim_sample,
    claimed_metrics,
    commit_and_changes,
    declared_inputs,
    file_key,
    git_tags,
    is_of_units,
    load_reference,
    machine,
    make_recording,
    suited,
    unrepeated,
    write_reference,
)
from pytest_crystallize.naming.ids import relative, shortened
from pytest_crystallize.records.exchange import Exchange, unlike
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.units.experiment_runs import ExperimentRuns


def to_be_saved(runs: ExperimentRuns) -> dict[str, Any]:
    """Return what the controlling process has to know to save what an experiment gives; plain data."""
    reference = runs.settings.options.save
    if reference is None:
        return {}
    return {
        "path": str(runs.reference_files.of(reference)),
        "conditions": [name for name in runs.conditions if name in runs.needed.difference(runs.for_family())],
        "claimed": claimed_metrics(runs.hypotheses),
        "guards": _guards(runs.hypotheses, runs.judging.resampled),
        "repeats": runs.caching.repeatable,
        "inputs": declared_inputs(runs.settings.config.rootpath, runs.caching.inputs),
        "on_cluster": runs.is_elsewhere,
    }


class ReferenceWriter:
    """Writer of the references of a session.

    Parameters
    ----------
    name : str
        Of the reference.
    root : Path
        Of the project.
    exchange : Exchange
        Has the records.
    append : bool
        Whether recordings that are there stay.

    Attributes
    ----------
    told : list of str
        What was saved, and what was left out.
    faults : list of str
        What was not saved, and why.
    """

    def __init__(self, name: str, root: Path, exchange: Exchange, *, append: bool = False) -> None:
        self.name = name
        self.root = root
        self.exchange = exchange
        self.append = append
        self.told: list[str] = []
        self.faults: list[str] = []

    def save(self, announced: Mapping[str, Announced]) -> None:
        """Write a file for each experiment whose runs are complete."""
        self.exchange.catch_up()
        commit, dirty = commit_and_changes(self.root)
        tags = git_tags(self.root) if self.append else []
        written: dict[tuple[Path, str], str] = {}
        for key, known in announced.items():
            name, path = known.name, Path(known.save["path"])
            other = written.setdefault((path.parent, file_key(path.name)), key)
            if other != key:
                self._refuse(
                    f"{name} would have the file of {announced[other].name} (upper and lower case are the "
                    "same on some file systems); give its parameters other ids"
                )
                continue
            here = None if known.save["on_cluster"] else machine()
            origin = partial(Origin.now, commit=commit, dirty=dirty, machine=here)
            try:
                self.told += self._save(key, known, path, origin, tags)
            except ReferenceFileError as fault:
                self._refuse(f"{fault}{_what_stays(path)}")
            except OSError as fault:
                why = fault.strerror or fault
                self._refuse(f"{known.name}: {path} can't be written: {why}{_what_stays(path)}")

    def _refuse(self, reason: str) -> None:
        self.faults.append(f"NOT SAVED: {shortened(reason, self.root)}")

    def _save(
        self, key: str, known: Announced, path: Path, origin: Callable[..., Origin], tags: list[str]
    ) -> Iterator[str]:
        """Write one file; yield what is to be said of it."""
        name, plan = known.name, known.save
        runs = self.exchange.runs(key, known.replicates, plan["conditions"])
        are_complete = all(arm.records.is_complete for arm in runs.values())
        if are_complete and all(one.skipped for arm in runs.values() for one, _ in arm.records.kinds()):
            yield f"{name} was skipped, so it has no reference of today"
            return
        names = CaseNames.announced(known.cases)
        recording, left_out = make_recording(
            name,
            runs,
            origin(inputs=plan["inputs"]),
            root_seed=known.seed,
            claimed=[Claimed(*entry) for entry in plan["claimed"]],
            cases=[] if names is None else [names.named(i) for i in range(known.replicates)],
        )
        yield from (f"{name}: not in the reference, since {fault}" for fault in left_out)
        if recording.is_empty:
            yield f"{name} has no metric to record, so it has no reference of today"
            return
        is_partial = len(runs) < len(known.conditions)
        yield from self._written(path, name, replace(recording, tags=tags), runs, is_partial=is_partial)
        repeats = plan["repeats"] and unlike(self.exchange, key) is None
        yield from _unrepeated(name, plan["guards"], runs, names, repeats=repeats)

    def _written(
        self, path: Path, name: str, recording: Recording, runs: Iterable[str], *, is_partial: bool
    ) -> Iterator[str]:
        """Write a recording of runs, beside those that are there or in their place; yield what was done."""
        earlier = None
        if self.append:
            path = add_recording(path, name, recording)
        else:
            earlier = write_reference(path, name, recording, partial=is_partial)
        before = "" if earlier is None else f"; before, it was recorded {earlier}"
        what = "added to" if self.append else "saved"
        yield f"{what} reference {self.name!r}: {relative(path, self.root)}"
        yield f"{name}: {', '.join(map(repr, runs))} recorded {recording}{before}"


def _guards(hypotheses: Iterable[Hypothesis], resampled: float | None) -> dict[str, dict[str, Any]]:
    """Return the claims with a margin by the name of their hypothesis, as plain data."""
    claims = {h.name: h.claim for h in hypotheses if h.claim is not None and not h.claim.is_superiority}
    fields = ("metric", "direction", "margin", "detects", "relative", "alpha", "pairing")
    return {
        name: {
            "claim": {field: getattr(claim, field) for field in fields} | {"kind": _kind(claim)},
            "is_ratio": claim.is_ratio,
            "by_unit": resampled is None and is_of_units(claim),
            "resampled": resampled,
        }
        for name, claim in claims.items()
        if not claim.deterministic and _is_told(claim)
    }


def _is_told(claim: Claim) -> bool:
    """Return whether `unchanged_passes` knows what a claim compares."""
    of_others = isinstance(claim.test, ClusteredTTest) or (
        claim.test is not None and claim.test.follows_design
    )
    return claim.is_ratio or not (of_others or claim.second is not None)


def _kind(claim: Claim) -> str:
    """Return what the values are by the test that is named, if one is."""
    if claim.test is None:
        return claim.kind
    return "binary" if claim.test.of_rates and not claim.relative else "numeric"


def _unrepeated(
    name: str,
    guards: Mapping[str, Mapping[str, Any]],
    runs: Mapping[str, ConditionRuns],
    names: CaseNames | None,
    *,
    repeats: bool,
) -> Iterator[str]:
    """Yield how probably unchanged code passes, where what it is compared with does not repeat."""
    for hypothesis, known in guards.items():
        own: dict[str, Any] = (
            {"statistical_test": LogRatioTest(), "kind": "auto"} if known["is_ratio"] else {}
        )
        claim = Claim(**known["claim"] | own)
        for condition, arm in runs.items():
            measured = claim.metric in arm.measured
            if repeats and not measured:
                continue
            of = arm if names is None else names.by_case(arm)
            sample = claim_sample(claim, of, of, of_sessions=measured, by_unit=known["by_unit"])
            if isinstance(sample, str):
                continue
            test, sample = suited(claim, sample, known["resampled"])
            what = f" {hypothesis!r} of {condition!r}"
            if text := unrepeated(claim, sample, test, claim.deciding_level, what=what):
                yield f"{name}: {text}"


def _what_stays(path: Path) -> str:
    """Return what is there still where nothing was saved; empty if nothing is, or nobody can read it."""
    try:
        return f". What stays was recorded {load_reference(path)}"
    except (ReferenceFileError, OSError):
        return ""
