"""What a verdict does to its test, and what marks can change about it."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import json
from string import Template

import pytest

from plugin.conftest import BODY, MARK, total

XFAIL = "[pytest.param(Hypothesis(metric='total', direction='{}'), marks=pytest.mark.xfail({}))]"


def write(
    project, *, body, direction="increase", xfail=None, replicates=6, before="", name="experiment_a.py"
):
    hypotheses = (
        f"[Hypothesis(metric='total', direction='{direction}')]"
        if xfail is None
        else XFAIL.format(direction, xfail)
    )
    project.write(
        before
        + f"""

@pytest.mark.experiment(replicates={replicates}, treatments={{"boost": {{"delta": 3.0}}}}, hypotheses={hypotheses})
def experiment_total(rng, replicate, condition, ctx, delta=0.0):
    value = rng.normal() + delta * rng.uniform(0.5, 1.5)
"""
        + body,
        name,
    )


RETURN = "    return {'total': value}\n"
NOISE = "    return {'total': ctx.rng.normal() + delta * rng.normal()}\n"

MISSING = {
    "fails once": "    assert replicate != 4 or delta\n" + RETURN,
    "fails in the treatment": "    assert replicate != 4 or not delta\n" + RETURN,
    "fails always": "    raise ValueError('no')\n",
    "exits": "    replicate == 1 and sys.exit(0)\n" + RETURN,
    "pytest.fail": "    replicate == 1 and pytest.fail('no')\n" + RETURN,
    "pytest.xfail": "    replicate == 1 and pytest.xfail('no')\n" + RETURN,
    "pytest.xfail always": "    pytest.xfail('no')\n",
    "nan": "    return {'total': float('nan') if replicate == 1 else value}\n",
    "inf": "    return {'total': float('inf') if replicate == 1 else value}\n",
    "no metric": "    return {} if replicate == 1 else {'total': value}\n",
    "no metric at all": "    return {}\n",
    "returns None": "    pass\n",
    "not a number": "    return {'total': 'high' if replicate == 1 else value}\n",
    "None": "    return {'total': None}\n",
    "skips once": "    replicate == 1 and pytest.skip('not here')\n" + RETURN,
    "skips in the treatment": "    delta and pytest.skip('not here')\n" + RETURN,
    "base exception": "    if replicate == 1: raise type('Boom', (BaseException,), {})('no')\n" + RETURN,
    "cancelled": "    import asyncio\n    if replicate == 1: raise asyncio.CancelledError()\n" + RETURN,
    "generator exit": "    if replicate == 1: raise GeneratorExit\n" + RETURN,
    "exception group": "    if replicate == 1: raise BaseExceptionGroup('g', [SystemExit(0), ValueError(1)])\n"
    + RETURN,
    "metric JSON can't carry": "    return {'total': object() if replicate == 1 else value}\n",
    "recursion": "    def f(): f()\n    replicate == 1 and f()\n" + RETURN,
    "str of exception fails": (
        "    class Odd(Exception):\n        def __str__(self): raise ValueError('str')\n"
        "    if replicate == 1: raise Odd\n" + RETURN
    ),
    "repr of local fails": (
        "    class Odd:\n        def __repr__(self): raise ValueError('repr')\n"
        "    odd = Odd()\n    assert replicate != 1 or odd is None\n" + RETURN
    ),
}


@pytest.mark.parametrize("mark", [None, "", "strict=True"], ids=["unmarked", "xfail", "strict"])
def test_missing_evidence_fails(project, mark):
    """Whatever evidence is missing fails the test as INVALID, under whatever marks."""
    for number, body in enumerate(MISSING.values()):
        write(project, body=body, xfail=mark, name=f"experiment_{number}.py")
    result = project.run("-v")
    result.assert_outcomes(failed=len(MISSING))
    assert result.ret == 1
    for number in range(len(MISSING)):
        test = f"experiment_{number}.py::*total_increase[[]boost[]]"
        result.stdout.fnmatch_lines([f"{test} INVALID *", f"INVALID {test} *"])


VERDICTS = {
    "supported": ("increase", RETURN, "SUPPORTED"),
    "refuted": ("decrease", RETURN, "REFUTED"),
    "inconclusive": ("increase", NOISE, "INCONCLUSIVE"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_word(project, case):
    """The verdict is the word of the verbose line and of the short summary; only SUPPORTED passes."""
    direction, body, word = VERDICTS[case]
    write(project, direction=direction, body=body)
    result = project.run("-v", "-rA")
    passed = case == "supported"
    result.assert_outcomes(passed=passed, failed=not passed)
    assert result.ret == (not passed)
    result.stdout.fnmatch_lines(
        [f"experiment_a.py::*[[]boost[]] {word} p*%[]]", f"{word} p* experiment_a.py::*[[]boost[]]*"]
    )
    if case == "inconclusive":  # a line for what was found, one for each advice
        advice = ["  with * goes unseen", "  plan more, *", "  to add replicates *", "  total: baseline *"]
        result.stdout.fnmatch_lines([f"{word}: *: the data allow either sign", *advice], consecutive=True)


@pytest.mark.parametrize("case", VERDICTS)
def test_xfail(project, case):
    """Xfail covers a claim that is not supported; one that is supported is an xpass, and fails if strict."""
    direction, body, _ = VERDICTS[case]
    for strict in (False, True):
        write(project, direction=direction, body=body, xfail=f"reason='hard', strict={strict}")
        result = project.run("-rxX")
        if case != "supported":
            result.assert_outcomes(xfailed=1)
            result.stdout.fnmatch_lines(["XFAIL experiment_a.py::*[[]boost[]] - hard"])
        elif strict:
            result.assert_outcomes(failed=1)
            result.stdout.fnmatch_lines(["*[[]XPASS(strict)[]] hard*"])
        else:
            result.assert_outcomes(xpassed=1)
        assert result.ret == (case == "supported" and strict)
        result.stdout.fnmatch_lines([f"*  {VERDICTS[case][2]}*"])


def test_xfail_on_the_function(project):
    """Xfail of the function holds for all its hypotheses; --runxfail ignores it."""
    project.write(total(above="@pytest.mark.xfail", direction="decrease"))
    project.run().assert_outcomes(xfailed=1)
    project.run("--runxfail").assert_outcomes(failed=1)


def test_xfail_strict_by_ini(project):
    """The ini option xfail_strict is obeyed."""
    project.ini("xfail_strict = true\n")
    project.write("@pytest.mark.xfail\n" + MARK.strip() + BODY)
    project.run().assert_outcomes(failed=1)


def test_xfail_with_a_condition(project):
    """Xfail with a false condition is no xfail."""
    write(project, direction="decrease", body=RETURN, xfail="False, reason='elsewhere'")
    project.run().assert_outcomes(failed=1)


def test_xfail_without_run(project):
    """xfail(run=False) runs nothing, as in pytest."""
    write(project, body="    raise NotImplementedError\n", xfail="run=False")
    project.run().assert_outcomes(xfailed=1)


HOPEFUL = """
@verifier
def hopeful(baseline, treatment):
    return {"p_value": 0.01, "significant": True}
