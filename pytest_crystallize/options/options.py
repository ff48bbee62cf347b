"""What a session was asked for: command line, ini file and switches, settled once."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crystallize import Budget
from crystallize.errors import DefinitionError
from crystallize.seam import Keeping, Unit, replies_kept
from pytest_crystallize.options.contradictions import refuse_contradictions
from pytest_crystallize.options.coverage import RUN_AGAIN, is_measured
from pytest_crystallize.options.debuggers import NOTHING_STORED, is_debugged
from pytest_crystallize.options.switches import STATE_FILE, SwitchedOff, Switches
from pytest_crystallize.options.values import (
    AT_ONCE,
    MODES,
    Mode,
    Shard,
    parse_address,
    parse_reference,
    parse_repeatable,
    parse_replicates,
    parse_seed,
    parse_share,
)


@dataclass(frozen=True, slots=True)
class Options:
    """Settled options of a session.

    Attributes
    ----------
    seed, replicates, samples : int or None
        From the command line.
    budget : Budget or None
        What the session may spend.
    ini_seed, ini_replicates : int or None
        From the ini file.
    drawn_seed : int or None
        The root seed, if it was drawn at random.
    claims : int or None
        Over how many claims alpha is split.
    at_once : int
        How many replicates with asynchronous steps a process runs at the same time.
    off : SwitchedOff
        Treatments that are switched off.
    calibrate : int or None
        How many A/A tests to make of each hypothesis, in place of testing it.
    plan : bool
        Whether to tell how many replicates claims need, in place of testing them.
    check_verifiers : bool
        Whether to check the verifiers of the user's, too.
    save : str or None
        Under which name to write a reference.
    append : bool
        Whether a reference that is saved keeps what it holds.
    compare : str or None
        The reference to compare with, whatever the hypotheses say.
    against : str or None
        The commit to compare with, as it was asked for.
    early_stop : bool
        Whether experiments that declare no early stopping are stopped early, too.
    repeatable : {"note", "error"}
        What comes of runs that do not repeat.
    repro : Unit or None
        The unit to repeat.
    shard : Shard or None
        The part of the replicates that this session runs.
    cluster : str or None
        Address of the scheduler whose workers run the units of factories.
    cache_mode : str
        How stored runs are used.
    cache_share : float or None
        Part of the time saved by stored runs that is spent on running some again, if it is said.
    hides_from_coverage : bool
        Whether stored runs are used although coverage is measured.
    remote : Keeping
        Where replies of remote functions are kept, and whether calls are made.
    events : str or None
        Where to write what happens.
    junit_properties : bool
        Whether the JUnit report shows p-values, means and times.
    prune_replies : float or None
        For how many days replies are kept that nobody uses, if they are to be deleted.
    directory : Path
        What the plugin keeps from session to session lies below it.
    notes : tuple of str
        What the summary is to say of how all this was settled.
    """

    seed: int | None
    replicates: int | None
    samples: int | None
    budget: Budget | None
    ini_seed: int | None
    ini_replicates: int | None
    drawn_seed: int | None
    claims: int | None
    at_once: int
    off: SwitchedOff
    calibrate: int | None
    plan: bool
    check_verifiers: bool
    save: str | None
    append: bool
    compare: str | None
    against: str | None
    early_stop: bool
    repeatable: str
    repro: Unit | None
    shard: Shard | None
    cluster: str | None
    cache_mode: Mode
    cache_share: float | None
    hides_from_coverage: bool
    remote: Keeping
    events: str | None
    junit_properties: bool
    prune_replies: float | None
    directory: Path
    notes: tuple[str, ...]

    @classmethod
    def settled(cls, config: pytest.Config, told: Mapping[str, Any] | None) -> Options:
        """Settle what was asked for.

        Parameters
        ----------
        config : pytest.Config
            Of this process.
        told : mapping or None
            On a worker, what `for_workers` of the controlling process returned.

        Raises
        ------
        pytest.UsageError
            If an ini option has no value of ours, or options contradict one another.
        """
        option, directory = config.option, cache_directory(config)
        refuse_contradictions(config)
        seed, ini_seed, drawn = _seeds(config, told)
        off, notes = _switched_off(config) if told is None else (SwitchedOff.from_dict(told["off"]), ())
        mode = _cache_mode(config) if told is None else told["cache_mode"]
        asked: Mode | None = option.crystallize_cache
        remote = _remote(config) if told is None else Keeping.from_json(told["remote"])
        is_hidden = told is None and mode == "reuse" and is_measured()
        if is_hidden and asked is None:
            mode, is_hidden, notes = "refresh", False, (*notes, RUN_AGAIN)
        if told is None and asked is None and mode != "off" and is_debugged(config):
            mode, notes = "off", (*notes, NOTHING_STORED)
        return cls(
            seed=seed,
            replicates=option.crystallize_replicates,
            samples=option.crystallize_samples,
            budget=option.crystallize_budget,
            ini_seed=ini_seed,
            ini_replicates=_ini(config, "crystallize_replicates", parse_replicates),
            drawn_seed=drawn,
            claims=_ini(config, "crystallize_claims", parse_replicates),
            at_once=_ini(config, "crystallize_max_concurrency", parse_replicates) or AT_ONCE,
            off=off,
            calibrate=option.crystallize_calibrate,
            plan=bool(option.crystallize_plan),
            check_verifiers=option.crystallize_check_verifiers is not None,
            save=option.crystallize_save,
            append=option.crystallize_append,
            compare=option.crystallize_compare or _ini(config, "crystallize_compare", parse_reference),
            against=None if option.crystallize_repro else option.crystallize_against,
            early_stop=option.crystallize_early_stop or _is_on(config, "crystallize_early_stop"),
            repeatable=_ini(config, "crystallize_repeatable", parse_repeatable) or "note",
            repro=_unit(option.crystallize_repro),
            shard=option.crystallize_shard,
            cluster=option.crystallize_dask or _ini(config, "crystallize_dask", parse_address),
            cache_mode=mode,
            cache_share=_ini(config, "crystallize_cache_verify", parse_share),
            hides_from_coverage=is_hidden,
            remote=remote,
            events=option.crystallize_events,
            junit_properties=_is_on(config, "crystallize_junit_properties"),
            prune_replies=option.crystallize_prune_replies,
            directory=directory,
            notes=notes,
        )

    @property
    def artifact_root(self) -> Path:
        """Directory of artifacts where an experiment says none."""
        return self.directory / "artifacts"

    @property
    def steps(self) -> Path:
        """Directory of the results of cacheable steps."""
        return self.directory / "steps"

    @property
    def session_seed(self) -> int:
        """Root seed of what belongs to no experiment: fixtures wider than a function, collection."""
        return self.seed if self.seed is not None else self.ini_seed or 0

    def for_workers(self) -> dict[str, Any]:
        """Return what workers can't settle for themselves; plain data."""
        return {
            "drawn_seed": self.drawn_seed,
            "off": self.off.to_dict(),
            "cache_mode": self.cache_mode,
            "remote": self.remote.to_json(),
        }


