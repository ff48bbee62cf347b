"""What a run shows."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import re
import shlex
import textwrap

import pytest

from plugin.conftest import TOTAL, total

DECREASE = "experiment_a.py::experiment_total::total_decrease[[]boost]"


def many(good="good", other="other", first="pass"):
    """Return an experiment of several treatments and hypotheses."""
    return f"""

@pytest.mark.experiment(
    replicates=6,
    treatments={{"{good}": {{"delta": 3.0}}, "bad": {{"delta": -3.0}}, "none": {{"delta": 0.5}}}},
    hypotheses=[
        Hypothesis(metric="total", direction="increase"),
        pytest.param(Hypothesis(metric="{other}", direction="increase", name="{other}"), marks=pytest.mark.xfail),
    ],
)
def experiment_total(ctx, rng, condition, delta=0.0):
    {first}
    noise = 1.0 if condition == "none" else 0.0
    return {{"total": rng.normal() + delta * rng.uniform(0.5, 1.5) + noise * ctx.rng.normal() * 10, "{other}": -delta * rng.random()}}
"""


def section(result):
    """Return the lines of the section of experiments."""
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if re.fullmatch("=+ experiments =+", line))
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("==="))
    return lines[start + 1 : end]


def test_table(project):
    """Each experiment has a table of its hypotheses and treatments, replicates, seed and time above it."""
    project.write(many())
    result = project.run("--crystallize-seed", "3")
    text = "\n".join(section(result))
    heading = r"experiment_a\.py::experiment_total: 6 replicates of 4 conditions, seed 3,\s+\d+\.\d+ s\n"
    assert re.match(heading, text)
    for word in (
        "treatment",
        "baseline",
        "diff",
        "interval",
        "MDE",
        "p",
        "n",
        "verdict",
        "total_increase",
        "other",
        "good",
        "bad",
        "none",
    ):
        assert re.search(rf"\b{word}", text), word
    assert "xfail" in text
    assert "REFUTED" in text
    assert "SUPPORTED" in text
    joined = " ".join(text.split())
    how = "interval at this claim's level, p adjusted by Holm for 6 claims"
    assert f"total_increase (total), baseline 0.4993: paired t over seeds of this data set, {how}" in joined


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_width(project, monkeypatch, columns):
    """The section fits the terminal, and 80 columns if there is none, whatever the names; node ids apart."""
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["x" * 100, "a b " * 30, "精度" * 30, "n"]
    project.write(f"""
        NAMES = {names!r}

        @pytest.mark.experiment(
            replicates=6,
            treatments={{name: {{"delta": 1.0}} for name in NAMES}},
            hypotheses=[Hypothesis(metric=name, direction="increase", name=name) for name in NAMES],
        )
        def experiment_{"long_" * 20}(rng, delta=0.0):
            return {{name: rng.normal() * 1e-12 + delta * 1e100 for name in NAMES}}
    """)
    from _pytest._io.wcwidth import wcswidth

    for line in section(project.run("-v")):
        if not line.startswith("experiment_a.py::"):  # what can be pasted is in one piece
            assert wcswidth(line) <= columns, line


@pytest.mark.slow
def test_no_colour_when_not_on_a_terminal(project):
    """Without a terminal there are no escape sequences; with --color=yes the verdicts are coloured."""
    project.write(many())
    assert "\x1b" not in project.run("-v").stdout.str()
    assert "\x1b" not in project.run("-v", "--color=no").stdout.str()
    coloured = project.run("-v", "--color=yes").stdout.str()
    assert re.search("\x1b\\[32m[^\x1b]*SUPPORTED", coloured)
    assert re.search("\x1b\\[31m[^\x1b]*REFUTED", coloured)


def test_escape_sequences_in_names(project):
    """Escape sequences in names don't reach the terminal, in no part of the output."""
    project.write(many(r"g\x1b[31mood", r"oth\x1b[31mer", r"assert condition != 'bad', 'in\x1b[31mred'"))
    result = project.run("-v", "-rA")
    for line in section(result):
        assert "\x1b" not in line


def test_quiet(project):
    """Under -q there is no section; under -qq no more than pytest shows."""
    project.write(many())
    result = project.run("-q")
    assert result.ret == 1
    result.stdout.no_fnmatch_line("*= experiments =*")
    result.stdout.no_fnmatch_line("*replicates of*")


def test_quiet_success(project):
    """Under -q a passing run is as short as any."""
    project.write(TOTAL)
    first, last = (line for line in project.run("-q").outlines if line)
    assert first.split() == [".", "[100%]"]
    assert last.startswith("1 passed in ")


def test_one_letter_per_test(project):
    """Without -v each test is one letter, and the percentage ends at 100."""
    project.write(many())
    result = project.run()
    (line,) = (line for line in result.outlines if line.startswith("experiment_a.py "))
    assert line.endswith("[100%]")
    assert len(line.split()[1]) == 6


