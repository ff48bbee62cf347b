"""Does standardising the features help? One experiment per estimator, by `parametrize` on a factory.

The estimators are support vector machines, which depend on distances. The parameter of the factory
goes into a step, `fit(estimator=...)`; the step's other parameter, `standardise`, is filled from
the context, which is how the treatment reaches it.
"""

from functools import cache
from time import thread_time
from typing import Any

import numpy as np
import pytest
from sklearn.base import ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, NuSVC

from crystallize import (
    Experiment,
    FrozenContext,
    Hypothesis,
    Treatment,
    data_source,
    pipeline_step,
)

TEST_FRACTION = 0.2

load = cache(load_breast_cancer)


@data_source
def tumours(ctx: FrozenContext) -> tuple[np.ndarray, np.ndarray]:
    return load(return_X_y=True)


@pipeline_step()
def split(data: tuple[np.ndarray, np.ndarray], ctx: FrozenContext) -> list[np.ndarray]:
    features, malignant = data
    return train_test_split(
        features, malignant, test_size=TEST_FRACTION, stratify=malignant, random_state=ctx.seed
    )


@pipeline_step()
def fit(
    data: list[np.ndarray], ctx: FrozenContext, *, estimator: ClassifierMixin, standardise: bool = False
) -> tuple[Any, Any]:
    train, test, train_labels, test_labels = data
    model = clone(estimator).set_params(random_state=ctx.seed)
    if standardise:
        model = make_pipeline(StandardScaler(), model)
    start = thread_time()
    model.fit(train, train_labels)
    ctx.metrics.add("fit_seconds", thread_time() - start, measured=True)
    return model, (test, test_labels)


@pipeline_step()
def score(data: tuple[Any, Any], ctx: FrozenContext) -> tuple[Any, dict[str, float]]:
    model, (test, labels) = data
    return model, {"accuracy": model.score(test, labels)}


@pytest.mark.parametrize("estimator", [SVC(), SVC(kernel="sigmoid"), NuSVC()], ids=["rbf", "sigmoid", "nu"])
def experiment_standardising(estimator: ClassifierMixin) -> Experiment:
    return Experiment(
        name="standardising",
        datasource=tumours,
        pipeline=[split, fit(estimator=estimator), score],
        treatments=[Treatment("standardised", {"standardise": True})],
        hypothesis=Hypothesis(metric="accuracy", direction="increase"),
        replicates=30,
        resampled=TEST_FRACTION,
    )
