"""Statistics as pure functions of arrays.

Every test takes the values of the baseline and of the treatment and returns a `TestResult`. Estimates and
alternatives speak of treatment minus baseline. Power and sample sizes are in `crystallize.stats.power`.
"""

from crystallize.stats.agreement import cohen_kappa
from crystallize.stats.anytime import anytime_mcnemar, anytime_t, log_binary_e_value, log_t_e_value
from crystallize.stats.binomial import binomial, binomial_p_value, smallest_binomial_p
from crystallize.stats.bootstrap import bootstrap_t
from crystallize.stats.clustered import clustered_t
from crystallize.stats.comparison import Comparison
from crystallize.stats.covariate import adjusted_t, variance_saved
from crystallize.stats.crossed import crossed_t
from crystallize.stats.effect import Effect
from crystallize.stats.fieller import relative_change
from crystallize.stats.group_sequential import (
    conditional_power,
    exit_probabilities,
    group_sequential_boundaries,
    look_sizes,
    nominal_p_values,
    planned_drift,
)
from crystallize.stats.log_ratio import log_ratio, logarithms
from crystallize.stats.margins import (
    Guard,
    beyond_margin,
    equivalence,
    non_inferiority,
    relative_equivalence,
    relative_non_inferiority,
    relative_superiority,
)
from crystallize.stats.max_t import MaxT, step_down_max_t
from crystallize.stats.mcnemar import mcnemar, mcnemar_p_value, smallest_mcnemar_p
from crystallize.stats.multiplicity import Correction, adjust, benjamini_hochberg, holm
from crystallize.stats.pass_at import pass_all_k, pass_at_k
from crystallize.stats.permutation import (
    Statistic,
    paired_permutation,
    permutation,
    smallest_permutation_p,
)
from crystallize.stats.proportion import clopper_pearson_interval
from crystallize.stats.quantile import fewest_for_quantile, one_sample_quantile_test, quantile_test
from crystallize.stats.rank_tests import brunner_munzel, mann_whitney, smallest_rank_p, wilcoxon
from crystallize.stats.ratio_of_totals import ratio_of_totals, ratio_scores
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.risk_difference import miettinen_nurminen_interval, risk_difference_test
from crystallize.stats.samples import is_binary
from crystallize.stats.skewness import is_too_skewed, skewness
from crystallize.stats.spending import Spending, obrien_fleming_spending, pocock_spending
from crystallize.stats.standardized import d_z, hedges_g
from crystallize.stats.superiority import cliffs_delta, probability_of_superiority
from crystallize.stats.t import paired_t, resampled_t, welch_t
from crystallize.stats.tango import tango_interval
from crystallize.stats.trimmed import fewest_to_trim, yuen_t
from crystallize.stats.unconditional import barnard_p_value, boschloo_p_value, fisher_p_value
from crystallize.stats.unpaired_binary import barnard, boschloo, fisher_exact, smallest_binary_p
from crystallize.stats.win_rate import win_rate, win_scores

__all__ = [
    "Alternative",
    "Comparison",
    "Correction",
    "Effect",
    "Guard",
    "MaxT",
    "Spending",
    "Statistic",
    "TestResult",
    "adjust",
    "adjusted_t",
    "anytime_mcnemar",
    "anytime_t",
    "barnard",
    "barnard_p_value",
    "benjamini_hochberg",
    "beyond_margin",
    "binomial",
    "binomial_p_value",
    "bootstrap_t",
    "boschloo",
    "boschloo_p_value",
    "brunner_munzel",
    "cliffs_delta",
    "clopper_pearson_interval",
    "clustered_t",
    "cohen_kappa",
    "conditional_power",
    "crossed_t",
    "d_z",
    "equivalence",
    "exit_probabilities",
    "fewest_for_quantile",
    "fewest_to_trim",
    "fisher_exact",
    "fisher_p_value",
    "group_sequential_boundaries",
    "hedges_g",
    "holm",
    "is_binary",
    "is_too_skewed",
    "log_binary_e_value",
    "log_ratio",
    "log_t_e_value",
    "logarithms",
    "look_sizes",
    "mann_whitney",
    "mcnemar",
    "mcnemar_p_value",
    "miettinen_nurminen_interval",
    "nominal_p_values",
    "non_inferiority",
    "obrien_fleming_spending",
    "one_sample_quantile_test",
    "paired_permutation",
    "paired_t",
    "pass_all_k",
    "pass_at_k",
    "permutation",
    "planned_drift",
    "pocock_spending",
    "probability_of_superiority",
    "quantile_test",
    "ratio_of_totals",
    "ratio_scores",
    "relative_change",
    "relative_equivalence",
    "relative_non_inferiority",
    "relative_superiority",
    "resampled_t",
    "risk_difference_test",
    "skewness",
    "smallest_binary_p",
    "smallest_binomial_p",
    "smallest_mcnemar_p",
    "smallest_permutation_p",
    "smallest_rank_p",
    "step_down_max_t",
    "tango_interval",
    "variance_saved",
    "welch_t",
    "wilcoxon",
    "win_rate",
    "win_scores",
    "yuen_t",
]
