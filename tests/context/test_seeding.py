"""Seeds and global generators."""

import pickle
import random
import sys
import tracemalloc

import numpy as np
import pytest

from crystallize.context.seeding import (
    SeedStream,
    check_root_seed,
    generator,
    global_draws_detector,
    global_state_restored,
    seed_globals,
)
from crystallize.errors import DefinitionError

FAKE_TORCH = '''
"""Enough of torch to be seeded: its generator is a list of numbers."""
import random as _random

_generator = _random.Random("fresh")

def manual_seed(seed):
    _generator.seed(seed)

def rand():
    return _generator.random()

def get_rng_state():
    return _generator.getstate()

def set_rng_state(state):
    _generator.setstate(state)
'''


@pytest.fixture
def fake_torch(tmp_path, monkeypatch):
    """Make a module `torch` importable that is not loaded yet."""
    (tmp_path / "torch.py").write_text(FAKE_TORCH)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("torch", None)


def test_the_published_seeds_never_change():
    """Replicate i has the top 32 bits of raw word i of PCG64(SeedSequence(root))."""
    assert [SeedStream(0).word(i) for i in range(3)] == [
        11749869230777074271,
        4976686463289251617,
        755828109848996024,
    ]
    assert [SeedStream(42).seed(i) for i in range(3)] == [3324115917, 1884968545, 3687649986]
    assert SeedStream(0).seed(5000) == 3801923183
    assert generator(SeedStream(0).word(0), 1).random() == 0.8565706825266745
    assert generator(SeedStream(0).word(0), 0).random() == 0.41611121934156403


def test_words_are_those_of_one_stream():
    """Reading it in any order, and in blocks, gives the words of PCG64 itself."""
    raw = np.random.PCG64(np.random.SeedSequence(7)).random_raw(2100).tolist()
    stream = SeedStream(7)
    assert [stream.word(i) for i in (2099, 0, 1023, 1024, 1025)] == [
        raw[i] for i in (2099, 0, 1023, 1024, 1025)
    ]
    assert pickle.loads(pickle.dumps(stream)).word(1500) == raw[1500]


def test_streams_of_one_root_seed_share_their_words():
    """The experiments of a session have one: a thousand of them keep the words once."""
    SeedStream(11).word(0)
    tracemalloc.start()
    try:
        streams = [SeedStream(11) for _ in range(1000)]
        words = {stream.word(5) for stream in streams}
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert words == {SeedStream(11).word(5)}
    assert size < 1000 * 512  # bytes: a block of words takes 40,000


def test_steps_have_streams_of_their_own():
    """Generators of different steps of a replicate, and of a step in different replicates, differ."""
    words = [SeedStream(0).word(i) for i in range(3)]
    drawn = {generator(word, scope).random() for word in words for scope in range(5)}
    assert len(drawn) == 15


@pytest.mark.parametrize("seed", [0, 7, 2**200, np.int64(3)])
def test_any_integer_from_zero_on_is_a_root_seed(seed):
    """Integers of numpy become Python's."""
    assert check_root_seed(seed) == seed
    assert type(check_root_seed(seed)) is int


@pytest.mark.parametrize("seed", [-1, 1.0, True, "1", None])
def test_nothing_else_is_a_root_seed(seed):
    """The error names the argument."""
    with pytest.raises(DefinitionError, match=r"here is .*; a root seed is an integer >= 0"):
        check_root_seed(seed, "here")


def draw():
    return random.random(), np.random.random()  # noqa: NPY002 - the global generator is what is tested


def test_global_generators_are_seeded_alike():
    """The same seed gives the same numbers, also if gauss had cached one."""
    with global_state_restored():
        seed_globals(5)
        first = (draw(), random.gauss(0, 1), np.random.normal())  # noqa: NPY002
        seed_globals(5)
        assert (draw(), random.gauss(0, 1), np.random.normal()) == first  # noqa: NPY002


def fail_in_a_run():
    with global_state_restored():
        seed_globals(2)
        draw()
        raise ZeroDivisionError


def test_global_state_is_put_back():
    """Also behind an exception."""
    with global_state_restored():
        seed_globals(1)
        draw()
        expected_state = random.getstate(), np.random.get_state()[2]  # noqa: NPY002
        with pytest.raises(ZeroDivisionError):
            fail_in_a_run()
        assert (random.getstate(), np.random.get_state()[2]) == expected_state  # noqa: NPY002


@pytest.mark.parametrize("move", [random.random, np.random.random, lambda: random.seed(3)])
def test_draws_from_the_global_generators_are_noticed(move):
    """Whoever moves one of them is found out; whoever does not, is not."""
    with global_state_restored():
        seed_globals(1)
        moved = global_draws_detector()
        assert not moved()
        move()
        assert moved()


def test_a_loaded_torch_is_seeded_and_put_back(fake_torch):
    """Its generator is treated like the others."""
    import torch  # the fake one, from here on importable

    state = torch.get_rng_state()
    with global_state_restored():
        seed_globals(5)
        first = torch.rand()
        seed_globals(5)
        assert torch.rand() == first
    assert torch.get_rng_state() == state


def test_torch_is_seeded_when_a_unit_is_the_first_to_import_it(fake_torch):
    """The numbers are those of a unit before which torch had been loaded."""
    with global_state_restored():
        seed_globals(1)
        seed_globals(5)
        import torch  # the point is to import it here

        late = torch.rand()
        seed_globals(5)
        assert torch.rand() == late


def test_imports_are_not_watched_outside_of_runs(fake_torch):
    """Behind a run, torch is imported as if nothing had been."""
    before = list(sys.meta_path)
    with global_state_restored():
        seed_globals(5)
        assert len(sys.meta_path) == len(before) + 1
    assert sys.meta_path == before
    import torch  # the point is to import it here

    assert torch.rand() == random.Random("fresh").random()


def test_a_missing_torch_stays_missing():
    """The import fails as it would without a run, and the next unit is none the worse for it."""
    if "torch" in sys.modules:
        pytest.skip("torch is installed here")
    with global_state_restored():
        for _ in range(2):
            seed_globals(5)
            with pytest.raises(ModuleNotFoundError, match="torch"):
                import torch  # noqa: F401 - the point is to fail
