"""Engines that others have made: searches of scikit-learn on the workers of Dask, and the workers of MPI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import executor_cases
import numpy as np
import pytest
from required_libraries import needs

import fastmlp

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore")]


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


MPI = """
from mpi4py.futures import MPIPoolExecutor

import executor_cases
from fastmlp.population_training import nets_per_task

if __name__ == "__main__":
    nets_per_task.FIRST_SECONDS = nets_per_task.TASK_SECONDS = 1e-9  # tasks of few nets
    nets_per_task.SHORTEST = 0.0
    with MPIPoolExecutor() as executor:
        for name in executor_cases.FITS:
            executor_cases.assert_same_bits(name, executor)
        print(executor.num_workers, "workers gave the bits of one process", flush=True)
"""


def test_workers_of_mpi_give_the_bits_of_one_process(tmp_path):
    needs("mpi4py", extras="mpi")
    beside = Path(sys.executable).with_name("mpiexec")  # of an environment that is not activated
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    assert mpiexec, "mpi4py is there, but not mpiexec, which starts its workers"
    program = tmp_path / "program.py"
    program.write_text(MPI)
    folders = [str(Path(fastmlp.__file__).parents[1]), str(Path(executor_cases.__file__).parent)]
    settings = {  # Open MPI refuses root, and more ranks than processors; other implementations do not read these
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PYTHONPATH": os.pathsep.join(folders),
    }
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(program)]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=600
    )
    assert (done.returncode, done.stdout.strip()) == (0, "2 workers gave the bits of one process"), done.stderr[-3000:]
