"""Provenance as a tree of text: what each step of each run read, wrote and recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from crystallize.context.record import RunRecord
from crystallize.context.seeding import HOOKS, SETUP, TEARDOWN, TREATMENT
from crystallize.context.trace import Scope
from crystallize.errors import DefinitionError
from crystallize.text.escaping import printable

LEVELS: Final = ("treatment", "replicate", "step", "action")

_KINDS: Final = ((HOOKS, ""), (TREATMENT, " (treatment)"), (TEARDOWN, " (teardown)"), (SETUP, " (setup)"))

Node = dict[str, Any]
"""Label -> the node below it, in order of appearance."""

_ASCII = str.maketrans({"├": "|", "└": "`", "─": "-", "│": "|"})


def parsed_levels(text: str) -> tuple[str, ...]:
    """Read levels such as ``"treatment > replicate > step"``.

    Raises
    ------
    DefinitionError
        If a level is unknown or named twice.
    """
    levels = tuple(level.strip() for level in text.split(">"))
    for position, level in enumerate(levels):
        if level not in LEVELS:
            known = ", ".join(map(repr, LEVELS))
            raise DefinitionError(
                f"level {level!r} of {text!r} is unknown; allowed are {known}, separated by '>'"
            )
        if level in levels[:position]:
            raise DefinitionError(f"level {level!r} is named twice in {text!r}")
    return levels


def tree_lines(
    title: str, records: Iterable[RunRecord], levels: str = "treatment > replicate > step > action"
) -> Iterator[str]:
    """Yield the lines of the tree; what is equal at a level is shown once.

    Parameters
    ----------
    title : str
        The line at the root.
    records : iterable of RunRecord
        What was run.
    levels : str
        Some or all of treatment, replicate, step and action, from the root to the leaves.

    Raises
    ------
    DefinitionError
        If a level is unknown or named twice.
    """
    order = parsed_levels(levels)
    root: Node = {}
    for record in records:
        for step, action in _actions(record):
            labels = {
                "treatment": record.condition,
                "replicate": f"replicate {record.replicate} (seed {record.seed})",
                "step": step,
                "action": action,
            }
            node = root
            for level in order:
                label = labels[level]
                if label is None:
                    break
                node = node.setdefault(label, {})
    yield printable(title)
    yield from _branches(root, "")


def encodable(line: str, encoding: str | None) -> str:
    """Return a line as it can be printed: with plain characters where the encoding has no others."""
    try:
        line.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        line = line.translate(_ASCII)
        return line.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
    return line


def _branches(node: Node, indent: str) -> Iterator[str]:
    for position, (label, below) in enumerate(node.items(), start=1):
        last = position == len(node)
        yield f"{indent}{'└── ' if last else '├── '}{printable(label)}"
        yield from _branches(below, indent + ("    " if last else "│   "))


def _actions(record: RunRecord) -> Iterator[tuple[str | None, str | None]]:
    """Yield the steps of a run, each with what it did; None for what there is not."""
    if not record.scopes:
        yield None, None
    # Metrics know their step by name: they belong to its call rather than to its setup.
    homes: dict[str, int] = {}
    for position, scope in reversed([*enumerate(record.scopes)]):
        if scope.index < SETUP or homes.get(scope.name) is None:
            homes[scope.name] = position
    left: dict[str, list[str]] = {}
    for entry in record.metrics:
        unit = "" if entry.unit is None else f" [{entry.unit}]"
        how = "measured" if entry.measured else "recorded"
        left.setdefault(entry.step, []).append(f"{how} {entry.name}{unit} = {_short(entry.value)}")
    for artifact in record.artifacts:
        left.setdefault(artifact.step, []).append(f"kept {artifact.name} ({artifact.size} bytes)")
    if record.error is not None:
        left.setdefault(record.error.step, []).append(f"raised {_first_line(str(record.error))}")
    if record.skipped is not None:
        left.setdefault(record.scopes[-1].name if record.scopes else "run", []).append(
            f"skipped: {_first_line(record.skipped)}"
        )
    for position, scope in enumerate(record.scopes):
        actions = _context_actions(scope)
        if homes[scope.name] == position:
            if scope.name in record.cached_steps:
                actions.insert(0, "was taken from the cache")
            actions += left.pop(scope.name, [])
        if not actions:
            yield _step(scope), None
        yield from ((_step(scope), action) for action in actions)
    for step, rest in left.items():
        yield from ((step, action) for action in rest)


def _context_actions(scope: Scope) -> list[str]:
    actions = [f"read {key} = {_short(shown)}" for key, shown in scope.reads.items()]
    actions += [f"looked for {key}, which was not there" for key in scope.absent]
    if scope.seeded:
        actions.append("asked for the seed, or random numbers")
    return actions + [f"wrote {key} = {_short(shown)}" for key, shown in scope.writes.items()]


def _step(scope: Scope) -> str:
    for start, kind in _KINDS:
        if scope.index >= start:
            return f"{scope.name}{kind}"
    return scope.name


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _first_line(text: str) -> str:
    return _short(text.strip().split("\n", 1)[0])
