"""``crystallize new``: an experiment that runs as it stands, and a workflow that runs it."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_crystallize.command.main import GOOD, CommandError

WORKFLOW = Path(".github", "workflows", "experiments.yml")

_EXPERIMENT = '''\
"""Do two servers have customers wait less than one? Run by: pytest --crystallize experiment_{name}.py"""

import pytest
from crystallize import Hypothesis


@pytest.fixture
def customers(rng):
    """Return what every condition is given: when customers come, and how long each takes to serve."""
    return list(zip(rng.exponential(1.0, 200).cumsum(), rng.exponential(0.8, 200), strict=True))


@pytest.mark.experiment(
    replicates=20,
    treatments={{"two_servers": {{"servers": 2}}}},
    hypotheses=[Hypothesis(metric="wait", direction="decrease")],
)
def experiment_{name}(customers, servers=1):
    """Return the metrics of one run; the default of an argument is the baseline's value."""
    free, waited = [0.0] * servers, 0.0
    for arrival, service in customers:
        free.sort()
        start = max(arrival, free[0])
        free[0] = start + service
        waited += start - arrival
    return {{"wait": waited / len(customers)}}
'''

_WORKFLOW = """\
# The experiments of this repository as a gate; what is measured is shown in the summary of the job.
name: experiments
on:
  pull_request:
  push:
    branches: [main] # adapt: the branch that pull requests are for
jobs:
  experiments:
    runs-on: ubuntu-latest
    permissions:
      contents: read
    env: # adapt: a secret of any text; without it, stored runs of other jobs are not believed
      CRYSTALLIZE_CACHE_SECRET: ${{ secrets.CRYSTALLIZE_CACHE_SECRET }}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12" # adapt
      - run: pip install pytest-crystallize # adapt: and what your experiments import
      - uses: actions/cache@v4
        with:
          path: .pytest_cache
          key: experiments-${{ runner.os }}-${{ github.sha }}
          restore-keys: experiments-${{ runner.os }}-
      - run: pytest --crystallize -n auto --crystallize-report=experiments.html
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: experiments
          path: experiments.html
"""


def new(name: str) -> int:
    """Write an experiment below the working directory, and the workflow if there is none.

    Parameters
    ----------
    name : str
        Of the experiment, with or without ``experiment_``.
    """
    short = name.removeprefix("experiment_")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", short, re.ASCII):
        raise CommandError(
            f"{name!r} is no name of an experiment; give lower-case letters, digits and underscores, as in "
            "cache"
        )
    path = Path(f"experiment_{short}.py")
    try:
        _write(path, _EXPERIMENT.format(name=short))
        print(f"{path}: run it by pytest --crystallize {path}")
        WORKFLOW.parent.mkdir(parents=True, exist_ok=True)
        if WORKFLOW.exists():
            print(f"{WORKFLOW}: left as it is")
        else:
            _write(WORKFLOW, _WORKFLOW)
            print(f"{WORKFLOW}: runs all experiments on GitHub; adapt the lines marked so")
    except FileExistsError as fault:
        raise CommandError(f"{path} is there already, and is not overwritten; give another name") from fault
    return GOOD


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
