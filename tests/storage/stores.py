"""Keys and values, and the files of a store."""

import os
import sys

import pytest

from crystallize.storage.sealed import Encoded
from crystallize.storage.secret import Secret

SECRET = Secret(b"s" * 32)
OTHER = Secret(b"o" * 32)
PARTS = {"step clean": "1f", "python": "3.11.7"}
A, B, C = Encoded("json", b"1"), Encoded("pickle", b"\0\xff"), Encoded("npy", b"")
posix = pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions there")


def files(store):
    return sorted(path for path in store.directory.rglob("*") if path.is_file())


def only_file(store):
    (path,) = files(store)
    return path


def set_used(path, seconds):
    os.utime(path, (seconds, seconds))
