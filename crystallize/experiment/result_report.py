"""Reports of a result: files for readers, and a section for notebooks."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from crystallize.errors import DefinitionError
from crystallize.experiment.result_parts import ResultParts
from crystallize.experiment.result_session import session_of
from crystallize.report.html import html_report, html_section
from crystallize.report.markdown import markdown_report
from crystallize.report.model import SessionResults
from crystallize.storage.atomic import write_output

_FORMATS: Final[dict[str, Callable[[SessionResults], str]]] = {".html": html_report, ".md": markdown_report}


def write_report(path: Path, parts: ResultParts) -> None:
    """Write a report; see `Result.report`."""
    make = _FORMATS.get(path.suffix.lower())
    if make is None:
        raise DefinitionError(
            f"a report {str(path)!r} has the suffix {path.suffix!r}; allowed are {' and '.join(_FORMATS)}; "
            "for Result.load, write it by Result.save"
        )
    write_output(path, make(session_of(parts)).encode())


def section(parts: ResultParts) -> str:
    """Return a result as a notebook shows it."""
    results = session_of(parts)
    digests = "".join(digest for each in results.experiments for digest in each.digests.values())
    return html_section(results, key=f"r{zlib.crc32(digests.encode()):08x}")
