"""Answers of a process that makes runs for a session: what it has collected, and one run after the other."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pytest

from crystallize import RunRecord
from crystallize.errors import CrystallizeError
from crystallize.seam import Unit, check_failure, failure, text_of
from pytest_crystallize.against.reads import Reads
from pytest_crystallize.against.remap import Remap
from pytest_crystallize.pytest_seam import setup_state
from pytest_crystallize.records.exchange import unlike
from pytest_crystallize.records.logs import Key


class Answers:
    """Plugin in place of the loop that runs tests.

    Parameters
    ----------
    options : mapping
        Options of the session, in place of those that would be typed.
    requests, replies
        What the session says, and where it hears.
    remap : Remap or None
        What maps imports, if another commit is run.
    """

    def __init__(
        self, options: Mapping[str, Any], requests: TextIO, replies: TextIO, remap: Remap | None
    ) -> None:
        self._options = options
        self._requests = requests
        self._replies = replies
        self._remap = remap
        self._reads = Reads(remap)
        self._strayed = False
        self._errors: dict[str, str] = {}
        self._known: dict[str, Any] = {}
        self._entered: Any = None
        self._source: Any = None
        self._apart = ExitStack()
        self._bracket = ExitStack()
        self._settles = False
        self._unlike: dict[str, str | None] = {}

    def say(self, **reply: Any) -> None:
        """Tell the session something."""
        self._write(json.dumps(reply))

    def _write(self, text: str) -> None:
        self._replies.write(f"{text}\n")
        self._replies.flush()

    # What is collected.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_parse(
        self, pluginmanager: pytest.PytestPluginManager
    ) -> Generator[None, object, object]:
        """Take over the options of the session."""
        config: Any = pluginmanager.getplugin("pytestconfig")
        vars(config.option).update(self._options)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Write artifacts elsewhere than the session does; stored runs are shared with it."""
        settings = session.config.pluginmanager.getplugin("crystallize-session").settings
        apart = self._apart.enter_context(tempfile.TemporaryDirectory(prefix="crystallize-"))
        settings.options = replace(settings.options, directory=Path(apart))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what can't be collected."""
        if report.failed:
            *_, last = ["", *filter(str.strip, report.longreprtext.splitlines())]
            self._errors[report.nodeid] = last.removeprefix("E ").strip()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answer until the session has no more to ask."""
        for item in session.items:
            if hasattr(item, "runs"):
                self._known.setdefault(item.runs.id, item)
        for item in self._known.values():
            item.runs.needed.update(item.runs.conditions)
        self.say(
            kind="ready",
            experiments={key: _described(item.runs) for key, item in self._known.items()},
            errors=self._errors,
            strays=self._strays(),
        )
        try:
            for line in self._requests:
                request = json.loads(line)
                if request["kind"] == "end":
                    break
                for replicate, condition in request["units"]:
                    unit = Unit(replicate, condition)
                    self._write(self._answer(request["experiment"], unit, anew=request["anew"]))
            self._leave()
            self.say(kind="notes", notes=self._notes(session.config))
        finally:
            self._bracket.close()
            self._apart.close()
            setup_state(session).teardown_exact(None)  # type: ignore[arg-type]
        return True

    def _strays(self) -> list[str]:
        found = self._reads.strays()
        if self._remap is not None:
            found += self._remap.strays()
        self._strayed = self._strayed or bool(found)
        return found

    def _notes(self, config: pytest.Config) -> list[str]:
        settings = config.pluginmanager.getplugin("crystallize-session").settings
        return list(settings.notes)

    # Runs.

    def _answer(self, experiment: str, unit: Unit, *, anew: bool) -> str:
        """Make a run, and return what it gave, or why it can't be made.

        A record is a line of its own; what else there is to say of a run, which is seldom anything, stands
        in a line before it.
        """
        item = self._known[experiment]
        try:
            if item is not self._entered:
                self._enter(item)
            record = self._record(item, unit, anew)
        except CrystallizeError as fault:
            return json.dumps({"kind": "fault", "fault": text_of(fault)})
        except BaseException as error:  # fixtures of the module, hooks
            check_failure(error)
            return json.dumps({"kind": "fault", "fault": failure(error)})
        told, strays, key = record.to_json(), self._strays(), item.runs.id
        unrepeated = unlike(item.runs.settings.exchange, key)
        if not strays and unrepeated == self._unlike.get(key):
            return told
        self._unlike[key] = unrepeated
        return json.dumps({"kind": "more", "strays": strays, "unlike": unrepeated}) + "\n" + told

    def _record(self, item: Any, unit: Unit, anew: bool) -> RunRecord:
        runs, known = item.runs, item.runs.settings.exchange.record
        if anew:
            return self._source.record(unit)  # type: ignore[no-any-return]
        if not self._settles:
            runs.recall()
            self._settles = True
        key = Key(runs.id, *unit)
        if known(key) is None:
            runs.conclude(self._source.record(unit))
        return known(key)  # type: ignore[no-any-return]

    def _enter(self, item: Any) -> None:
        """Set up what surrounds an item, in place of that before it."""
        self._leave()
        state = setup_state(item)
        state.teardown_exact(item)
        state.setup(item)
        self._entered = item
        self._bracket.enter_context(item.runs.under_way(item))
        self._source = item.runs.one_by_one(item)
        self._bracket.callback(self._source.close)

    def _leave(self) -> None:
        """Store what was run of the experiment before, and leave it."""
        item, self._entered = self._entered, None
        if item is None:
            return
        if self._settles and not self._strayed:  # or a later session would take what was run
            item.runs.settle(item)
        self._settles = False
        self._bracket.close()


def _described(runs: Any) -> dict[str, Any]:
    """Return what the session has to know of an experiment before it is run."""
    cases = [] if runs.design is None else [runs.stream.named(i) for i in range(runs.replicates)]
    return {"conditions": list(runs.conditions), "root_seed": runs.root_seed, "cases": cases}