@pytest.mark.slow
def test_words_on_workers(project):
    """On workers the same words and letters are shown, and the percentage ends at 100."""
    project.write(many())
    result = project.run_workers("-v")
    result.stdout.fnmatch_lines(["[[]gw*[]] [[]100%[]] *"])
    result.stdout.fnmatch_lines(["[[]gw*[]] [[]*%[]] SUPPORTED p* experiment_a.py::*"])
    result.stdout.no_fnmatch_line("*block-*")
    serial = project.run("-v", "--crystallize-cache=off")

    def without_time(result):
        text = re.sub(r",\s+[\d.]+ s$", "", "\n".join(section(result)), flags=re.MULTILINE)
        return sorted(line for line in text.split("\n") if not line.startswith("  digest"))

    assert without_time(result) == without_time(serial)


def test_xfail_in_the_table(project):
    """What is expected to fail is marked in the table, and its reason is told."""
    project.write(total(above="@pytest.mark.xfail", direction="decrease"))
    lines = section(project.run())
    assert any(line.endswith("REFUTED (xfail)") for line in lines)
    assert any("goes the other way" in line for line in lines)


def test_tables_of_parametrized_experiments(project):
    """Every parameter set has a table of its own."""
    project.write(total(above="@pytest.mark.parametrize('size', [1, 2])", arguments="size, rng"))
    lines = section(project.run())
    assert sum(line.startswith("experiment_a.py::experiment_total [1]: ") for line in lines) == 1
    assert sum(line.startswith("experiment_a.py::experiment_total [2]: ") for line in lines) == 1


def test_same_name_in_two_files(project):
    """Two experiments of one name are told apart in the summary."""
    project.write(TOTAL)
    project.write(TOTAL, "experiment_b.py")
    heads = [line for line in section(project.run()) if "6 replicates" in line]
    assert len({re.sub(r"[\d.]+ s", "", head) for head in heads}) == 2


@pytest.mark.slow
def test_headings_can_be_pasted(project, monkeypatch):
    """What an experiment's heading begins with is taken by pytest from here, and selects that experiment."""
    parameters = '@pytest.mark.parametrize("size", ["a b", "[x]", "größe", "a::b"])'
    directory, long = "deep" * 12, f"with space/experiment_{'long' * 10}.py"
    project.write(
        f"""{TOTAL}
class TestGroup:
{textwrap.indent(total(arguments="self, rng"), "    ")}
{total(above=parameters, name="experiment_größe", arguments="size, rng")}
""",
        f"{directory}/{long}",
    )
    monkeypatch.chdir(project.path / directory)
    root = f"--rootdir={project.path}"
    heads = [line for line in section(project.run(root)) if "experiment_long" in line]
    pasted = [shlex.split(line) for line in heads]
    assert pasted == [
        [f"{long}::experiment_total"],
        [f"{long}::TestGroup::experiment_total"],
        *[[f"{long}::experiment_größe"]] * 4,
    ]
    for ids, tests in zip(pasted[:3], (1, 1, 4), strict=True):
        result = project.run(root, *ids)
        result.assert_outcomes(passed=tests)
        assert {shlex.split(line)[0] for line in section(result) if "experiment_long" in line} == {*ids}


def test_colours_are_those_of_verdicts(project):
    """Names that read like verdicts have no colour of one."""
    project.write(
        "@pytest.mark.experiment(replicates=2, treatments={'T  SUPPORTED': {'delta': 1.0}})\n"
        "def experiment_means(delta=0.0):\n    return {'y  REFUTED': 1.0}\n\n"
        + total(treatments={f"{'long' * 18}  REFUTED": {"delta": 3.0}})
    )
    lines = project.run("--color=yes").outlines
    assert [line for line in lines if "\x1b[31m" in line and "REFUTED" in line] == []
    assert [line for line in lines if "\x1b[32m" in line and "T  SUPPORTED" in line] == []
    assert [line for line in lines if re.fullmatch("\x1b\\[32m.*  SUPPORTED\\*?\x1b\\[0m", line)] != []


def test_no_section_without_experiments(project):
    """A run of ordinary tests shows nothing of ours, with --crystallize too."""
    project.raw("test_a.py", "def test_a():\n    pass\n")
    project.run().stdout.no_fnmatch_line("*= experiments =*")


def test_failure_text(project):
    """A claim that is not supported says why: interval, means, p, n and test, and no traceback."""
    project.write(total(direction="decrease"))
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "*_ experiment_total::total_decrease[[]boost[]] _*",
            "REFUTED: total goes the other way: difference *, 95 % interval [[]*, *[]]",
            "  total: baseline *, boost *",
            "  p = * (alpha 0.05), n = 6, paired t",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*NotSupported*")


