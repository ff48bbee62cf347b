"""What tests of engines share."""

import pytest


@pytest.fixture
def empty_working_directory(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path
