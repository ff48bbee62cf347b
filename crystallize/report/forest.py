"""The effects of all treatments over one axis: a strip of a table's row for each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from crystallize.analysis.verdict import Verdict
from crystallize.report import drawing as draw
from crystallize.report.effect_scale import margins_of, null_of
from crystallize.text.formatting import or_zero, scale_of

_WIDTH: Final = 1000
_HEIGHT: Final = 40
_JITTER: Final = 22.0
_MOST_OF_DOTS: Final = 0.8  # of the range of effects on either side; dots farther out are not drawn


@dataclass(frozen=True, slots=True)
class Effect:
    """Effect of one treatment, in the units of the axis.

    Attributes
    ----------
    estimate : float
        The estimate.
    ends : pair of float or None
        Its interval; None if there is none, or it has no width since nothing was estimated.
    dots : sequence of float
        What replicates say of it.
    kind : str
        ``"good"``, ``"bad"`` or ``"unsure"``, which the mark shows.
    """

    estimate: float
    ends: tuple[float, float] | None
    dots: Sequence[float]
    kind: str

    @classmethod
    def of(cls, verdict: Verdict, dots: Sequence[float], kind: str, *, exact: bool = False) -> Effect | None:
        """Return the effect that a verdict tells; None if none can be drawn."""
        if verdict.difference is None:
            return None
        unit, scale = _unit(verdict), scale_of(verdict.to_dict())
        estimate = unit * or_zero(verdict.difference, scale)
        if not (math.isfinite(estimate) and draw.has_room([estimate])):
            return None
        ends = None
        if verdict.interval is not None and not exact:
            low, high = (unit * or_zero(end, scale) for end in verdict.interval)
            ends = None if math.isnan(low) or math.isnan(high) else (low, high)
        return cls(estimate, ends, [unit * dot for dot in dots], kind)


@dataclass(frozen=True, slots=True)
class Forest:
    """Axis of the effects on one metric.

    Attributes
    ----------
    low, high : float
        Its ends.
    null : float or None
        Where there is no difference.
    margins : sequence of float
        Where the margins of the claim lie.
    suffix : str
        Of its labels.
    beyond : int
        How many dots lie beyond its ends.
    """

    low: float
    high: float
    null: float | None
    margins: Sequence[float]
    suffix: str
    beyond: int

    @classmethod
    def over(cls, verdict: Verdict, effects: Sequence[Effect]) -> Forest | None:
        """Return the axis of effects; None if there are none.

        Parameters
        ----------
        verdict : Verdict
            One of theirs, which tells the units and the margins.
        effects : sequence of Effect
            What it is to hold.
        """
        if not effects:
            return None
        unit, null = _unit(verdict), null_of(verdict)
        margins = [unit * side + (null or 0.0) for side in margins_of(verdict)]
        core = [*margins, *(effect.estimate for effect in effects)]
        core += [end for effect in effects for end in effect.ends or () if math.isfinite(end)]
        core += [] if null is None else [unit * null]
        if not draw.has_room(core):
            return None
        low, high = draw.widened(core)
        air = (high - low) * _MOST_OF_DOTS
        dots = [dot for effect in effects for dot in effect.dots if math.isfinite(dot)]
        inside = [dot for dot in dots if low - air <= dot <= high + air]
        low, high = draw.widened([*core, *inside])
        null = None if null is None else unit * null
        return cls(low, high, null, margins, " %" if verdict.relative else "", len(dots) - len(inside))

    def part(self, value: float) -> float:
        """Return where a value lies, in per cent of the axis, at one of its ends if it is beyond."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield where labels stand, in per cent of the axis."""
        for value, label in draw.ticks(self.low, self.high):
            yield self.part(value), label + self.suffix

    def strip(self, effect: Effect | None) -> str:
        """Return the strip of one effect, which its row says in words."""
        parts = [] if self.null is None else [self._upright("zero", self.null)]
        parts += [self._upright("margin", margin) for margin in self.margins]
        if effect is not None:
            parts += self._marks(effect)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
        )

    def _marks(self, effect: Effect) -> Iterator[str]:
        middle = _HEIGHT / 2
        inside = [dot for dot in effect.dots if self.low <= dot <= self.high]
        shown = draw.thinned(dict(enumerate(inside)))
        if shown:
            places = ((self._x(dot), middle + draw.shift(i, _JITTER)) for i, dot in shown.items())
            yield draw.dots("dot", places)
        if effect.ends is not None:
            low, high = effect.ends
            yield draw.line(f"ci {effect.kind}", self._x(low), middle, self._x(high), middle)
            if low < self.low:
                yield draw.path(f"ci {effect.kind}", [(10, middle - 7), (1, middle), (10, middle + 7)])
            if high > self.high:
                ends = [(_WIDTH - 10, middle - 7), (_WIDTH - 1, middle), (_WIDTH - 10, middle + 7)]
                yield draw.path(f"ci {effect.kind}", ends)
        yield draw.dots(f"estimate {effect.kind}", [(self._x(effect.estimate), middle)])
        if effect.kind == "unsure":
            yield draw.dots("hollow", [(self._x(effect.estimate), middle)])

    def _x(self, value: float) -> float:
        return _WIDTH * self.part(value) / 100

    def _upright(self, kind: str, value: float) -> str:
        return draw.line(kind, self._x(value), 0, self._x(value), _HEIGHT)


def _unit(verdict: Verdict) -> float:
    return 100.0 if verdict.relative else 1.0
