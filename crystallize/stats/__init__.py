"""Statistics as pure functions of arrays.

Every test takes the values of the baseline and of the treatment and returns a `TestResult`. Estimates and
alternatives speak of treatment minus baseline.
"""

from crystallize.stats.mcnemar import mcnemar, mcnemar_p_value, smallest_mcnemar_p
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import is_binary
from crystallize.stats.t import paired_t, resampled_t, smallest_t_p, welch_t
from crystallize.stats.tango import tango_interval, tango_score

__all__ = [
    "Alternative",
    "TestResult",
    "is_binary",
    "mcnemar",
    "mcnemar_p_value",
    "paired_t",
    "resampled_t",
    "smallest_mcnemar_p",
    "smallest_t_p",
    "tango_interval",
    "tango_score",
    "welch_t",
]
