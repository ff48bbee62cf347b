"""Logging as a plugin."""

import logging

import pytest

from crystallize import (
    Experiment,
    GridSearch,
    Hypothesis,
    LoggingPlugin,
    Objective,
    Treatment,
    pipeline_step,
)
from crystallize.context.context import LOGGER
from crystallize.errors import DefinitionError


@pipeline_step()
def measure(data, ctx, *, fail=False):
    if fail:
        raise ValueError("no")
    return data, {"x": 1.0}


def run(*plugins, replicates=7):
    return Experiment(
        0,
        [measure],
        plugins,
        name="logged",
        treatments=[Treatment("bad", {"fail": True})],
        hypothesis=Hypothesis(metric="x", direction="increase"),
        replicates=replicates,
    ).run()


def test_failures_are_warnings_and_verdicts_information(caplog):
    """The first failures are shown, the others counted."""
    caplog.set_level(logging.INFO, "crystallize")
    run()
    assert caplog.messages[0] == "logged: 7 replicates of 2 conditions"
    assert caplog.messages[1] == "logged: replicate 0 of 'bad', measure: ValueError: no"
    assert caplog.messages[-2:] == ["logged: 2 more failures", "logged: x_increase [bad]: invalid"]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", *["WARNING"] * 6, "INFO"]


def test_steps_are_logged_if_verbose(caplog):
    """Whatever the level of the logger."""
    caplog.set_level(logging.ERROR, "crystallize")
    caplog.handler.setLevel(0)
    run(LoggingPlugin(verbose=True), replicates=1)
    assert "logged: replicate 0 of baseline: measure" in caplog.messages


def test_log_level_says_from_where_on(caplog):
    """By name or number."""
    caplog.set_level(logging.DEBUG, "crystallize")
    run(LoggingPlugin(log_level="ERROR"))
    run(LoggingPlugin(log_level=logging.ERROR))
    assert caplog.messages == []
    with pytest.raises(DefinitionError, match=r"log_level is 'LOUD'; allowed are .*'INFO'"):
        LoggingPlugin(log_level="LOUD")


def test_logging_is_configured_by_nobody_but_the_user():
    """Neither level nor handlers of the logger are touched."""
    before = LOGGER.level, list(LOGGER.handlers), logging.getLogger().level
    run(LoggingPlugin(verbose=True))
    run()
    assert (LOGGER.level, LOGGER.handlers, logging.getLogger().level) == before


def test_without_handlers_a_verbose_run_prints(monkeypatch, capsys):
    """To stderr."""
    monkeypatch.setattr(LOGGER, "propagate", False)
    run(LoggingPlugin(verbose=True), replicates=1)
    assert "logged: replicate 0 of baseline: measure\n" in capsys.readouterr().err


def test_without_handlers_verdicts_and_failures_are_shown(monkeypatch, capsys):
    """To stderr, from `log_level` on; the trials of a search are not."""
    monkeypatch.setattr(LOGGER, "propagate", False)
    run(replicates=1)
    assert capsys.readouterr().err.splitlines() == [
        "logged: 1 replicate of 2 conditions",
        "logged: replicate 0 of 'bad', measure: ValueError: no",
        "logged: x_increase [bad]: invalid",
    ]
    run(LoggingPlugin(log_level="WARNING"), replicates=1)
    assert capsys.readouterr().err == "logged: replicate 0 of 'bad', measure: ValueError: no\n"
    Experiment(0, [measure]).optimize(GridSearch({"fail": [False]}, Objective("x", "minimize")), num_trials=1)
    assert capsys.readouterr().err == ""


def test_a_level_that_is_set_is_respected(monkeypatch, capsys):
    """Also where there are no handlers."""
    monkeypatch.setattr(LOGGER, "propagate", False)
    monkeypatch.setattr(LOGGER, "level", logging.ERROR)
    run(replicates=1)
    assert capsys.readouterr().err == ""
