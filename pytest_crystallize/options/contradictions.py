"""Options that make no sense together."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

import pytest

_UNSHARED = {
    "save": "only all shards together are a reference; give it to crystallize merge, behind --",
    "calibrate": "A/A tests are no shards of one; run them in one session",
    "plan": "a pilot is judged at once; run it in one session",
    "repro": "one run is no part of a suite; leave one of them out",
    "budget": "each shard would spend as much; declare budgets for each experiment, which hold in each shard",
}
"""Why what a session is asked for can't be asked of a shard."""


def refuse_contradictions(config: pytest.Config) -> None:
    """Raise `UsageError` for options that contradict one another, or can't be had here."""
    _check(config.option)
    if config.option.crystallize_against is not None:
        _check_against(config)


def _check(option: argparse.Namespace) -> None:
    if option.crystallize_check_verifiers and find_spec("hypothesis") is None:
        raise pytest.UsageError(
            "--crystallize-check-verifiers needs hypothesis; install it with pip install "
            "'pytest-crystallize[testing]'"
        )
    if option.crystallize_save and option.crystallize_calibrate:
        raise pytest.UsageError("--crystallize-save: A/A tests (--crystallize-calibrate) are no reference")
    for other in ("save", "calibrate", "plan", "repro", "budget"):
        if option.crystallize_shard and getattr(option, f"crystallize_{other}"):
            raise pytest.UsageError(f"--crystallize-shard and --crystallize-{other}: {_UNSHARED[other]}")
    for other in ("save", "calibrate"):
        if option.crystallize_plan and getattr(option, f"crystallize_{other}"):
            raise pytest.UsageError(
                f"--crystallize-plan and --crystallize-{other}: a pilot is no such run; give one of them"
            )
    if option.crystallize_append and not option.crystallize_save:
        raise pytest.UsageError(
            "--crystallize-append adds to a reference: say which by --crystallize-save=NAME"
        )
    if option.crystallize_save and option.crystallize_compare:
        raise pytest.UsageError(
            "--crystallize-save and --crystallize-compare: a run that records judges nothing; give one of "
            "them (a second run takes what it can from the cache)"
        )


def _check_against(config: pytest.Config) -> None:
    """Raise `UsageError` for what makes no sense while two commits are compared."""
    option = config.option
    for other in ("save", "compare", "calibrate", "plan", "shard"):
        if getattr(option, f"crystallize_{other}"):
            raise pytest.UsageError(
                f"--crystallize-against and --crystallize-{other}: a session that compares two commits does "
                "nothing else; give one of them"
            )
    if option.crystallize_dask or config.getini("crystallize_dask"):
        raise pytest.UsageError(
            "--crystallize-against: both commits are run by processes of this machine; leave out the cluster "
            "(--crystallize-dask, ini option crystallize_dask)"
        )
