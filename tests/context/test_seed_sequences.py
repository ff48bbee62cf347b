"""Generators of replicates are those that numpy makes of the same word and scope, bit for bit."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples

from crystallize.context import seed_sequences
from crystallize.context.seed_sequences import PreparedSeedSequence, SeedSequences, states
from crystallize.context.seeding import INPUT, SeedStream, generator, scope_seed
from crystallize.identity.stable_hash import stable_hash

edges = st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**64 - 1])
words = st.lists(edges | st.integers(0, 2**64 - 1), min_size=1, max_size=4)


def of_numpy(word, scope):
    """Return the generator that stands for a word and a scope, made by numpy alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(word, spawn_key=(scope,))))


@examples(60)
@given(words, st.integers(0, 2**32 - 1))
def test_states_are_those_of_numpy(some, scope):
    expected = [
        np.random.SeedSequence(word, spawn_key=(scope,)).generate_state(4, np.uint64) for word in some
    ]
    assert states(some, scope).tolist() == [row.tolist() for row in expected]


@pytest.fixture
def prepared():
    """Return a generator of a replicate, and what numpy gives: the states of its block are known."""
    stream = SeedStream(20261129)
    for replicate in range(300):
        made, expected = (make(stream.word(replicate), 2) for make in (generator, of_numpy))
        assert made.bit_generator.state == expected.bit_generator.state
    assert isinstance(made.bit_generator.seed_seq, PreparedSeedSequence)
    return made, expected


def test_what_is_asked_of_a_prepared_sequence_is_what_numpy_says(prepared):
    made, expected = prepared
    seeds, of = made.bit_generator.seed_seq, expected.bit_generator.seed_seq
    assert (seeds.entropy, seeds.spawn_key, repr(seeds)) == (of.entropy, of.spawn_key, repr(of))
    assert seeds.generate_state(4).tolist() == of.generate_state(4).tolist()
    assert stable_hash(seeds) == stable_hash(of)
    for _ in range(2):  # children that are spawned later are others
        children = zip(made.spawn(2), expected.spawn(2), strict=True)
        assert all(one.random() == other.random() for one, other in children)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_of_a_generator_go_on_alike(prepared, copied):
    made, expected = prepared
    made.spawn(1), expected.spawn(1)
    again = copied(made)
    assert again.random() == expected.random()
    if not np.__version__.startswith("1."):  # whose copies spawn what no seed repeats
        assert again.spawn(1)[0].random() == expected.spawn(1)[0].random()


@pytest.mark.parametrize("scope", [1, 2**32 - 1, INPUT, INPUT + 2**32 - 1])
def test_generators_and_seeds_of_any_scope_are_those_of_numpy(scope):
    stream = SeedStream(3)
    for word in map(stream.word, range(20)):
        assert generator(word, scope).random() == of_numpy(word, scope).random()
        expected = np.random.SeedSequence(word, spawn_key=(scope,)).generate_state(1)
        assert scope_seed(word, scope) == expected[0]


def test_states_of_many_scopes_are_made_once(monkeypatch):
    """A pipeline of many parts that draw random numbers asks for all of them in each replicate."""
    made = []
    monkeypatch.setattr(
        seed_sequences, "states", lambda block, scope: made.append(scope) or states(block, scope)
    )
    sequences, words = SeedSequences(), SeedStream(4)
    block = [words.word(replicate) for replicate in range(1024)]
    sequences.know(block)
    for word in block[:40]:
        for scope in range(30):
            sequences.of(word, scope)
    assert sorted(made) == list(range(30))
