"""Reports for programs, and what reads them."""

import json
import math
from dataclasses import replace

from crystallize import Verdict
from crystallize.report.json import json_line, verdict_fields


def test_a_verdict_is_read_as_it_was():
    """Infinities are numbers again; a metric or a treatment that is called like one is not."""
    verdict = replace(Verdict.invalid("nothing", metric="nan"), treatment="inf", interval=(-math.inf, 1.0))
    fields = verdict_fields(json.loads(json_line(verdict.to_dict())))
    assert (fields["metric"], fields["treatment"], fields["interval"]) == ("nan", "inf", [-math.inf, 1.0])
    assert Verdict.from_dict(fields) == verdict
