"""Histories of references: recordings in files of their own, their mean, and anchors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from references import origin, runs_of

from crystallize import (
    Experiment,
    Hypothesis,
    LogRatioTest,
    MannWhitneyTest,
    QuantileTest,
    Reference,
    WinRateTest,
    pipeline_step,
    verifier,
)
from crystallize.analysis.history import add_recording, course, load_history
from crystallize.analysis.reference_file import write_reference
from crystallize.analysis.references import References, find_references
from crystallize.analysis.stored_reference import Recording
from crystallize.errors import DefinitionError, ReferenceFileError
from crystallize.identity.provenance import machine

pytestmark = pytest.mark.usefixtures("empty_working_directory")


@pipeline_step()
def score(data, ctx, *, loss=0.0):
    ctx.record("score", data - loss)
    ctx.record("measured_score", data - loss, measured=True)
    return data


def experiment(against, *, loss=0.0, metric="score", replicates=12, margin=0.1, direction="no_decrease"):
    claim = Hypothesis(metric=metric, direction=direction, margin=margin, against=against, name="kept")
    return Experiment(
        lambda ctx: ctx.rng.normal(),
        [score],
        initial_ctx={"loss": loss},
        hypotheses=[claim],
        replicates=replicates,
        name="scores",
    )


def verdict(against, **options):
    return experiment(against, **options).run().get_hypothesis("kept").verdicts["baseline"]


@pytest.fixture
def recorded(tmp_path):
    """Return a function that records, as of some minute and commit, what a loss gives; and the file."""
    path = tmp_path / "main.json"

    def record(minute, loss, *, seeds=None, replicates=12, here=True, values=None, tags=(), only=None):
        run = experiment(Reference("main", path=path), loss=loss, replicates=replicates).run()
        each = values if isinstance(values, list) else [values] * replicates
        runs = runs_of(
            "baseline",
            *(
                [
                    (name, value if given is None else given, None)
                    for name, value in row.items()
                    if only in (None, name)
                ]
                for row, given in zip(_rows(run), each, strict=True)
            ),
            seeds=[record.seed for record in run.records] if seeds is None else seeds,
        )
        known = replace(
            origin(f"{minute:012x}"),
            recorded=f"2026-01-01T00:{minute:02}:00+00:00",
            machine=machine() if here is True else here,
        )
        add_recording(path, "scores", Recording(known, 0, list(runs.seeds), {"baseline": runs}, tags=tags))

    record.path = path
    return record


def _rows(run):
    return [{entry.name: entry.value for entry in record.metrics} for record in run.records]


def against(recorded, **options):
    return Reference("main", path=recorded.path, **options)


def test_each_recording_is_a_file_and_the_latest_speaks(recorded):
    """Also behind a file of the reference that is older; one that is saved later speaks again."""
    recorded(1, 0.3)
    recorded(2, 0.0)
    names = sorted(path.name for path in (recorded.path.parent / "main").iterdir())
    assert names == ["20260101T000100Z-000000000001.json", "20260101T000200Z-000000000002.json"]
    assert not recorded.path.exists()
    assert verdict(against(recorded)).difference == pytest.approx(0.0)
    experiment(against(recorded), loss=0.5).run().save_reference(recorded.path)
    assert verdict(against(recorded)).difference == pytest.approx(0.5)
    assert len(load_history(recorded.path).recordings) == 3


@pytest.mark.parametrize("name", [".", "main", "main.ref"])
def test_a_history_lies_beside_a_file_of_json(recorded, name):
    """Beside anything else nothing is added, nor looked for."""
    with pytest.raises(ReferenceFileError, match=r"give it a name that ends with \.json"):
        experiment(against(recorded)).run().save_reference(name, append=True)
    assert verdict(Reference("main", path=name)).status == "invalid"


def test_results_add_recordings(recorded):
    """Two of one commit and second have names of their own."""
    for _ in range(2):
        experiment(against(recorded)).run().save_reference(recorded.path, append=True)
    assert len(list((recorded.path.parent / "main").iterdir())) == 2
    assert verdict(against(recorded, pool=2)).status == "supported"


def test_the_mean_of_recordings_counts_as_many_values_as_replicates(recorded):
    """Of each replicate what the last ones gave, whatever became of them."""
    for minute, loss in enumerate((5.0, 0.0, 0.3, 0.6)):
        recorded(minute, loss)
    found = verdict(against(recorded, pool=3))
    assert found.difference == pytest.approx(0.3)
    assert (found.n, found.test) == (12, "paired t")
    assert (
        "recorded 3 times with 12 replicates of root seed 0, first at commit 000000000001" in found.recorded
    )
    assert verdict(against(recorded, pool=1)).difference == pytest.approx(0.6)


@pytest.mark.parametrize("size", [1e160, 1.7e308])
def test_recordings_of_values_of_any_size_have_a_mean(recorded, size):
    """Their sum, or the square of what they differ by, may be beyond floats."""
    for minute, part in enumerate((0.9, 0.95, 1.0)):
        recorded(minute, 0.0, values=part * size)
    held = load_history(recorded.path).recordings
    points = course(held, "baseline", "score", compared=())
    assert [point["mean"] for point in points] == pytest.approx([0.9 * size, 0.95 * size, size])
    for metric in ("score", "measured_score"):
        found = verdict(against(recorded, pool=3), metric=metric, margin=0.2 * size)
        assert found.baseline_mean == pytest.approx(0.95 * size)


def test_the_mean_of_recordings_in_single_precision_is_no_more_precise(recorded):
    """On another machine a sum in another order was off by a unit in the last place: today's was smaller."""
    ulp = 2.0**-24
    for minute, value in enumerate((0.75, 0.75, 0.75 + ulp)):
        recorded(minute, 0.0, values=value)
    claim = Hypothesis(metric="score", direction="decrease", against=against(recorded, pool=3), name="less")
    today = Experiment(lambda ctx: 0.75, [score], hypotheses=[claim], replicates=12, name="scores")
    found = today.run().get_hypothesis("less").verdicts["baseline"]
    assert (found.status, found.p_value, found.difference) == ("inconclusive", 1.0, 0.0)


