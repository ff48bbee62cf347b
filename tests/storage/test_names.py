"""Names as parts of paths."""

import os
import urllib.parse
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crystallize.storage.names import file_key, path_component, path_components, unsafe_file_name

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
    """Percent-decoding gives the name, apart from the mark before reserved names; unless it is very long."""
    component = path_component(name)
    decoded = urllib.parse.unquote(component)
    assert decoded in (name, f"%{name}") or (len(component) > 150 and "%~" in component)


@pytest.mark.parametrize("name", ["boost_total", "lr=0.1, depth 3", "größer", "深い", "v1.2"])
def test_ordinary_names_stay_readable(name):
    """Letters of any script, digits, blanks and common punctuation are kept."""
    assert path_component(name) == name


def test_plain_file_names_are_safe():
    """There is nothing to say against them."""
    assert unsafe_file_name("model-1.bin") is None
    assert unsafe_file_name("größe.txt") is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("con .txt", "it is a reserved device name on Windows"),
        ("CONIN$", "it is a reserved device name on Windows"),
        ("lpt¹.log", "it is a reserved device name on Windows"),
        ("a\ud800", r"it contains '\ud800'"),
        (".TMP-1", "names that begin with '.tmp' are those of unfinished files"),
        ("é" * 101, "it is longer than 200 bytes"),
        ("a. ", "it ends in ' '"),
    ],
)
def test_unsafe_file_names_are_told_why(name, reason):
    """What only some platform minds, too."""
    assert unsafe_file_name(name) == reason


def test_long_names_are_cut_off_and_stay_distinct():
    """File systems take 255 bytes."""
    components = {path_component(letter + "x" * 1000 + end) for letter in "aé/" for end in ("1", "2")}
    assert len(components) == 6
    assert all(150 < len(component.encode()) <= 200 for component in components)


def test_names_that_are_one_file_somewhere_have_one_key():
    """Upper and lower case, ways to compose a letter, its style, and what can't be seen."""
    assert file_key("Größe") == file_key("GRÖSSE") == file_key("Gro\u0308ße") == file_key("Grö\u200dße")
    assert file_key("\u212b") == file_key("å") == file_key("a\u030a")
    assert file_key("a") != file_key("b")


@given(st.lists(names, unique=True, max_size=5))
@example(["A", "a"])
@example(["각", "\u1100\u1161\u11a8"])
@example(["x" * 300 + "A", "x" * 300 + "a"])
@example(["%41", "A", "a"])
def test_names_in_one_directory_are_distinct_on_every_file_system(together):
    """And as readable as they can be."""
    components = path_components(together)
    assert set(components) == set(together)
    assert len({file_key(component) for component in components.values()}) == len(together)
    for name, component in components.items():
        assert "/" not in component
        assert component not in ("", ".", "..")
        if len({file_key(path_component(other)) for other in together}) == len(together):
            assert component == path_component(name)