"""


@pytest.mark.parametrize("mark", [pytest.param("xfail", marks=pytest.mark.slow), "xfail(strict=True)"])
@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        (["--crystallize-plan"], "passed"),
        (["--crystallize-calibrate=20"], "failed"),
        (["--crystallize-check-verifiers", "-k", "verifier"], "failed"),
    ],
    ids=["plan", "calibration", "verifier"],
)
def test_xfail_is_about_verdicts_alone(project, options, outcome, mark):
    """On a function, too: a plan is no XPASS, and what finds that a verifier is unsound is no XFAIL."""
    project.write(HOPEFUL + total(f"@pytest.mark.{mark}", hypotheses="[Hypothesis(hopeful(), 'total')]"))
    project.run(*options).assert_outcomes(**{outcome: 1}, deselected="-k" in options)


def test_xfail_of_one_hypothesis(project):
    """Marks of a hypothesis are marks of its tests alone."""
    project.write("""
        @pytest.mark.experiment(
            replicates=6,
            treatments={"boost": {"delta": 3.0}, "more": {"delta": 5.0}},
            hypotheses=[
                Hypothesis(metric="total", direction="increase"),
                pytest.param(Hypothesis(metric="total", direction="decrease"), marks=pytest.mark.xfail(strict=True)),
                pytest.param(Hypothesis(metric="nonesuch", direction="decrease"), marks=[pytest.mark.skip(reason="later")]),
                pytest.param(Hypothesis(metric="total", direction="differ"), id="other"),
            ],
        )
        def experiment_total(rng, delta=0.0):
            return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
    """)
    result = project.run("-v")
    result.assert_outcomes(passed=4, xfailed=2, skipped=2)
    result.stdout.fnmatch_lines(["*::other[[]boost[]] SUPPORTED*"])


def test_skip_marks(project):
    """Skip and skipif run nothing."""
    project.write(total(above="@pytest.mark.skip(reason='slow')", lines="raise ValueError"))
    project.write(
        total(above="@pytest.mark.skipif(True, reason='slow')", lines="raise ValueError"),
        "experiment_b.py",
    )
    result = project.run("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*slow"])


def test_skip_in_every_run(project):
    """pytest.skip in every condition run skips the test, whose reason is shown."""
    for line in (
        "pytest.skip('no gpu')",
        "pytest.importorskip('nonesuch_module', reason='no gpu')",
        "import unittest; raise unittest.SkipTest('no gpu')",
    ):
        project.write(total(lines=line))
        result = project.run("-rs")
        result.assert_outcomes(skipped=1)
        assert result.ret == 0
        result.stdout.fnmatch_lines(["SKIPPED [[]1[]] experiment_a.py:*: no gpu"])


def test_skip_in_some_runs(project):
    """pytest.skip in some condition runs is missing evidence, and says of which."""
    write(project, body="    replicate in (1, 3) and pytest.skip('no gpu')\n" + RETURN)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "INVALID: 2 of 6 replicates of 'baseline' are missing: replicate 1 was skipped: no gpu (as did 1 more)"
        ]
    )


def test_failures_say_how_many_are_missing(project):
    """A hypothesis that lacks replicates says how many of how many."""
    write(project, body="    assert replicate not in (2, 3, 5)\n" + RETURN)
    project.run().stdout.fnmatch_lines(
        ["INVALID: 3 of 6 replicates of 'baseline' are missing: replicate 2 failed with *"]
    )


def test_other_treatments_are_not_touched(project):
    """A failure in one treatment leaves the verdicts about the others alone."""
    project.write("""
        @pytest.mark.experiment(
            replicates=6,
            treatments={"good": {"delta": 3.0}, "bad": {"delta": -1.0}},
            hypotheses=[Hypothesis(metric="total", direction="increase")],
        )
        def experiment_total(rng, delta=0.0):
            assert delta >= 0
            return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
    """)
    result = project.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*[[]good[]] SUPPORTED*", "*[[]bad[]] INVALID*"])


def test_too_few_replicates(project):
    """Too few replicates for the test are INVALID, also under xfail."""
    write(project, body=RETURN, replicates=1, xfail="")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: *replicates*"])


def test_degenerate_sample(project):
    """A sample without variance is labelled, and no warning of scipy's is shown."""
    write(project, body="    return {'total': delta}\n")
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*SUPPORTED[*]", "*no variance*"])
    result.stdout.no_fnmatch_line("*warning*")


