"""Plots of samples and looks as SVG text, for a page whose style sheet colours them.

They are written directly: a figure of a plotting library takes 50 ms, and knows neither the page's colours
nor its fonts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystallize.analysis.columns import mean
from crystallize.analysis.verdict import Verdict
from crystallize.context.recording import is_finite
from crystallize.report import drawing as draw
from crystallize.report.effect_scale import SHIFTS, margins_of, null_of
from crystallize.report.wording import effect_of, interval_of, p_of
from crystallize.text.formatting import compared, effect, name_of_p, number, or_zero, percent, scale_of

_BOTTOM, _HEIGHT = 186, 226


def estimation_plot(
    verdict: Verdict,
    baseline: Sequence[Any],
    treatment: Sequence[Any],
    *,
    key: str,
    names: tuple[str, str] | None = None,
    paired: bool = True,
) -> str:
    """Return the replicates of both conditions, and beside them their difference with its interval.

    Parameters
    ----------
    verdict : Verdict
        On the treatment.
    baseline, treatment : sequence
        One value per replicate; what is no finite number is left out.
    key : str
        Makes ids unique in the page.
    names : pair of str, optional
        What both are called; the baseline and the verdict's treatment by default.
    paired : bool
        Whether the i-th values belong together.

    Returns
    -------
    str
        An ``svg`` element; empty if there is nothing that can be drawn.
    """
    replicates = max(len(baseline), len(treatment))
    left, right = names or ("baseline", verdict.treatment)
    first, second = _Arm.of(left, baseline), _Arm.of(right, treatment)
    if not first.values or not second.values:
        return ""
    seen = [*first.values.values(), *second.values.values()]
    if not draw.has_room(seen):
        return ""
    shared = [i for i in first.values if i in second.values] if paired else []
    pairs = {i: (first.values[i], second.values[i]) for i in shared}
    parts, middle = _left((first, second), pairs if replicates <= draw.MOST_DOTS else {})
    parts += _right(verdict, [t - b for b, t in pairs.values()], middle)
    title = f"{verdict.metric}: {left} and {right}"
    return draw.svg(parts, title, _described(verdict, (first, second), replicates), key=key, height=_HEIGHT)


def power_plot(plan: Mapping[str, Any], *, key: str) -> str:
    """Return the power by replicates of a claim's plan, and where it has what is asked; empty without one."""
    points = plan["curve"]
    if not points or plan["needed"] is None:
        return ""
    bottom, height = 116, 152
    y = draw.scale(0, 1, bottom, draw.TOP)
    labels = [(value, f"{value:g}") for value in (0.0, 0.5, 1.0)]
    left = 8 + draw.CHARACTER * 3
    x = draw.scale(0, points[-1][0], left, draw.WIDTH - 24)
    needed, target = plan["needed"], plan["power"]
    parts = [*draw.axis(labels, y, left), draw.line("axis", left, bottom, draw.WIDTH - 8, bottom)]
    parts.append(draw.line("margin", left, y(target), draw.WIDTH - 8, y(target)))
    parts.append(draw.path("ci", [(x(n), y(chance)) for n, chance in points]))
    parts.append(draw.dots("estimate", [(x(needed), y(target))]))
    shown = dict.fromkeys((points[0][0], needed, points[-1][0]))
    parts += [draw.label(x(n), bottom + 15, str(n)) for n in shown]
    parts.append(
        draw.label((left + draw.WIDTH) / 2, bottom + 31, "replicates; power (solid), wanted (dashed)")
    )
    title = f"Power of {plan['hypothesis']} under {plan['treatment']}"
    described = f"{needed} replicates have a power of {target:g}."
    return draw.svg(parts, title, described, key=key, height=height)


def looks_plot(verdict: Verdict, *, key: str) -> str:
    """Return the p-value at each look beside the level that it was compared with; empty without looks."""
    looks = [(n, max(p, 1e-300), max(level, 1e-300)) for n, p, level in verdict.trail]
    if not looks:
        return ""
    bottom, height = 116, 152
    exponents = [math.log10(value) for _, p, level in looks for value in (p, level)]
    low = max(math.floor(min(exponents)), -300)
    step = max(1, math.ceil(-low / 4))
    y = draw.scale(low if low < 0 else -1, 0, bottom, draw.TOP)
    labels = [(float(e), "1" if e == 0 else f"1e{e}") for e in range(0, min(low, -1) - 1, -step)]
    left = 8 + draw.CHARACTER * max(len(label) for _, label in labels)
    x = draw.scale(0, verdict.planned or looks[-1][0], left, draw.WIDTH - 24)
    parts = [*draw.axis(labels, y, left)]
    parts.append(draw.line("axis", left, bottom, draw.WIDTH - 8, bottom))
    points = [(x(n), y(math.log10(p)), y(math.log10(level))) for n, p, level in looks]
    parts.append(draw.path("margin", [(px, boundary) for px, _, boundary in points]))
    parts.append(draw.dots("margin-dot", [(px, boundary) for px, _, boundary in points]))
    parts.append(draw.path("ci", [(px, py) for px, py, _ in points]))
    parts.append(draw.dots("estimate", [(px, py) for px, py, _ in points]))
    parts += [
        draw.label(px, bottom + 15, str(n)) for (px, _, _), (n, _, _) in zip(points, looks, strict=True)
    ]
    parts.append(draw.label((left + draw.WIDTH) / 2, bottom + 31, "replicates; p (solid), level (dashed)"))
    told = [(n, *compared(p, level, digits=3)) for n, p, level in looks]
    described = "; ".join(f"{n} replicates: p = {p}, level {level}" for n, p, level in told)
    title = f"Looks at {verdict.hypothesis} under {verdict.treatment}"
    return draw.svg(parts, title, f"{described}.", key=key, height=height)


