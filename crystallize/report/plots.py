"""Plots of samples and looks as SVG text, for a page whose style sheet colours them.

They are written directly: a figure of a plotting library takes 50 ms, and knows neither the page's colours
nor its fonts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from crystallize.analysis.columns import mean
from crystallize.analysis.verdict import Verdict
from crystallize.context.recording import is_finite
from crystallize.report.wording import effect_of, interval_of, p_of
from crystallize.text.escaping import printable
from crystallize.text.formatting import compared, effect, name_of_p, number, or_zero, percent, scale_of

WIDTH = 360
MOST_PAIRS = 60
"""Of more replicates only quantiles are drawn, and no pairs."""

_TOP, _BOTTOM, _HEIGHT = 16, 186, 226
_CHARACTER = 6.3
_GOLDEN = 0.6180339887498949
_NULLS = {
    "": 0.0,
    "pseudo-median of the differences": 0.0,
    "median of the pairwise differences": 0.0,
    "relative change": 0.0,
    "change of the geometric mean": 0.0,
    "difference of the ratios": 0.0,
    "relative change of the ratio": 0.0,
    "win rate": 0.5,
    "probability of superiority": 0.5,
    "share of gains among the discordant pairs": 0.5,
}

_LARGEST = 1e300

Scale = Callable[[float], float]


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
    if not _has_room(seen):
        return ""
    shared = [i for i in first.values if i in second.values] if paired else []
    pairs = {i: (first.values[i], second.values[i]) for i in shared}
    parts, middle = _left((first, second), pairs if replicates <= MOST_PAIRS else {})
    parts += _right(verdict, [t - b for b, t in pairs.values()], middle)
    title = f"{verdict.metric}: {left} and {right}"
    return _svg(parts, title, _described(verdict, (first, second), replicates), key=key, height=_HEIGHT)


def power_plot(plan: Mapping[str, Any], *, key: str) -> str:
    """Return the power by replicates of a claim's plan, and where it has what is asked; empty without one."""
    points = plan["curve"]
    if not points or plan["needed"] is None:
        return ""
    bottom, height = 116, 152
    y = _scale(0, 1, bottom, _TOP)
    labels = [(value, f"{value:g}") for value in (0.0, 0.5, 1.0)]
    left = 8 + _CHARACTER * 3
    x = _scale(0, points[-1][0], left, WIDTH - 24)
    needed, target = plan["needed"], plan["power"]
    parts = [*_axis(labels, y, left), _line("axis", left, bottom, WIDTH - 8, bottom)]
    parts.append(_line("margin", left, y(target), WIDTH - 8, y(target)))
    parts.append(_path("ci", [(x(n), y(chance)) for n, chance in points]))
    parts.append(_dots("estimate", [(x(needed), y(target))]))
    shown = dict.fromkeys((points[0][0], needed, points[-1][0]))
    parts += [_text(x(n), bottom + 15, str(n)) for n in shown]
    parts.append(_text((left + WIDTH) / 2, bottom + 31, "replicates; power (solid), wanted (dashed)"))
    title = f"Power of {plan['hypothesis']} under {plan['treatment']}"
    described = f"{needed} replicates have a power of {target:g}."
    return _svg(parts, title, described, key=key, height=height)


def looks_plot(verdict: Verdict, *, key: str) -> str:
    """Return the p-value at each look beside the level that it was compared with; empty without looks."""
    looks = [(n, max(p, 1e-300), max(level, 1e-300)) for n, p, level in verdict.trail]
    if not looks:
        return ""
    bottom, height = 116, 152
    exponents = [math.log10(value) for _, p, level in looks for value in (p, level)]
    low = max(math.floor(min(exponents)), -300)
    step = max(1, math.ceil(-low / 4))
    y = _scale(low if low < 0 else -1, 0, bottom, _TOP)
    labels = [(float(e), "1" if e == 0 else f"1e{e}") for e in range(0, min(low, -1) - 1, -step)]
    left = 8 + _CHARACTER * max(len(label) for _, label in labels)
    x = _scale(0, verdict.planned or looks[-1][0], left, WIDTH - 24)
    parts = [*_axis(labels, y, left)]
    parts.append(_line("axis", left, bottom, WIDTH - 8, bottom))
    points = [(x(n), y(math.log10(p)), y(math.log10(level))) for n, p, level in looks]
    parts.append(_path("margin", [(px, boundary) for px, _, boundary in points]))
    parts.append(_dots("margin-dot", [(px, boundary) for px, _, boundary in points]))
    parts.append(_path("ci", [(px, py) for px, py, _ in points]))
    parts.append(_dots("estimate", [(px, py) for px, py, _ in points]))
    parts += [_text(px, bottom + 15, str(n)) for (px, _, _), (n, _, _) in zip(points, looks, strict=True)]
    parts.append(_text((left + WIDTH) / 2, bottom + 31, "replicates; p (solid), level (dashed)"))
    told = [(n, *compared(p, level, digits=3)) for n, p, level in looks]
    described = "; ".join(f"{n} replicates: p = {p}, level {level}" for n, p, level in told)
    title = f"Looks at {verdict.hypothesis} under {verdict.treatment}"
    return _svg(parts, title, f"{described}.", key=key, height=height)