VERIFIERS = {
    "raises": (
        "raise ValueError('in the verifier')",
        "INVALID: the verifier raised ValueError: in the verifier*",
    ),
    "returns None": ("return None", "INVALID: verifier 'check' returned None*"),
    "returns nan": ("return {'p_value': float('nan'), 'significant': True}", "INVALID: *nan*"),
    "returns a word": ("return {'p_value': 0.01, 'significant': 'yes'}", "INVALID: *'yes'*"),
    "returns no p": ("return {'significant': True}", "INVALID: *p_value*"),
    "returns 2": ("return {'p_value': 2, 'significant': True}", "INVALID: *2*"),
    "base exception": ("raise type('Boom', (BaseException,), {})('no')", "*Boom*"),
    "exits": ("sys.exit(0)", "*SystemExit*"),
    "fails": ("pytest.fail('no')", "*no*"),
    "xfails": ("pytest.xfail('no')", "*the verifier raised XFailed: no*"),
    "skips": ("pytest.skip('no')", "*the verifier raised Skipped: no*"),
}


@pytest.mark.parametrize(
    "mark", ["", pytest.param("@pytest.mark.xfail", marks=pytest.mark.slow)], ids=["unmarked", "xfail"]
)
@pytest.mark.parametrize("case", VERIFIERS)
def test_verifier_without_a_verdict(project, case, mark):
    """A verifier that gives no verdict fails its test, under whatever marks."""
    line, message = VERIFIERS[case]
    project.write(
        total(
            above=f"@verifier\ndef check(baseline, treatment):\n    {line}\n\n{mark}",
            hypotheses='[Hypothesis(check(), "total")]',
        )
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([message])


def test_verifier(project):
    """A verifier decides by itself, and the numbers that it returns are shown where it fails."""
    project.write(
        """
@verifier
def check(baseline, treatment, limit=0.5):
    share = np.mean(np.array(treatment["total"]) > baseline["total"])
    return {"p_value": 0.2, "significant": bool(share > limit), "share": share}
"""
        + total(
            hypotheses="""[
                Hypothesis(check(), "total"), Hypothesis(check(limit=2.0), "total", name="strict")
            ]"""
        )
    )
    result = project.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*::check[[]boost[]] SUPPORTED p=0.200*",
            "*::strict[[]boost[]] INCONCLUSIVE p=0.200*",
            "*share = 1*",
        ]
    )


