"""What is written for programs: everything, exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from crystallize.analysis.verdict import Verdict
from crystallize.report.model import SessionResults
from crystallize.text.escaping import LEGACY_COMMAND
from crystallize.text.strict_json import from_strict_json, strict_json

_TEXTS: Final = {field.name for field in fields(Verdict) if isinstance(field.default, str)}


def json_report(results: SessionResults) -> str:
    """Return a session's results as JSON text; nan and infinities are the strings nan, inf and -inf."""
    return _written(results.to_dict(), indent=1)


def json_line(data: Mapping[str, Any]) -> str:
    """Return data as a line of JSON, numbers as in the report."""
    return _written(data)


def verdict_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a verdict that was read: numbers as they were, texts as they are."""
    return {name: value if name in _TEXTS else from_strict_json(value) for name, value in data.items()}


def _written(data: Mapping[str, Any], indent: int | None = None) -> str:
    written = json.dumps(strict_json(data), indent=indent, allow_nan=False)
    # The same text to who parses it, and no command to a job's runner if the file is printed there.
    return re.sub(LEGACY_COMMAND, r"\\u0023", written) + "\n"
