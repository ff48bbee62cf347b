"""The screen itself: what is shown where, and what the keys do."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import DataTable, Footer, Log, Static, TabbedContent, TabPane, Tree

from crystallize.seam import printable
from pytest_crystallize.options.switches import Switches
from pytest_crystallize.screen.child import Child
from pytest_crystallize.screen.palette import DARK, LIGHT, Palette
from pytest_crystallize.screen.state import Experiment, ScreenState
from pytest_crystallize.screen.texts import failure_text, looks, progress, status_line, summary
from pytest_crystallize.screen.widgets import ExperimentTree, FailureView, Panel, TreatmentTree

SECONDS = 0.2
"""How often is looked what pytest has told."""
MOST_FAILURES = 1000
"""Failed runs that are listed."""


class RunScreen(App[None]):
    """The run screen.

    Parameters
    ----------
    arguments : sequence of str
        Further ones of every pytest that is started.
    child : callable
        Starts pytest.

    Attributes
    ----------
    exit_status : int
        Of the last run; 0 if nothing was run.
    """

    CSS_PATH = "style.tcss"
    TITLE = "Crystallize"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run_all", "Run all"),
        Binding("e", "run_one", "Run this"),
        Binding("c", "cancel", "Cancel"),
        Binding("x", "switch", "Off/on"),
        Binding("f", "show('failures')", "Failed"),
        Binding("s", "show('summary')", "Summary"),
        Binding("l", "show('log')", "Log"),
        Binding("question_mark", "keys", "Keys"),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+q", "leave", "Quit", show=False),
        Binding("escape", "show('run')", "Back to the experiments", show=False),
        Binding("g", "collect", "Look for experiments again", show=False),
        Binding("t", "theme", "Light or dark", show=False),
    ]

    def __init__(
        self, arguments: Sequence[str] = (), *, child: Callable[[Sequence[str]], Child] = Child
    ) -> None:
        super().__init__()
        self._start_child = child
        self._arguments = list(arguments)
        self.exit_status = 0
        self.state = ScreenState()
        self._child: Child | None = None
        self._doing = ""
        self._next: Sequence[str] | None = None
        self._is_leaving = False
        self._summary_due = 0.0
        self._failures: list[Mapping[str, Any]] = []
        self._summaries: dict[tuple[object, ...], list[Text]] = {}
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    # What is shown.

    def compose(self) -> ComposeResult:
        """Lay out the widgets."""
        yield Static(id="status")
        with TabbedContent(initial="run"):
            with TabPane("Run", id="run"), Horizontal():
                yield ExperimentTree(id="experiments")
                with Vertical(id="right"):
                    yield TreatmentTree(id="treatments")
                    with VerticalScroll(id="detail"):
                        yield Panel(id="progress")
            with TabPane("Failures", id="failures-pane"):
                yield DataTable[Text](id="failures", cursor_type="row")
            with TabPane("Summary", id="summary-pane"), VerticalScroll(id="summary"):
                yield Panel(id="verdicts")
            with TabPane("Log", id="log-pane"):
                yield Log(id="log")
        footer = Footer()
        footer.compact = True
        yield footer

    def on_mount(self) -> None:
        """Look for experiments."""
        for name in ("experiments", "treatments", "failures", "summary", "log"):
            self.query_one(f"#{name}").border_title = name.capitalize()
        self.query_one("#failures", DataTable).add_columns("experiment", "condition", "replicate", "error")
        self.query_one("#experiments").focus()
        self.set_interval(SECONDS, self.tick)
        self.action_collect()

    @property
    def palette(self) -> Palette:
        """Styles of the theme."""
        return Palette(self.theme, is_dark=self.current_theme.dark)

    @property
    def _highlighted(self) -> list[Experiment]:
        """The highlighted experiment, or those of the highlighted graph."""
        key = self.query_one(ExperimentTree).highlighted
        return [e for e in self.state.experiments.values() if key in (e.id, e.told["graph"])]

    def show_state(self, *, at_once: bool = True) -> None:
        """Show what is known by now; unless it has to be at once, a long summary less often."""
        palette = self.palette
        line = status_line(self.state, self._doing, palette)
        self.query_one("#status", Static).update(line, layout=False)
        self.query_one(ExperimentTree).fill(self.state, palette)
        self._show_highlighted()
        self._show_failures()
        now = time.monotonic()
        if at_once or now >= self._summary_due:
            self._show_summary()
            self._summary_due = now + 20 * (time.monotonic() - now)

    def _show_highlighted(self) -> None:
        palette, chosen = self.palette, self._highlighted
        self.query_one(TreatmentTree).fill(chosen, palette)
        detail = self.query_one("#detail")
        detail.border_title = "Progress"

        def text(width: int) -> Text:
            lines: list[Text] = []
            for each in chosen:
                lines += [*progress(each, palette, width), *looks(each, palette, width), Text()]
            if not lines and self.state.errors:
                lines = [Text(printable(error["node"]), palette["bad"]) for error in self.state.errors]
            return Text("\n").join(lines)

        self.query_one("#progress", Panel).show(text)

    def _show_failures(self) -> None:
        table, failures = self.query_one("#failures", DataTable), self.state.failures
        shown = len(self._failures)
        if any(map(operator.is_not, self._failures, failures)) or shown > len(failures):
            table.clear()
            shown = 0
        self._failures = failures[:MOST_FAILURES]
        for failure in self._failures[shown:]:
            name = self.state.experiments[failure["experiment"]].told["name"]
            cells = (name, failure["condition"], str(failure["replicate"]), failure["error"])
            table.add_row(*(Text(printable(cell.partition("\n")[0])) for cell in cells))
        tab = self.query_one(TabbedContent).get_tab("failures-pane")
        label = f"Failures {len(failures)}" if failures else "Failures"
        if tab.label_text != label:
            tab.label = label

    def _show_summary(self) -> None:
        state, palette, made = self.state, self.palette, self._summaries
        self.query_one("#verdicts", Panel).show(lambda width: summary(state, palette, width, made))

    @on(Tree.NodeHighlighted, "#experiments")
    def _highlight(self) -> None:
        self._show_highlighted()

    @on(DataTable.RowSelected, "#failures")
    def _open(self, event: DataTable.RowSelected) -> None:
        palette = self.palette
        failure = self._failures[event.cursor_row]
        self.push_screen(FailureView(failure, lambda failure: failure_text(failure, palette)))

    # Sessions.

    def start(self, arguments: Sequence[str], doing: str = "running") -> None:
        """Start a session of pytest, behind the one that looks for experiments or was cancelled."""
        if self._child is not None:
            self._next = arguments
            return
        self.query_one("#log", Log).clear()
        self.state.finished = None
        self._child = self._start_child(arguments)
        self._doing = doing
        self.refresh_bindings()
        self.show_state()

    def tick(self) -> None:
        """Take in what pytest has told since the last time."""
        child = self._child
        if child is None:
            return
        status = child.exit_status  # asked for first: what it told before its end is then there
        events = list(child.events())
        for event in events:
            self.state.take(event)
        if output := child.output():
            self.query_one("#log", Log).write(output)
        if status is not None:
            self._ended(status)
        if events or status is not None:
            self.show_state(at_once=status is not None)

    def _ended(self, status: int) -> None:
        assert self._child is not None
        self._child.close()
        self._child = None
        collected = self.state.session.get("collects_only", True)
        if not collected:
            self.exit_status = status
        told = self.state.finished is not None
        self.state.end()
        self._doing = "" if told else f"pytest ended with status {status}: see the log"
        self.refresh_bindings()
        if not told and not self._is_leaving:
            self.action_show("log")
        following, self._next = self._next, None
        if self._is_leaving:
            self.exit()
        elif following is not None:
            self.start(following)

    def on_unmount(self) -> None:
        """End what runs."""
        if self._child is not None:
            self._child.close()
            self._child = None

    # What keys do.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether an action can be taken; None shows it as one that can't be now."""
        if action in ("run_all", "run_one", "collect"):
            return None if self._doing == "running" else True
        if action == "cancel":
            return True if self._child is not None else None
        return True

    def action_collect(self) -> None:
        """Look which experiments there are."""
        if self._child is None:
            self.start([*self._arguments, "--collect-only", "-q"], "looking for experiments")

    def action_run_all(self) -> None:
        """Run all experiments."""
        self.start(self._arguments)

    def action_run_one(self) -> None:
        """Run the highlighted experiment, or graph."""
        nodes = list(dict.fromkeys(str(each.told["node"]) for each in self._highlighted))
        if not nodes:
            return
        root = Path(self.state.session["root"])
        options = [each for each in self._arguments if each.startswith("-") or not _is_place(each)]
        self.start([*options, *(str(root / node) for node in nodes)])

    def action_cancel(self) -> None:
        """Interrupt the session; what is finished is kept."""
        if self._child is not None:
            self._next = None
            self._child.interrupt()
            self._doing = "cancelled: what is finished is kept"
            self.refresh_bindings()
            self.show_state()

    def action_switch(self) -> None:
        """Switch the highlighted treatment off or on, from the next run on."""
        experiment, treatment = self.query_one(TreatmentTree).highlighted
        if not treatment:
            self.notify("Highlight a treatment first.", severity="warning")
            return
        path = self.state.session.get("state")
        if path is None:
            self.notify("Nothing is switched off where CI is set or pytest has no cache.", severity="warning")
            return
        known = self.state.experiments[experiment]
        switches = Switches(Path(path))
        switches.switch(experiment, treatment, off=treatment not in known.off)
        switches.remember()
        if switches.note is not None:
            self.notify(switches.note, severity="error")
        known.off = set(switches.off.of(experiment)) & set(known.treatments)
        known.version += 1
        self.show_state()

    def action_show(self, what: str) -> None:
        """Show a tab."""
        focused = {"run": "experiments"}.get(what, what)
        self.query_one(TabbedContent).active = "run" if what == "run" else f"{what}-pane"
        self.call_after_refresh(lambda: self.query_one(f"#{focused}").focus())

    def action_keys(self) -> None:
        """Show all keys, or hide them."""
        if self.screen.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def action_theme(self) -> None:
        """Change between light and dark."""
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name
        self.show_state()

    def action_leave(self) -> None:
        """End what runs, and then the screen; asked again, at once."""
        if self._child is None or self._is_leaving:
            self.exit()
        else:
            self._is_leaving = True
            self.action_cancel()


def _is_place(argument: str) -> bool:
    return Path(argument.partition("::")[0]).exists()
