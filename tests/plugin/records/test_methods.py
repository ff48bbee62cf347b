"""Stored runs of methods: what an edit of another test of their class has run again."""

from string import Template

import pytest

from plugin.conftest import edited
from plugin.records.conftest import hits

CLASS = """
@pytest.mark.experiment(replicates=2, treatments={"t": {"gain": 5.0}}$of_mark)
class TestShop:
    RATE = 3

    def setup_method(self):
        self.stock = [self.RATE]

    @pytest.fixture
    def price(self):
        return self.RATE + 1

    def experiment_first(self, rng, price, gain=0.0):
        return {"y": rng.random() + gain + price + $uses}

    def experiment_other(self, rng, gain=0.0):
        return {"y": rng.random() + gain + self.helper($given)}

    def helper(self, rate=0):
        return rate
"""
GIVEN = {"of_mark": "", "uses": "self.RATE", "given": "1"}
CLAIM = ", hypotheses=[Hypothesis(metric='y', direction='increase')]"
EDITS = {
    "another experiment": ({}, {"given": "2"}, [4, 0]),
    "its name": ({}, ("experiment_other", "experiment_renamed"), [4, 0]),
    "the mark of the class": ({}, {"of_mark": CLAIM}, [4, 4]),
    "a helper": ({}, ("return rate", "return rate + 1"), [0, 0]),
    "a variable": ({}, ("RATE = 3", "RATE = 4"), [0, 0]),
    "another experiment, called": ({"uses": "self.experiment_other(rng)['y']"}, {"given": "2"}, [0, 0]),
    "what passes itself on": ({"uses": "len([self])"}, {"given": "2"}, [0, 0]),
}


@pytest.mark.parametrize(
    "edit",
    [name if name == "another experiment" else pytest.param(name, marks=pytest.mark.slow) for name in EDITS],
)
def test_another_experiment_of_the_class_counts_where_it_is_reached(project, edit):
    """One that no method names leaves the runs of others alone."""
    given, change, kept = EDITS[edit]
    before = Template(CLASS).substitute(GIVEN | given)
    if isinstance(change, dict):
        after = Template(CLASS).substitute(GIVEN | given | change)
    else:
        after = edited(before, *change)
    project.write(before)
    project.run_apart()
    project.write(after)
    warm = project.run_apart("-v")
    other = "renamed" if "renamed" in after else "other"
    assert [hits(warm, name) for name in ("first", other)] == kept


HOOKS = {
    "calls it": "def pytest_runtest_setup(item): print(item.instance.experiment_other(random.Random(1)))",
    "looks through its class": "import looking\ndef pytest_runtest_setup(item): looking.through(item)",
}


@pytest.mark.parametrize(
    "hook", [next(iter(HOOKS)), *(pytest.param(h, marks=pytest.mark.slow) for h in [*HOOKS][1:])]
)
def test_all_of_a_class_counts_where_a_hook_takes_it(project, hook):
    """It may call any of the tests, or ask what they are."""
    project.write(f"import random\n{HOOKS[hook]}", "conftest.py")
    project.write("def through(item): return vars(item.cls)", "looking.py")
    project.write(Template(CLASS).substitute(GIVEN))
    project.run_apart()
    project.write(Template(CLASS).substitute(GIVEN | {"given": "2"}))
    warm = project.run_apart("-v")
    assert [hits(warm, name) for name in ("first", "other")] == [0, 0]
