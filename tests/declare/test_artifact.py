"""Declared outputs: how they are written, checked, and what makes data of them."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize import (
    Artifact,
    Experiment,
    ExperimentGraph,
    ExperimentInput,
    FrozenContext,
    exit_step,
    pipeline_step,
)
from crystallize.declare.artifact import artifacts_in
from crystallize.errors import ArtifactError, DefinitionError


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)


def writes(*contents):
    """Return a step that adds artifacts, given as pairs of a name and what is kept."""

    @pipeline_step()
    def write(data, ctx):
        for name, content in contents:
            ctx.artifacts.add(name, content)
        return data

    return write


@pipeline_step()
def keep(data, ctx):
    read.append(data)
    return data


read = []


def round_trip(artifact, value, **options):
    """Return what a consumer is given of what a producer's step added."""
    read.clear()
    producer = Experiment(0, [writes((artifact.name, value))], name="producer", outputs=[artifact], **options)
    for result in ExperimentGraph(producer, Experiment(artifact, [keep], name="consumer")).run().values():
        assert result.errors == ()
    return read[0]


def test_without_functions_an_artifact_is_bytes():
    """They come back as they were given."""
    assert round_trip(Artifact("a.bin"), b"\x00\xff") == b"\x00\xff"


def test_text_and_json_and_arrays_come_back():
    """Each by the pair of functions that is built in."""
    assert round_trip(Artifact.text("a.txt"), "größe\r\n") == "größe\r\n"
    data = {"a": [1, 0.1, None, True, "深"]}
    assert round_trip(Artifact.json("a.json"), data) == data
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    again = round_trip(Artifact.npy("a.npy"), array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


def test_loader_and_writer_of_ones_own():
    """Any pair of functions between bytes and objects; bytes are kept as they are."""
    artifact = Artifact("a.pkl", loader=pickle.loads, writer=pickle.dumps)
    assert round_trip(artifact, {1, 2}) == {1, 2}
    assert round_trip(artifact, pickle.dumps([3])) == [3]


def test_a_loader_may_be_given_the_path():
    """For what opens files itself; without a loader, the path is what is given."""
    assert round_trip(Artifact("a.txt", loader=lambda p: p.read_text(), from_path=True), b"x") == "x"
    path = round_trip(Artifact("a.txt", from_path=True), b"y")
    assert path.read_bytes() == b"y"
    assert path.name == "a.txt"


@given(st.lists(st.floats(allow_nan=False)))
def test_floats_come_back_bit_for_bit(values):
    """As JSON and as an array."""
    for artifact in (Artifact.json("a"), Artifact.npy("a")):
        again = list(artifact.loader(artifact.writer(values)))
        assert np.array(again, float).tobytes() == np.array(values, float).tobytes()


def test_arrays_are_never_pickled():
    """Neither written nor read."""
    artifact = Artifact.npy("a.npy")
    with pytest.raises(ValueError, match="allow_pickle"):
        artifact.writer(np.array([object()]))


@pytest.mark.parametrize(
    "name", ["", "..", "../a", "a/b", "a\\b", "C:a", "CON", "con .txt", "a.", "a ", ".tmp-a", "a" * 201, 3]
)
def test_unsafe_names_are_refused(name):
    """When the artifact is declared, with the reason."""
    with pytest.raises(DefinitionError, match="which can't be a file: "):
        Artifact(name)


def test_wrong_declarations_are_refused():
    """Each error says what was given."""
    with pytest.raises(DefinitionError, match=r"artifact 'a': loader is 3; give a function"):
        Artifact("a", loader=3)
    with pytest.raises(DefinitionError, match=r"experiment 'e': outputs='a'; give a list"):
        Experiment(0, [keep], name="e", outputs="a")
    with pytest.raises(DefinitionError, match=r"experiment 'e': 'a' is not an output"):
        Experiment(0, [keep], name="e", outputs=["a"])
    with pytest.raises(DefinitionError, match=r"outputs 'a' and 'A' would be one file"):
        Experiment(0, [keep], name="e", outputs=[Artifact("a"), Artifact("A")])


def test_the_builder_sets_outputs():
    """Like the constructor's argument."""
    artifact = Artifact("a")
    built = Experiment.builder("e").datasource(0).add_step(keep).outputs([artifact]).build()
    assert built.outputs == (artifact,)


def errors(*contents, outputs):
    experiment = Experiment(0, [writes(*contents)], name="e", outputs=outputs)
    return [str(error) for error in experiment.run().errors]


def test_an_output_that_no_step_wrote_is_an_error():
    """It names the output, and what was written."""
    (error,) = errors(("b.bin", b""), outputs=[Artifact("a.bin"), Artifact("b.bin")])
    assert error == (
        "replicate 0 of 'baseline', outputs: ArtifactError: experiment 'e' declares output 'a.bin', which no "
        "step wrote; written: 'b.bin'"
    )


def test_an_object_needs_a_writer():
    """Of the output that has this name; the error says how it is declared."""
    (error,) = errors(("a", [1]), outputs=[Artifact("a")])
    assert "artifact 'a' of 'write' is a list; give bytes" in error
    assert "outputs=[Artifact.json('a')]" in error
    (error,) = errors(("b", [1]), outputs=[Artifact.json("a")])
    assert "artifact 'b' of 'write' is a list" in error


def test_a_writer_returns_bytes():
    """Otherwise the error names the output."""
    (error,) = errors(("a", [1]), outputs=[Artifact("a", writer=json.dumps)])
    assert "the writer of output 'a' returned a str; it returns bytes" in error


def test_an_output_is_written_once():
    """Two steps that write it would leave open which is meant."""

    @pipeline_step()
    def again(data, ctx):
        ctx.artifacts.add("a", b"2")

    experiment = Experiment(0, [writes(("a", b"1")), again], outputs=[Artifact("a")])
    (error,) = experiment.run().errors
    assert "output 'a' was written by 'write' and by 'again'" in error.message


def test_an_artifact_is_read_in_a_graph_only():
    """Alone, its experiment says so before anything is run."""
    consumer = Experiment(ExperimentInput(a=Artifact("a.bin"), b=1), [keep], name="consumer")
    with pytest.raises(
        DefinitionError, match=r"experiment 'consumer': artifact 'a.bin' is written by another"
    ):
        consumer.run()
    with pytest.raises(DefinitionError, match="ExperimentGraph"):
        Artifact("a.bin").fetch(FrozenContext())


def test_apply_stops_at_the_exit_step_without_outputs():
    """What is written behind it is not asked for."""
    experiment = Experiment(5, [exit_step(keep()), writes(("a", b""))], outputs=[Artifact("a")])
    assert experiment.apply() == 5


def test_artifacts_of_a_source_are_found_however_deep():
    """In named inputs inside of named inputs."""
    one, two = Artifact("1"), Artifact("2")
    nested = ExperimentInput(one=one, more=ExperimentInput(two=two, constant=3))
    assert list(artifacts_in(nested)) == [one, two]


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_what_was_changed_on_disk_is_not_read(change, tmp_path):
    """A consumer reads what its producer wrote, or fails."""
    artifact = Artifact("a.bin")
    producer = Experiment(0, [writes(("a.bin", b"12"))], name="producer", outputs=[artifact])

    def tampered(ctx):
        (path,) = tmp_path.rglob("a.bin")
        if change == "removed":
            path.unlink()
        else:
            path.write_bytes(b"13")
        return artifact.fetch(ctx)

    consumer = Experiment(tampered, [keep], name="consumer")
    graph = ExperimentGraph(producer, consumer, dependencies={"consumer": ["producer"]})
    (error,) = graph.run()["consumer"].errors
    assert error.message.startswith("ArtifactError: artifact ")
    assert {"removed": "can't be read", "replaced": "is not what was written"}[change] in error.message


def test_an_unsafe_name_is_refused_before_a_byte_is_written(tmp_path):
    """Whatever else the step wrote."""
    (error,) = Experiment(0, [writes(("good", b""), ("../bad", b""))]).run().errors
    assert error.message.startswith(f"{ArtifactError.__name__}: artifact '../bad'")
    assert list(tmp_path.iterdir()) == []
