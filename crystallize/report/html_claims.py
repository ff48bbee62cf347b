"""The hypotheses of an experiment on its page: a plot of all treatments each, and samples on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crystallize.analysis.claim_plan import plan_lines
from crystallize.analysis.verdict import Verdict
from crystallize.report.compared_samples import ComparedSamples
from crystallize.report.drawing import MOST_DOTS
from crystallize.report.forest import Effect, Forest
from crystallize.report.history_plot import history_plot
from crystallize.report.html_elements import (
    badge,
    badge_of,
    cards,
    cell,
    command,
    facts,
    head_cell,
    kind_of,
    text,
)
from crystallize.report.model import ExperimentResults, Outcome
from crystallize.report.plots import estimation_plot, looks_plot, power_plot
from crystallize.report.wording import (
    PASTS,
    claim_sentence,
    effect_of,
    group_parts,
    interval_of,
    is_exact,
    mde_of,
    p_of,
    rate_interval,
    sides_of,
)
from crystallize.text.formatting import compared, counted, interval, level_of, number, p_value

_EXACT: Final = (
    "Deterministic: no seed changes these values, so that they were compared directly. There is no test, and "
    "nothing is estimated."
)
SAME: Final = "* No variance: every difference is the same."


def claims(each: ExperimentResults, key: str) -> Iterator[str]:
    """Yield an article for each hypothesis of an experiment."""
    for hypothesis, group in each.by_hypothesis().items():
        yield from _article(each, hypothesis, [(f"{key}-{i}", test) for i, test in group])


def _article(each: ExperimentResults, hypothesis: str, group: Sequence[tuple[str, Outcome]]) -> Iterator[str]:
    key = f"{group[0][0]}-claim"
    counts: dict[tuple[str, str], int] = {}
    for _, test in group:
        entry = test.word, kind_of(test)
        counts[entry] = counts.get(entry, 0) + 1
    many = len(group) > 1
    badges = " ".join(badge(f"{n} {word}" if many else word, kind) for (word, kind), n in counts.items())
    yield f'<article aria-labelledby="{key}"><h3 id="{key}">{text(hypothesis or "Runs")} {badges}</h3>'
    judged = [(place, test, test.verdict) for place, test in group if test.verdict is not None]
    if judged:
        rows = [verdict.to_dict() for _, _, verdict in judged]
        told = [row for row in rows if row["status"] != "invalid"] or rows
        means = {row["baseline_mean"] for row in told}
        _, method = group_parts(rows, complete=False)
        said = claim_sentence(told[0] if len(means) == 1 else {**told[0], "baseline_mean": None})
        yield f'<p class="claim">Claim: {text(said)}</p>'
        yield f'<p class="method">{text("; ".join(method))}</p>' if method else ""
    if hypothesis and (judged or any(test.planned is None and test.calibration is None for _, test in group)):
        yield from _forest(each, hypothesis, group)
    yield from _reasons(group)
    shown = (["Samples", "figures"] if judged else []) + (["how to repeat"] if group[0][1].command else [])
    lead = " and ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)
    yield f'<div class="treatments"><p>{lead[:1].upper() + lead[1:]}:</p>'
    for place, test in group:
        yield from _details(each, test, place)
    yield "</div></article>"


# All treatments.


def _forest(each: ExperimentResults, hypothesis: str, group: Sequence[tuple[str, Outcome]]) -> Iterator[str]:
    effects = {place: _effect(each, test) for place, test in group}
    first = next((test.verdict for place, test in group if effects[place] is not None), None)
    known = [effect for effect in effects.values() if effect is not None]
    parts = [part for _, test in group for part in _slices(test)]
    forest = (
        None if first is None else Forest.over(first, [*known, *(e for _, _, e in parts if e is not None)])
    )
    columns = [("name", "Treatment")]
    if forest is not None and first is not None:
        columns.append(("strip", _axis(forest, first)))
    columns += [("mean", "Mean"), ("effect", "Effect"), ("interval", "Interval"), ("p", "p"), ("n", "n")]
    columns.append(("verdict", "Verdict"))
    yield '<figure class="forest">'
    yield from cards("effects", f"Effects on {hypothesis}", columns)
    for place, test in group:
        strip = None if forest is None else forest.strip(effects[place])
        yield from _row(place, test, strip)
        for name, part, effect in _slices(test):
            yield from _part_row(test, name, part, None if forest is None else forest.strip(effect))
    yield "</tbody></table>"
    if forest is not None:
        dots = any(effect.dots for effect in known)
        yield f"<figcaption>{text(' '.join(_caption(each, group, forest, dots=dots)))}</figcaption>"
    yield "</figure>"


def _effect(each: ExperimentResults, test: Outcome) -> Effect | None:
    verdict = test.verdict
    if verdict is None:
        return None
    dots = ComparedSamples.of(each, test, verdict).differences(verdict)
    return Effect.of(verdict, dots, kind_of(test), exact=is_exact(verdict.to_dict()))


def _slices(test: Outcome) -> Iterator[tuple[str, Mapping[str, Any], Effect | None]]:
    """Yield the slices of a verdict, with their effects."""
    verdict = test.verdict
    for name, part in ({} if verdict is None else verdict.slices).items():
        assert verdict is not None
        ends = None if part["interval"] is None else tuple(part["interval"])
        shown = Verdict.from_dict({**verdict.to_dict(), "difference": part["difference"], "interval": ends})
        yield name, part, Effect.of(shown, (), "part")


def _axis(forest: Forest, verdict: Verdict) -> str:
    """Return the heading of the strips: what they show, with its scale."""
    what = f"{verdict.estimand or 'difference'} of {verdict.metric}"
    name = "margin" if verdict.at_least is None else "at least"
    name = name if verdict.detects is None else "detects"
    marks = [("tick", at, label) for at, label in forest.ticks()]
    marks += [("limit", forest.part(margin), name) for margin in forest.margins]
    labels = "".join(
        f'<span class="{kind}" style="left:{at:.2f}%">{text(said)}</span>' for kind, at, said in marks
    )
    return f'{text(what[:1].upper() + what[1:])}<span class="axis" aria-hidden="true">{labels}</span>'


def _row(place: str, test: Outcome, strip: str | None) -> Iterator[str]:
    verdict = test.verdict
    name = text(test.treatment) or "runs"
    yield f'<tr role="row">{head_cell(f"""<a href="#{place}">{name}</a>""")}'
    if strip is not None:
        yield cell("strip", strip)
    if verdict is None:
        yield "".join(cell(column, "") for column in ("mean", "effect", "interval", "p", "n"))
    else:
        row = verdict.to_dict()
        exact = is_exact(row) and verdict.difference is not None
        yield cell("mean", text(number(verdict.treatment_mean)), "mean")
        yield cell("effect", text(effect_of(row)), "effect")
        yield cell("interval", "exact" if exact else text(interval_of(row)))
        yield cell("p", "no test" if exact else text(test.shown_p), "p")
        yield cell("n", str(verdict.n), "n")
    yield f"{cell('verdict', badge_of(test))}</tr>"


def _part_row(test: Outcome, name: str, part: Mapping[str, Any], strip: str | None) -> Iterator[str]:
    assert test.verdict is not None
    row = {**test.verdict.to_dict(), **part}
    yield f'<tr role="row" class="part">{head_cell(f"{text(test.treatment)} in {text(name)}")}'
    if strip is not None:
        yield cell("strip", strip)
    yield cell("mean", "")
    yield cell("effect", text(effect_of(row)), "effect")
    yield cell("interval", text("-" if part["interval"] is None else interval_of(row)))
    yield cell("p", "")
    yield cell("n", str(part["n"]), "n")
    yield f"{cell('verdict', text(part['reason'] or ''))}</tr>"


def _caption(
    each: ExperimentResults, group: Sequence[tuple[str, Outcome]], forest: Forest, *, dots: bool
) -> Iterator[str]:
    """Yield sentences that say how the strips are read."""
    judged = [(test, test.verdict) for _, test in group if test.verdict is not None]
    if any(is_exact(verdict.to_dict()) for _, verdict in judged):
        yield _EXACT
    else:
        yield "A mark is an estimate, its bar the interval."
    if dots:
        samples = [ComparedSamples.of(each, test, verdict) for test, verdict in judged]
        of = "difference" if all(s.paired for s in samples) else "replicate, less the mean of the other side"
        few = all(s.replicates <= MOST_DOTS for s in samples)
        yield f"A dot is one {of}." if few else f"Dots are {MOST_DOTS} quantiles of what replicates say."
    if forest.null is not None:
        yield (
            "Dotted: no difference." if forest.null == 0 else f"Dotted: {number(forest.null)}, no difference."
        )
    if forest.beyond:
        yield f"Beyond the axis: {counted(forest.beyond, 'replicate')}."
    if any(verdict.degenerate for _, verdict in judged):
        yield SAME


def _reasons(group: Sequence[tuple[str, Outcome]]) -> Iterator[str]:
    """Yield why what did not pass did not, and what was expected; what several have in common once."""
    said: dict[tuple[str, str], list[str]] = {}
    for _, test in group:
        if test.reason or test.expected:
            said.setdefault((test.reason, test.expected), []).append(test.treatment or "runs")
    if not said:
        return
    yield '<dl class="reasons">'
    for (reason, expected), names in said.items():
        told = [text(reason)] if reason else []
        told += [f"Expected: {text(expected)}"] if expected else []
        yield f"<div><dt>{', '.join(map(text, names))}</dt><dd>{'<br/>'.join(told)}</dd></div>"
    yield "</dl>"


# One treatment.


def _details(each: ExperimentResults, test: Outcome, key: str) -> Iterator[str]:
    verdict = test.verdict
    name = text(test.treatment or "runs")
    opened = ' open="open"' if test.planned or test.calibration else ""
    # A link to what lies in it opens it.
    yield f'<details{opened}><summary><h4>{name}</h4></summary><div id="{key}">'
    if verdict is not None:
        yield '<div class="beside">'
        yield from _figures(each, test, verdict, key)
        yield "<div>"
        yield from facts(_facts(verdict))
        yield "</div></div>"
    if test.calibration is not None:
        yield _calibrated(test.calibration)
    if test.planned is not None:
        yield from (f"<p>{text(line.strip())}</p>" for line in plan_lines(test.planned))
        if plot := power_plot(test.planned, key=f"{key}-power"):
            said = "Power by replicates, by the upper 80 % limit of the pilot's spread."
            yield f'<div class="figures"><figure>{plot}<figcaption>{said}</figcaption></figure></div>'
    yield command("Repeat it", test.command)
    yield "</div></details>"


def _calibrated(found: Mapping[str, Any]) -> str:
    return (
        f"<p>Supported in {found['false_positives']} of {counted(found['tests'], 'A/A test')} of "
        f"{found['n']} and {counted(found['n'], 'replicate')}: {100 * found['rate']:.3g} %, 98 % interval "
        f"{rate_interval(found)}, alpha {found['alpha']:g}</p>"
    )


def _figures(each: ExperimentResults, test: Outcome, verdict: Verdict, key: str) -> Iterator[str]:
    samples = ComparedSamples.of(each, test, verdict)
    plot = estimation_plot(
        verdict,
        samples.baseline,
        samples.treatment,
        key=f"{key}-plot",
        names=samples.names,
        paired=samples.paired,
    )
    recorded = f"; left, what was {verdict.recorded}" if verdict.comparator in PASTS else ""
    effect = "" if verdict.difference is None else "; right, the difference and its interval"
    caption = f"{_dots(samples)}{recorded}{effect}."
    looks = looks_plot(verdict, key=f"{key}-looks")
    recordings = (test.reference or {}).get("recordings", {}).get(samples.metric, ())
    history = history_plot(samples.metric, recordings, samples.treatment, key=f"{key}-history")
    plots = [
        (plot, caption),
        (looks, "p at each look, and the level that it is compared with."),
        (history, f"{samples.metric} in each recording, with 95 % intervals, and today; large: what counts."),
    ]
    shown = [f"<figure>{plot}<figcaption>{text(said)}</figcaption></figure>" for plot, said in plots if plot]
    if shown:
        yield f'<div class="figures">{"".join(shown)}</div>'


def _dots(samples: ComparedSamples) -> str:
    if samples.replicates > MOST_DOTS:
        return f"{samples.metric}: {MOST_DOTS} quantiles of {samples.replicates} replicates"
    lines = ", lines join the same seed" if samples.paired else ""
    return f"{samples.metric}: a dot per replicate{lines}"


def _facts(verdict: Verdict) -> dict[str, str | None]:
    row, level = verdict.to_dict(), None
    if verdict.level is not None:
        p = verdict.deciding_p
        level = number(verdict.level) if p is None else compared(p, verdict.level)[1]
    left, right = sides_of(row)
    if verdict.comparator in PASTS:
        left, right = verdict.comparator, "today"
    past = verdict.comparator.capitalize() if verdict.comparator in PASTS else "Reference"
    return {
        "Means": f"{left} {number(verdict.baseline_mean)}, {right} {number(verdict.treatment_mean)}",
        past: f"{verdict.against}, {verdict.recorded}" if verdict.recorded else None,
        "Effect": None if verdict.difference is None else effect_of(row),
        "Interval": None if verdict.interval is None or is_exact(row) else interval_of(row),
        "p": None if verdict.p_value is None else p_value(verdict.p_value, level_of(row)),
        "Adjusted p": None if verdict.adjusted_p is None else p_value(verdict.adjusted_p, level_of(row)),
        "p of the opposite": None if verdict.opposite_p is None else p_of(row),
        "Level": level,
        "Replicates": f"{verdict.n} of {verdict.planned}" if verdict.planned else str(verdict.n),
        "Look": f"{verdict.look} of {verdict.looks}" if verdict.looks else None,
        "Effect size": _sizes(verdict),
        "Detectable": None if verdict.detectable is None else mde_of(row),
        "Test": verdict.test or None,
        "Relies on": verdict.caveat or None,
        "No variance": "every difference is the same" if verdict.degenerate else None,
    }


def _sizes(verdict: Verdict) -> str | None:
    sizes = (
        f"{name} {number(size['estimate'], digits=3)} {interval(size['interval'])}"
        for name, size in verdict.effect_sizes.items()
    )
    return ", ".join(sizes) or None
