"""Stored runs of a session: which experiments use them, which runs come from there, and what is said."""

from __future__ import annotations

import argparse
import dis
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

from crystallize import RunRecord
from crystallize.cache.environment import Environment, environment
from crystallize.cache.fingerprint import fingerprint
from crystallize.cache.origin import is_project_file, is_project_module
from crystallize.cache.place import open_store
from crystallize.cache.purity import is_incidental
from crystallize.cache.set_up import set_up_by
from crystallize.core.impurities import Impurities
from crystallize.core.run import Unit
from crystallize.core.run_identity import Subject
from crystallize.core.stored_runs import StoredRuns
from crystallize.core.verification import VERIFIED, compared, ignores_stored
from crystallize.errors import FingerprintError
from pytest_crystallize.judged import CacheUse
from pytest_crystallize.places import real_function
from pytest_crystallize.pytest_seam import fixtures_of
from pytest_crystallize.repeats import is_told, unlike

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pytest

    from pytest_crystallize.units import ExperimentRuns

Mode = Literal["reuse", "refresh", "off"]
MODES: tuple[Mode, ...] = ("reuse", "refresh", "off")
REPEATABLE: tuple[str, ...] = ("note", "error")
"""Whether runs that do not repeat are told, or fail the tests of their experiment."""
MEASURED = "a hypothesis is about a measured metric, which tells of the session that measured it"
_TOLD_CHANGES = 4
_OF_REQUEST = frozenset({"param", "param_index", "addfinalizer", "scope", "fixturename"})


