"""The folder of data sets for experiments: where it is named, and errors for missing files."""

from __future__ import annotations

import numpy as np
import pytest

from fastmlp.commands.experiment_data import arrays, data_folder


def test_data_folder_comes_from_option_or_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    assert data_folder(None) is None
    assert data_folder(tmp_path) == tmp_path
    monkeypatch.setenv("FASTMLP_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path
    with pytest.raises(FileNotFoundError, match="--data must name the folder"):
        data_folder(tmp_path / "nowhere")
    monkeypatch.setenv("FASTMLP_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="FASTMLP_DATA must name the folder"):
        data_folder(None)


def test_arrays_of_a_missing_file_name_the_option(monkeypatch, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2))
    assert arrays(tmp_path, "a.npz", ("x", "y"))["x"].tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match=r"--data must name the folder that has b\.npz"):
        arrays(tmp_path, "b.npz", ("x",))
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"needs b\.npz: name the folder of it with --data or FASTMLP_DATA"):
        arrays(None, "b.npz", ("x",))