@pytest.mark.parametrize("pool", [1, 2])
def test_recordings_of_half_precision_that_repeat_keep_it(recorded, pool):
    """As a mean each of them had single precision: today's, a unit in the last place less, were smaller."""
    values = [float(np.float16(2.0 ** (i - 4) / 7)) for i in range(12)]
    for minute in range(2):
        recorded(minute, 0.0, values=values)
    claim = Hypothesis(
        metric="score", direction="decrease", against=against(recorded, pool=pool), name="less"
    )
    less = np.nextafter(np.float16(values), np.float16(0)).astype(float).tolist()
    today = Experiment(
        lambda ctx: less[ctx.replicate], [score], hypotheses=[claim], replicates=12, name="scores"
    )
    found = today.run().get_hypothesis("less").verdicts["baseline"]
    assert (found.status, found.p_value, found.difference) == ("inconclusive", 1.0, 0.0)


def test_means_of_measured_values_say_what_sessions_vary_by(recorded):
    """They are unpaired, and no interval has it."""
    for minute, loss in enumerate((0.0, 0.3, 0.6)):
        recorded(minute, loss)
    found = verdict(against(recorded, pool=3), metric="measured_score", margin=5.0)
    assert found.test == "Welch t"
    assert "the means of these 3 recordings have a standard deviation of 0.3" in found.caveat
    assert "unchanged code passes" not in found.caveat


@pytest.mark.parametrize(
    ("loss", "used"),
    [
        (0.05, "'baseline' has used up 50 % of the margin 0.1 since v1.0 (recorded at commit 000000000001"),
        (-0.05, "'baseline' has used up nothing of the margin 0.1 since v1.0"),
    ],
)
def test_an_anchor_says_how_much_of_the_margin_is_used_up(recorded, loss, used):
    """However many recordings came since, each within the margin of the one before."""
    recorded(1, 0.0, tags=["v1.0"])
    recorded(2, 0.08)
    recorded(3, 0.16)
    assert used in verdict(against(recorded, at="v1.0"), loss=loss).caveat
    assert verdict(against(recorded), loss=0.2).status == "supported"
    assert verdict(against(recorded, at="v1.0"), loss=0.2).status == "refuted"
    assert "used up" not in verdict(against(recorded), loss=0.2).caveat


