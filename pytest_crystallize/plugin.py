"""Entry point of the pytest plugin: options and the marker; all else is imported under ``--crystallize``."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_crystallize import exit_code, hookspecs
from pytest_crystallize.naming.patterns import FILES, FUNCTIONS
from pytest_crystallize.options.values import (
    AT_ONCE,
    parse_address,
    parse_budget,
    parse_days,
    parse_reference,
    parse_replicates,
    parse_report,
    parse_seed,
    parse_shard,
)

MARKER = (
    "experiment(*, replicates, cases, samples, slices, budget, treatments, hypotheses, seed, plugins, "
    "max_concurrency, exclusive, correction, stopping, resampled, repeatable, inputs, env, cache_key): run a "
    "function many times, as a baseline and under each treatment, and test hypotheses about what it returns."
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
        help="Run experiments: one test for each hypothesis and treatment",
    )
    group.addoption(
        "--crystallize-replicates",
        type=parse_replicates,
        metavar="N",
        help="Run each condition N times, whatever the experiments declare",
    )
    group.addoption(
        "--crystallize-samples",
        type=parse_replicates,
        metavar="N",
        help="Run each condition N times on each case, where experiments have cases",
    )
    group.addoption(
        "--crystallize-budget",
        type=parse_budget,
        metavar="LIMITS",
        help="Begin no run once this is spent: calls=3000,minutes=10,cost=5.0 (cost: a metric)",
    )
    group.addoption(
        "--crystallize-seed",
        type=parse_seed,
        metavar="N|random",
        help="Root seed of all experiments; 'random' draws one and prints it",
    )
    group.addoption(
        "--crystallize-repro",
        metavar="I:CONDITION",
        help="Run only replicate I of a condition, without a verdict: 7:baseline",
    )
    group.addoption(
        "--crystallize-shard",
        type=parse_shard,
        metavar="I/N",
        help="Run the I-th of N shares of all replicates, for `crystallize merge` to judge",
    )
    group.addoption(
        "--crystallize-disable",
        action="append",
        default=[],
        metavar="NAME",
        help="Skip a treatment, now and in later sessions (in CI only now); may be repeated",
    )
    group.addoption(
        "--crystallize-enable",
        action="append",
        default=[],
        metavar="NAME",
        help="Run a treatment again that was disabled; may be repeated",
    )
    group.addoption(
        "--crystallize-calibrate",
        type=parse_replicates,
        metavar="N",
        help="Compare the baseline with itself N times, to see if a hypothesis is supported too often",
    )
    group.addoption(
        "--crystallize-check-verifiers",
        action="store_const",
        const=True,
        help="Also check each verifier and statistical test of yours on samples of every kind",
    )
    group.addoption(
        "--crystallize-plan",
        action="store_const",
        const=True,
        help="Say how many replicates each hypothesis needs, after a short trial run",
    )
    group.addoption(
        "--crystallize-save",
        type=parse_reference,
        metavar="NAME",
        help="Record the results as reference NAME, to compare later code with; no verdicts",
    )
    group.addoption(
        "--crystallize-append",
        action="store_true",
        help="With --crystallize-save, keep what is recorded, and add a file for each experiment: a history",
    )
    group.addoption(
        "--crystallize-compare",
        type=parse_reference,
        metavar="NAME",
        help="Compare with reference NAME, whatever reference the hypotheses name",
    )
    parser.addini("crystallize_compare", "Default of --crystallize-compare")
    group.addoption(
        "--crystallize-against",
        metavar="REV",
        help="Compare with a commit that this session runs, too: a branch, a tag, or merge-base:main",
    )
    parser.addini(
        "crystallize_against_link",
        "Untracked files and directories that the commit of --crystallize-against is to have as well",
        type="args",
        default=[],
    )
    group.addoption(
        "--crystallize-early-stop",
        action="store_true",
        help="Stop an experiment as soon as all its hypotheses are decided",
    )
    group.addoption(
        "--crystallize-report",
        action="append",
        default=[],
        type=parse_report,
        metavar="PATH",
        help="Write a report at the end: .html, .json or .md; may be repeated",
    )
    group.addoption(
        "--crystallize-events",
        metavar="PATH",
        help="Write a line of JSON for each event, as it happens, to a file or a named pipe",
    )
    group.addoption(
        "--crystallize-cache",
        choices=("reuse", "refresh", "off"),
        help="Use earlier results that are sure to be the same (reuse, the default), renew them, or neither",
    )
    group.addoption(
        "--crystallize-remote",
        choices=("live", "replay", "refresh"),
        help="Call remote functions that lack a reply (live, the default), none (replay), or all (refresh)",
    )
    parser.addini("crystallize_remote", "Default of --crystallize-remote")
    group.addoption(
        "--crystallize-prune-replies",
        type=parse_days,
        metavar="DAYS",
        help="Delete replies of remote functions that were not used for DAYS days",
    )
    group.addoption(
        "--crystallize-dask",
        type=parse_address,
        metavar="ADDRESS",
        help="Run experiments that a function returns on the workers of this Dask scheduler",
    )
    parser.addini("crystallize_dask", "Default of --crystallize-dask")
    parser.addini("crystallize_cache", "Default of --crystallize-cache", default="reuse")
    parser.addini(
        "crystallize_cache_verify",
        "Part of the time saved by earlier results that is spent on checking some of them; 0.05 by default",
        default="0.05",
    )
    parser.addini(
        "crystallize_repeatable",
        "What becomes of runs that give something else when repeated: note (the default) or error",
        default="note",
    )
    parser.addini(
        "crystallize_early_stop",
        "Default of --crystallize-early-stop",
        type="bool",
        default=False,
    )
    parser.addini(
        "crystallize_files",
        "Globs of the files that hold experiments; experiment_*.py by default",
        type="args",
        default=list(FILES),
    )
    parser.addini(
        "crystallize_functions",
        "Prefixes or globs of the functions that are experiments; experiment_* by default",
        type="args",
        default=list(FUNCTIONS),
    )
    parser.addini(
        "crystallize_replicates", "How often conditions are run, where an experiment does not say it"
    )
    parser.addini(
        "crystallize_claims",
        "Number of claims, in all experiments together, that alpha is corrected for; more are an error",
    )
    parser.addini("crystallize_seed", "Root seed where an experiment has none: an integer >= 0, or random")
    parser.addini(
        "crystallize_max_concurrency",
        "How many replicates of an async experiment a process runs at the same time; 10 by default",
        default=str(AT_ONCE),
    )
    parser.addini(
        "crystallize_devices",
        "Devices, as in 0 1, of which each worker sees one of its own",
        type="args",
        default=[],
    )
    parser.addini(
        "crystallize_junit_properties",
        "Write p-values, means and times to the JUnit report; on by default",
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

        OPENED.start(early_config.pluginmanager.get_plugins())  # conftests may fill memos that runs use
        distributes = getattr(given, "numprocesses", None) or getattr(given, "tx", None)
        if early_config.getini("crystallize_devices") and not distributes and not given.collectonly:
            with unrewritten():
                from pytest_crystallize.isolation.devices import lease_here  # not in plain runs

            lease_here(early_config)  # conftests may load what looks for devices


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Have as many workers as there are devices, if each is to have one."""
    devices = config.getini("crystallize_devices") if config.option.crystallize else ()
    return len(devices) or None


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
            # heavy: only when it is asked for
            from pytest_crystallize.session.activation import activate
            from pytest_crystallize.session.command_line import controls_workers

            if not controls_workers(config):
                from crystallize.seam import load_scipy  # who runs experiments judges them, too

                load_scipy()
        activate(config)
    elif config.option.showfixtures:
        from pytest_crystallize.isolation.fixtures import UnitFixtures  # not in plain runs

        config.pluginmanager.register(UnitFixtures(), "crystallize-fixtures")


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Say what runs the experiments that were asked for by name, or in place of nothing."""
    named = any(".py" in arg for arg in config.args) or "experiment" in config.option.markexpr
    nothing_ran = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and not terminalreporter.stats
    if (named or nothing_ran) and not config.option.crystallize:
        from pytest_crystallize.session.command_line import hints  # not in plain runs

        for hint in hints(config, exitstatus, nothing_ran=nothing_ran):
            terminalreporter.write_line(f"hint: {hint}", yellow=True)
