"""The report for programs: everything, exactly."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from crystallize.seam import LEGACY_COMMAND
from pytest_crystallize.report.model import SessionResults


def json_report(results: SessionResults) -> str:
    """Return a session's results as JSON text; nan and infinities are the strings nan, inf and -inf."""
    written = json.dumps(_standard(results.to_dict()), indent=1, allow_nan=False)
    # The same text to who parses it, and no command to a job's runner if the file is printed there.
    return re.sub(LEGACY_COMMAND, r"\\u0023", written) + "\n"


def _standard(value: Any) -> Any:
    """Return a value with what JSON has no number for written as text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _standard(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(item) for item in value]
    return value
