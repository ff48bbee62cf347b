"""A store of each test's own."""

import pytest
from stores import SECRET

from crystallize.storage.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache", SECRET)
