"""Names as parts of paths."""

import os
import urllib.parse
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crystallize.core.names import path_component, unsafe_file_name

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(names, names)
@example("a.", "a%2E")
@example("con", "%con")
@example("", "%")
@example("a/b", "a%2Fb")
def test_distinct_names_stay_distinct(one, other):
    """No two experiments, conditions or steps share a directory."""
    assert (path_component(one) == path_component(other)) == (one == other)


@given(names)
@example("..")
@example("a/../b")
@example("C:\\x")
@example("nul.txt")
@example("x ")
def test_every_name_is_one_safe_component(name):
    """It never leaves its directory, on any platform, and is no device."""
    component = path_component(name)
    assert component
    assert component not in (".", "..")
    for path in (PurePosixPath, PureWindowsPath):
        assert path(component).name == component
        assert not path(component).is_absolute()
    assert not set(component) & set('\\/:*?"<>|\0\n')
    assert not component.endswith((".", " "))
    assert not os.path.isreserved(component) if hasattr(os.path, "isreserved") else True


@given(names)
def test_a_component_can_be_read_back(name):
    """Percent-decoding gives the name, apart from the mark before reserved names."""
    decoded = urllib.parse.unquote(path_component(name))
    assert decoded in (name, f"%{name}")


@pytest.mark.parametrize("name", ["boost_total", "lr=0.1, depth 3", "größer", "深い", "v1.2"])
def test_ordinary_names_stay_readable(name):
    """Letters of any script, digits, blanks and common punctuation are kept."""
    assert path_component(name) == name


def test_plain_file_names_are_safe():
    """There is nothing to say against them."""
    assert unsafe_file_name("model-1.bin") is None
    assert unsafe_file_name("größe.txt") is None
