"""Output, log records and warnings of units: kept with the unit that made them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from crystallize.seam import PROPERTY, printable_lines
from pytest_crystallize.pytest_seam import caplog_handler_key, read_captured, writer_of

if TYPE_CHECKING:
    from crystallize import RunRecord


def with_properties(record: RunRecord, properties: list[tuple[str, object]]) -> RunRecord:
    """Return the record with what `record_property` was given in its run."""
    if not properties:
        return record
    sections = ((f"{PROPERTY}{name}", str(value)) for name, value in properties)
    return replace(record, sections=(*record.sections, *sections))


class Printed(NamedTuple):
    """Output of a run: what it printed and logged."""

    out: str = ""
    err: str = ""
    log: str = ""

    def followed_by(self, later: Printed) -> Printed:
        """Return this with what came later behind it."""
        if later is NOTHING:
            return self
        log = "\n".join(filter(None, (self.log, later.log)))
        return Printed(self.out + later.out, self.err + later.err, log)


NOTHING: Final = Printed()
"""Of a run that prints and logs nothing."""


def with_output(record: RunRecord, printed: Printed) -> RunRecord:
    """Return the record of a failure with what its run printed and logged; any other as it is."""
    if record.error is None:
        return record
    titles = ("Captured stdout", "Captured stderr", "Captured log")
    found = zip(titles, printed, strict=True)
    return replace(record, sections=(*record.sections, *(section for section in found if section[1])))


class Output:
    """Output of units, kept apart though many run in the call phase of one item."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")
        self._seen_warnings: set[tuple[Any, ...]] = set()

    def captured(self, host: pytest.Item, run: Callable[[], RunRecord]) -> RunRecord:
        """Run a unit; what it printed and logged goes into its record if it failed, else nowhere."""
        self.forget_log(host)
        record = run()
        return with_output(record, self.taken())

    def forget_log(self, host: pytest.Item) -> None:
        """Forget what was logged until now under an item."""
        if (log := self._log) is not None:
            if log.records:
                log.reset()
            if (handler := host.stash.get(caplog_handler_key, None)) is not None and handler.records:
                handler.clear()

    def taken(self) -> Printed:
        """Return what was printed and logged since the last time."""
        logged = ""
        if (log := self._log) is not None and log.records:
            logged = log.stream.getvalue().strip()
            log.reset()
        out, err = ("", "") if self._capture is None else read_captured(self._capture)
        return Printed(out, err, logged) if out or err or logged else NOTHING

    @cached_property
    def _log(self) -> Any:
        return getattr(self._config.pluginmanager.getplugin("logging-plugin"), "report_handler", None)

    @contextmanager
    def of_units(self, nodeid: str) -> Iterator[None]:
        """Report the warnings of the units run inside as the experiment's, each once."""
        caught: list[warnings.WarningMessage] = []

        def show(
            message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
        ) -> None:
            key = (category, str(message), filename, lineno)
            if key not in self._seen_warnings:
                self._seen_warnings.add(key)
                text = printable_lines(str(message))
                said = message if text == str(message) else text
                caught.append(warnings.WarningMessage(said, category, filename, lineno, None, line))

        with warnings.catch_warnings(), self._assertions_without_colours():
            warnings.showwarning = show
            yield
        for warning in caught:
            self._config.hook.pytest_warning_recorded.call_historic(
                kwargs={"warning_message": warning, "nodeid": nodeid, "when": "runtest", "location": None}
            )

    @contextmanager
    def _assertions_without_colours(self) -> Iterator[None]:
        """Have pytest explain assertions as for a file: records are read in reports of every kind."""
        writer: Any = writer_of(self._config.pluginmanager.getplugin("terminalreporter"))
        before = getattr(writer, "code_highlight", None)
        if before is None:
            yield
            return
        writer.code_highlight = False
        try:
            yield
        finally:
            writer.code_highlight = before
