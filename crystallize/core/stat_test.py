"""Statistical tests, by the path that users know."""

from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_by_resampling import BootstrapTTest, PermutationTest
from crystallize.claims.tests_of_means import PairedTTest, ResampledTTest, WelchTTest
from crystallize.claims.tests_of_ranks import BrunnerMunzelTest, MannWhitneyTest, WilcoxonTest
from crystallize.claims.tests_of_rates import BarnardTest, BoschlooTest, FisherExactTest, McNemarTest
from crystallize.claims.tests_of_units import ClusteredTTest, CrossedTTest

__all__ = [
    "BarnardTest",
    "BootstrapTTest",
    "BoschlooTest",
    "BrunnerMunzelTest",
    "ClusteredTTest",
    "CrossedTTest",
    "FisherExactTest",
    "MannWhitneyTest",
    "McNemarTest",
    "PairedTTest",
    "PermutationTest",
    "ResampledTTest",
    "StatisticalTest",
    "WelchTTest",
    "WilcoxonTest",
]
