"""The marked function as a node of pytest's, whose fixtures each condition run sets up afresh."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pytest

from crystallize.seam import FrozenContext, check_failure
from pytest_crystallize.isolation.fixtures import values_of
from pytest_crystallize.isolation.unit_hooks import UnitHooks
from pytest_crystallize.naming.tracebacks import is_users
from pytest_crystallize.pytest_seam import AsMade, begin_afresh, call_of, fixtures_of, replace_definitions

Phase = Literal["setup", "call"]


class ConditionFunction(pytest.Function):
    """The marked function as the node whose fixtures each condition run sets up afresh."""

    _host: pytest.Item | None = None
    _made: AsMade | None = None

    @classmethod
    def of(cls, function: pytest.Function) -> ConditionFunction:
        """Return the node of a function, with its parameters and fixtures."""
        node: ConditionFunction = cls.from_parent(
            function.parent,
            name=function.name,
            callspec=getattr(function, "callspec", None),
            keywords=function.keywords,
            fixtureinfo=fixtures_of(function),
            originalname=function.originalname,
        )
        return node

    def begin_run(self, host: pytest.Item) -> None:
        """Prepare for the next condition run inside the call phase of `host`."""
        self._begin_under(host)
        (self._made or self._as_made).restore(self)
        if given := _of_hooks(host):
            vars(self).update(given)
        self.user_properties.clear()
        begin_afresh(self, host)

    @property
    def _as_made(self) -> AsMade:
        if self._made is None:
            _ = self.ihook, self._make_report and self.location  # found once for all
            self._made = AsMade.of(self)
        return self._made

    def _begin_under(self, host: pytest.Item) -> None:
        if host is not self._host:
            self._host, self._chain = host, [*host.listchain(), self]
            self._unit_hooks.settle()

    def beside_others(self, host: pytest.Item, definitions: dict[str, Sequence[Any]]) -> ConditionFunction:
        """Return a node for a condition run beside others, with definitions of fixtures of its own."""
        self._begin_under(host)
        made = self._as_made
        node = copy.copy(self)
        made.part(node)
        vars(node).update(_of_hooks(host))
        node._chain = [*host.listchain(), node]
        node.user_properties = []
        replace_definitions(node, definitions)
        begin_afresh(node, host)
        return node

    def listchain(self) -> list[Any]:
        """Return the chain of the host item and this node, so that wider fixtures survive."""
        return self._chain

    @cached_property
    def _unit_hooks(self) -> UnitHooks:
        return UnitHooks(self.config, self.session.gethookproxy(self.path))

    def take_reserved(self, names: Iterable[str], ctx: FrozenContext) -> None:
        """Take values of reserved fixtures as pytest would, if nobody hears of it."""
        if self._unit_hooks.are_unheard:
            self.funcargs.update(values_of(names, ctx))

    @cached_property
    def ihook(self) -> Any:
        """Hooks of the session, looked up once."""
        return self._unit_hooks

    def bracketed(self, phase: Phase) -> AbstractContextManager[None]:
        """Bracket a phase of a condition run, and make its report if the project has a hook for it.

        Fixtures learn of such a hook how their test went, and their test is the condition run.
        """
        return _UNREPORTED if self._make_report is None else self._bracketed(phase, self._make_report)

    @cached_property
    def _make_report(self) -> Callable[..., pytest.TestReport] | None:
        known = self.config.stash.setdefault(_REPORTED_BELOW, {})
        directory = self.path.parent  # which decides what conftests are heard
        if directory not in known:
            known[directory] = self._reporting()
        return known[directory]

    def _reporting(self) -> Callable[..., pytest.TestReport] | None:
        """Return the hook that makes reports, if the project has one; without plugins that know tests alone.

        These prepare for the reports of a test in a hook around all of it, which no condition run has.
        """
        heard = self.ihook.pytest_runtest_makereport.get_hookimpls()
        if not any(self._is_local(_file_of(hook)) for hook in heard):
            return None
        manager = self.config.pluginmanager
        around = [
            hook.plugin
            for hook in manager.hook.pytest_runtest_protocol.get_hookimpls()
            if is_users(_file_of(hook)) and not self._is_local(_file_of(hook))
        ]
        plugins = [hook.plugin for hook in heard]
        elsewhere = manager.hook.pytest_runtest_makereport.get_hookimpls()
        unheard = [hook.plugin for hook in elsewhere if hook.plugin not in plugins]
        return manager.subset_hook_caller("pytest_runtest_makereport", [*around, *unheard])

    def _is_local(self, file: Path) -> bool:
        return file.is_relative_to(self.config.rootpath) and "site-packages" not in file.parts

    @contextmanager
    def _bracketed(self, phase: Phase, make_report: Callable[..., pytest.TestReport]) -> Iterator[None]:
        start, clock = time.time(), time.perf_counter()
        fault = None
        try:
            yield
        except BaseException as raised:
            check_failure(raised)
            fault = pytest.ExceptionInfo.from_exception(raised)
            raise
        finally:
            seconds = time.perf_counter() - clock
            call = call_of(fault, phase, start, seconds)
            report = make_report(item=self, call=call)
            if fault is None and report.failed:  # plugins collect what is to fail a test until it is reported
                text = report.longreprtext.strip() or "a hook reports it as failed"
                raise pytest.fail.Exception(text, pytrace=False)


def _of_hooks(host: pytest.Item) -> dict[str, Any]:
    """Return the attributes that hooks have set of an item of ours, which fixtures ask `request.node` for."""
    attributes: dict[str, Any] = host.hooks_attributes  # type: ignore[attr-defined]
    return {name: value for name, value in attributes.items() if not hasattr(ConditionFunction, name)}


_UNREPORTED = nullcontext()
_REPORTED_BELOW: pytest.StashKey[dict[Path, Callable[..., pytest.TestReport] | None]] = pytest.StashKey()


def _file_of(hook: Any) -> Path:
    """Return the file of an implementation of a hook; of one that is compiled, no file of any project."""
    try:
        return Path(inspect.getfile(hook.function))
    except TypeError:
        return Path("<compiled>")