def _remote(config: pytest.Config) -> Keeping:
    """Return where replies are kept, and whether calls are made."""
    asked, where = config.option.crystallize_remote, "--crystallize-remote"
    if asked is None:
        asked, where = config.getini("crystallize_remote").strip() or None, "ini option crystallize_remote"
    try:
        return replies_kept(config.rootpath, asked, where)
    except DefinitionError as fault:
        raise pytest.UsageError(str(fault)) from fault


def cache_directory(config: pytest.Config) -> Path:
    """Return the directory of what the plugin keeps from session to session."""
    return _in_cache(config) or _apart()


def sessions_directory(config: pytest.Config) -> Path:
    """Return where sessions have their directories: beside what ``--cache-clear`` of another one removes."""
    directory = _in_cache(config)
    return _apart() / "sessions" if directory is None else directory.parents[1] / "crystallize-sessions"


def _in_cache(config: pytest.Config) -> Path | None:
    cache = getattr(config, "cache", None)
    if cache is not None:
        with contextlib.suppress(OSError):
            return Path(cache.mkdir("crystallize"))
    return None


def _apart() -> Path:
    return Path(tempfile.gettempdir()) / f"pytest-crystallize-{getpass.getuser()}"


def state_path(config: pytest.Config) -> Path | None:
    """Return where it is remembered which treatments are switched off; None without a cache."""
    return None if getattr(config, "cache", None) is None else cache_directory(config) / STATE_FILE


def _seeds(
    config: pytest.Config, told: Mapping[str, Any] | None
) -> tuple[int | None, int | None, int | None]:
    """Return the root seed as it was typed, that of the ini file, and what was drawn for one of them."""
    typed, declared = config.option.crystallize_seed, _ini(config, "crystallize_seed", parse_seed)
    declared = declared if typed is None else None
    if "random" not in (typed, declared):
        return typed, declared, None
    if config.option.crystallize_shard is not None:
        raise pytest.UsageError(
            "--crystallize-shard: each shard would draw a root seed of its own; give all the same, "
            "as in --crystallize-seed=7"
        )
    drawn = secrets.randbits(32) if told is None else int(told["drawn_seed"])
    return drawn if typed == "random" else typed, drawn if declared == "random" else declared, drawn


def _switched_off(config: pytest.Config) -> tuple[SwitchedOff, tuple[str, ...]]:
    option, path = config.option, state_path(config)
    switches = Switches(path, option.crystallize_disable, option.crystallize_enable)
    switches.remember()
    return switches.off, () if switches.note is None else (switches.note,)


def _cache_mode(config: pytest.Config) -> Mode:
    """Return how stored runs are to be used."""
    mode: Mode = config.option.crystallize_cache or config.getini("crystallize_cache").strip()
    if mode not in MODES:
        raise pytest.UsageError(f"ini option crystallize_cache: {mode!r} is none of {', '.join(MODES)}")
    return mode


def _ini(config: pytest.Config, name: str, parse: Any) -> Any:
    text = config.getini(name)
    if not text:
        return None
    try:
        return parse(text.strip())
    except argparse.ArgumentTypeError as error:
        raise pytest.UsageError(f"ini option {name}: {error}") from error


def _is_on(config: pytest.Config, name: str) -> bool:
    try:
        return bool(config.getini(name))
    except (TypeError, ValueError, pytest.UsageError) as error:  # pytest names it in files of TOML alone
        raise pytest.UsageError(f"ini option {name}: {error}; give true or false") from error


def _unit(text: str | None) -> Unit | None:
    if text is None:
        return None
    number, colon, condition = text.partition(":")
    if not colon or not (number.isascii() and number.isdigit()) or not condition:
        raise pytest.UsageError(
            f"--crystallize-repro={text!r}: give a replicate and a condition, as in 7:baseline"
        )
    return Unit(int(number), condition)