def test_an_anchor_is_named_by_file_commit_or_tag(recorded):
    """Anything else is invalid, and the message names what there is."""
    recorded(1, 0.4, tags=["v1.0", "stable"])
    recorded(2, 0.0)
    directory = recorded.path.parent / "main"
    (directory / "20260101T000200Z-000000000002.json").rename(directory / "release.json")
    for name, difference in (("stable", 0.4), ("000000000001", 0.4), ("release", 0.0)):
        assert verdict(against(recorded, at=name)).difference == pytest.approx(difference)
    found = verdict(against(recorded, at="v2.0"))
    assert found.status == "invalid"
    assert "no recording 'v2.0', but 20260101T000100Z-000000000001, v1.0, stable, release" in found.reason


def test_an_anchor_does_not_move(recorded):
    """A tag that was moved, or digits of several commits, name none; a file of its own does."""
    recorded(1, 0.4, tags=["v1.0"])
    recorded(2, 0.0, tags=["v1.0"])
    for name in ("v1.0", "00000000000"):
        found = verdict(against(recorded, at=name))
        assert found.status == "invalid"
        assert f"{name!r} is said of several commits (000000000001, 000000000002)" in found.reason
    directory = recorded.path.parent / "main"
    (directory / "20260101T000100Z-000000000001.json").rename(directory / "v1.0.json")
    assert verdict(against(recorded, at="v1.0")).difference == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("third", "options", "said"),
    [
        (None, {"pool": 3}, "holds 2 recordings of condition 'baseline', and pool=3 asks for 3"),
        ({"seeds": range(12)}, {"pool": 2}, "have other seeds"),
        ({"replicates": 6}, {"pool": 2}, "(12 replicates of root seed 0, and 6 of 0)"),
        ({"values": "text"}, {"pool": 2}, "'score' of replicate 0 is no number"),
        ({"only": "measured_score"}, {"pool": 2}, "has no 'score'"),
    ],
)
def test_what_has_no_mean_is_invalid(recorded, third, options, said):
    """Where recordings differ in what they are of, and where there are too few."""
    recorded(1, 0.0)
    recorded(2, 0.0)
    if third is not None:
        recorded(3, 0.0, **third)
    found = verdict(against(recorded, **options))
    assert found.status == "invalid"
    assert said in found.reason


def test_a_recording_that_was_copied_does_not_count_twice(recorded):
    """Where it is pooled; one that only gives the same, at another time, is another one."""
    recorded(1, 0.0)
    recorded(2, 0.0)
    assert verdict(against(recorded, pool=2)).status == "supported"
    first, _ = sorted((recorded.path.parent / "main").iterdir())
    first.with_name("copied.json").write_bytes(first.read_bytes())
    assert verdict(against(recorded, pool=2)).status == "supported"  # the copy is earlier than these
    found = verdict(against(recorded, pool=3))
    assert found.status == "invalid"
    assert "recordings 20260101T000100Z-000000000001 and copied are the same one" in found.reason
    assert "delete one of the files" in found.reason


@verifier
def answer(baseline, treatment):
    return {"p_value": 0.01, "accepted": True}


def test_a_verifier_of_all_metrics_is_given_all_or_none(recorded):
    """One that has no mean is not left out in silence."""
    recorded(1, 0.0)
    recorded(2, 0.0)
    claim = Hypothesis(verifier=answer(), against=against(recorded, pool=2), name="kept")
    statuses = []
    for _ in range(2):
        run = experiment(against(recorded)).run(hypotheses=[claim])
        statuses.append(run.get_hypothesis("kept").verdicts["baseline"].status)
        recorded(3, 0.0, only="measured_score")
    assert statuses == ["supported", "invalid"]


def test_measured_values_of_several_machines_have_no_mean(recorded):
    """What repeats has one, and so has what is said to be alike on all."""
    recorded(1, 0.0, here=replace(machine(), processor="Abacus"))
    recorded(2, 0.0)
    measured = {"metric": "measured_score", "margin": 5.0}
    found = verdict(against(recorded, pool=2), **measured)
    assert found.status == "invalid"
    assert "were not measured on one machine" in found.reason
    assert verdict(against(recorded, pool=2)).status == "supported"
    assert verdict(against(recorded, pool=2, other_machines="allow"), **measured).status == "supported"


