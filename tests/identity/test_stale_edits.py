"""A sample of the edits of `edit_matrix`: stored runs say what new ones would."""

import re
from pathlib import Path

import pytest
from edit_harness import judge
from edit_matrix import SETTINGS, cases, places

ALL = cases()
SAMPLE = ALL[:: len(ALL) // 26 or 1]


def test_there_are_many():
    """Each has a name of its own; two dozen of each hundred or two are tried here."""
    assert len({(case.kind, case.name) for case in ALL}) == len(ALL) >= 120
    assert len(SAMPLE) >= 25


def test_the_page_has_a_row_for_each_kind():
    """With as many edits as there are, and the names of those that are not seen."""
    page = (Path(__file__).parents[2] / "docs" / "caching-edits.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([^|]+?)(?: \(not seen: (.*)\))? \| (\d+) \| \d+ \| (\d+) \|$", page, re.MULTILINE
    )
    kinds = dict.fromkeys(case.kind for case in ALL)
    of_kinds = {kind: [case for case in ALL if case.kind == kind] for kind in kinds} | {"all": ALL}
    unseen = {kind: [case.name for case in of_kind if case.unseen] for kind, of_kind in of_kinds.items()}
    assert sorted(rows) == sorted(
        (kind, ", ".join(unseen[kind]) if kind in kinds else "", str(len(of_kind)), str(len(unseen[kind])))
        for kind, of_kind in of_kinds.items()
    )
    assert (len(SETTINGS), len(places("pass"))) == (12, 10), "twelve settings in ten places, as the page says"


@pytest.mark.slow
@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: f"{case.kind}-{case.name}".replace(" ", "-"))
def test_no_stored_run_is_stale(case, tmp_path):
    """But where the guide says that the edit is not seen."""
    judged = judge(case, tmp_path / "project")
    assert judged.changed
    assert judged.stale == case.unseen
