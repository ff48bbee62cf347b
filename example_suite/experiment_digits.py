"""Which changes of a model pay on handwritten digits? Each function body below is one condition run.

Arguments without a default are fixtures; those with one are filled from the treatment. Every
replicate splits the same 1,797 images anew, by the replicate's seed, and all conditions of a
replicate see the same split. Training sets of different replicates overlap, so their accuracies are
not independent, and the claims use the resampled t-test: a paired t-test would take luck with this
data set for evidence.
"""

from time import thread_time

import numpy as np
import pytest
from sklearn.base import ClassifierMixin, clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from crystallize import FrozenContext, Hypothesis

TEST_FRACTION = 0.25

pytestmark = pytest.mark.experiment(resampled=TEST_FRACTION)  # each replicate splits the same images anew

more_accurate = Hypothesis(metric="accuracy", direction="increase")
slower_to_fit = Hypothesis(metric="fit_seconds", direction="increase")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Load the data once per process."""
    return load_digits(return_X_y=True)


@pytest.fixture
def split(digits, seed) -> list[np.ndarray]:
    """Split anew in every condition run; `seed` is the replicate's."""
    images, labels = digits
    return train_test_split(images, labels, test_size=TEST_FRACTION, stratify=labels, random_state=seed)


def evaluate(model: ClassifierMixin, split: list[np.ndarray], ctx: FrozenContext) -> None:
    train_images, test_images, train_labels, test_labels = split
    with threadpool_limits(1):  # replicates are what runs in parallel; and thread_time sees one thread only
        start = thread_time()
        model.fit(train_images, train_labels)
        ctx.metrics.add("fit_seconds", thread_time() - start, measured=True)  # no seed repeats a time
        ctx.metrics.add("accuracy", model.score(test_images, test_labels))


@pytest.mark.experiment(
    replicates=20,
    treatments={
        "forest": {"estimator": RandomForestClassifier(50)},
        "neighbours": {"estimator": KNeighborsClassifier()},
        "svm": {"estimator": SVC()},
    },
    hypotheses=[more_accurate],
)
def experiment_estimators(split, seed, ctx, estimator=DecisionTreeClassifier()):  # noqa: B008 - cloned
    """Any of three estimators beats a single decision tree."""
    model = clone(estimator)
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    evaluate(model, split, ctx)


@pytest.mark.experiment(
    replicates=20,
    treatments={"gamma=0.0005": {"gamma": 5e-4}, "gamma=0.001": {"gamma": 1e-3}},
    hypotheses=[more_accurate],
)
def experiment_kernel_width(split, ctx, gamma=5e-5):
    """A support vector machine with too wide a kernel gains from a narrower one."""
    evaluate(SVC(gamma=gamma), split, ctx)


@pytest.mark.experiment(
    replicates=12,
    treatments={"doubled": {"trees": 120}},
    hypotheses=[
        slower_to_fit,
        pytest.param(
            more_accurate,
            marks=pytest.mark.xfail(
                reason="plausible, but not shown: the gain is about 0.2 percentage points, and resplits of "
                "1,797 images can't tell less than about one point from luck; more images would help, "
                "more resplits would not"
            ),
        ),
    ],
)
def experiment_forest_size(split, seed, ctx, trees=60):
    """Twice the trees take longer to fit; that they are more accurate is not supported, and marked so."""
    evaluate(RandomForestClassifier(trees, random_state=seed), split, ctx)
