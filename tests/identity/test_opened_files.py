"""Files that code of the project has opened, and which projects they may count for."""

import tempfile

import pytest

from crystallize.identity.opened_files import OPENED, Openings


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Directory that is the system's for temporary files, of which nothing is known yet."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    OPENED.start()
    for name, value in (("_openings", Openings()), ("_temporary", Openings()), ("_system", None)):
        monkeypatch.setattr(OPENED, name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def opened_of(root):
    return [opening.path for opening in OPENED.of(str(root))]


def test_temporary_files_are_nothing_to_a_project_elsewhere(temporary, tmp_path):
    """Each run may have files of its own, and experiments would look through those of all runs."""
    project = tmp_path / "project"
    version = OPENED.version(str(project))
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("1")
    assert (OPENED.version(str(project)), opened_of(project)) == (version, [])
    for concerned in (temporary, temporary / "project", tmp_path):
        assert opened_of(concerned) == [file.name]


def test_files_in_what_was_the_temporary_directory_count(temporary, tmp_path, monkeypatch):
    """What somebody has declared to be temporary may be none for whoever comes behind."""
    (temporary / "kept").touch()
    with (temporary / "kept").open() as file:
        file.read()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another"))
    assert opened_of(tmp_path / "project") == [str(temporary / "kept")]


def test_a_link_out_of_the_temporary_directory_leads_elsewhere(temporary, tmp_path):
    """A file is where it lies, not where a link to it does."""
    kept = tmp_path / "kept"
    kept.touch()
    (temporary / "link").symlink_to(kept)
    with (temporary / "link").open() as file:
        file.read()
    assert opened_of(tmp_path / "project") == [str(temporary / "link")]
