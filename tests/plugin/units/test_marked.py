"""The marked function, whose body is one condition run."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

from plugin.conftest import MARK, TOTAL, body, total


def test_supported_passes(project):
    """A supported hypothesis of a marked function is a passing test."""
    project.write(TOTAL)
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["experiment_a.py::experiment_total::total_increase[[]boost[]] SUPPORTED p*[[]100%[]]"]
    )
    assert result.ret == 0


def test_one_test_per_hypothesis_and_treatment(project):
    """Every hypothesis gives one test under every treatment, listed by --collect-only."""
    project.write("""
        @pytest.mark.experiment(
            replicates=3,
            treatments={"one": {"x": 1}, "two": {"x": 2}},
            hypotheses=[
                Hypothesis(metric="m", direction="increase", name="up"),
                Hypothesis(metric="m", direction="decrease", name="down"),
            ],
        )
        def experiment_m(x=0):
            raise NotImplementedError
    """)
    result = project.run("--collect-only", "-q")
    assert result.outlines[:4] == [
        "experiment_a.py::experiment_m::up[one]",
        "experiment_a.py::experiment_m::up[two]",
        "experiment_a.py::experiment_m::down[one]",
        "experiment_a.py::experiment_m::down[two]",
    ]
    assert result.ret == 0


def test_treatments_in_either_spelling(project):
    """Treatments are a list of `Treatment`, one of them, or a mapping of names to mappings."""
    for number, spelling in enumerate(
        (
            '[Treatment("boost", {"delta": 3.0})]',
            'Treatment("boost", {"delta": 3.0})',
            '[treatment("boost", {"delta": 3.0})()]',
            '(Treatment(name="boost", apply=lambda ctx: ctx.add("delta", 3.0)),)',
            '{"boost": lambda ctx: ctx.add("delta", 3.0)}',
        )
    ):
        project.write(total(treatments=spelling), f"experiment_{number}.py")
    project.run().assert_outcomes(passed=5)


def test_single_hypothesis(project):
    """A single hypothesis needs no list."""
    project.write(total(hypotheses='Hypothesis(metric="total", direction="increase")'))
    project.run().assert_outcomes(passed=1)


def test_arguments_without_default_are_fixtures(project):
    """Arguments without default are fixtures, those with one are filled from the context."""
    project.write("""
        import json

        @pytest.fixture
        def model():
            return "forest"

        @pytest.mark.experiment(replicates=2, treatments={"deep": {"depth": 8, "note": "d"}})
        def experiment_m(model, ctx, seed, rng, replicate, condition, depth=3, *, note=None):
            with open("log", "a") as log:
                print(json.dumps([model, seed == ctx.seed, rng is ctx.rng, replicate, condition, depth, note]), file=log)
    """)
    project.run().assert_outcomes(passed=1)
    assert sorted(project.log()) == [
        ["forest", True, True, 0, "baseline", 3, None],
        ["forest", True, True, 0, "deep", 8, "d"],
        ["forest", True, True, 1, "baseline", 3, None],
        ["forest", True, True, 1, "deep", 8, "d"],
    ]


def test_order_of_conditions_rotates(project):
    """Within a replicate the order of the conditions rotates with the replicate's number."""
    project.write("""
        import json

        @pytest.mark.experiment(replicates=3, treatments={"a": {"x": 1}, "b": {"x": 2}})
        def experiment_m(replicate, condition, x=0):
            with open("log", "a") as log:
                print(json.dumps(condition), file=log)
    """)
    project.run().assert_outcomes(passed=1)
    assert project.log() == ["baseline", "a", "b", "a", "b", "baseline", "b", "baseline", "a"]


def test_seeds_are_common_to_conditions(project):
    """Each replicate has a seed of its own, which all its conditions share, and so are the global generators."""
    project.write("""
        import json

        @pytest.mark.experiment(replicates=4, treatments={"a": {"x": 1}}, seed=7)
        def experiment_m(replicate, condition, seed, rng, x=0):
            with open("log", "a") as log:
                print(json.dumps([replicate, seed, rng.random(), random.random(), np.random.random()]), file=log)
    """)
    project.run().assert_outcomes(passed=1)
    rows = {json_row[0]: set() for json_row in project.log()}
    for replicate, *drawn in project.log():
        rows[replicate].add(tuple(drawn))
    assert [len(drawn) for drawn in rows.values()] == [1, 1, 1, 1]
    assert len(set.union(*rows.values())) == 4


def test_seed_stream_is_the_librarys(project):
    """A marked function sees the seeds that the library gives replicates of the same root seed."""
    from crystallize.context.seeding import SeedStream

    project.write("""
        import json

        @pytest.mark.experiment(replicates=3, seed=7)
        def experiment_m(seed):
            with open("log", "a") as log:
                print(json.dumps(seed), file=log)
    """)
    project.run().assert_outcomes(passed=1)
    assert project.log() == [SeedStream(7).seed(replicate) for replicate in range(3)]


def test_metrics_by_context(project):
    """Metrics may be added to the context in place of being returned."""
    project.write(
        MARK
        + """
def experiment_total(ctx, delta=0.0):
    ctx.metrics.add("total", ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5))
    ctx.record("seconds", 1.0, measured=True)
"""
    )
    project.run().assert_outcomes(passed=1)


