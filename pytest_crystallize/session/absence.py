"""The guard over sessions that judge nothing: they say so, and where nobody asked for less they fail."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import pytest

from crystallize.seam import counted
from pytest_crystallize.exit_code import ASKING
from pytest_crystallize.naming.ids import relative
from pytest_crystallize.naming.patterns import FILES, FUNCTIONS
from pytest_crystallize.pytest_seam import writer_of
from pytest_crystallize.report.text import wrapped
from pytest_crystallize.session.command_line import typed_options
from pytest_crystallize.session.reporter import Reporter

NARROWING = (
    *("keyword", "markexpr", "deselect", "ignore", "ignore_glob"),
    *("lf", "stepwise", "stepwise_skip", "stepwise_reset"),
)
"""Options of pytest's, by their name in its namespace, with which somebody asks for less than everything."""
SKIPPING = {"save", "repro", "shard"}
"""Options, without their prefix, with which what is run is not judged."""
_COMPLETE = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
_SHOWN = 3


class AbsenceGuard:
    """Guard that ends a session without experiments or comparisons as pytest ends one without tests.

    Parameters
    ----------
    reporter : Reporter
        Knows which tests of experiments are left to be run.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.config = reporter.config
        self.reporter = reporter
        self._has_begun = False
        self._has_errors = False
        self._skipped: dict[str, None] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Note that this session collects in order to run: ``--fixtures`` and the like do not."""
        self._has_begun = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note errors of collection, which are told as what they are, and files that skip themselves."""
        self._has_errors = self._has_errors or report.failed
        if report.skipped:
            self._skipped[report.nodeid] = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let no session end well that was to run experiments and has none."""
        self.reporter.learn_expected()
        is_good = session.exitstatus == pytest.ExitCode.OK
        if not self._has_begun or session.exitstatus not in _COMPLETE or (self._has_errors and not is_good):
            return
        asking = [name for name in ASKING if getattr(self.config.option, f"crystallize_{name}") is not None]
        if not self.reporter.expected:
            asked = "".join(f"--crystallize-{name}: " for name in asking)
            self.reporter.absent.append(asked + self._what_is_absent())
        elif (option := next((o for o in asking if o in ("compare", "against")), None)) is not None and (
            not self._compares()
        ):
            what, how = " or against Revision()", "Revision()"
            if option == "compare":
                what, how = "", f"Reference({self.config.option.crystallize_compare!r})"
            self.reporter.absent.append(
                f"--crystallize-{option}: no selected hypothesis is against a reference{what}; such a one is "
                f"Hypothesis(..., against={how})"
            )
        elif not SKIPPING.intersection(asking) and self._is_all_skipped():
            self.reporter.absent.append(self._what_was_skipped())
            if not self._is_switched_off():
                return
            asking = []
        else:
            return
        if is_good and (asking or not self._is_narrowed()):
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    def _compares(self) -> bool:
        against = {nodeid for known in self.reporter.announced.values() for nodeid in known.against}
        return not against.isdisjoint(self.reporter.expected)

    def _is_all_skipped(self) -> bool:
        """Return whether every selected test was skipped, so that the session has judged nothing."""
        tests = map(self.reporter.told.of_test, self.reporter.expected)
        return all(told is not None and told.is_unjudged for told in tests)

    def _is_switched_off(self) -> bool:
        """Return whether treatments are off by what no code says and nobody has typed."""
        off = {name for known in self.reporter.announced.values() for name in known.off}
        return not off.issubset(typed_options(self.config).crystallize_disable or ())

    def _is_narrowed(self) -> bool:
        """Return whether somebody asked for less than everything in some directories.

        Of what stands in ``addopts`` only the effect counts: a standing ``-m`` that deselects no experiment
        excuses none from being there.
        """
        option, typed = self.config.option, typed_options(self.config)
        return (
            self.reporter.settings.collected > len(self.reporter.expected)
            or getattr(option, "lf", False)  # leaves out files before anything is collected
            or any(getattr(typed, name, None) for name in NARROWING)
            or (
                self.config.args_source is pytest.Config.ArgsSource.ARGS
                and not all(map(self._is_directory, self.config.args))
            )
        )

    def _is_directory(self, arg: str) -> bool:
        if os.path.isdir(self.config.invocation_params.dir / arg):  # noqa: PTH112 - a name may be too long for a Path
            return True
        try:
            spec = find_spec(arg) if self.config.option.pyargs else None
        except (AttributeError, ImportError, ValueError):
            return False
        return spec is not None and spec.submodule_search_locations is not None

    # What is said.

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was looked for, however quiet the session is."""
        for text in self.reporter.absent:
            for line in wrapped(text, writer_of(terminalreporter).fullwidth):
                terminalreporter.write_line(line, red=True)

    def _what_is_absent(self) -> str:
        option = self.config.option
        asks_for_claims = option.crystallize_calibrate is not None or option.crystallize_plan
        wanted = "hypothesis" if asks_for_claims else "experiment"
        collected = self.reporter.settings.collected
        if collected:
            return f"no {wanted} was selected: {counted(collected, 'test')} of experiments deselected"
        places = [arg if arg != str(self.config.invocation_params.dir) else "." for arg in self.config.args]
        functions, files, tests = map(
            self.config.getini, ("crystallize_functions", "crystallize_files", "python_files")
        )
        return (
            f"no {wanted} was collected in {_listed(places)}: looked for functions {' '.join(functions)} "
            f"({self._origin('crystallize_functions', FUNCTIONS)}) in files {' '.join(files)} "
            f"({self._origin('crystallize_files', FILES)}) and test files "
            f"{' '.join(pattern for pattern in tests if pattern not in files)} (python_files)"
            + (f"; skipped as they were collected: {_listed(list(self._skipped))}" if self._skipped else "")
        )

    def _what_was_skipped(self) -> str:
        tests = map(self.reporter.told.of_test, self.reporter.expected)
        reasons = list(dict.fromkeys(told.message for told in tests if told is not None and told.message))
        count = len(self.reporter.expected)
        which = "the selected test was" if count == 1 else f"all {count} selected tests were"
        return f"nothing was judged: {which} skipped" + (f": {_listed(reasons)}" if reasons else "")

    def _origin(self, name: str, default: tuple[str, ...]) -> str:
        """Say where an ini option was given."""
        if any(given.partition("=")[0] == name for given in self.config.option.override_ini or ()):
            return f"{name} of -o"
        if tuple(self.config.getini(name)) == default:
            return f"{name} by default"
        return f"{name} of {relative(str(self.config.inipath), self.config.rootpath)}"


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])
