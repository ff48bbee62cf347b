"""From the runs of two conditions to the samples that are judged, or to what is missing for them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any, Literal

from crystallize.analysis.case_runs import CaseRuns
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.sample import CASES, SEEDS, SESSIONS, ClaimSample
from crystallize.analysis.unit_samples import (
    is_nested_in_units,
    of_cases,
    of_units,
    other_recurring_units,
    paired_by_unit,
    without_unit,
)
from crystallize.claims.claim import Claim
from crystallize.claims.claim_terms import Pairing
from crystallize.claims.tests_of_units import ClusteredTTest, CrossedTTest
from crystallize.stats import is_binary
from crystallize.text.formatting import counted


def claim_sample(
    claim: Claim,
    baseline: ConditionRuns,
    treatment: ConditionRuns,
    *,
    of_sessions: bool = False,
    by_unit: bool = True,
) -> ClaimSample | str:
    """Return the sample of a claim, or say why there is none.

    With `of_sessions` both conditions were measured in sessions of their own, so that seeds pair nothing.
    Without `by_unit` replicates are what varies, whatever units their values belong to.
    """
    sample = _sample(claim, baseline, treatment, of_sessions=of_sessions, by_unit=by_unit)
    if isinstance(baseline, CaseRuns) and isinstance(sample, ClaimSample):
        sample = of_cases(claim.metric, sample, baseline)
    if isinstance(claim.test, CrossedTTest) and isinstance(sample, ClaimSample) and sample.replicates is None:
        return (
            f"the crossed t test needs units of {claim.metric!r} that recur in several replicates, whose "
            "seeds both conditions share; there are none"
        )
    return sample


def _sample(
    claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns, *, of_sessions: bool, by_unit: bool
) -> ClaimSample | str:
    if (fault := _unfit(claim, baseline, treatment)) is not None:
        return fault
    by_unit = by_unit and is_of_units(claim)
    if by_unit and all(is_nested_in_units(claim.metric, arm) for arm in (baseline, treatment)):
        return paired_by_unit(claim, baseline, treatment)
    matched = _matched("none" if of_sessions else claim.pairing, baseline, treatment)
    if isinstance(matched, str):
        return matched
    baseline, treatment, paired = matched
    arms = (baseline, treatment)
    if any(claim.metric in arm.with_units for arm in arms):
        found = _of_units(claim, *arms, paired=paired, by_unit=by_unit)
        if found is not None:
            return found
    if isinstance(claim.test, ClusteredTTest):
        return _clustered(claim, *arms, paired=paired)
    sample = _by_replicate(claim, *arms, paired=paired)
    return replace(sample, population=SESSIONS) if of_sessions and isinstance(sample, ClaimSample) else sample


def _unfit(claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns) -> str | None:
    """Say why runs allow no verdict on a claim, however they are matched."""
    arms = (baseline, treatment)
    if not baseline.records or not treatment.records:
        return _sizes(*arms) + "; a verdict needs at least one replicate of both"
    faults: Iterator[str | None] = (arm.never_run() for arm in arms)
    if claim.nan_policy == "invalid":
        faults = chain((_missing(claim, arm) for arm in arms), (arm.gap(claim.metric) for arm in arms))
    numbers = (arm.not_numeric(claim.metric) for arm in arms)
    return next(filter(None, chain(faults, numbers)), None)


def _matched(
    pairing: Pairing, baseline: ConditionRuns, treatment: ConditionRuns
) -> tuple[ConditionRuns, ConditionRuns, bool] | str:
    """Return the runs that are compared, and whether they are paired."""
    if pairing == "intersect":
        shared = _shared_seeds(baseline, treatment)
        if not shared:
            return f"{_sizes(baseline, treatment)} share no seed, so that pairing='intersect' leaves nothing"
        return baseline.chosen(shared), treatment.chosen(shared), True
    overlap = _overlap(baseline, treatment)
    if pairing == "auto" and overlap == "partial":
        return _partial(baseline, treatment)
    return baseline, treatment, pairing == "auto" and overlap == "same"


def _of_units(
    claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns, *, paired: bool, by_unit: bool
) -> ClaimSample | str | None:
    """Return the sample of a metric whose values belong to units, if these make it another one."""
    arms = (baseline, treatment)
    if not claim.deterministic and (fault := without_unit(claim.metric, *arms)) is not None:
        return fault
    if not paired:
        return other_recurring_units(claim, *arms)
    return of_units(claim, *arms) if by_unit else _other_units(claim.metric, *arms)


def is_of_units(claim: Claim) -> bool:
    """Return whether the units of a metric, if it has some, choose the test."""
    test = claim.test
    by_design = test is None or test.follows_design or isinstance(test, CrossedTTest)
    return not claim.deterministic and by_design


def _by_replicate(
    claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns, *, paired: bool
) -> ClaimSample | str:
    columns = baseline.column(claim.metric), treatment.column(claim.metric)
    first, second = columns
    if isinstance(first, array) and isinstance(second, array):  # complete, and finite
        return ClaimSample(first, second, paired)
    if claim.nan_policy == "worst":
        rates = all(arm.holds_rates(claim.metric) for arm in (baseline, treatment))
        return _worst(claim, *columns, paired=paired, of_rates=rates)
    lacking = tuple({i for i, value in enumerate(column) if value is None} for column in columns)
    if paired:
        lacking = (lacking[0] | lacking[1],) * 2
    omitted = max(map(len, lacking))
    if omitted and (fault := _too_many(claim, omitted, lacking, baseline, treatment)) is not None:
        return fault
    kept = (
        [value for i, value in enumerate(column) if value is not None and i not in left_out]
        for column, left_out in zip(columns, lacking, strict=True)
    )
    first, second = kept
    if not first or not second:
        return f"no replicate has a finite value of metric {claim.metric!r} in both conditions"
    of_rates = all(arm.holds_rates(claim.metric) for arm in (baseline, treatment))
    return ClaimSample(first, second, paired, omitted, of_rates=of_rates)


def _too_many(
    claim: Claim,
    omitted: int,
    lacking: Sequence[set[int]],
    baseline: ConditionRuns,
    treatment: ConditionRuns,
) -> str | None:
    allowed = claim.max_missing
    assert allowed is not None
    n = max(len(baseline.records), len(treatment.records))
    most = allowed if isinstance(allowed, int) else int(allowed * n)
    if omitted <= most:
        return None
    first = min(lacking[0] | lacking[1])
    return (
        f"{omitted} of {n} {baseline.noun}s lack a finite value of {claim.metric!r} (the first is "
        f"{baseline.called(first)}), and max_missing={allowed!r} allows {most}; mend them: what is dropped "
        "may be what is bad"
    )


def _worst(
    claim: Claim,
    baseline: Sequence[float | None],
    treatment: Sequence[float | None],
    *,
    paired: bool,
    of_rates: bool,
) -> ClaimSample | str:
    """Fill gaps of the treatment with the worst value there is, of the baseline with the best seen."""
    seen = [value for value in (*baseline, *treatment) if value is not None]
    if not seen:
        return f"no replicate has a finite value of metric {claim.metric!r}"
    omitted = sum(b is None or t is None for b, t in zip_longest(baseline, treatment, fillvalue=0.0))
    best = max(seen) if claim.direction == "no_decrease" else min(seen)
    worst = claim.worst
    if worst is None and (of_rates or claim.kind == "binary" or (claim.kind == "auto" and is_binary(seen))):
        worst, best = (0.0, 1.0) if claim.direction == "no_decrease" else (1.0, 0.0)
    if worst is None:
        if omitted:
            lack = f"{counted(omitted, 'replicate')} {'lacks' if omitted == 1 else 'lack'}"
            return (
                f"{lack} a finite value of {claim.metric!r}, and nan_policy='worst' does "
                "not know how bad that is: what was seen says nothing of it; give worst=, the worst value "
                "that the metric can have"
            )
        worst = best
    return ClaimSample(
        [best if value is None else value for value in baseline],
        [worst if value is None else value for value in treatment],
        paired,
        omitted,
        of_rates=of_rates,
    )


def _clustered(
    claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns, *, paired: bool
) -> ClaimSample | str:
    values: list[list[float]] = []
    units: list[list[Any]] = []
    given = False
    for arm in (baseline, treatment):
        entries = [(value, unit, i) for i, row in enumerate(arm.entries(claim.metric)) for value, unit in row]
        given = given or any(unit is not None for _, unit, _ in entries)
        values.append([float(value) for value, _, _ in entries])
        units.append([i if unit is None else unit for _, unit, i in entries])
    population = CASES if given else SEEDS  # a named unit pairs with itself, whatever the seeds
    return ClaimSample(values[0], values[1], paired or given, 0, (units[0], units[1]), population)


def _other_units(metric: str, baseline: ConditionRuns, treatment: ConditionRuns) -> str | None:
    """Say where both conditions of a replicate do not speak of the same units; a mean would hide it."""
    for i, rows in enumerate(zip(baseline.entries(metric), treatment.entries(metric), strict=False)):
        first, second = ({unit for _, unit in row} for row in rows)
        if first != second and rows[0] and rows[1]:
            unit = min(first ^ second, key=repr)
            here, there = (baseline, treatment) if unit in first else (treatment, baseline)
            return (
                f"metric {metric!r} of unit {unit!r} is recorded in replicate {i} of {here.condition!r} and "
                f"not of {there.condition!r}: they would be averaged over different units"
            )
    return None


def _overlap(baseline: ConditionRuns, treatment: ConditionRuns) -> Literal["same", "disjoint", "partial"]:
    """Tell how the seeds of both conditions meet."""
    if baseline.seeds == treatment.seeds and None not in baseline.seeds:
        return "same"
    shared = _shared_seeds(baseline, treatment)
    if len(shared) == len(baseline.records) == len(treatment.records):
        return "same"
    if shared:
        return "partial"
    return "partial" if {*baseline.seeds} & {*treatment.seeds} - {None} else "disjoint"


def _shared_seeds(baseline: ConditionRuns, treatment: ConditionRuns) -> list[int]:
    pairs = zip(baseline.seeds, treatment.seeds, strict=False)
    return [i for i, (b, t) in enumerate(pairs) if b is not None and b == t]


def _partial(baseline: ConditionRuns, treatment: ConditionRuns) -> str:
    for i, (b, t) in enumerate(zip(baseline.seeds, treatment.seeds, strict=False)):
        if b is not None and t is not None and b != t:
            where = (
                f"replicate {i} has seed {b} in {baseline.condition!r} and {t} in "
                f"{treatment.condition!r}, while other replicates share theirs"
            )
            break
    else:
        where = _sizes(baseline, treatment)
    return (
        f"{where}: neither the same replicates nor independent ones; run both with the same root seed and "
        "number of replicates, or say pairing='intersect' (use what they share) or 'none'"
    )


def _sizes(baseline: ConditionRuns, treatment: ConditionRuns) -> str:
    of_baseline = f"{counted(len(baseline.records), 'replicate')} of {baseline.condition!r}"
    return f"{of_baseline} and {len(treatment.records)} of {treatment.condition!r}"


def _missing(claim: Claim, arm: ConditionRuns) -> str | None:
    """Say which runs of a condition are missing and, of cases, how the claim can do without them."""
    fault = arm.missing_evidence()
    if fault is None or not isinstance(arm, CaseRuns) or arm.out_of_budget() is not None:
        return fault
    if len(arm.lacking) == len(arm.records):
        return fault
    policies = "'worst', or 'omit' with max_missing=" if claim.knows_worst else "'omit' with max_missing="
    return f"{fault}; to judge the others: nan_policy={policies}"


def verifier_metrics(
    metrics: Sequence[str] | None, baseline: ConditionRuns, treatment: ConditionRuns
) -> tuple[str | None, tuple[str, ...]]:
    """Return why there is no sample for a verifier, if so, and the metrics that the sample is of.

    Parameters
    ----------
    metrics : sequence of str or None
        Those that it needs; every metric that is complete if None.
    baseline, treatment : ConditionRuns
        Of which every replicate has to be there.
    """
    arms = (baseline, treatment)
    reason = baseline.missing_evidence() or treatment.missing_evidence() or _not_pairs(*arms)
    if reason is not None:
        return reason, ()
    if metrics is not None:
        gaps = (arm.gap(name) for name in metrics for arm in arms)
        return next((gap for gap in gaps if gap), None), tuple(metrics)
    recorded = dict.fromkeys((*baseline.names, *treatment.names))
    gaps_of = {name: baseline.gap(name) or treatment.gap(name) for name in recorded}
    complete = tuple(name for name, gap in gaps_of.items() if gap is None)
    if complete:
        return None, complete
    return next((gap for gap in gaps_of.values() if gap), "no metric was recorded"), ()


def _not_pairs(baseline: ConditionRuns, treatment: ConditionRuns) -> str | None:
    """Say why the values of two complete conditions are not pairs of the same seeds; None if they are."""
    if not len(baseline.records) == len(treatment.records) > 0:
        sizes = _sizes(baseline, treatment)
        return f"{sizes}; a verdict needs the same replicates of both, and at least one"
    if baseline.seeds == treatment.seeds:
        return None
    for replicate, (one, other) in enumerate(zip(baseline.seeds, treatment.seeds, strict=True)):
        if one is not None and other is not None and one != other:
            return (
                f"replicate {replicate} has seed {one} in {baseline.condition!r} and {other} in "
                f"{treatment.condition!r}; both need the same root seed"
            )
    return None
