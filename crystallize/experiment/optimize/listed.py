"""Searches whose next treatments do not depend on what became of the earlier ones."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from crystallize.context.seeding import SEARCH_SPACE, check_root_seed
from crystallize.declare.treatment import Treatment
from crystallize.experiment.optimize.objective import Objective
from crystallize.experiment.optimize.space import (
    TrialNames,
    checked_batch_size,
    checked_space,
    choices_of,
    drawing,
    plain,
)
from crystallize.experiment.optimize.tried import Tried


class _Listed(Tried):
    """Base of searches whose next treatments do not depend on what became of the earlier ones."""

    def __init__(self, objective: Objective, batch_size: int | None) -> None:
        super().__init__(objective)
        self._batch_size = checked_batch_size(batch_size)
        self._candidates = self._named_candidates()

    @abstractmethod
    def _parameters(self) -> Iterator[dict[str, Any]]:
        """Yield the parameters of each trial."""

    def _named_candidates(self) -> Iterator[Treatment]:
        names = TrialNames()
        for number, parameters in enumerate(self._parameters()):
            yield Treatment(names.of(number, parameters), parameters)

    def ask(self) -> list[Treatment]:
        """Return the next `batch_size` treatments; by default, all that are wanted."""
        limits = [n for n in (self._batch_size, self.trials_left) if n is not None]
        asked = list(itertools.islice(self._candidates, min(limits, default=1)))
        self._pending += asked
        return asked


class GridSearch(_Listed):
    """Search through every combination of given values, the last key changing fastest.

    Parameters
    ----------
    grid : mapping of str to list
        Context key -> the values to try.
    objective : Objective
        What the search is after.
    batch_size : int, optional
        How many treatments to evaluate in one run; by default all that are wanted.

    Raises
    ------
    DefinitionError
        If a key has no values.

    Examples
    --------
    >>> search = GridSearch({"depth": [1, 2], "rate": [0.1]}, Objective("loss", "minimize"), batch_size=2)
    >>> search.ask()
    [Treatment('depth=1, rate=0.1', {'depth': 1, 'rate': 0.1}), \
Treatment('depth=2, rate=0.1', {'depth': 2, 'rate': 0.1})]
    """

    def __init__(
        self, grid: Mapping[str, Iterable[Any]], objective: Objective, *, batch_size: int | None = None
    ) -> None:
        self._grid = {key: choices_of(key, values) for key, values in checked_space("grid", grid).items()}
        super().__init__(objective, batch_size)

    def _parameters(self) -> Iterator[dict[str, Any]]:
        for values in itertools.product(*self._grid.values()):
            yield dict(zip(self._grid, values, strict=True))


class RandomSearch(_Listed):
    """Search through values drawn at random.

    Parameters
    ----------
    space : mapping of str to distribution
        Context key -> what its values are drawn from: a list (every item is equally likely); a distribution
        of `scipy.stats` with its parameters, such as ``loguniform(1e-5, 1e-1)``; or a function of a
        `numpy.random.Generator`, such as ``lambda rng: rng.normal(0.0, 2.0)``.
    objective : Objective
        What the search is after.
    seed : int
        Seed of the draws; trial i draws the same whatever the experiment's seed and the number of trials.
    batch_size : int, optional
        How many treatments to evaluate in one run; by default all that are wanted.

    Raises
    ------
    DefinitionError
        If a key has nothing that could be drawn from.

    Examples
    --------
    >>> from crystallize import Experiment, Objective, pipeline_step
    >>> @pipeline_step()
    ... def loss(data, ctx, *, x=0.0):
    ...     return data, {"loss": (x - 2.0) ** 2}
    >>> search = RandomSearch({"x": [0.0, 1.0, 2.0, 3.0]}, Objective("loss", "minimize"))
    >>> Experiment(0, [loss]).optimize(search, num_trials=8)
    Treatment('x=2', {'x': 2.0})
    """

    def __init__(
        self, space: Mapping[str, Any], objective: Objective, *, seed: int = 0, batch_size: int | None = None
    ) -> None:
        self._draws = {key: drawing(key, source) for key, source in checked_space("space", space).items()}
        self._seed = check_root_seed(seed)
        super().__init__(objective, batch_size)

    def _parameters(self) -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            sequence = np.random.SeedSequence(self._seed, spawn_key=(SEARCH_SPACE, number))
            rng = np.random.Generator(np.random.PCG64(sequence))
            yield {key: plain(draw(rng)) for key, draw in self._draws.items()}