def test_async_body(project):
    """The body may be a coroutine function."""
    project.write(
        MARK
        + """
async def experiment_total(rng, delta=0.0):
    import asyncio
    await asyncio.sleep(0)
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""
    )
    project.run("-W", "error").assert_outcomes(passed=1)


def test_async_body_that_raises_what_can_not_be_shown(project):
    """Python shows the task that an event loop was run for; what the body raised is not in it."""
    project.write(
        MARK
        + """
async def experiment_total(rng, replicate, delta=0.0):
    class Unshown(Exception):
        def __repr__(self):
            raise SystemExit("it was asked for its repr")
    if replicate == 1:
        raise Unshown("a reason")
    return {"total": rng.normal()}
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: *replicate 1 failed with *Unshown: a reason*"])


def test_body_that_returns_no_mapping(project):
    """A body that returns something else than a mapping fails its replicates, and says what to return."""
    project.write(
        MARK
        + """
def experiment_total(delta=0.0):
    return 3.5
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "INVALID: 6 of 6 replicates of 'baseline' are missing: replicate 0 failed with MetricError: *",
            "*experiment_total returned 3.5 (float); return a mapping of metrics such as *",
        ]
    )


def test_generator_body(project):
    """A body that yields is refused: it would return no mapping."""
    project.write(
        MARK
        + """
def experiment_total(delta=0.0):
    yield {"total": 1.0}
"""
    )
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*experiment_total has a yield; a condition run returns its metrics*"])


def test_methods(project):
    """Methods, static and class methods of collected classes are experiments, each run with a fresh instance."""
    project.write(f"""
        class TestModel:
            def setup_method(self):
                assert not hasattr(self, "used")
                self.used = True

{indented(total(arguments="self, rng"))}
{indented(MARK)}
            @staticmethod
{indented(body("experiment_static"))}
{indented(MARK)}
            @classmethod
{indented(body("experiment_class", arguments="cls, rng"))}
    """)
    result = project.run("-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["experiment_a.py::TestModel::experiment_total::total_increase[[]boost[]] SUPPORTED*"]
    )


def indented(source):
    return "\n".join("            " + line for line in source.splitlines())


def test_mark_of_class_and_module(project):
    """Keywords of function, class and module merge, the closest wins."""
    project.write("""
        import json
        pytestmark = pytest.mark.experiment(replicates=2, seed=5, treatments={"far": {"x": 1}})

        @pytest.mark.experiment(replicates=3)
        class TestModel:
            @pytest.mark.experiment(treatments={"near": {"x": 1}})
            def experiment_m(self, replicate, condition, seed, x=0):
                with open("log", "a") as log:
                    print(json.dumps([replicate, condition, seed]), file=log)

            def experiment_n(self, x=0):
                pass
    """)
    from crystallize.context.seeding import SeedStream

    result = project.run()
    result.assert_outcomes(passed=2)
    rows = project.log()
    assert {row[0] for row in rows} == {0, 1, 2}
    assert {row[1] for row in rows} == {"baseline", "near"}
    assert {row[2] for row in rows} == {SeedStream(5).seed(replicate) for replicate in range(3)}


def test_mark_of_a_module_alone_makes_no_marked_function(project):
    """A module's pytestmark gives defaults; a function under it alone is a factory."""
    project.write("""
        pytestmark = pytest.mark.experiment(replicates=2)

        def experiment_m():
            return {"m": 1}
    """)
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*experiment_a.py:*: experiment_m returned {'m': 1}; a factory returns*"])


def test_without_hypotheses(project):
    """An experiment without hypotheses is one test, passes when every run succeeded, and shows its metrics."""
    project.write("""
        @pytest.mark.experiment(replicates=2, treatments={"a": {"x": 1.0}})
        def experiment_m(x=0.0):
            return {"m": x}
    """)
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "experiment_a.py::experiment_m::replicates PASSED *",
            "*::experiment_m: 2 replicates of 2 conditions, seed 0, *",
            "  baseline: m 0",
            "  a: m 1",
        ]
    )


def test_without_hypotheses_fails(project):
    """An experiment without hypotheses fails if a run did, also if it is marked xfail."""
    project.write("""
        @pytest.mark.xfail
        @pytest.mark.experiment(replicates=3)
        def experiment_m(replicate):
            assert replicate != 1
    """)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["INVALID: 1 of 3 replicates of 'baseline' are missing: replicate 1 failed with *"]
    )


def test_treatment_key_that_nothing_reads(project):
    """A key of a treatment that nothing reads is noted, also where nothing is claimed."""
    treatments = {"boost": {"delta": 3.0, "dleta": 1}}
    project.write(total(treatments=treatments, hypotheses=(), arguments="ctx, rng"))
    project.run().stdout.fnmatch_lines(["*note: treatment 'boost' sets 'dleta', which nothing read"])


def test_resource_factory(project):
    """A default that is a resource factory is filled with the resource, made once per process."""
    project.write("""
        import json

        @resource_factory
        def model(ctx):
            with open("made", "a") as log:
                print(json.dumps(ctx.get("depth", 1)), file=log)
            return object()

        @pytest.mark.experiment(replicates=3, treatments={"deep": {"depth": 8}})
        def experiment_m(model=model, depth=1):
            assert type(model) is object
    """)
    project.run().assert_outcomes(passed=1)
    assert sorted(project.log("made")) == [1, 8]
