"""Seeding as a plugin."""

from __future__ import annotations

from collections.abc import Callable

from crystallize.context.seeding import check_root_seed, seed_globals
from crystallize.run.plugins.base import BasePlugin


class SeedPlugin(BasePlugin):
    """Plugin that says where seeds come from, and what is seeded.

    Replicate i gets the same seed in every condition, ``ctx.seed``: the top 32 bits of raw word i of
    ``numpy.random.PCG64(numpy.random.SeedSequence(seed))``. The word is also what ``ctx.rng`` derives from.

    Parameters
    ----------
    seed : int, optional
        Root seed, >= 0; 0 if left out (under pytest, the command line and the ini file may say otherwise).
    auto_seed : bool
        Seed `random`, `numpy.random` and torch (as soon as something imports it) at the start of every
        condition run, and before and behind each cacheable step. Their state is put back after the run of
        the experiment.
    seed_fn : callable, optional
        Called with the 32-bit seed in place of that.

    Raises
    ------
    DefinitionError
        If the seed is not an integer >= 0.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def draw(data, ctx):
    ...     return data, {"seed": ctx.seed, "x": ctx.rng.normal()}
    >>> first, second = (Experiment(0, [draw], [SeedPlugin(seed)]).run() for seed in (7, 7))
    >>> first.digest == second.digest
    True
    """

    def __init__(
        self, seed: int | None = None, auto_seed: bool = True, seed_fn: Callable[[int], object] | None = None
    ) -> None:
        self.seed = None if seed is None else check_root_seed(seed)
        self.auto_seed = auto_seed
        self.seed_fn = seed_fn

    @property
    def seed_globals(self) -> Callable[[int], object] | None:
        """Function that seeds the global generators, if anything does."""
        return (self.seed_fn or seed_globals) if self.auto_seed else None


SeedPlugin.kind = SeedPlugin
