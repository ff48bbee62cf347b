"""Code and settings that workers of a Dask cluster have of a session."""

from __future__ import annotations

import re

import pytest

from plugin.cluster.conftest import FACTORY, HELPERS, TOTAL, digests, factory, on, write
from plugin.conftest import edited

pytest.importorskip("distributed")

pytestmark = pytest.mark.slow


def test_a_value_that_a_conftest_changed_is_no_silent_other_result(suite, start_cluster):
    """Workers load modules as they are written."""
    write(suite, TOTAL)
    suite.raw("conftest.py", "import helpers\nhelpers.FACTOR = 2.0\n")
    session = suite.run_apart(*on(start_cluster(1)))
    session.assert_outcomes(failed=1)
    session.stdout.fnmatch_lines(["*INVALID: process * has other code*helpers.FACTOR changed*"])


def test_edits_reach_workers_that_have_an_older_version(suite, start_cluster):
    """Each session brings its own."""
    write(suite, TOTAL)
    cluster = start_cluster(1)
    suite.run_apart(*on(cluster)).assert_outcomes(passed=1)
    suite.raw("helpers.py", edited(HELPERS, "FACTOR = 1.0", "FACTOR = 1.5"))
    session = suite.run_apart("-v", *on(cluster))
    session.assert_outcomes(passed=1)
    assert digests(session) == digests(suite.run_apart("-v", "--crystallize-cache=off"))


def test_filters_of_warnings_hold_on_every_thread_of_a_worker(suite, start_cluster):
    """A unit that fails here fails there, however many blocks a worker has."""
    write(
        suite,
        FACTORY
        + """
    @pipeline_step()
    def warns(data, ctx):
        time.sleep(0.002)
        if ctx.replicate == 150 and ctx.condition == "boost":
            warnings.warn("only once", UserWarning)
        return data

    def experiment_total():
        return build(warns, replicates=200)
    """,
    )
    cluster = start_cluster(0)
    cluster.add(options=("--nthreads", "4"))
    session = suite.run_apart("-W", "error::UserWarning", *on(cluster))
    session.assert_outcomes(failed=1)
    session.stdout.fnmatch_lines(["*INVALID: 1 of 200 replicates of 'boost' are missing*UserWarning*"])


def test_two_sessions_on_one_cluster_have_each_their_own_code(suite, start_cluster):
    """Also of a helper that a step imports when it runs."""
    for name, factor in (("one", 1.0), ("two", 100.0)):
        suite.raw(f"{name}/late.py", f"def factor():\n    return {factor}\n")
        suite.raw(f"{name}/conftest.py", "")
        write(
            suite,
            factory(imported="os", factor="1.0")
            + """
    @pipeline_step()
    def late(data, ctx):
        import late
        time.sleep(0.02)
        return data * late.factor()

    def experiment_total():
        return build(late, replicates=60)
        """,
            name=f"{name}/experiment_a.py",
        )
    cluster = start_cluster()
    alone = [suite.run_apart("-v", "--crystallize-cache=off", name) for name in ("one", "two")]
    both = [
        suite.start("-v", "--crystallize-cache=off", "-p", "no:cacheprovider", *on(cluster), name)
        for name in ("one", "two")
    ]
    told = [session.communicate()[0] for session in both]
    assert [session.returncode for session in both] == [plain.ret for plain in alone], told
    found = [re.findall(r"^.*\bdigest\b.*$", text, re.MULTILINE) for text in told]
    assert found == [digests(plain) for plain in alone]


def test_after_a_session_a_cluster_is_as_it_was(suite, start_cluster):
    """Modules that others upload are theirs."""
    import distributed  # not in the default suite

    write(suite, TOTAL)
    cluster = start_cluster(1)
    suite.run_apart(*on(cluster)).assert_outcomes(passed=1)
    suite.raw("helpers.py", "FACTOR = 7.0\n")

    def factor():
        import helpers  # on the worker

        return helpers.FACTOR

    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.upload_file(str(suite.path / "helpers.py"))
        assert client.submit(factor).result() == 7.0


def test_a_helper_that_a_later_experiment_imports_late_is_sent(suite, start_cluster):
    """Modules are collected for each experiment."""
    suite.raw("later.py", "def factor():\n    return 1.0\n")
    write(suite, TOTAL)
    write(
        suite,
        FACTORY
        + """
    @pipeline_step()
    def late(data, ctx):
        import later
        return data * later.factor()

    def experiment_total():
        return build(late)
    """,
        name="experiment_b.py",
    )
    suite.run_apart(*on(start_cluster(1))).assert_outcomes(passed=2)


def test_what_can_not_be_sent_is_told(suite, start_cluster):
    """The part is named, without frames of ours."""
    write(
        suite,
        FACTORY
        + """
    import threading

    def experiment_total():
        boost = Treatment("boost", {"delta": 1.0})
        boost.payload["delta"] = threading.Lock()
        return build(treatments=[boost])
    """,
    )
    session = suite.run_apart(*on(start_cluster(1)))
    assert session.ret == 1
    text = session.stdout.str()
    assert "treatment 'boost'" in text
    assert "pytest_crystallize/" not in text


def test_settings_of_modules_and_relative_files_hold_on_workers(suite, start_cluster):
    """What an import sets for its context, and the directory that pytest was started in."""
    suite.raw("data/offset.txt", "2.5")
    write(
        suite,
        FACTORY
        + """
    import decimal
    decimal.getcontext().prec = 50
    np.seterr(divide="raise")

    @pipeline_step()
    def reads(data, ctx):
        time.sleep(0.005)
        digits = len(str(decimal.Decimal(1) / 7))
        try:
            raises = bool(np.array([1.0]) / 0.0 is None)
        except FloatingPointError:
            raises = True
        ctx.record("digits", digits)
        ctx.record("raises", int(raises))
        return data + float(Path("data/offset.txt").read_text())

    def experiment_total():
        return build(reads, replicates=40, inputs=["data/*.txt"])
    """,
    )
    plain = suite.run_apart("-v", "--crystallize-cache=off")
    cluster = start_cluster(0)
    (cluster.directory / "data").mkdir()
    (cluster.directory / "data" / "offset.txt").write_text("100")
    cluster.add(2)
    session = suite.run_apart("-v", "--crystallize-cache=off", *on(cluster))
    session.assert_outcomes(passed=1)
    assert digests(session) == digests(plain)
