"""Parameters that have another name now."""

import pickle

import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots


@pytest.mark.parametrize(
    "make", [lambda **named: fastmlp.Snapshots(**named), lambda **named: fastmlp.LayerRecorder(XOR_X, XOR_Y, **named)]
)
def test_recorders_take_the_former_name_with_a_warning(make):
    with pytest.warns(FutureWarning, match="write max_records") as found:
        recorder = make(most=7)
    assert found[0].filename == __file__
    assert recorder.max_records == make(max_records=7).max_records == 7
    with pytest.warns(FutureWarning, match="write max_records") as found:
        assert recorder.most == 7
    assert found[0].filename == __file__


def test_both_names_are_refused():
    with pytest.raises(TypeError, match="most is the former name of max_records: give max_records alone"):
        fastmlp.Snapshots(max_records=5, most=7)


@pytest.mark.slow
def test_plot_takes_the_former_name_with_a_warning():
    pop = fastmlp.Population((2, 2, 1), 3, loss="binary_cross_entropy", random_state=0)
    with pytest.warns(FutureWarning, match="write max_nets"):
        grid = plots.population(pop, XOR_X, XOR_Y, verdicts=3 * ["x"], most=2, resolution=5)
    assert grid.shape == (1, 2)


def test_a_recorder_pickled_with_the_former_name_goes_on():
    recorder = fastmlp.Snapshots(9)
    recorder.__dict__["most"] = recorder.__dict__.pop("max_records")
    assert pickle.loads(pickle.dumps(recorder)).max_records == 9
