"""Entry point of the pytest plugin: options and the marker; all else is imported under ``--crystallize``."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_crystallize import exit_code, hookspecs
from pytest_crystallize.naming.patterns import FILES, FUNCTIONS
from pytest_crystallize.options.values import (
    parse_address,
    parse_budget,
    parse_days,
    parse_reference,
    parse_replicates,
    parse_report,
    parse_seed,
)

MARKER = (
    "experiment(*, replicates, cases, samples, slices, budget, treatments, hypotheses, seed, plugins, "
    "max_concurrency, correction, stopping, resampled, repeatable, inputs, env, cache_key): declare that the "
    "body of this function is one condition run of an experiment."
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks of others: a conftest that implements them loads without ``--crystallize`` too."""
    pluginmanager.add_hookspecs(hookspecs)
    exit_code.register_outermost(pluginmanager)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options and their ini twins."""
    group = parser.getgroup("crystallize", "experiments as tests")
    group.addoption(
        "--crystallize",
        action="store_true",
        help="collect and run experiments; one test per hypothesis and treatment",
    )
    group.addoption(
        "--crystallize-replicates",
        type=parse_replicates,
        metavar="N",
        help="run N replicates, whatever the experiments declare",
    )
    group.addoption(
        "--crystallize-samples",
        type=parse_replicates,
        metavar="N",
        help="run each condition N times on each case, whatever the experiments that have cases declare",
    )
    group.addoption(
        "--crystallize-budget",
        type=parse_budget,
        metavar="LIMITS",
        help="begin no run once all experiments have spent this, as in calls=3000,minutes=10,cost=5.0 (cost: "
        "the sum of a metric of that name); what is not decided then fails, and the next session goes on",
    )
    group.addoption(
        "--crystallize-seed",
        type=parse_seed,
        metavar="N|random",
        help="root seed of all experiments, whatever they declare; 'random' draws and prints one",
    )
    group.addoption(
        "--crystallize-repro",
        metavar="I:CONDITION",
        help="run only replicate I of a condition of the selected experiments, as in 7:baseline; no verdict",
    )
    group.addoption(
        "--crystallize-disable",
        action="append",
        default=[],
        metavar="NAME",
        help="switch a treatment off, in this run and (but in CI) the next ones: its tests are skipped",
    )
    group.addoption(
        "--crystallize-enable",
        action="append",
        default=[],
        metavar="NAME",
        help="switch a treatment on again",
    )
    group.addoption(
        "--crystallize-calibrate",
        type=parse_replicates,
        metavar="N",
        help="test no treatment, but each hypothesis: run the baseline against itself N times on fresh "
        "seeds, and "
        "fail a hypothesis that is supported more often than its alpha allows",
    )
    group.addoption(
        "--crystallize-plan",
        action="store_const",
        const=True,
        help="test nothing, but run a pilot of 10 replicates on seeds of its own (as many as "
        "--crystallize-replicates says, if that is more), and tell how many replicates each claim needs",
    )
    group.addoption(
        "--crystallize-save",
        type=parse_reference,
        metavar="NAME",
        help="write what was measured to references/NAME beside each experiment's file, for hypotheses "
        "against it",
    )
    group.addoption(
        "--crystallize-compare",
        type=parse_reference,
        metavar="NAME",
        help="compare with reference NAME, whatever reference the hypotheses name",
    )
    parser.addini("crystallize_compare", "reference to compare with, as by --crystallize-compare")
    group.addoption(
        "--crystallize-early-stop",
        action="store_true",
        help="look several times, and stop an experiment once every claim is decided, also where it declares "
        "no stopping=",
    )
    group.addoption(
        "--crystallize-report",
        action="append",
        default=[],
        type=parse_report,
        metavar="PATH",
        help="write a report at the end, whose suffix says its format: .html, .json or .md; may be repeated",
    )
    group.addoption(
        "--crystallize-events",
        metavar="PATH",
        help="write what happens, as it happens, to a file or a named pipe: a line of JSON for each event",
    )
    group.addoption(
        "--crystallize-cache",
        choices=("reuse", "refresh", "off"),
        help="whether runs that are sure to repeat are taken from earlier sessions (reuse, the default), run "
        "and stored again (refresh), or neither read nor stored (off); --cache-clear deletes them",
    )
    group.addoption(
        "--crystallize-remote",
        choices=("live", "replay", "refresh"),
        help="whether remote functions are called where no reply is kept (live, the default), not at all, so "
        "that a missing reply is an error (replay), or once more each (refresh)",
    )
    parser.addini("crystallize_remote", "calls of remote functions, as by --crystallize-remote")
    group.addoption(
        "--crystallize-prune-replies",
        type=parse_days,
        metavar="DAYS",
        help="at the end, delete the replies of remote functions that were not used for so many days; "
        "nothing else does",
    )
    group.addoption(
        "--crystallize-dask",
        type=parse_address,
        metavar="ADDRESS",
        help="have the workers of a Dask scheduler run the replicates of experiments in factory form",
    )
    parser.addini("crystallize_dask", "address of a Dask scheduler, as by --crystallize-dask")
    parser.addini("crystallize_cache", "use of stored runs, as by --crystallize-cache", default="reuse")
    parser.addini(
        "crystallize_cache_verify",
        "part of the time saved by stored runs that is spent on running some again (the cheapest at least), "
        "to see that they give the same; 0 for never",
        default="0.05",
    )
    parser.addini(
        "crystallize_repeatable",
        "whether runs that give something else when they are made again are told (note, the default), or "
        "fail the tests of their experiment (error)",
        default="note",
    )
    parser.addini(
        "crystallize_early_stop",
        "stop experiments early, as by --crystallize-early-stop",
        type="bool",
        default=False,
    )
    parser.addini(
        "crystallize_files",
        "globs of the files that hold experiments",
        type="args",
        default=list(FILES),
    )
    parser.addini(
        "crystallize_functions",
        "prefixes or globs of the functions that are experiments",
        type="args",
        default=list(FUNCTIONS),
    )
    parser.addini("crystallize_replicates", "number of replicates where an experiment declares none")
    parser.addini(
        "crystallize_claims",
        "over how many claims (hypotheses by what they are about) of all experiments alpha is split; more of "
        "them are an error",
    )
    parser.addini(
        "crystallize_seed", "root seed where an experiment declares none: an integer >= 0, or 'random'"
    )
    parser.addini(
        "crystallize_max_concurrency",
        "how many replicates of an asynchronous experiment a process runs at the same time",
        default="10",
    )
    parser.addini(
        "crystallize_junit_properties",
        "write p-values, means and times to the JUnit report",
        type="bool",
        default=True,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> None:
    """Refuse a value of ours that pytest has taken for a path of tests; note from now on what is opened."""
    if any(arg.startswith(("--crystallize-", "@")) for arg in args):
        # not in plain runs
        from pytest_crystallize.session.command_line import refuse_values_that_moved_rootdir

        refuse_values_that_moved_rootdir(early_config, parser)
    given = early_config.known_args_namespace
    if given.crystallize or any(arg.startswith("--crystallize-") for arg in args):
        from pytest_crystallize.unrewritten import unrewritten  # not in plain runs

        with unrewritten():
            from crystallize.seam import OPENED  # heavy: only when it is asked for

        OPENED.start()  # conftests may fill memos that runs use


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Settle whether experiments are run; keep a late worker of pytest-xdist from clearing the cache."""
    typed = config.invocation_params.args
    if not config.option.crystallize and any(str(arg).startswith(("--crystallize-", "@")) for arg in typed):
        from pytest_crystallize.session.command_line import settle_flag  # not in plain runs

        settle_flag(config)
    if config.option.crystallize and hasattr(config, "workerinput"):
        config.option.cacheclear = False


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and, under ``--crystallize``, the plugin itself."""
    config.addinivalue_line("markers", MARKER)
    if config.option.crystallize:
        from pytest_crystallize.unrewritten import unrewritten  # not in plain runs

        with unrewritten():
            from pytest_crystallize.session.session import activate  # heavy: only when it is asked for

        activate(config)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Say what runs the experiments that were asked for by name, or in place of nothing."""
    named = any(".py" in arg for arg in config.args) or "experiment" in config.option.markexpr
    nothing_ran = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and not terminalreporter.stats
    if (named or nothing_ran) and not config.option.crystallize:
        from pytest_crystallize.session.command_line import hints  # not in plain runs

        for hint in hints(config, exitstatus, nothing_ran=nothing_ran):
            terminalreporter.write_line(f"hint: {hint}", yellow=True)
