"""How many replicates an effect needs, and which effect a number of replicates can show.

Designs are values: `PairedT`, `TwoSampleT`, `ResampledT`, `PairedBinary`, `UnpairedBinary`. Effects are those
that matter to you, never the observed one: power at the observed effect is the p-value in disguise.
"""

from crystallize.stats.power.binary import PairedBinary, UnpairedBinary
from crystallize.stats.power.design import Design
from crystallize.stats.power.one_sample import OneSampleBinary
from crystallize.stats.power.pilot import upper_rate_limit, upper_sd_factor
from crystallize.stats.power.search import minimum_detectable_effect, power, replicates
from crystallize.stats.power.t import PairedT, ResampledT, TwoSampleT

__all__ = [
    "Design",
    "OneSampleBinary",
    "PairedBinary",
    "PairedT",
    "ResampledT",
    "TwoSampleT",
    "UnpairedBinary",
    "minimum_detectable_effect",
    "power",
    "replicates",
    "upper_rate_limit",
    "upper_sd_factor",
]