@dataclass(frozen=True, slots=True)
class _Arm:
    """The finite values of one condition, by replicate, and how far to the side their dots may be put."""

    name: str
    values: dict[int, float]
    spread: float

    @classmethod
    def of(cls, name: str, sample: Sequence[Any]) -> _Arm:
        values = {i: float(value) for i, value in enumerate(sample) if is_finite(value)}
        return cls(name, values, _spread(values.values()))

    @property
    def mean(self) -> float:
        return mean(list(self.values.values()))


def _left(arms: tuple[_Arm, _Arm], pairs: Mapping[int, tuple[float, float]]) -> tuple[list[str], float]:
    """Return the panel of values, and where it ends."""
    low, high = _widened([value for arm in arms for value in arm.values.values()])
    labels = _ticks(low, high)
    left = 8 + _CHARACTER * max((len(label) for _, label in labels), default=1)
    right = left + (WIDTH - left) * 0.46
    y = _scale(low, high, _BOTTOM, _TOP)
    places = [left + (right - left) * part for part in (0.27, 0.73)]
    spread = max(arm.spread for arm in arms)
    parts = [*_axis(labels, y, left)]
    if pairs:
        ends = [
            ((places[0] + _shift(i, spread), y(b)), (places[1] + _shift(i, spread), y(t)))
            for i, (b, t) in pairs.items()
        ]
        parts.append(f'<path class="pair" d="{"".join(map(_segments, ends))}"/>')
    for place, arm in zip(places, arms, strict=True):
        shown = _thinned(arm.values)
        parts.append(_dots("dot", [(place + _shift(i, spread), y(value)) for i, value in shown.items()]))
        if math.isfinite(arm.mean):
            parts.append(_line("mean", place - 16, y(arm.mean), place + 16, y(arm.mean)))
        parts.append(_text(place, _BOTTOM + 18, _short(arm.name, int((right - left) / 2 / _CHARACTER))))
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
    null = _NULLS.get(verdict.estimand)
    margins = [unit * side + (null or 0.0) for side in _margins(verdict)]
    differences = [] if verdict.relative or verdict.estimand not in ("", *_SHIFTS) else paired
    differences = [or_zero(difference, scale) for difference in differences]
    seen = [estimate, *(end for end in ends if math.isfinite(end)), *margins, *differences]
    if not _has_room(seen):
        return
    low, high = _widened(seen if null is None else [*seen, null])
    labels = [(value, label + suffix) for value, label in _ticks(low, high)]
    left = start + 12 + _CHARACTER * max((len(label) for _, label in labels), default=1)
    right = float(WIDTH - 6)
    y = _scale(low, high, _BOTTOM, _TOP)
    yield from _axis(labels, y, left)
    if null is not None:
        yield _line("zero", left, y(null), right, y(null))
    for side in margins:
        yield _line("margin", left, y(side), right, y(side))
        said = "margin" if verdict.at_least is None else "at least"
        said = said if verdict.detects is None else "detects"
        yield _text(right, y(side) - 4, said, anchor="end")
    beside, place = left + (right - left) * 0.3, left + (right - left) * (0.68 if differences else 0.5)
    if differences:
        shown, spread = _thinned(dict(enumerate(differences))), _spread(differences)
        yield _dots("dot", [(beside + _shift(i, spread), y(value)) for i, value in shown.items()])
    if ends:
        bounds = [min(max(end, low), high) for end in ends]
        yield _line("ci", place, y(bounds[0]), place, y(bounds[1]))
    yield _dots("estimate", [(place, y(estimate))])
    room = int((WIDTH - left) / _CHARACTER)
    yield _text((left + right) / 2, _BOTTOM + 18, _short(verdict.estimand or "difference", room))
    if verdict.confidence is not None and ends:
        yield _text((left + right) / 2, _BOTTOM + 34, f"{percent(verdict.confidence)} interval")


