"""Verdicts, numbers of things and times in words, which every report uses; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystallize.analysis.verdict import DETERMINISTIC, GOOD
from crystallize.text.formatting import (
    SHARES,
    compared,
    counted,
    effect,
    interval,
    level_of,
    null_of,
    number,
    p_value,
    percent,
    scale_of,
)

CORRECTIONS = {
    "holm": "Holm",
    "bh": "Benjamini and Hochberg",
    "bonferroni": "Bonferroni",
    "max-t": "step-down max-t",
}
PASTS = ("reference", "revision")
"""Comparators that were run at another commit."""

TOLD_APART = frozenset({"p_value", "significant", "accepted"})
"""What a verifier returns that has a place of its own in every report."""


def group_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what is common to the verdicts on one hypothesis: metric, test, intervals, population."""
    head, parts = group_parts(rows)
    return f"{head}: {', '.join(parts)}" if parts else head


def group_parts(rows: Sequence[Mapping[str, Any]], *, complete: bool = True) -> tuple[str, list[str]]:
    """Return what a hypothesis is about, and what else is common to the verdicts on it.

    Otherwise than `complete`, without what `claim_sentence` and the axis of a plot say.
    """

    def common(key: str) -> Any:
        values = [row[key] for row in rows if row["status"] != "invalid"]
        return values[0] if values and values.count(values[0]) == len(values) else None

    first = rows[0]
    parts = [f"{first['hypothesis']} ({first['metric']})"]
    if first["comparator"] == "pair":
        parts[0] += ", all pairs"
    elif first["comparator"] != "baseline":
        kind = "" if first["comparator"] == "number" else f"{first['comparator']} "
        parts[0] += f" against {kind}{first['against']}"
        if recorded := common("recorded"):
            parts[0] += f" ({recorded})"
    mean = common("baseline_mean")
    if mean is not None and first["comparator"] not in ("pair", "number"):
        parts[0] += f", {'baseline' if first['comparator'] == 'baseline' else 'there'} {number(mean)}"
    if test := common("test"):
        parts.append(f"{test} over {population}" if (population := common("population")) else test)
    if complete and first["margin"] is not None:
        parts.append(f"margin {effect(first['margin'], relative=first['relative'], sign=False)}")
    if complete and first["detects"] is not None:
        size = effect(first["detects"], relative=first["relative"], sign=False)
        parts.append(f"detects {size}")
    if complete and first["at_least"] is not None:
        parts.append(f"at least {effect(first['at_least'], relative=first['relative'], sign=False)}")
    if common("reading"):
        parts.append(f"read as {common('reading')}")
    if (confidence := common("confidence")) is not None:
        parts.append(f"{percent(confidence)} interval")
    elif any(row["confidence"] is not None for row in rows):
        parts.append("interval at this claim's level")
    if complete and (estimand := common("estimand")):
        parts.append(f"diff is the {estimand}")
    if (correction := common("correction") or first["correction"]) in CORRECTIONS:
        by = CORRECTIONS[correction]
        what = "alpha split" if correction == "bonferroni" else "p adjusted"
        parts.append(f"{what} by {by} for {first['family']} claims")
    return parts[0], parts[1:]


def claim_sentence(row: Mapping[str, Any]) -> str:
    """Return what is claimed, from the fields of a verdict."""
    metric, direction, relative = row["metric"], row["direction"], row["relative"]
    sizes = (row["at_least"], row["margin"], row["detects"])
    least, margin, loss = (effect(size, relative=relative, sign=False) for size in sizes)
    if not direction:
        return f"{row['test']} decides by {metric}."
    if row["estimand"] in SHARES and any(size is not None for size in sizes):
        metric = f"{row['estimand']} of {metric}"
    verb = {"increase": "increases", "decrease": "decreases", "differ": "differs"}.get(direction)
    if verb is not None:
        said = f"{metric} {verb}" + ("" if row["at_least"] is None else f" by at least {least}")
    elif row["detects"] is not None:
        said = f"No {direction.removeprefix('no_')} of {metric} is seen, and one of {loss} would be"
    elif direction == "equal":
        said = f"{metric} changes by no more than {margin}"
    else:
        said = f"{metric} {direction.removeprefix('no_')}s by no more than {margin}"
    if row["comparator"] == "pair":
        return f"{said} between each two conditions."
    left, mean = sides_of(row)[0], row["baseline_mean"]
    if row["comparator"] == "number":
        return f"{said}, compared with {row['against']}."
    name = f"the {left}" if row["comparator"] in ("baseline", *PASTS) else left
    return f"{said}, compared with {name}" + ("." if mean is None else f" (mean {number(mean)}).")