FACTORY_FAULTS = {
    "data source": "@data_source\ndef numbers(ctx):\n    raise ValueError('here')\n",
    "step": "@pipeline_step()\ndef total(data, ctx):\n    raise ValueError('here')\n",
    "treatment": "@treatment('boost')\ndef boost(ctx):\n    raise ValueError('here')\n",
    "setup": "class total(PipelineStep):\n    params = {}\n    def setup(self, ctx):\n        raise ValueError('here')\n    def __call__(self, data, ctx):\n        return data, {'total': 1}\n",
    "teardown": "class total(PipelineStep):\n    params = {}\n    def teardown(self, ctx):\n        raise ValueError('here')\n    def __call__(self, data, ctx):\n        return data, {'total': 1}\n",
    "before_run": "class Plugin(BasePlugin):\n    def before_run(self, experiment):\n        raise ValueError('here')\n",
    "before_replicate": "class Plugin(BasePlugin):\n    def before_replicate(self, experiment, ctx):\n        raise ValueError('here')\n",
    "after_replicate": "class Plugin(BasePlugin):\n    def after_replicate(self, experiment, ctx):\n        raise ValueError('here')\n",
    "before_step": "class Plugin(BasePlugin):\n    def before_step(self, experiment, step, data, ctx):\n        raise ValueError('here')\n",
    "after_step": "class Plugin(BasePlugin):\n    def after_step(self, experiment, step, data, ctx):\n        raise ValueError('here')\n",
    "seed_fn": "class Plugin(SeedPlugin):\n    def __init__(self):\n        def bad(seed):\n            raise ValueError('here')\n        super().__init__(3, seed_fn=bad)\n",
}


@pytest.mark.parametrize("case", FACTORY_FAULTS)
def test_exception_in_a_part_of_an_experiment(project, case):
    """An exception in any part of the user's is told with the user's line, and fails the test also under xfail."""
    project.write(
        """
@data_source
def numbers(ctx):
    return [1]

@pipeline_step()
def total(data, ctx):
    return data, {"total": 1}

boost = treatment("boost", {"delta": 1})

class Plugin(BasePlugin):
    pass

"""
        + FACTORY_FAULTS[case]
        + """
@pytest.mark.xfail
def experiment_x():
    return Experiment(numbers, [total()], [Plugin()], treatments=[boost], hypothesis=Hypothesis(metric="total", direction="increase"), replicates=6)
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["INVALID: 6 of 6 replicates of 'b*' are missing: replicate 0 failed with ValueError: here*"]
    )
    result.stdout.fnmatch_lines(["E   * ValueError: here", "experiment_a.py:*: ValueError"])
    result.stdout.no_fnmatch_line("*/pytest_crystallize/*")
    result.stdout.no_fnmatch_line("*/crystallize/*")


def test_init_hook(project):
    """An exception in init_hook is a collection error with the user's line."""
    project.write("""
        @pipeline_step()
        def step(data, ctx):
            return data

        class Plugin(BasePlugin):
            def init_hook(self, experiment):
                raise ValueError("here")

        def experiment_x():
            return Experiment([1], [step], [Plugin()])
    """)
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["E   ValueError: here"])


RANKED = Template("""
    @verifier
    def largest(baseline, treatment):
        gain = sum(treatment["x"]) - sum(baseline["x"])
        return {"p_value": 0.01, "significant": gain > 0, "gain": gain}

    @hypothesis(verifier=largest(), metrics="x")
    def by_gain(result):
        if result["gain"] > 20:
            raise ValueError("too good")
        return -result["gain"]

    @pytest.mark.experiment(
        replicates=4,
        treatments={"some": {"by": 1.0}, "absurd": {"by": 9.0}, "more": {"by": 2.0}},
        hypotheses=$hypotheses,
    )
    def experiment_ranked(rng, by=0.0):
        return {"x": rng.normal() + by}
""")


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_rankers_are_called(project, workers):
    """The summary shows the order; one that raises ranks its treatment last, which is warned of."""
    project.write(RANKED.substitute(hypotheses="[by_gain]"))
    result = project.run_apart("-n", workers, "--crystallize-report=r.json", "-v")
    result.assert_outcomes(passed=3, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*the ranker of hypothesis 'by_gain' raised ValueError: too good*",
            "  by_gain ranks more, some, absurd",
        ]
    )
    (experiment,) = json.loads((project.path / "r.json").read_text())["experiments"]
    ranks = {test["verdict"]["treatment"]: test["verdict"]["rank"] for test in experiment["tests"]}
    assert ranks["more"] < ranks["some"]
    assert ranks["absurd"] is None


def test_the_default_order_is_not_told(project):
    """Only a ranker of the user's own is."""
    project.write(RANKED.substitute(hypotheses="[Hypothesis(largest(), 'x')]"))
    project.run().stdout.no_fnmatch_line("*ranks*")