@dataclass(frozen=True, slots=True)
class _Arm:
    """The finite values of one condition, by replicate, and how far to the side their dots may be put."""

    name: str
    values: dict[int, float]
    spread: float

    @classmethod
    def of(cls, name: str, sample: Sequence[Any]) -> _Arm:
        values = {i: float(value) for i, value in enumerate(sample) if is_finite(value)}
        return cls(name, values, draw.spread(values.values()))

    @property
    def mean(self) -> float:
        return mean(list(self.values.values()))


def _left(arms: tuple[_Arm, _Arm], pairs: Mapping[int, tuple[float, float]]) -> tuple[list[str], float]:
    """Return the panel of values, and where it ends."""
    low, high = draw.widened([value for arm in arms for value in arm.values.values()])
    labels = draw.ticks(low, high)
    left = 8 + draw.CHARACTER * max((len(label) for _, label in labels), default=1)
    right = left + (draw.WIDTH - left) * 0.46
    y = draw.scale(low, high, _BOTTOM, draw.TOP)
    places = [left + (right - left) * part for part in (0.27, 0.73)]
    spread = max(arm.spread for arm in arms)
    parts = [*draw.axis(labels, y, left)]
    if pairs:
        ends = [
            ((places[0] + draw.shift(i, spread), y(b)), (places[1] + draw.shift(i, spread), y(t)))
            for i, (b, t) in pairs.items()
        ]
        parts.append(f'<path class="pair" d="{"".join(map(draw.segments, ends))}"/>')
    for place, arm in zip(places, arms, strict=True):
        shown = draw.thinned(arm.values)
        parts.append(
            draw.dots("dot", [(place + draw.shift(i, spread), y(value)) for i, value in shown.items()])
        )
        if math.isfinite(arm.mean):
            parts.append(draw.line("mean", place - 16, y(arm.mean), place + 16, y(arm.mean)))
        parts.append(
            draw.label(place, _BOTTOM + 18, draw.short(arm.name, int((right - left) / 2 / draw.CHARACTER)))
        )
    return parts, right


def _right(verdict: Verdict, paired: Sequence[float], start: float) -> Iterator[str]:
    """Yield the panel of the difference."""
    if verdict.difference is None or not math.isfinite(verdict.difference):
        return
    unit = 100.0 if verdict.relative else 1.0
    suffix = " %" if verdict.relative else ""
    scale = scale_of(verdict.to_dict())
    estimate = unit * or_zero(verdict.difference, scale)
    ends = [unit * or_zero(end, scale) for end in verdict.interval or ()]
    null = null_of(verdict)
    margins = [unit * side + (null or 0.0) for side in margins_of(verdict)]
    differences = [] if verdict.relative or verdict.estimand not in ("", *SHIFTS) else paired
    differences = [or_zero(difference, scale) for difference in differences]
    seen = [estimate, *(end for end in ends if math.isfinite(end)), *margins, *differences]
    if not draw.has_room(seen):
        return
    low, high = draw.widened(seen if null is None else [*seen, null])
    labels = [(value, label + suffix) for value, label in draw.ticks(low, high)]
    left = start + 12 + draw.CHARACTER * max((len(label) for _, label in labels), default=1)
    right = float(draw.WIDTH - 6)
    y = draw.scale(low, high, _BOTTOM, draw.TOP)
    yield from draw.axis(labels, y, left)
    if null is not None:
        yield draw.line("zero", left, y(null), right, y(null))
    for side in margins:
        yield draw.line("margin", left, y(side), right, y(side))
        said = "margin" if verdict.at_least is None else "at least"
        said = said if verdict.detects is None else "detects"
        yield draw.label(right, y(side) - 4, said, anchor="end")
    beside, place = left + (right - left) * 0.3, left + (right - left) * (0.68 if differences else 0.5)
    if differences:
        shown, spread = draw.thinned(dict(enumerate(differences))), draw.spread(differences)
        yield draw.dots("dot", [(beside + draw.shift(i, spread), y(value)) for i, value in shown.items()])
    if ends:
        bounds = [min(max(end, low), high) for end in ends]
        yield draw.line("ci", place, y(bounds[0]), place, y(bounds[1]))
    yield draw.dots("estimate", [(place, y(estimate))])
    room = int((draw.WIDTH - left) / draw.CHARACTER)
    yield draw.label((left + right) / 2, _BOTTOM + 18, draw.short(verdict.estimand or "difference", room))
    if verdict.confidence is not None and ends:
        yield draw.label((left + right) / 2, _BOTTOM + 34, f"{percent(verdict.confidence)} interval")


def _described(verdict: Verdict, arms: Sequence[_Arm], replicates: int) -> str:
    """Say in words what the plot shows."""
    sentences = [
        f"{arm.name}: {len(arm.values)} values from {number(min(arm.values.values()))} to "
        f"{number(max(arm.values.values()))}, mean {number(arm.mean)}."
        for arm in arms
    ]
    row = verdict.to_dict()
    if verdict.difference is not None:
        ends = f", interval {interval_of(row)}" if verdict.interval else ""
        what = (verdict.estimand or "difference").capitalize()
        sentences.append(f"{what} {effect_of(row)}{ends}.")
    if verdict.margin is not None:
        sentences.append(f"Margin {effect(verdict.margin, relative=verdict.relative, sign=False)}.")
    if verdict.p_value is not None:
        sentences.append(f"{name_of_p(row)} = {p_of(row)}.")
    if replicates > draw.MOST_DOTS:
        sentences.append(f"The dots are {draw.MOST_DOTS} quantiles of each sample.")
    return " ".join(sentences)
