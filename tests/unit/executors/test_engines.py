"""Engines that others have made: searches of scikit-learn on the workers of Dask."""

import os

import executor_cases
import numpy as np
import pytest

import fastmlp

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_grid_search_of_scikit_learn_on_dask_has_the_same_scores():
    distributed = pytest.importorskip("distributed", reason="joblib sends fits to its workers")
    joblib = pytest.importorskip("joblib", reason="it sends fits to the workers")
    from sklearn.model_selection import GridSearchCV

    def search():
        scoring = {"accuracy": "accuracy", "process": executor_cases.process_number}
        model = fastmlp.MLPClassifier(max_iter=10, random_state=0, device="cpu")
        settings = {"hidden_layer_sizes": [(4,), (8,)], "learning_rate_init": [0.001, 0.1]}
        return GridSearchCV(model, settings, cv=3, scoring=scoring, refit="accuracy")

    X, y = executor_cases.X, executor_cases.Y
    here = search().fit(X, y)
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        there = search().fit(X, y)
    scores, processes = ([f"split{k}_test_{name}" for k in range(3)] for name in ("accuracy", "process"))
    for name in scores:
        np.testing.assert_array_equal(there.cv_results_[name], here.cv_results_[name])
    assert len({score for name in scores for score in here.cv_results_[name]}) > 1, "or all scores would be equal"
    assert os.getpid() not in np.concatenate([there.cv_results_[name] for name in processes])
    np.testing.assert_array_equal(there.best_estimator_.net_.params, here.best_estimator_.net_.params)