def is_exact(row: Mapping[str, Any]) -> bool:
    """Return whether a verdict compares values that no seed changes, without a test."""
    return bool(row["test"] == DETERMINISTIC)


def fails_anyway(status: str, outcome: str) -> bool:
    """Return whether a test failed in spite of its status: an error around it, a strict ``xfail``."""
    return status in GOOD and outcome in ("failed", "error")


def failed_anyway(tests: int) -> str:
    """Return how many tests failed in spite of their status."""
    return f"{counted(tests, 'test')} failed in spite of {'its verdict' if tests == 1 else 'their verdicts'}"


def mark_of(status: str, outcome: str) -> str:
    """Return what qualifies a status: that it was expected or not, or that the test failed in spite of it."""
    marked = {"xfailed": " (xfail)", "xpassed": " (xpass)"}.get(outcome, "")
    return f" ({outcome})" if fails_anyway(status, outcome) else marked


def sides_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what to call both sides of a verdict: what stands for the baseline, and what is compared."""
    against, compared = row["against"], row["treatment"]
    if row["comparator"] == "pair":
        return against, compared.removesuffix(f"-vs-{against}")
    return {
        "baseline": "baseline",
        "number": "against",
        "treatment": against,
        "reference": f"reference {against}",
        "revision": f"revision {against}",
    }[row["comparator"]], compared


def extra_numbers(row: Mapping[str, Any]) -> str:
    """Return what a verifier gave beside the p-value."""
    if row["saved"] is not None:
        return f"covariate {row['covariate']} saves {number(100 * row['saved'], digits=3)} % of the variance"
    if row["direction"]:
        return ""
    return ", ".join(
        f"{key} = {number(value, digits=6)}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in row["details"].items()
        if key not in TOLD_APART and isinstance(value, int | float | str | bool)
    )


def effect_of(row: Mapping[str, Any]) -> str:
    """Return the difference that a verdict rests on, or a dash; a share is none, and has no sign."""
    sign = row["estimand"] not in SHARES
    return effect(row["difference"], relative=row["relative"], sign=sign, scale=scale_of(row))


def margin_of(row: Mapping[str, Any]) -> str:
    """Return the size that a claim names, with what it is where it is no margin; empty if it names none."""
    for name, said in (("margin", ""), ("at_least", "at least "), ("detects", "detects ")):
        if row[name] is not None:
            return said + effect(row[name], relative=row["relative"], sign=False)
    return ""


def mde_of(row: Mapping[str, Any]) -> str:
    """Return the smallest difference that a sample like a verdict's shows, or a dash."""
    relative = row["relative"]
    return effect(row["detectable"], relative=relative, sign=False, digits=3, scale=scale_of(row))


def interval_of(row: Mapping[str, Any]) -> str:
    """Return the interval of a verdict's difference, or a dash."""
    size = row["margin"] or row["at_least"] or row["detects"]
    relative, null = row["relative"], null_of(row["estimand"])
    return interval(row["interval"], relative=relative, scale=scale_of(row), margin=size, null=null)


def p_of(row: Mapping[str, Any]) -> str:
    """Return the p-value that decides, or a dash: as `Verdict.deciding_p`."""
    given = (row[name] for name in ("opposite_p", "adjusted_p", "p_value"))
    return p_value(next((p for p in given if p is not None), None), level_of(row))


def rate_interval(found: Mapping[str, Any]) -> str:
    """Return the interval of a rate of false positives; it is seen on which side of alpha it begins."""
    low, high = found["interval"]
    return f"{compared(100 * low, 100 * found['alpha'], digits=3)[0]} to {100 * high:.3g} %"


def duration(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers with runs of neighbours written as ranges."""
    parts: list[list[int]] = []
    for value in sorted(numbers):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def counted_list(replicates: Sequence[int]) -> str:
    """Return replicates as text."""
    return f"{'replicate' if len(replicates) == 1 else 'replicates'} {ranges(replicates)}"
