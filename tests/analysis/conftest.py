"""What tests of verdicts share."""

import pytest


@pytest.fixture
def empty_working_directory(tmp_path, monkeypatch):
    """Files are written there."""
    monkeypatch.chdir(tmp_path)
