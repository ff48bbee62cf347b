"""The end of a session in the terminal: a table per experiment, what is missing, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crystallize.seam import ExperimentResults, counted, failure
from pytest_crystallize.naming.ids import pasteable, variant
from pytest_crystallize.pytest_seam import writer_of
from pytest_crystallize.records.exchange import unlike
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.report.terminal import MDE_LEGEND, experiment_lines
from pytest_crystallize.report.text import WIDEST, VerdictLine, headed, wrapped
from pytest_crystallize.session.remote_calls import remote_lines
from pytest_crystallize.session.reporter import Reporter


class SessionSummary:
    """Summary of the experiments of a session.

    Parameters
    ----------
    reporter : Reporter
        Which knows it.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.config = reporter.config
        self.reporter = reporter
        self.settings = reporter.settings

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show a table per experiment, and notes."""
        width = min(writer_of(terminalreporter).fullwidth, WIDEST)
        drawn = self.settings.options.drawn_seed
        if drawn is not None and (self.config.get_verbosity() < 0 or self.config.option.no_header):
            terminalreporter.write_line(told_seed(drawn))  # which no header has told
        if self.config.get_verbosity() < 0 and not self.settings.options.plan:
            for line in (line for text in self._faults() for line in wrapped(text, width)):
                terminalreporter.write_line(line, red=True)  # nothing else may tell why the session fails
            return
        unfinished = [*self._switched_off(), *self._unfinished()]
        expected = self.reporter.expected
        skipped = len(self.reporter.skipped.intersection(expected))
        judged, fault = self._judged()
        saved = [*self.reporter.saved, *self._faults()]
        remote = [*remote_lines(self.settings)]
        if not (judged or fault or self.settings.notes or unfinished or skipped or saved or remote):
            return
        count = f": {skipped} of {counted(len(expected), 'selected test')} skipped" if skipped else ""
        terminalreporter.write_sep("=", f"experiments{count}")
        for line in wrapped(fault, width):
            terminalreporter.write_line(line, red=True)
        self._show(terminalreporter, judged, width)
        for line in (line for text in remote for line in wrapped(text, width)):
            terminalreporter.write_line(line)
        notes = (f"note: {note}" for note in self.settings.notes)
        others = (("", text) for text in (*saved, *notes))
        for node, text in (*self._not_on_cluster(), *unfinished, *others):
            for line in headed(node, text, width):
                terminalreporter.write_line(line, yellow=True)

    def _show(self, terminalreporter: Any, judged: Sequence[ExperimentResults], width: int) -> None:
        """Show a table per experiment, and what a column of theirs means."""
        verbosity = self.config.get_verbosity()
        for position, each in enumerate(judged):
            if position:
                terminalreporter.write_line("")
            for number, line in enumerate(experiment_lines(each, width, verbosity=verbosity)):
                markup = {line.colour: True} if isinstance(line, VerdictLine) else {"bold": number == 0}
                terminalreporter.write_line(str(line), **markup)  # --looponfail sends nothing but a plain str
        verdicts = (test.verdict for each in judged for test in each.tests)
        if any(verdict is not None and verdict.detectable is not None for verdict in verdicts):
            terminalreporter.write_line("")
            terminalreporter.write_line(MDE_LEGEND)

    def _judged(self) -> tuple[list[ExperimentResults], str]:
        """Return what is to be shown of experiments, and why it can't be: a report is no gate."""
        try:
            self.reporter.gather_notes()
            return [each for each in self.reporter.experiments() if each.used is not None], ""
        except Exception as error:
            return [], f"no table of experiments could be made: {failure(error)}"

    def _faults(self) -> list[str]:
        """Return what no option keeps from being told: what is not saved, and whose runs do not repeat."""
        self.reporter.learn_expected()
        found = (unlike(self.settings.exchange, key) for key in self.reporter.announced)
        return [*self.reporter.not_saved, *(text for text in found if text is not None)]

    def _about(self, known: Announced, text: str) -> tuple[str, str]:
        """Return what pytest is to be given to run an experiment, and what is said of it."""
        return self.reporter.from_here(known.node), f"{variant(known.name, known.node)}: {text}"

    def _switched_off(self) -> list[tuple[str, str]]:
        """Return a line per experiment with treatments that are switched off."""
        self.reporter.learn_expected()
        return [
            self._about(known, f"switched off, so not tested: {', '.join(known.off)}")
            for known in self.reporter.announced.values()
            if known.off
        ]

    def _not_on_cluster(self) -> list[tuple[str, str]]:
        """Return a line per reason for which experiments ran here although there is a cluster."""
        reasons: dict[str, list[str]] = {}
        for key, known in self.reporter.announced.items():
            if known.stays and self.reporter.told.run(key):
                reasons.setdefault(known.stays, []).append(
                    pasteable(known.name, self.reporter.from_here(known.node))
                )
        return [
            ("", f"ran here, not on the cluster, since {why}: {', '.join(n)}") for why, n in reasons.items()
        ]

    def _unfinished(self) -> Sequence[tuple[str, str]]:
        self.reporter.learn_expected()
        missing = [nodeid for nodeid in self.reporter.expected if nodeid not in self.reporter.reported]
        if not missing or not self.reporter.verdicts_due:
            return ()
        self.settings.exchange.catch_up()
        done = self.settings.exchange.counts()
        lines = [("", f"NOT RUN: {counted(len(missing), 'selected test')} without verdict")]
        for key, known in self.reporter.announced.items():
            if not self.reporter.told.run(key) and done.get(key):
                runs = f"{done[key]} of {known.units} condition runs"
                replicates = counted(known.replicates, "replicate")
                lines.append(self._about(known, f"{runs} of {replicates} are done"))
        return lines


def told_seed(drawn: int) -> str:
    """Return the line that tells a root seed that was drawn."""
    return f"crystallize: drew root seed {drawn}; repeat with --crystallize-seed={drawn}"
