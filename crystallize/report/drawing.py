"""Pieces of plots as SVG text, and where they go; a style sheet colours them by their classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Final

from crystallize.text.escaping import printable

WIDTH: Final = 360
TOP: Final = 16
CHARACTER: Final = 6.3
"""Width of a character, about."""

MOST_DOTS: Final = 60
"""Of more replicates only quantiles are drawn, and no pairs."""

_GOLDEN: Final = 0.6180339887498949
_LARGEST: Final = 1e300

Scale = Callable[[float], float]

# Geometry.


def has_room(values: Iterable[float]) -> bool:
    """Return whether differences of all values are finite, with room to spare."""
    return all(abs(value) < _LARGEST for value in values)


def widened(values: Collection[float]) -> tuple[float, float]:
    """Return the range of values with some air on both sides, never empty."""
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or abs(low) * 0.05 or 1.0
    return low - air, high + air


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return where values between two ends lie between two places."""
    span = high - low
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float) -> list[tuple[float, str]]:
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


def spread(values: Collection[float]) -> float:
    """Return how wide a column of dots is: wide, where many values are equal."""
    return 14 if len(set(values)) > len(values) / 2 else 34


def shift(i: int, width: float) -> float:
    """Return how far to the side a dot is put, so that equal values stay apart; the same in every report."""
    return ((i * _GOLDEN) % 1 - 0.5) * width


def thinned(values: Mapping[int, float]) -> Mapping[int, float]:
    """Return all values, or of many their quantiles."""
    if len(values) <= MOST_DOTS:
        return values
    ordered = sorted(values.values())
    return {i: ordered[int((i + 0.5) * len(ordered) / MOST_DOTS)] for i in range(MOST_DOTS)}


def short(name: str, room: int) -> str:
    """Return a name cut to a number of characters."""
    return name if len(name) <= room else name[: max(room - 1, 1)] + "…"


# Elements.


def svg(parts: Iterable[str], title: str, described: str, *, key: str, height: int) -> str:
    """Return a picture that assistive technology names, and describes in words."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{clean(title)}</title>'
        f'<desc id="{key}-desc">{clean(described)}</desc>{"".join(parts)}</svg>'
    )


def clean(text: str) -> str:
    """Return a text of others as it may stand in a page."""
    return escape(printable(text))


def axis(labels: Sequence[tuple[float, str]], y: Scale, x: float) -> Iterator[str]:
    """Yield a vertical axis with its labels."""
    yield line("axis", x, TOP, x, max([y(value) for value, _ in labels] + [TOP]))
    for value, said in labels:
        yield line("axis", x - 3, y(value), x, y(value))
        yield label(x - 5, y(value) + 4, said, anchor="end")


def label(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    """Return a text at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{clean(text)}</text>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight line of a class of the style sheet."""
    return f'<path class="{kind}" d="{segments(((x1, y1), (x2, y2)))}"/>'


def segments(ends: tuple[tuple[float, float], tuple[float, float]]) -> str:
    """Return a straight line as a part of a path."""
    (x1, y1), (x2, y2) = ends
    return f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"


def path(kind: str, points: Sequence[tuple[float, float]]) -> str:
    """Return lines that join points, of a class of the style sheet."""
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def dots(kind: str, points: Iterable[tuple[float, float]]) -> str:
    """Return dots as strokes without length and with round ends: one element for all of them."""
    return f'<path class="{kind}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)}"/>'
