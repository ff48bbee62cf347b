"""A sample of the edits of `edit_matrix`: stored runs say what new ones would."""

import pytest
from edit_harness import judge
from edit_matrix import cases

ALL = cases()
SAMPLE = ALL[:: len(ALL) // 26 or 1]


def test_there_are_many():
    """Each has a name of its own; two dozen of each hundred or two are tried here."""
    assert len({(case.kind, case.name) for case in ALL}) == len(ALL) >= 120
    assert len(SAMPLE) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: f"{case.kind}-{case.name}".replace(" ", "-"))
def test_no_stored_run_is_stale(case, tmp_path):
    """But where the guide says that the edit is not seen."""
    judged = judge(case, tmp_path / "project")
    assert judged.changed
    assert judged.stale == case.unseen
