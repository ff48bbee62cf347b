"""Cacheable steps: called apart from what surrounds them, so that all that they do can be stored and redone.

Whether a cache is in use, empty or full makes no difference that a later step could see. So a step begins
with a trace, a generator and seeded global generators of its own, whatever hooks did before it; what it gave
is handed on as a copy that went through bytes, since a stored result does too; and the global generators are
seeded again behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from crystallize.context.context import FrozenContext, journal_of
from crystallize.context.freezing import freeze
from crystallize.context.recording import KeptArtifact, MetricEntry, artifact_key
from crystallize.context.seeding import (
    BEFORE_CACHEABLE,
    BEHIND_CACHEABLE,
    global_draws_detector,
    scope_seed,
    seed_globals,
)
from crystallize.context.trace import Event
from crystallize.declare.pipeline_step import PipelineStep, code_of
from crystallize.errors import DefinitionError, NotStorableError

if TYPE_CHECKING:
    from crystallize.run.step_effects import StepEffects

Mode = Literal["reuse", "refresh", "off"]

Read = tuple[str, str]
"""What a step depends on beside its code, data and seed: a kind, and a name where there are several."""


class StepCall(NamedTuple):
    """A call of a step, before it is made.

    Attributes
    ----------
    name : str
        Name of the step.
    code : object
        What decides what it does.
    data : any
        What it is given.
    seed : tuple of int or None
        The replicate's word and the step's number; None if the step is deterministic.
    look_up : callable
        Returns the value of a `Read` before the call; raises `KeyError` for a key that was not there.
    """

    name: str
    code: object
    data: Any
    seed: tuple[int, int] | None
    look_up: Callable[[Read], Any]


class StepEntry(Protocol):
    """The place of one call's result in a cache."""

    def find(self) -> Iterator[tuple[str, bytes]]:
        """Yield results of calls that were equal in everything they depended on."""

    def watched(self) -> AbstractContextManager[object]:
        """Bracket the call, to note what it does that no result would repeat."""

    def keep(self, reads: frozenset[Read], result: tuple[str, bytes]) -> None:
        """Store what the call gave, unless something speaks against it.

        Parameters
        ----------
        reads : frozenset of Read
            All that the call depended on.
        result : tuple of str and bytes
            What it gave.
        """

    def refuse(self, why: str) -> None:
        """Store nothing, and say why."""


CacheReport = tuple[Mapping[tuple[str, str], str], bool]
"""What a process tells of its cache: (step, part) -> why it is not cached; and whether it stored anything."""


class StepCache(Protocol):
    """Cache of the results of cacheable steps; it can be pickled, and opens itself anew."""

    def unit(self) -> AbstractContextManager[object]:
        """Bracket a unit of work, so that what it does counts for no step of a unit beside it."""

    def entry(self, call: StepCall) -> StepEntry | None:
        """Return the place of a call's result, or None if that can't be told."""

    def is_there(self) -> bool:
        """Return whether this process can reach the place where results are kept."""

    def why_anew(self, metric: str) -> str | None:
        """Say why a measured metric has to be measured anew by each call; None if a stored value will do."""

    def report(self) -> CacheReport:
        """Return what happened in this process since it was last asked."""

    def take(self, report: CacheReport) -> None:
        """Take in what another process reports."""

    def withdraw(self) -> None:
        """Remove what this process has stored: the calls that gave it may have gone wrong."""

    def conclude(self) -> list[str]:
        """Tidy up at the end of a run; return what its user should know, once."""


def open_step_cache(
    directory: Path | None = None,
    *,
    mode: Mode = "reuse",
    inputs: tuple[str, ...] = (),
    env: tuple[str, ...] = (),
    cache_key: str | None = None,
    root: Path | None = None,
    surroundings: str = "",
    environment_digest: str | None = None,
    measured_anew: Collection[str] | None = (),
) -> StepCache | None:
    """Return the cache of cacheable steps in a directory.

    Parameters
    ----------
    directory : path, optional
        Where results lie; by default ``steps`` in that of the library (``CRYSTALLIZE_CACHE_DIR``, or
        ``.cache/crystallize``).
    mode : {"reuse", "refresh", "off"}
        Use and store results; only store them, in place of earlier ones; or neither, which returns None.
    inputs : tuple of str
        Paths and patterns of files that steps may read; their content is part of every key.
    env : tuple of str
        Names of environment variables that steps may read; their values are part of every key.
    cache_key : str, optional
        Vouches for all that can't be seen, and is part of every key: with it, results are stored of steps
        that use the network or start processes, or record measured metrics.
    root : path, optional
        Directory that `inputs` are relative to; the current one if left out.
    surroundings : str
        What else decides what a step gives or whether it fails, such as filters of warnings, and what was
        done to the process before any step; part of every key.
    environment_digest : str, optional
        Digest of the environment, where it is known.
    measured_anew : collection of str or None
        Measured metrics that have to be of the call itself, since something is claimed of them; None for all.

    Raises
    ------
    DefinitionError
        If the mode is none of these.
    """
    if mode not in ("reuse", "refresh", "off"):
        raise DefinitionError(f"mode is {mode!r}; allowed are 'reuse', 'refresh' and 'off'")
    if mode == "off":
        return None
    from crystallize.run.step_results import StepResults  # heavy, and needed for cacheable steps only

    return StepResults(
        directory,
        refresh=mode == "refresh",
        inputs=inputs,
        env=env,
        cache_key=cache_key,
        root=root,
        surroundings=surroundings,
        environment_digest=environment_digest,
        measured_anew=measured_anew,
    )