def parse_share(text: str) -> float:
    """Read a part of the time saved."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def parse_repeatable(text: str) -> str:
    """Read what comes of runs that do not repeat."""
    if text not in REPEATABLE:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(REPEATABLE)}")
    return text


class RecordCache:
    """What the experiments of a session share of the cache.

    Parameters
    ----------
    directory : path
        Where records are kept.
    mode : {"reuse", "refresh"}
        Whether stored records are used, or only written.
    share : float or None
        Part of the time saved that is spent on running again.
    parts : mapping or None
        The environment's parts, where another process has found them.
    ignored : iterable of path
        Directories of the session.
    temporary : iterable of path
        Where pytest makes temporary directories.
    session : str
        What all processes of the session know it by.
    """

    def __init__(
        self,
        directory: Path,
        mode: Mode,
        share: float | None,
        *,
        parts: dict[str, str] | None,
        ignored: Iterable[Path],
        temporary: Iterable[Path],
        session: str,
    ) -> None:
        self.store = open_store(directory)
        self.mode = mode
        self.share = VERIFIED if share is None else share
        self.impurities = Impurities()
        self.ignored = tuple(ignored)
        self.temporary = tuple(temporary)
        self.session = session
        self.called: tuple[ModuleType, ...] = ()
        """Conftests and plugins of the project."""
        self.loaded: tuple[ModuleType, ...] = ()
        """Modules of the project, which may have set up something of the process when they were loaded."""
        self.options: Callable[[Iterable[str]], Mapping[str, object]] | None = None
        self.set_up = ""
        """Identifies what these do to the process before any run."""
        self._parts = parts

    def learn_set_up(self, config: pytest.Config) -> None:
        """Note what the project does to its process, as it is when all is collected."""
        self.called = called_by_pytest(config)
        self.loaded = loaded_modules(config.rootpath)
        self.options = partial(options_among, config)
        found = set_up_by(self.loaded, called=self.called, root=config.rootpath, options=self.options)
        self.set_up = json.dumps(found)

    @property
    def environment(self) -> Environment:
        """The environment; found once for all processes."""
        return environment() if self._parts is None else Environment.from_json(self._parts)


@dataclass
class Recalled:
    """What the processes of a session agree on about the stored runs of an experiment.

    Attributes
    ----------
    verified : list of [int, str]
        Units that are run although they are stored.
    refusal : str or None
        Why no run is stored.
    changes : list of str
        Why nothing that is stored can be used.
    measured_on : list of str
        Dates on which stored values were measured that claims are about.
    """

    verified: list[list[Any]] = field(default_factory=list)
    refusal: str | None = None
    changes: list[str] = field(default_factory=list)
    measured_on: list[str] = field(default_factory=list)


class ExperimentCache:
    """The stored runs of one experiment, in one process.

    Parameters
    ----------
    runs : ExperimentRuns
        The experiment's.
    cache : RecordCache
        The session's.
    """

    def __init__(self, runs: ExperimentRuns, cache: RecordCache) -> None:
        self._runs = runs
        self._cache = cache
        self._stored: StoredRuns | None = None
        self._recalled: Recalled | None = None
        self._before: dict[Unit, RunRecord] = {}

    @property
    def stored(self) -> StoredRuns:
        """The stored runs; what is run is identified when they are first asked for."""
        if self._stored is None:
            cache = self._cache
            subject: Subject | FingerprintError
            try:
                subject = self._runs.subject()
            except FingerprintError as error:
                subject = error
            self._stored = StoredRuns(
                self._runs.name,
                subject,
                cache.store,
                cache.environment,
                impurities=cache.impurities,
                ignored=cache.ignored,
                temporary=cache.temporary,
                called=cache.called,
                loaded=[*cache.loaded, self._runs.function.module],
                options=cache.options,
                session=cache.session,
            )
        return self._stored

    def recall(self) -> Recalled:
        """Return what the processes agree on; the first one makes it, and makes the stored records known."""
        if self._recalled is None:
            text = self._runs.settings.exchange.agree(f"stored {self._runs.id}", self._recall)
            self._recalled = Recalled(**json.loads(text))
            self._verified = {Unit(*entry) for entry in self._recalled.verified}
        return self._recalled

    def _recall(self) -> str:
        runs, stored = self._runs, self.stored
        recalled = Recalled(refusal=stored.refusal)
        if stored.refusal is None and self._cache.mode == "reuse":
            needed = [condition for condition in runs.conditions if condition in runs.needed]
            hits, verified = stored.recall(needed, runs.replicates, runs.hypotheses, self._cache.share)
            if stored.measured_on and runs.settings.options.save is not None:
                hits, verified = {}, set()  # a reference is compared with other commits
            for unit, record in hits.items():
                if unit not in verified:
                    runs.publish(unit, record)
            recalled.verified = [list(unit) for unit in sorted(verified)]
            recalled.measured_on = stored.measured_on if hits else []
            if (not hits or stored.broken) and runs.settings.config.get_verbosity() > 1:
                said = [change for condition in needed for change in stored.explain(condition)]
                recalled.changes = list(dict.fromkeys(said))
        return json.dumps(vars(recalled))

    def is_verified(self, unit: Unit) -> bool:
        """Tell whether a unit is run although it is stored."""
        return bool(self.recall().verified) and unit in self._verified

    def take(self, unit: Unit, record: RunRecord) -> RunRecord:
        """Store a record, or compare it with the one that is stored; return what counts."""
        if not self.is_verified(unit):
            self.stored.add(record)
            return record
        if not self._before:
            self._before = self.stored.load(self._runs.needed, self._runs.replicates)
        before = self._before.get(unit)  # it may be gone meanwhile
        return record if before is None else compared(before, record)

    @property
    def has_published(self) -> bool:
        """Whether this process has stored runs."""
        return self._stored is not None and self._stored.published > 0

    def withdraw(self) -> None:
        """Have no later session use what this process has stored."""
        if self._stored is not None:
            self._stored.withdraw()

    def flush(self) -> None:
        """Store what is to be stored."""
        if self._stored is not None:
            if (found := unlike(self._runs.settings.exchange, self._runs.id)) is not None:
                self._stored.release(found)  # another process may have found it
            self._stored.flush()
            changed, unproven = self._stored.changed, self._stored.unproven
            told = is_told(self._runs.settings.exchange, self._runs.id)
            if not told and (changed is not None or unproven is not None):
                why = f"since they change what they use: {changed}" if changed else f"since {unproven}"
                told_once = self._runs.settings.exchange.agree(f"changed {self._runs.id}", lambda: why)
                self._runs.settings.note(f"{self._runs.name}: its runs are not stored, {told_once}")

    def told(self, records: Iterable[RunRecord]) -> CacheUse:
        """Return what reports say of the records that were used."""
        used = list(records)
        impure = min(
            (
                (is_incidental(r.impure), r.replicate, r.condition, r.impure)
                for r in used
                if r.impure is not None and not r.error
            ),
            default=None,
        )
        recalled = self.recall()
        measured = MEASURED if ignores_stored(self._runs.hypotheses, used) else None
        if measured and self._runs.caching.cache_key is not None:
            measured = None
        verified = (_unit(record) for record in used if record.cached)
        return CacheUse(
            is_complete=bool(used) and all(record.cached for record in used),
            verified=tuple((*unit,) for unit in verified if self.is_verified(unit)),
            why_run=recalled.refusal or measured or (impure and impure[-1]),
            changes=told_changes(recalled.changes),
            measured_on=tuple(recalled.measured_on),
        )


def _unit(record: RunRecord) -> Unit:
    return Unit(record.replicate, record.condition)


def told_changes(changes: list[str]) -> str:
    """Return changes as text: a few of them, and how many more there are."""
    more = len(changes) - _TOLD_CHANGES
    return ", ".join(changes[:_TOLD_CHANGES]) + (f", and {more} more" if more > 0 else "")


def marked_components(function: pytest.Function) -> dict[str, Any]:
    """Return what the body of a marked function consists of: itself, its class, fixtures and parameters.

    Raises
    ------
    FingerprintError
        If it, or a fixture, asks pytest for what can't be known before it is run.
    """
    info = fixtures_of(function)
    body, label = _body(function), function.originalname
    components: dict[str, Any] = {label: body}
    roots = (str(function.config.rootpath),)
    _check_request(label, real_function(body), roots)
    if function.cls is not None:
        components[f"class {function.cls.__qualname__}"] = function.cls
    order = []
    for name in info.names_closure:
        for number, definition in enumerate(info.name2fixturedefs.get(name, ())):
            made_by = getattr(definition.func, "__func__", definition.func)
            order.append([name, str(definition.scope)])
            if getattr(made_by, "__module__", "").startswith("pytest_crystallize."):
                continue
            _check_request(f"fixture {name!r}", made_by, roots)
            components[f"fixture {name}" + (f" ({number})" if number else "")] = made_by
            owner = getattr(definition.func, "__self__", None)
            if owner is not None:
                components[f"class of fixture {name} ({number})"] = type(owner)
    components["fixtures"] = order
    callspec = getattr(function, "callspec", None)
    for name, value in (callspec.params if callspec is not None else {}).items():
        components[f"parameter {name}"] = value
    return components | warning_filters(function)


def warning_filters(function: pytest.Function) -> dict[str, Any]:
    """Return which warnings are errors: a run that gives one, or in which one comes up late, may fail."""
    config = function.config
    marks = [list(mark.args) for mark in function.iter_markers("filterwarnings")]
    given = [sys.warnoptions, config.getini("filterwarnings"), config.option.pythonwarnings, marks]
    heard = [
        name for name in ("threadexception", "unraisableexception") if config.pluginmanager.hasplugin(name)
    ]
    return {"filters of warnings": given, "errors heard of": heard}


def marked_names(function: pytest.Function) -> tuple[str, ...]:
    """Return what tells a marked function and its parameters from others."""
    body = _body(function)
    callspec = getattr(function, "callspec", None)
    params = callspec.params if callspec is not None else {}
    digests = [f"{name}={fingerprint(value, name=name).digest}" for name, value in params.items()]
    if not hasattr(body, "__qualname__"):  # a partial function, an object that is called
        return (f"{function.module.__name__}.{function.originalname}", *digests)
    return (f"{body.__module__}.{body.__qualname__}", *digests)


def _body(function: pytest.Function) -> Any:
    """Return what is called; of a method that its test class binds, the function."""
    obj, cls = function.obj, function.cls
    owner = getattr(obj, "__self__", None)
    return obj.__func__ if cls is not None and (owner is cls or isinstance(owner, cls)) else obj


def _check_request(label: str, function: Any, roots: tuple[str, ...]) -> None:
    """Refuse a function of the project's that uses more of ``request`` than its parameter."""
    if not isinstance(function, FunctionType) or not is_project_file(function.__code__.co_filename, roots):
        return
    parameters = inspect.signature(function).parameters
    if "pytestconfig" in parameters:
        raise FingerprintError(f"{label} asks for pytestconfig, so that it depends on options of pytest")
    if "request" in parameters and (use := _use_of_request(function)) is not None:
        raise FingerprintError(
            f"{label} uses {use}, and what that gives can't be known before it is run; use request.param and "
            "fixtures that are arguments"
        )


