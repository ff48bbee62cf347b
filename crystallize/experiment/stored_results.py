"""Results of runs that were kept beside the cache: one file each, by experiment."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from crystallize.errors import ResultFileError
from crystallize.experiment.result import Result
from crystallize.storage.atomic import write_whole
from crystallize.storage.names import path_component
from crystallize.text.escaping import printable
from crystallize.text.formatting import counted
from crystallize.text.warned import warn

_SUFFIX: Final = ".json"


def results_directory(directory: str | os.PathLike[str] | None = None) -> Path:
    """Return where results are kept: ``results`` in the directory of the cache."""
    if directory is not None:
        return Path(directory)
    from crystallize.storage.place import cache_directory  # the cache, of which nothing else is used

    return cache_directory() / "results"


def store_result(result: Result) -> Path | None:
    """Keep a result; where it can't be written, a warning says so, and it is not lost."""
    directory = results_directory()
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}{_SUFFIX}"
    path = directory / path_component(result.name) / name
    try:
        result.save(path)
    except OSError as error:
        warn(f"the result of {result.name!r} could not be stored in {directory}: {error.strerror or error}")
        return None
    with suppress(OSError):
        ignore = directory / ".gitignore"
        if not ignore.exists():
            write_whole(ignore, b"*\n")
    return path


def stored_results(
    experiment: str | None = None, directory: str | os.PathLike[str] | None = None
) -> list[StoredResult]:
    """Return the results that runs with ``store_results=True`` have kept, oldest first.

    Parameters
    ----------
    experiment : str, optional
        Only those of this experiment.
    directory : path, optional
        Where they are; by default ``results`` in the directory of the cache, which ``CRYSTALLIZE_CACHE_DIR``
        names, or ``.cache/crystallize``.

    Examples
    --------
    >>> [stored.load() for stored in stored_results("none of that name")]
    []
    """
    folder = "*" if experiment is None else path_component(experiment)
    root = results_directory(directory)
    found = root.glob(f"{folder}/*{_SUFFIX}") if folder == "*" else (root / folder).glob(f"*{_SUFFIX}")
    return [StoredResult(path) for path in sorted(found, key=lambda path: (path.name, path.parent.name))]


class StoredResult:
    """A result that was kept.

    Parameters
    ----------
    path : path
        Its file.

    Examples
    --------
    >>> import tempfile
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def draw(data, ctx):
    ...     return data, {"x": ctx.rng.normal()}
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     result = Experiment(0, [draw], name="draws", replicates=3).run()
    ...     result.save(f"{directory}/draws.json")
    ...     stored = StoredResult(f"{directory}/draws.json")
    ...     print(stored.summary["replicates"], stored.load().digest == result.digest)
    3 True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> Result:
        """Return the result; see `Result.load`."""
        return Result.load(self.path)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Facts to list it by: ``experiment``, ``started``, ``replicates``, and ``verdicts`` by status.

        Raises
        ------
        ResultFileError
            If the file holds no saved result, or was changed or damaged since.
        """
        from crystallize.experiment.result_file import read_data  # not needed to run

        data = read_data(self.path)
        counts = Counter(v["status"] for each in data["hypotheses"] for v in each["verdicts"].values())
        return {
            "experiment": data["name"],
            "started": data["started"],
            "replicates": max(runs["replicates"] for runs in data["conditions"].values()),
            "verdicts": dict(counts),
        }

    def __str__(self) -> str:
        try:
            known = self.summary
        except (OSError, ResultFileError) as error:
            return printable(str(error))
        verdicts = ", ".join(f"{number} {status}" for status, number in known["verdicts"].items())
        many = counted(known["replicates"], "replicate")
        when = known["started"][:16].replace("T", " ")
        return printable(
            f"{when} UTC  {known['experiment']}: {many}, {verdicts or 'no hypotheses'}  {self.path}"
        )

    def __repr__(self) -> str:
        return f"StoredResult({str(self.path)!r})"
