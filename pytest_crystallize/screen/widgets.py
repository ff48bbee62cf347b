"""Widgets of the screen: the trees, and panels whose text depends on their width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static, Tree
from textual.widgets.tree import TreeNode

from crystallize.seam import printable
from pytest_crystallize.screen.palette import Palette
from pytest_crystallize.screen.state import Experiment, ScreenState
from pytest_crystallize.screen.texts import experiment_label, treatment_label


class Panel(Static):
    """Text that is made anew where its width changes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._make: Callable[[int], Text] = lambda _: Text()
        self._lines = 0

    def show(self, make: Callable[[int], Text]) -> None:
        """Show what a callable returns for a width."""
        self._make = make
        self.on_resize()

    def on_resize(self) -> None:
        """Make the text anew."""
        if self.size.width:
            text = self._make(self.size.width)
            lines = text.plain.count("\n")
            self.update(text, layout=lines != self._lines)  # to lay out is most of the work
            self._lines = lines


class ExperimentTree(Tree[str]):
    """The experiments that were found: graphs with their members, by what is in ``data``."""

    show_root = False
    guide_depth = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("experiments", **kwargs)
        self._places: dict[str, TreeNode[str]] = {}
        self._graphs: dict[str, str] = {}
        self._shown: list[object] = []
        self._labelled: dict[str, tuple[object, ...]] = {}

    def fill(self, state: ScreenState, palette: Palette) -> None:
        """Show the experiments of a state, and keep the highlight."""
        shape: list[object] = [
            palette.name,
            *((graph, *(each.id for each in m)) for graph, m in state.groups()),
        ]
        if shape != self._shown:
            self._shown = shape
            highlighted = self.highlighted
            self.clear()
            self._places = {}
            for graph, members in state.groups():
                parent = self.root
                if graph is not None:
                    title = Text(printable(graph.partition("::")[2]), palette["plain"])
                    parent = self.root.add(title, data=graph, expand=True)
                    self._places[graph] = parent
                for each in members:
                    self._places[each.id] = parent.add_leaf("", data=each.id)
            self._graphs = {e.id: g for g, members in state.groups() if g is not None for e in members}
            self._labelled = {}
            node = self._places.get(highlighted) or next(iter(self._places.values()), None)
            if node is not None:
                self.call_after_refresh(self.move_cursor, node)
        for each in state.experiments.values():
            self._label(each, palette)

    def _label(self, each: Experiment, palette: Palette) -> None:
        """Show how far an experiment is, if that or the room has changed."""
        width = max(self.size.width - (4 if each.id in self._graphs else 2), 12)
        now = each.version, each.phase, width
        if self._labelled.get(each.id) != now:
            self._labelled[each.id] = now
            self._places[each.id].set_label(experiment_label(each, palette, width))

    @property
    def highlighted(self) -> str:
        """Id of the highlighted experiment or graph; empty if there is none."""
        node = self.cursor_node
        return "" if node is None or node.data is None else node.data


class TreatmentTree(Tree[tuple[str, str]]):
    """The treatments of the highlighted experiment, or of each experiment of a graph."""

    show_root = False
    guide_depth = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("treatments", **kwargs)
        self._places: dict[tuple[str, str], TreeNode[tuple[str, str]]] = {}
        self._shown: list[object] = []

    def fill(self, experiments: list[Experiment], palette: Palette) -> None:
        """Show the treatments of experiments, and keep the highlight as long as they are the same."""
        shape: list[object] = [palette.name, *((each.id, *each.treatments) for each in experiments)]
        if shape != self._shown:
            self._shown = shape
            highlighted_before = self.highlighted
            self.clear()
            self._places = {}
            for each in experiments:
                reads = [key.rpartition("::")[2] for key in each.told["reads"]]
                title = Text(each.name, palette["name"])
                title.append(f"  reads {', '.join(reads)}" if reads else "", palette["faint"])
                parent = self.root.add(title, data=(each.id, ""), expand=True, allow_expand=False)
                for name in each.treatments:
                    self._places[each.id, name] = parent.add_leaf("", data=(each.id, name))
                if not each.treatments:
                    parent.add_leaf(Text("no treatments", palette["faint"]), data=(each.id, ""))
            highlighted = self._places.get(highlighted_before)
            if self._places:
                self.call_after_refresh(self.move_cursor, highlighted or next(iter(self._places.values())))
        for each in experiments:
            for name in each.treatments:
                label = treatment_label(each, name, palette)
                node = self._places[each.id, name]
                if node.label != label:
                    node.set_label(label)

    @property
    def highlighted(self) -> tuple[str, str]:
        """Experiment and treatment that are highlighted; the latter empty if none is."""
        node = self.cursor_node
        return ("", "") if node is None or node.data is None else node.data


class FailureView(ModalScreen[None]):
    """A failed run, opened.

    Parameters
    ----------
    failure : mapping
        The event.
    show : callable
        Returns its text.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape,enter,o", "dismiss", "Close")]

    def __init__(self, failure: Mapping[str, Any], show: Callable[[Mapping[str, Any]], Text]) -> None:
        super().__init__()
        self._failure = failure
        self._show = show

    def compose(self) -> ComposeResult:
        """Show it."""
        view = VerticalScroll(Static(self._show(self._failure)))
        view.border_title = "Failed run"
        yield view
        yield Footer()