def _use_of_request(function: FunctionType) -> str | None:
    code = function.__code__
    if "request" in code.co_cellvars:
        return "request in an inner function"
    instructions = list(dis.get_instructions(code))
    for here, behind in zip(instructions, [*instructions[1:], None], strict=True):
        if here.opname.startswith("LOAD_FAST") and "request" in str(here.argval):
            taken = behind is not None and behind.opname in ("LOAD_ATTR", "LOAD_METHOD")
            attribute = str(behind.argval) if behind is not None and taken else ""
            if here.argval != "request" or attribute not in _OF_REQUEST:
                return f"request.{attribute}" if attribute else "request as a whole"
    return None


def called_by_pytest(config: pytest.Config) -> tuple[ModuleType, ...]:
    """Return the modules of the project whose hooks pytest calls: conftests and plugins."""
    found: dict[str, ModuleType] = {}
    for plugin in config.pluginmanager.get_plugins():
        module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(type(plugin).__module__)
        if module is not None and is_project_module(module):
            found[getattr(module, "__file__", None) or module.__name__] = module
    return tuple(found[name] for name in sorted(found))


def loaded_modules(root: Path) -> tuple[ModuleType, ...]:
    """Return the modules of the project that are loaded, be it for other tests: they share one process."""
    home = os.path.realpath(root) + os.sep
    modules = sys.modules.copy()  # as in `LoadedFiles`
    return tuple(
        module
        for name, module in sorted(modules.items())
        if isinstance(module, ModuleType)
        and name != "__main__"
        and is_project_module(module)
        and os.path.realpath(getattr(module, "__file__", None) or "").startswith(home)
    )


def options_among(config: pytest.Config, names: Iterable[str]) -> dict[str, object]:
    """Return option -> value of those names that pytest knows as one, or as one of the ini file."""
    found: dict[str, object] = {}
    given = vars(config.option)
    for name in names:
        option = name.lstrip("-").replace("-", "_")
        if option in given:
            found[f"option {option}"] = given[option]
        with suppress(ValueError, KeyError):
            found[f"ini {name}"] = config.getini(name)
    return found


def watching_set_up(
    experiments: Iterable[ExperimentRuns], definition: Any
) -> Iterator[AbstractContextManager[object]]:
    """Yield what watches the set-up of a fixture, for each experiment that depends on it."""
    for runs in experiments:
        if runs.cache is not None and definition in runs.fixture_definitions:
            yield runs.cache.stored.watching_set_up()


def unwatched() -> AbstractContextManager[Callable[[RunRecord], RunRecord]]:
    """Return what stands for a watch where nothing is stored."""
    return nullcontext(lambda record: record)