_SHIFTS = ("pseudo-median of the differences", "median of the pairwise differences")


def _margins(verdict: Verdict) -> list[float]:
    if verdict.at_least is not None:
        return [-verdict.at_least if verdict.direction == "decrease" else verdict.at_least]
    margin = verdict.margin if verdict.detects is None else verdict.detects
    if margin is None:
        return []
    sides = {"no_decrease": (-1,), "no_increase": (1,), "equal": (-1, 1)}.get(verdict.direction, ())
    return [side * margin for side in sides]


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
    if replicates > MOST_PAIRS:
        sentences.append(f"The dots are {MOST_PAIRS} quantiles of each sample.")
    return " ".join(sentences)


# Geometry.


def _has_room(values: Iterable[float]) -> bool:
    """Return whether differences of all values are finite, with room to spare."""
    return all(abs(value) < _LARGEST for value in values)


def _widened(values: Collection[float]) -> tuple[float, float]:
    """Return the range of values with some air on both sides, never empty."""
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or abs(low) * 0.05 or 1.0
    return low - air, high + air


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = high - low
    return lambda value: start + (value - low) / span * (end - start)


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers in a range, with labels that tell them apart."""
    raw = (high - low) / 4
    if not raw > 0:
        return []
    exponent = math.floor(math.log10(raw))
    if not -300 < exponent < 300:
        return []
    power = 10.0**exponent
    step = next((size * power for size in (1, 2, 5) if size * power >= raw), 10 * power)
    first = math.ceil(low / step)
    values = [(first + i) * step for i in range(12) if (first + i) * step <= high]
    largest = max(map(abs, values), default=0.0)
    if step >= 1e-4 and largest < 1e7:
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(value, f"{value:.{decimals}f}") for value in values]
    digits = max(1, math.ceil(math.log10(max(largest / step, 1))) + 1)
    return [(value, f"{value:.{min(digits, 12)}g}") for value in values]


def _spread(values: Collection[float]) -> float:
    """Return how wide a column of dots is: wide, where many values are equal."""
    return 14 if len(set(values)) > len(values) / 2 else 34


def _shift(i: int, spread: float) -> float:
    """Return how far to the side a dot is put, so that equal values stay apart; the same in every report."""
    return ((i * _GOLDEN) % 1 - 0.5) * spread


def _thinned(values: Mapping[int, float]) -> Mapping[int, float]:
    """Return all values, or of many their quantiles."""
    if len(values) <= MOST_PAIRS:
        return values
    ordered = sorted(values.values())
    return {i: ordered[int((i + 0.5) * len(ordered) / MOST_PAIRS)] for i in range(MOST_PAIRS)}


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else name[: max(room - 1, 1)] + "…"


# Elements.


def _svg(parts: Iterable[str], title: str, described: str, *, key: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{_clean(title)}</title>'
        f'<desc id="{key}-desc">{_clean(described)}</desc>{"".join(parts)}</svg>'
    )


def _clean(text: str) -> str:
    return escape(printable(text))


def _axis(labels: Sequence[tuple[float, str]], y: Scale, x: float) -> Iterator[str]:
    yield _line("axis", x, _TOP, x, max([y(value) for value, _ in labels] + [_TOP]))
    for value, label in labels:
        yield _line("axis", x - 3, y(value), x, y(value))
        yield _text(x - 5, y(value) + 4, label, anchor="end")


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_clean(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="{kind}" d="{_segments(((x1, y1), (x2, y2)))}"/>'


def _segments(ends: tuple[tuple[float, float], tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = ends
    return f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"


def _path(kind: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _dots(kind: str, points: Iterable[tuple[float, float]]) -> str:
    """Return dots as strokes without length and with round ends: one element for all of them."""
    return f'<path class="{kind}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)}"/>'
