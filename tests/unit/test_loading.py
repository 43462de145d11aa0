"""`fastmlp.load` returns nets, populations and estimators. Their file formats are tested in test_saved_net.py and
estimators/test_serialization.py.
"""

import numpy as np
import pytest

import fastmlp


def test_load_returns_the_class_that_was_saved(tmp_path):
    fastmlp.MLP((2, 3, 1)).save(tmp_path / "net")
    fastmlp.Population((2, 3, 1), 2).save(tmp_path / "nets")
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    fastmlp.TabularMLPRegressor((4,), n_nets=1, max_iter=1).fit(X, y).save(tmp_path / "estimator")
    kinds = {"net": fastmlp.MLP, "nets": fastmlp.Population, "estimator": fastmlp.TabularMLPRegressor}
    for name, kind in kinds.items():
        assert type(fastmlp.load(tmp_path / name)) is kind
        assert type(fastmlp.load(tmp_path / name, device="cpu")) is kind
        assert not hasattr(fastmlp.load(tmp_path / name), "estimator")


def test_loading_a_missing_file_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        fastmlp.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="is a folder; add the name of a file in it"):
        fastmlp.load(tmp_path)
