"""Optuna as an optimizer."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from crystallize.context.seeding import check_root_seed
from crystallize.declare.treatment import Treatment
from crystallize.errors import DefinitionError, MissingExtraError, OptimizationError
from crystallize.experiment.optimize.base import BaseOptimizer
from crystallize.experiment.optimize.objective import Objective
from crystallize.experiment.optimize.space import TrialNames, checked_batch_size, checked_space, choices_of


class OptunaOptimizer(BaseOptimizer):
    """Search that Optuna leads; it needs the extra ``optuna``.

    Parameters
    ----------
    space : mapping of str to distribution, or callable
        Context key -> a distribution of `optuna.distributions`, or a list of choices; or a function that is
        given an Optuna trial, asks it for values, and returns the keys to add to the context.
    objective : Objective
        What the search is after; with several metrics the study has several objectives.
    seed : int
        Seed of the sampler, unless one is given.
    sampler, pruner, storage, study_name, load_if_exists : optional
        Passed to `optuna.create_study`; by default, a seeded `TPESampler`, and a study in memory.
    batch_size : int
        How many treatments to evaluate in one run; the sampler learns from them afterwards only.

    Attributes
    ----------
    study : optuna.study.Study
        The study, for Optuna's own tools. Trials that failed are in state ``FAIL``.

    Raises
    ------
    MissingExtraError
        If Optuna is not installed.
    DefinitionError
        If a key has nothing that could be drawn from.

    Examples
    --------
    >>> from crystallize import Experiment, Objective, pipeline_step
    >>> @pipeline_step()
    ... def loss(data, ctx, *, x=0.0):
    ...     return data, {"loss": (x - 2.0) ** 2}
    >>> search = OptunaOptimizer({"x": [0.0, 1.0, 2.0]}, Objective("loss", "minimize"))
    >>> Experiment(0, [loss]).optimize(search, num_trials=9)
    Treatment('x=2', {'x': 2.0})
    """

    def __init__(
        self,
        space: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]],
        objective: Objective,
        *,
        seed: int = 0,
        sampler: Any = None,
        pruner: Any = None,
        storage: Any = None,
        study_name: str | None = None,
        load_if_exists: bool = False,
        batch_size: int = 1,
    ) -> None:
        super().__init__(objective)
        try:
            import optuna  # optional: extra "optuna"
        except ImportError as error:
            raise MissingExtraError(
                "OptunaOptimizer needs optuna; install it with pip install 'pytest-crystallize[optuna]'"
            ) from error
        self._optuna: Any = optuna
        self._suggest: Callable[[Any], Mapping[str, Any]] | None = None
        self._space: dict[str, Any] = {}
        if isinstance(space, Mapping) or not callable(space):
            self._space = {
                key: self._distribution(key, d) for key, d in checked_space("space", space).items()
            }
        else:
            self._suggest = space
        self._batch_size = checked_batch_size(batch_size) or 1
        self._pending: deque[Any] = deque()
        self._names = TrialNames()
        self.study: Any = optuna.create_study(
            sampler=sampler or optuna.samplers.TPESampler(seed=check_root_seed(seed)),
            pruner=pruner,
            storage=storage,
            study_name=study_name,
            load_if_exists=load_if_exists,
            directions=list(objective.directions.values()),
        )

    def ask(self) -> list[Treatment]:
        """Return the next `batch_size` treatments."""
        wanted = self._batch_size if self.trials_left is None else min(self._batch_size, self.trials_left)
        asked = []
        for _ in range(wanted):
            trial = self.study.ask(self._space)
            parameters = trial.params if self._suggest is None else self._suggest(trial)
            asked.append(self._treatment(trial.number, parameters))
            self._pending.append(trial)
        return asked

    def tell(self, values: dict[str, float]) -> None:
        """Tell the study what became of the trial whose turn it is."""
        trial = self._pending.popleft()
        if all(map(math.isfinite, values.values())):
            self.study.tell(trial, [values[name] for name in self.objective.metrics])
        else:
            self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def get_best_treatment(self) -> Treatment:
        """Return the study's best treatment, also if an earlier process tried it; of equals, the earliest.

        Of several metrics, the first counts, and the next where it is equal.
        """
        state = self._optuna.trial.TrialState.COMPLETE
        done = self.study.get_trials(deepcopy=False, states=(state,))
        if not done:
            raise OptimizationError(f"study {self.study.study_name!r} has no trial that succeeded")
        metrics = self.objective.metrics

        def losses(trial: Any) -> tuple[float, ...]:
            return self.objective.losses(dict(zip(metrics, trial.values, strict=True)))

        best = min(done, key=losses)
        if self._suggest is None:
            return self._treatment(best.number, best.params)
        replayed = self._optuna.trial.FixedTrial(best.params, best.number)
        return self._treatment(best.number, self._suggest(replayed))

    def _treatment(self, number: int, parameters: object) -> Treatment:
        if not isinstance(parameters, Mapping):
            raise DefinitionError(
                f"the space of OptunaOptimizer returned {parameters!r}; return a mapping of context keys"
            )
        return Treatment(self._names.of(number, parameters), parameters)

    def _distribution(self, key: str, source: Any) -> Any:
        if isinstance(source, self._optuna.distributions.BaseDistribution):
            return source
        return self._optuna.distributions.CategoricalDistribution(choices_of(key, source))