@pytest.mark.parametrize("style", ["long", "short", "line", "native", "no"])
def test_failure_text_in_traceback_styles(project, style):
    """Under every --tb but "no" the verdict's reason is told."""
    project.write(total(direction="decrease"))
    result = project.run(f"--tb={style}")
    assert (
        "goes the other way" in result.stdout.str().split("short test summary")[0].split("= experiments =")[0]
    ) == (style != "no")


def test_short_summary(project, monkeypatch):
    """The short summary has the verdict, the test and the reason."""
    monkeypatch.setenv("COLUMNS", "140")
    project.write(total(direction="decrease"))
    project.run().stdout.fnmatch_lines([f"REFUTED p* {DECREASE} - total goes *"])


def test_very_verbose(project):
    """-vv shows the same words as -v."""
    project.write(TOTAL)
    project.run("-vv").stdout.fnmatch_lines(["*SUPPORTED p*"])


ONCE = """
import logging

@pipeline_step()
def step(data, ctx, *, delta=0.0):
    warnings.warn("odd data")
    return data, {"m": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

def experiment_noted():
    return Experiment(
        [1], [step], [ParallelExecution(max_workers=2)],
        treatments=[Treatment("a", {"delta": 3.0}), Treatment("b", {"delta": 4.0})],
        hypothesis=Hypothesis(metric="m", direction="increase"), replicates=12,
    )

@pytest.mark.experiment(
    replicates=12,
    treatments={"boost": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="m", direction=direction) for direction in ("increase", "decrease")],
)
def experiment_failing(replicate, delta=0.0):
    print("computing", replicate)
    logging.getLogger("model").warning("depth is %d", replicate)
    if delta and replicate in (5, 7):
        raise ValueError(f"bad luck in {replicate}")
    return {"m": 1.0}
"""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_told_once(project, workers):
    """However many workers, tests and replicates: a note, a warning and a failure are told once."""
    project.write(ONCE)
    run = project.run_workers if workers else project.run
    result = run("-W", "always")
    result.assert_outcomes(passed=2, failed=2)
    text = result.stdout.str()
    assert text.count("ParallelExecution is ignored under pytest") == 1
    assert text.count("UserWarning: odd data") == 1
    result.stdout.fnmatch_lines(["*experiment_a.py:*: UserWarning: odd data"])
    for once in ("raise ValueError(", "repeat it: ", "computing 5", "depth is 5"):
        assert text.count(once) == 1, once
    assert "computing 7" not in text
    assert "and 1 more in the same way: replicate 7" in text


def test_xpass_in_the_table(project):
    """A claim that was expected to fail and is supported is told as such."""
    project.write("@pytest.mark.xfail\n" + TOTAL.strip())
    result = project.run("-v")
    result.assert_outcomes(xpassed=1)
    result.stdout.fnmatch_lines(["*XPASS*", "    boost * SUPPORTED (xpass)"])


def test_live_log(project):
    """Live logging shows the records of condition runs."""
    project.write(total(lines="import logging; logging.getLogger('m').error('live record')"))
    result = project.run("--log-cli-level=INFO")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*ERROR *live record*"])


def test_report_log_of_all_outcomes(project):
    """-rA shows every test once."""
    project.write(many())
    result = project.run("-rA", "--tb=no")
    summary = result.stdout.str().split("short test summary info")[1]
    assert summary.count("experiment_a.py::") == 6


def test_what_a_verifier_returns(project, monkeypatch):
    """All numbers and words of its own are shown, numpy's among them, where it passes and where it fails."""
    monkeypatch.setenv("COLUMNS", "120")
    project.write("""
        @verifier
        def own(baseline, treatment, alpha=0.05):
            p_value = np.float64(0.01)
            return {
                "p_value": p_value, "significant": np.bool_(p_value < alpha), "statistic": np.float32(2.5),
                "df": np.int64(7), "n": 3, "difference": 99.5, "gain": np.float64(0.125), "method": "rank",
            }

        @pytest.mark.experiment(
            replicates=2, treatments={"t": {"d": 1}},
            hypotheses=[Hypothesis(own, "x", name="yes"), Hypothesis(own(alpha=0.001), "x", name="no")],
        )
        def experiment_own(d=0):
            return {"x": d}
    """)
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    shown = "statistic = 2.5, df = 7, n = 3, difference = 99.5, gain = 0.125, method = rank"
    result.stdout.fnmatch_lines([f"  {shown}"])
    assert result.stdout.str().count(shown) == 3
    assert "np." not in result.stdout.str()
    result.stdout.fnmatch_lines(["INCONCLUSIVE: verifier 'own' does not accept it"])
