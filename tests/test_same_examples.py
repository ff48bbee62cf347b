"""The verdict of a law is the same wherever and beside whatever it is tried."""

import importlib
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.skipif(not settings().derandomize, reason="others were asked for")
def test_examples_are_the_same_whatever_was_loaded_meanwhile(tmp_path, monkeypatch):
    """Though Hypothesis takes numbers from the sources of what is loaded."""
    seen = []

    @given(st.integers(), st.text())
    def law(number, text):
        seen.append((number, text))

    law()
    before = seen.copy()
    (tmp_path / "further.py").write_text("".join(f"a{n} = {n}{n}{n}\n" for n in range(101, 900)))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("further")
    seen.clear()
    law()
    del sys.modules["further"]
    assert len(before) == settings().max_examples
    assert seen == before