class CacheableSteps:
    """Cacheable steps of a plan, called or stood for by their stored results.

    Parameters
    ----------
    cache : StepCache, optional
        Where results come from and go to.
    seeding : callable, optional
        Seeds the global generators, given a 32-bit seed.
    shared : bool
        Whether units that run at the same time share the global generators.
    """

    def __init__(
        self, cache: StepCache | None, seeding: Callable[[int], object] | None, *, shared: bool = False
    ) -> None:
        from crystallize.run.step_effects import StepEffects  # heavy, and needed for cacheable steps only

        self.effects = StepEffects
        self.cache = cache
        self.seeding = seeding
        self.shared = shared

    def unit(self) -> AbstractContextManager[object]:
        """Bracket a unit of work."""
        return nullcontext() if self.cache is None else self.cache.unit()

    def call(self, step: PipelineStep, index: int, data: Any, ctx: FrozenContext) -> CacheableCall:
        """Return a call of a step that is to be made, unless it is repeated."""
        return CacheableCall(self, step, index, data, ctx)


class CacheableCall:
    """Call of a cacheable step."""

    def __init__(
        self, steps: CacheableSteps, step: PipelineStep, index: int, data: Any, ctx: FrozenContext
    ) -> None:
        self._steps = steps
        self._step = step
        self._index = index
        self._journal = journal = journal_of(ctx)
        self._moved = _never
        self._watching: AbstractContextManager[object] | None = None
        self._before = {**journal.values}
        self._events: list[tuple[Event, str]] = []
        self._asked: set[Read] = set()
        self._recorded = len(journal.metrics), len(journal.artifacts), len(journal.notes)
        self._calls = len(journal.calls)
        self._effects: StepEffects | None = None
        self._entry: StepEntry | None = None
        if steps.cache is not None:
            seed = None if step.deterministic else (journal.word, index)
            self._entry = steps.cache.entry(StepCall(step.name, code_of(step), data, seed, self._look_up))

    def is_to_be_made(self) -> bool:
        """Begin the call, unless there is a result that can be used; then do what that says."""
        for result in () if self._entry is None else self._entry.find():
            try:
                effects = self._steps.effects.decoded(result)
            except NotStorableError:
                continue
            if not self._conflicts(effects) and self._why_anew(effects.metrics) is None:
                self._repeat(effects)
                return False
        self._begin()
        return True

    def _conflicts(self, effects: StepEffects) -> bool:
        """Return whether an artifact is there already, so that the step has to be called and to fail."""
        if not effects.artifacts:
            return False
        known = {entry.key for entry in self._journal.artifacts}
        names = {entry.name for entry in self._journal.artifacts} & self._journal.outputs.keys()
        return any(
            name in names or artifact_key(self._step.name, name) in known for name, _ in effects.artifacts
        )

    def _why_anew(self, metrics: Iterable[Any]) -> str | None:
        """Say which of these metrics was measured and is no stored value's to give, or None."""
        for name, _, _, measured in metrics:
            if measured and self._steps.cache is not None and (why := self._steps.cache.why_anew(name)):
                return f"its metric {name!r} is measured, {why}"
        return None

    def _repeat(self, effects: StepEffects) -> None:
        journal, step = self._journal, self._step.name
        journal.cached_steps += (step,)
        for key, value in effects.written.items():
            journal.values[key] = freeze(value)
        journal.retrace(effects.events)
        for name, value, unit, measured in effects.metrics:
            journal.metrics.append(MetricEntry(name, value, unit, measured, step))
        for name, data in effects.artifacts:
            journal.artifacts.append(KeptArtifact(name, data, step, artifact_key(step, name)))
        journal.notes += tuple((name, value) for name, value in effects.notes)
        self._effects = effects

    def _seed(self) -> int:
        """Return the seed of the global generators before the call."""
        return scope_seed(self._journal.word, BEFORE_CACHEABLE + self._index)

    def _begin(self) -> None:
        entry = self._entry
        self._outer = self._journal.set_apart(self._asked)
        if self._steps.seeding is not None:
            self._steps.seeding(self._seed())
        if entry is not None or self._step.deterministic:
            self._moved = global_draws_detector()
        if entry is not None:
            self._watching = entry.watched()
            self._watching.__enter__()

    def end(self) -> None:
        """End what `is_to_be_made` began, however the call ended."""
        if self._watching is not None:
            self._watching.__exit__(None, None, None)
        self._events = self._journal.rejoin(self._outer)

    def _conclude(self, output: Any) -> None:
        journal = self._journal
        moved = self._moved()
        if self._step.deterministic:
            self._check_determinism(moved)
        metrics, artifacts, notes = self._recorded
        effects = self._steps.effects(
            output,
            [list(event) for event in self._events],
            {key: journal.values[key] for event, key in self._events if event == "write"},
            [[entry.name, entry.value, entry.unit, entry.measured] for entry in journal.metrics[metrics:]],
            [[entry.name, entry.data] for entry in journal.artifacts[artifacts:]],
            [list(note) for note in journal.notes[notes:]],
        )
        try:
            encoded = effects.encoded()
            effects = self._steps.effects.decoded(encoded)
        except NotStorableError as fault:
            self._effects = effects
            self._refuse(f"what it gave: {fault}")
            return
        for key, value in effects.written.items():
            journal.values[key] = freeze(value)
        self._effects = effects
        if (why := self._why_anew(effects.metrics)) is not None:
            self._refuse(why)
        elif len(journal.calls) != self._calls:
            self._refuse("it makes remote calls, whose replies are kept by themselves")
        elif moved and (why := self._unseeded()):
            self._refuse(f"the global generators: it draws from random, numpy.random or torch, {why}")
        elif self._entry is not None:
            self._entry.keep(self._reads(moved), encoded)

    def _check_determinism(self, moved: bool) -> None:
        """Raise `DefinitionError` if a step that is declared deterministic is not."""
        asked = []
        if any(event == "seeded" for event, _ in self._events):
            asked.append("asked for ctx.seed or ctx.rng")
        if ("replicate", "") in self._asked:
            asked.append("asked for ctx.replicate")
        if moved and not self._steps.shared:  # else it may have been another unit
            asked.append("drew from the global generators (random, numpy.random, torch)")
        if asked:
            raise DefinitionError(
                f"step {self._step.name!r} is declared deterministic=True, but it {' and '.join(asked)}: all "
                "replicates would share what one of them drew; leave deterministic=True out"
            )

    def _unseeded(self) -> str | None:
        """Say why what the step drew from the global generators does not follow from its seed."""
        steps = self._steps
        if steps.shared:
            return "which units that run at the same time share; draw from ctx.rng"
        if steps.seeding is None:
            return "which nothing seeds; draw from ctx.rng, or leave auto_seed=False out"
        if steps.seeding is not seed_globals:
            steps.seeding(self._seed())
            if self._moved():
                return "and seed_fn does not put all of these where the seed says; draw from ctx.rng"
        return None

    def _reads(self, moved: bool) -> frozenset[Read]:
        """Return all that the call depended on, beside code, data and seed."""
        keys = {("key", key) for event, key in self._events if event != "seeded"}
        return frozenset(self._asked | keys | ({("generators", "")} if moved else set()))

    def _look_up(self, read: Read) -> Any:
        """Return what there was to be seen before the call."""
        kind, name = read
        journal = self._journal
        metrics, artifacts, _ = self._recorded
        match kind:
            case "key":
                return self._before[name]
            case "everything":
                return self._before
            case "condition":
                return journal.condition
            case "replicate":
                return journal.number
            case "metrics":
                return [tuple(entry) for entry in journal.metrics[:metrics]]
            case "artifacts":
                return [tuple(entry) for entry in journal.artifacts[:artifacts]]
            case "scopes":
                return [scope.to_json() for scope in journal.scopes[:-1]]
            case "writer":
                return name in journal.outputs, journal.outputs.get(name)
            case "generators":
                return self._steps.seeding
        raise LookupError(kind)

    def _refuse(self, why: str) -> None:
        if self._entry is not None:
            self._entry.refuse(why)

    def handed_on(self, output: Any) -> Any:
        """Take in and store what the call gave, unless it was repeated; return what it hands on.

        The global generators are seeded again.
        """
        if self._effects is None:
            self._conclude(output)
        assert self._effects is not None
        if self._steps.seeding is not None:
            self._steps.seeding(scope_seed(self._journal.word, BEHIND_CACHEABLE + self._index))
        return self._effects.output


def _never() -> bool:
    return False
