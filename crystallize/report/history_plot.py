"""A metric over the recordings of a reference, and today, as SVG text for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from crystallize.context.recording import is_finite
from crystallize.report import drawing as draw
from crystallize.text.formatting import number, short_commit

_BOTTOM: Final = 136
_HEIGHT: Final = 172
_MOST: Final = 40
"""Recordings that are drawn: the last ones."""


def history_plot(
    metric: str, recordings: Sequence[Mapping[str, Any]], today: Sequence[Any], *, key: str
) -> str:
    """Return the mean of a metric in each recording with its 95 % interval, and of today on the right.

    Parameters
    ----------
    metric : str
        Its name.
    recordings : sequence of mapping
        The earliest first, as `crystallize.analysis.history.course` gives them.
    today : sequence
        One value per replicate; what is no finite number is left out.
    key : str
        Makes ids unique in the page.

    Returns
    -------
    str
        An ``svg`` element; empty if there are fewer than two recordings.
    """
    shown = [*recordings[-_MOST:]]
    values = [float(value) for value in today if is_finite(value)]
    means = [known["mean"] for known in shown]
    ends = [end for known in shown for end in (known["low"], known["high"]) if end is not None]
    now = sum(values) / len(values) if values else None
    seen = [*means, *ends, *([] if now is None else [now])]
    if len(shown) < 2 or not draw.has_room(seen):
        return ""
    low, high = draw.widened(seen)
    y = draw.scale(low, high, _BOTTOM, draw.TOP)
    labels = draw.ticks(low, high)
    left = 8 + draw.CHARACTER * max((len(label) for _, label in labels), default=1)
    x = draw.scale(0, len(shown), left + 12, draw.WIDTH - 24)
    parts = [*draw.axis(labels, y, left), draw.line("axis", left, _BOTTOM, draw.WIDTH - 8, _BOTTOM)]
    for i, known in enumerate(shown):
        if known["low"] is not None:
            parts.append(draw.line("ci", x(i), y(known["low"]), x(i), y(known["high"])))
    for kind, compared in (("dot", False), ("estimate", True)):
        places = [(x(i), y(known["mean"])) for i, known in enumerate(shown) if known["compared"] is compared]
        parts += [draw.dots(kind, places)] if places else []
    if now is not None:
        parts.append(draw.line("zero", left, y(now), draw.WIDTH - 8, y(now)))
        parts.append(draw.dots("margin-dot", [(x(len(shown)), y(now))]))
    parts.append(draw.label(x(0), _BOTTOM + 15, shown[0]["recorded"][:10], anchor="start"))
    parts.append(draw.label(draw.WIDTH - 8, _BOTTOM + 15, "today", anchor="end"))
    described = "; ".join(
        f"{known['label'] or short_commit(known['commit']) or 'unknown'}: {number(known['mean'])}"
        for known in shown
    )
    if now is not None:
        described += f"; today: {number(now)}"
    return draw.svg(parts, f"{metric} over recordings", described, key=key, height=_HEIGHT)
