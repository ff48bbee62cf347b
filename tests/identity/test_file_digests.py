"""Digests of files: what later processes remember of them."""

from crystallize.identity import file_digests
from crystallize.identity.file_digests import FileDigests
from crystallize.storage.secret import Secret
from crystallize.storage.store import Store


class _Counting(Store):
    puts = 0

    def put(self, *args):
        self.puts += 1
        return super().put(*args)


def test_files_that_are_met_one_by_one_are_saved_together(tmp_path, monkeypatch):
    """Each time, all that is remembered is written; what is not saved at last, is soon read again."""
    monkeypatch.setattr(file_digests, "_SETTLED", -1)
    store = _Counting(tmp_path / "cache", Secret(b"0" * 32, None))
    digests = FileDigests()
    for number in range(300):
        path = tmp_path / str(number)
        path.write_text(str(number))
        digests.of(str(path))
        digests.save(store)
    assert store.puts < 150
    later = FileDigests()
    later.load(store)
    known = [path for path in map(str, range(300)) if str(tmp_path / path) in later._known]
    assert len(known) > 280
    large = tmp_path / "large"
    large.write_bytes(bytes(10**6))
    before = store.puts
    digests.of(str(large))
    digests.save(store)
    assert store.puts == before + 1
