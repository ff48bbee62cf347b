"""Experiments as bytes that other processes can read."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from crystallize.errors import NotPicklableError
from crystallize.run.execute import RunPlan


def pickled(
    plan: RunPlan, whole: object, *, dumps: Callable[[Any], bytes] = pickle.dumps, advice: str
) -> bytes:
    """Pickle what holds a plan.

    Parameters
    ----------
    plan : RunPlan
        The plan.
    whole : object
        What is pickled: the plan, or something that holds it.
    dumps : callable
        What pickles.
    advice : str
        Another way out, for the message.

    Raises
    ------
    NotPicklableError
        If that is not possible; the message names the part of the experiment that is to blame.
    """
    try:
        return dumps(whole)
    except Exception as fault:
        parts: list[tuple[str, Any]] = [("the data source", plan.datasource)]
        parts += [(f"step {step.name!r}", step) for step in plan.pipeline]
        parts += [(f"treatment {treatment.name!r}", treatment) for treatment in plan.treatments]
        parts += [(f"key {key!r} of initial_ctx", value) for key, value in plan.initial.items()]
        parts += [("seed_fn of the SeedPlugin", plan.seed_globals)]
        parts += [(f"the writer of output {name!r}", writer) for name, writer in plan.outputs.items()]
        parts += [(f"plugin {type(plugin).__name__}", plugin) for plugin in plan.hooks.plugins]
        for label, part in parts:
            try:
                dumps(part)
            except Exception as of_part:
                raise NotPicklableError(
                    f"{label} of experiment {plan.name!r} can't be sent to a process: {of_part}; define "
                    f"functions and classes at the top level of a module, {advice}"
                ) from of_part
        raise NotPicklableError(f"experiment {plan.name!r} can't be sent to a process: {fault}") from fault
