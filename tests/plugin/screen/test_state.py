"""What the screen knows and shows of a recorded session, without a terminal."""

import pytest

pytest.importorskip("textual")

from plugin.session.test_events import DOCUMENTED, check
from pytest_crystallize.screen.palette import DARK, Palette
from pytest_crystallize.screen.state import Pace, ScreenState
from pytest_crystallize.screen.texts import (
    bar,
    failure_text,
    looks,
    pace_text,
    progress,
    result_of,
    summary,
    time_left,
)

PALETTE = Palette(DARK.name, is_dark=True)
TOTAL = "experiment_a.py::experiment_total"


def state_of(events):
    state = ScreenState()
    for event in events:
        state.take(event)
    return state


def lines(texts):
    return [text.plain for text in texts]


def test_the_recorded_session_is_one_of_today(events):
    """Its lines have the fields that the guide of events tells."""
    for event in events:
        rest = {key: value for key, value in event.items() if key != "time"}
        check(rest, {"event": ["string"], **DOCUMENTED[event["event"]]})


def test_disabled_treatments_are_labelled_and_no_pass(events):
    """The summary names them, shows verdicts of active ones alone, and calls the experiment not whole."""
    state = state_of(events)
    total = state.experiments[TOTAL]
    assert total.off == {"less"}
    assert not total.is_whole
    assert result_of(total, PALETTE).plain == "1 off"
    text = summary(state, PALETTE, 78, {}).plain
    assert "less: SWITCHED OFF, so nothing was tested of it" in text
    assert "1 off, not tested" in text.splitlines()[0]
    (shown,) = [line for line in text.splitlines() if line.endswith("SUPPORTED") and "boost" in line]
    assert shown.split()[0] == "boost"
    assert not [line for line in text.splitlines() if line.split()[:1] == ["less"]]


def test_what_fails_in_spite_of_its_verdict_is_counted(events):
    """As in reports: a supported claim with an error beside it is no green line alone."""
    state = state_of(events)
    assert "in spite of" not in summary(state, PALETTE, 78, {}).plain
    (judged,) = (e for e in state.experiments[TOTAL].verdicts.values() if e["status"] == "supported")
    judged["outcome"] = "error"
    text = summary(state, PALETTE, 78, {}).plain
    assert "1 test failed in spite of its verdict" in text.splitlines()[0]
    assert "SUPPORTED (error)" in text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0142, "p 0.0142 needs 0.0144 "), (0.01442, "p 0.01442 needs 0.0144 ")]
)
def test_a_look_beside_its_boundary(events, p, text):
    """It is seen on which side the p-value lies."""
    total = state_of(events).experiments[TOTAL]
    (judged,) = (event for event in total.verdicts.values() if event["verdict"] is not None)
    judged["verdict"]["trail"] = [[8, p, 0.0144]]
    (shown,) = (line for line in lines(looks(total, PALETTE, 70)) if " needs " in line)
    assert text in shown


def test_cached_runs_and_steps_have_a_colour_of_their_own(events):
    """So have failed ones; where there is no colour, their signs differ."""
    state = state_of(events)
    key = "experiment_a.py::experiment_chain"
    shown = list(progress(state.experiments[f"{key}::second"], PALETTE, 60))
    assert "6 cached, 6 run" in lines(shown)
    styles = {
        str(span.style) for text in shown for span in text.spans if "▒" in text.plain[span.start : span.end]
    }
    assert styles == {PALETTE["cached"]}
    (step,) = [t for t in progress(state.experiments[f"{key}::first"], PALETTE, 60) if "step load" in t.plain]
    assert str(step.style) == PALETTE["cached"]
    assert bar({"run": 1, "cached": 1, "failed": 1}, 1000, 10, PALETTE).plain == "▒▆✖·······"
    assert bar({"run": 5}, 5, 4, PALETTE).plain == "▆▆▆▆"


def test_looks_stand_against_their_boundary(events):
    """Each as it comes, then those of the verdict."""
    before = next(i for i, event in enumerate(events) if event["event"] == "verdict")
    first = lines(looks(state_of(events[: before - 1]).experiments[TOTAL], PALETTE, 70))
    assert any(line.startswith("    n 8 ") and "┃" in line and " needs 4.7e-08" in line for line in first)
    last = lines(looks(state_of(events).experiments[TOTAL], PALETTE, 70))
    assert last[-1].endswith("supported")
    assert len(last) == len(first) + 1 == 4


def test_a_failed_run_is_told_whole(events):
    """Traceback, output, metrics, and what repeats it; behind the first hundred, what there is."""
    (failure,) = state_of(events).failures
    text = failure_text(failure, PALETTE).plain
    assert 'raise ValueError("two")' in text
    assert "printed" in text
    assert "Metrics" in text
    assert "--crystallize-repro=2:odd" in text
    text = failure_text({**failure, "traceback": None, "output": None, "metrics": None}, PALETTE).plain
    assert "no more was kept" in text
    assert "--crystallize-repro=2:odd" in text


def test_a_session_that_ends_early_leaves_what_is_finished(events):
    """What was not begun is as before, and what was under way says that it was cancelled."""
    middle = next(i for i, event in enumerate(events) if event["event"] == "run_failed")
    state = state_of(events[:middle])
    assert [each.phase for each in state.experiments.values()] == ["done", "running", "waiting", "waiting"]
    state.end()
    assert [each.phase for each in state.experiments.values()] == ["done", "interrupted", "idle", "idle"]
    assert result_of(list(state.experiments.values())[1], PALETTE).plain == "cancelled"


def test_pace():
    """The rate is that of the last seconds, and of runs that took time."""
    pace = Pace()
    pace.begin(0.0)
    assert pace.rate is None
    pace.add(1.0, 10)
    assert pace.rate == 10
    for second in range(2, 40):
        pace.add(float(second), 2)
    assert pace.rate == pytest.approx(2)
    assert pace_text(2.0, 90) == "2.0/s · 45 s to go"
    assert [time_left(t) for t in (0.2, 12, 300, 7260)] == ["< 1 s", "12 s", "5 min", "2 h 1 min"]
    assert pace_text(None, 5) == pace_text(3.0, 0) == ""
