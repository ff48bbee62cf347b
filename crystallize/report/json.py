"""The report for programs: everything, exactly."""

from __future__ import annotations

import json
import re

from crystallize.report.model import SessionResults
from crystallize.text.escaping import LEGACY_COMMAND
from crystallize.text.strict_json import strict_json


def json_report(results: SessionResults) -> str:
    """Return a session's results as JSON text; nan and infinities are the strings nan, inf and -inf."""
    written = json.dumps(strict_json(results.to_dict()), indent=1, allow_nan=False)
    # The same text to who parses it, and no command to a job's runner if the file is printed there.
    return re.sub(LEGACY_COMMAND, r"\\u0023", written) + "\n"