@pytest.mark.parametrize("text", ["{", '{"format": 1}', "<<<<<<< HEAD\n{}\n"])
def test_a_recording_that_is_none_makes_all_invalid(recorded, text):
    """Its file is named; what is there can't be added to either."""
    recorded(1, 0.0)
    broken = recorded.path.parent / "main" / "broken.json"
    broken.write_text(text)
    found = verdict(against(recorded))
    assert found.status == "invalid"
    assert str(broken) in found.reason
    with pytest.raises(ReferenceFileError, match="broken"):
        recorded(2, 0.0)


def test_recordings_of_other_experiments_are_refused(recorded):
    """Among those of one, and under its name."""
    recorded(1, 0.0)
    other = recorded.path.parent / "main" / "other.json"
    runs = runs_of("baseline", [("score", 1.0, None)])
    write_reference(other, "others", Recording(origin(), 0, [100], {"baseline": runs}))
    found = verdict(against(recorded))
    assert (found.status, "is a recording of others" in found.reason) == ("invalid", True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": 3}, "path is 3; give the path of a file"),
        ({"pool": 0}, "pool is 0; give the number of recordings"),
        ({"pool": True}, "pool is True"),
        ({"pool": 2.0}, "pool is 2.0"),
        ({"at": ""}, "at is ''; give the name of a recording"),
        ({"at": 3}, "at is 3"),
        ({"pool": 2, "at": "v1.0"}, "an anchor is one recording"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    """With what is allowed."""
    with pytest.raises(DefinitionError, match=said):
        Reference("main", **options)


def test_files_say_tags(recorded):
    """Others than those of tags are as before."""
    recorded(1, 0.0, tags=["v1.0"])
    recorded(2, 0.0)
    first, second = sorted((recorded.path.parent / "main").iterdir())
    assert json.loads(first.read_text())["recordings"][0]["tags"] == ["v1.0"]
    assert "tags" not in json.loads(second.read_text())["recordings"][0]


def test_ratios_are_of_geometric_means(recorded):
    """The logarithm of an arithmetic mean would have what varies seem to shrink."""
    for minute, value in enumerate((1.0, 4.0)):
        recorded(minute, 0.0, values=value, only="measured_score")
    known = References(find_references([ratio := hypothesis(recorded, LogRatioTest())], lambda it: it.file))
    held = known.baseline(ratio, "baseline")
    assert held.values("measured_score") == [pytest.approx(2.0)] * 12
    assert known.runs(ratio.reference, "baseline").values("measured_score") == [2.5] * 12


def hypothesis(recorded, test):
    return Hypothesis(
        metric="measured_score",
        direction="no_increase",
        margin=0.1,
        relative=True,
        against=against(recorded, pool=2),
        statistical_test=test,
        name="kept",
    )


@pytest.mark.parametrize("test", [QuantileTest(0.9), MannWhitneyTest(), WinRateTest()], ids=lambda t: t.name)
def test_tests_of_no_means_do_not_take_them(recorded, test):
    """Means vary less than values: their quantiles and ranks are others."""
    for minute in range(2):
        recorded(minute, 0.0)
    claim = Hypothesis(
        metric="score",
        direction="no_decrease",
        margin=0.1,
        against=against(recorded, pool=2),
        statistical_test=test,
        name="kept",
    )
    run = experiment(against(recorded)).run(hypotheses=[claim])
    found = run.get_hypothesis("kept").verdicts["baseline"]
    assert found.status == "invalid"
    assert f"{test.name} compares no means" in found.reason


def test_the_mean_of_values_that_repeat_is_the_same_to_the_last_bit(recorded):
    """Three times a tenth, divided by three, is none."""
    for minute in range(3):
        recorded(minute, 0.1)
    found = verdict(against(recorded, pool=3), loss=0.1)
    assert (found.difference, found.degenerate) == (0.0, True)
