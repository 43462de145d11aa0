"""Checkpoints of fits to rows on disk: of nets and populations, and what must be the same for them to go on."""

from types import SimpleNamespace

import numpy as np
import pytest
from interrupted_fits import at_blocks, interrupted_epochs
from resumed_fits import assert_same_fit, killed, resumed, train
from scipy.stats import uniform
from small_blocks import BATCH, Rows, X, Y, cut_calls, use_small_blocks

import fastmlp
from fastmlp import SGD, DivergenceWarning, EarlyStopping
from fastmlp.fit.one_net import OneNet
from fastmlp.persistence.checkpoint_files import read
from fastmlp.runtime import checkpoint_interval
from fastmlp.streams import memory_limit, row_loading, shuffled_blocks

HELD_OUT = X[:20] + 0.1, Y[:20]
LIMIT = 1_000_000
DATA = Rows(), None
SETTINGS = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 3}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    use_small_blocks(monkeypatch)


def make(**settings):
    return fastmlp.MLP((3, 4, 1), **{**SETTINGS, **settings})


def population(n_nets=3, **settings):
    return fastmlp.Population((3, 4, 1), n_nets, **{**SETTINGS, **settings})


def fitted(nets, path=None, data=DATA, **arguments):
    return train(nets, data, path, **{"batch_size": BATCH, "memory_limit": LIMIT, "epochs": 4, **arguments})


# ---- populations


FITS = {
    "one after another": {},
    "own settings": {"optimizer": SGD(np.array([0.1, 0.5, 0.2])), "schedule": "cosine"},
    "stopped early": {"validation_data": (X[:20], 1 - Y[:20]), "early_stopping": EarlyStopping(2)},
}


@pytest.mark.thinned(4)
@pytest.mark.slow
@pytest.mark.parametrize("n_writes", [1, 3, 4])
@pytest.mark.parametrize("fit", FITS)
def test_a_population_goes_on_to_the_same_bits(tmp_path, monkeypatch, fit, n_writes):
    """Killed in the first net and in the second, the last time at its end or, with early stopping, in the third."""
    arguments = {"epochs": 4, "batch_size": BATCH, "memory_limit": LIMIT, **FITS[fit]}
    expected = train(population(), DATA, **arguments)
    found = resumed(population, DATA, tmp_path / "run.ckpt", n_writes, monkeypatch, **arguments)
    assert_same_fit(found, expected)


@pytest.mark.parametrize("call", [5, 40])
def test_an_interrupted_population_goes_on(tmp_path, monkeypatch, call):
    """In the first net, and in the second, whose first epoch begins with call 37."""
    path = tmp_path / "run.ckpt"
    expected = fitted(population())
    with monkeypatch.context() as patches:
        cut_calls(patches, last=call)
        assert fitted(population(), path)[1].interrupted
    assert len(read(path, "population").state.numbers["fits"]) == 1 + (call > 36)
    assert_same_fit(fitted(population(), path, resume=True), expected)


@pytest.mark.slow
def test_a_population_with_drawn_seeds_goes_on_with_those_of_the_checkpoint(tmp_path, monkeypatch):
    """Also nets that had not begun, whose initial parameters another process would draw from other seeds."""
    path, first = tmp_path / "run.ckpt", population(random_state=None)
    start = first.params.copy()
    killed(1, monkeypatch, first, DATA, path, batch_size=BATCH, memory_limit=LIMIT, epochs=4, every=2)
    expected = population(random_state=first.seed)
    np.testing.assert_array_equal(expected.params, start)
    expected = fitted(expected)
    assert_same_fit(fitted(population(random_state=None), path, resume=True), expected)


@pytest.mark.parametrize("every", ["5 min", 1])
def test_a_net_that_diverged_has_the_same_records(tmp_path, monkeypatch, every):
    """Ctrl-C comes in the net after it."""
    path, fit = tmp_path / "run.ckpt", {"optimizer": SGD(np.array([0.01, 4.0, 0.02]))}
    fresh = lambda: population(loss="squared_error", hidden_activation="tanh")
    with pytest.warns(DivergenceWarning):
        expected = fitted(fresh(), **fit)
    n_epochs = expected[1].epochs[1]
    assert 0 < n_epochs < 4
    with interrupted_epochs(4 + n_epochs + 2, monkeypatch), pytest.warns(DivergenceWarning):
        assert fitted(fresh(), path, every=every, **fit)[1].interrupted
    pop = fresh()
    pop.params[:] = 7.0
    with pytest.warns(DivergenceWarning):
        found = fitted(pop, path, resume=True, **fit)
    assert_same_fit(found, expected)


def test_more_epochs_extend_a_finished_population(tmp_path):
    path = tmp_path / "run.ckpt"
    fitted(population(), path)
    assert_same_fit(fitted(population(), path, resume=True, epochs=7), fitted(population(), epochs=7))


def test_a_finished_population_ends_at_once_with_the_same_result(tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    expected = fitted(population(), path, **FITS["stopped early"])
    before = path.read_bytes()
    monkeypatch.setattr(OneNet, "run", None)  # would raise
    assert_same_fit(fitted(population(), path, resume=True, **FITS["stopped early"]), expected)
    assert path.read_bytes() == before


def noted_writes(monkeypatch):
    """Return a list to which the finished epochs of the nets in each checkpoint are appended."""
    written, write = [], fastmlp.persistence.checkpoint_files.write

    def noted(path, kind, checkpoint, keep_previous):
        fits = checkpoint.state.numbers["fits"]
        written.append([len(checkpoint.state.arrays[f"net.{k}.loss"]) for k in fits])
        write(path, kind, checkpoint, keep_previous)

    monkeypatch.setattr(fastmlp.persistence.checkpoint_files, "write", noted)
    return written


@pytest.mark.parametrize(
    "every, expected", [(2, [[2], [3, 1], [3, 3]]), (100, [[3, 3]]), ("5 min", [[3, 3]])], ids=["2", "100", "5 min"]
)
def test_the_interval_counts_the_epochs_of_all_nets(tmp_path, monkeypatch, every, expected):
    """The end of a net is no reason to write: a checkpoint has the states of all nets."""
    written = noted_writes(monkeypatch)
    fitted(population(2), tmp_path / "run.ckpt", every=every, epochs=3)
    assert written == expected


def after_each_epoch(monkeypatch, call):
    """Call a function, without arguments, before each epoch is recorded."""
    at_blocks(monkeypatch, lambda block: call() if block.is_last else None)


def test_a_duration_goes_on_from_net_to_net(tmp_path, monkeypatch):
    """Nets that take less than the interval would otherwise put off the checkpoint to the end."""
    seconds = []
    after_each_epoch(monkeypatch, lambda: seconds.append(1.0))
    monkeypatch.setattr(checkpoint_interval, "time", SimpleNamespace(monotonic=lambda: sum(seconds)))
    written = noted_writes(monkeypatch)
    fitted(population(2), tmp_path / "run.ckpt", every="4 s", epochs=3)
    assert written == [[3, 1], [3, 3]]


@pytest.mark.slow
def test_an_error_leaves_the_states_of_the_nets_before_it(tmp_path, monkeypatch):
    path, calls, expected = tmp_path / "run.ckpt", [], fitted(population())

    def fail():
        calls.append(None)
        if len(calls) == 6:  # in the second net
            raise OSError("no disk")

    with monkeypatch.context() as patches:
        after_each_epoch(patches, fail)
        with pytest.raises(OSError, match="no disk"):
            fitted(population(), path)
    assert [*read(path, "population").state.numbers["fits"]] == ["0"]
    assert_same_fit(fitted(population(), path, resume=True), expected)


# ---- what must be the same


def test_rows_are_written_anew_or_found_in_the_cache(tmp_path):
    pytest.importorskip("pyarrow", reason="CSV is read by pyarrow")
    np.savetxt(tmp_path / "rows.csv", np.column_stack([X, Y]), delimiter=",", header="a,b,c,y", comments="")
    path, data = tmp_path / "run.ckpt", (tmp_path / "rows.csv", "y")
    expected = fitted(make(), data=data)
    stop = {"callbacks": lambda epoch, history: epoch == 1}
    for cache in ({}, {"row_cache": tmp_path / "cache"}):
        fitted(make(), path, data, **stop, **cache)
        assert_same_fit(fitted(make(), path, data, resume=True, **cache), expected)
        path = tmp_path / "other.ckpt"
    assert len([*(tmp_path / "cache").iterdir()]) == 1


OTHER_X = X.copy()
OTHER_X[50, 1] += 1e-6
REFUSED = {
    "random_state": {"net": {"random_state": 4}},
    "l2": {"net": {"l2": 0.1}},
    "memory_limit": {"memory_limit": 2 * LIMIT},
    "number of training samples": {"data": (Rows(X[:69], Y[:69]), None)},
    "training X had other values": {"data": (Rows(OTHER_X), None)},
    "training y had other values": {"data": (Rows(y=1 - Y), None)},
    "number of validation samples": {"validation_data": HELD_OUT},
    "batch_size": {"batch_size": 6},
    "shuffle": {"shuffle": False},
    "optimizer": {"optimizer": "sgd"},
    "learning_rate": {"optimizer": fastmlp.Adam(0.5)},
    "schedule": {"schedule": "cosine"},
    "early_stopping": {"early_stopping": 3},
}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("several", [False, True], ids=["net", "population"])
@pytest.mark.parametrize("name", REFUSED)
def test_another_fit_is_refused_with_the_difference(tmp_path, name, several):
    path, fresh = tmp_path / "run.ckpt", population if several else make
    fitted(fresh(), path)
    arguments = dict(REFUSED[name])
    nets = fresh(**arguments.pop("net", {}))
    before, params = (nets.seed, nets.fits, path.read_bytes()), nets.params.copy()
    with pytest.raises(ValueError, match=rf"is a checkpoint of another fit: .*{name}.*Repeat the fit"):
        fitted(nets, path, resume=True, **arguments)
    assert (nets.seed, nets.fits, path.read_bytes()) == before
    np.testing.assert_array_equal(nets.params, params)


@pytest.mark.parametrize("rates", [[0.1, 0.5], np.array([0.1, 0.5]), uniform(0.1, 0.5)], ids=["list", "array", "drawn"])
def test_an_optimizer_of_several_nets_is_refused_for_one(tmp_path, rates):
    net = make()
    with pytest.raises(ValueError, match="learning_rate holds more than one number, which is for a Population"):
        fitted(net, tmp_path / "run.ckpt", optimizer=SGD(rates))
    assert net.fits == 0
    assert not (tmp_path / "run.ckpt").exists()


def test_an_invalid_optimizer_state_changes_nothing(tmp_path):
    """A net without random_state would otherwise have the seed and the fits of the checkpoint."""
    fitted(make(random_state=None), tmp_path / "run.ckpt")
    net = make(random_state=None)
    before, params = (net.seed, net.fits), net.params.copy()
    with pytest.raises(ValueError, match=r"optimizer_state must be a fastmlp.OptimizerState or None"):
        fitted(net, tmp_path / "run.ckpt", resume=True, optimizer_state="x")
    assert (net.seed, net.fits) == before
    np.testing.assert_array_equal(net.params, params)


def test_pieces_of_other_sizes_are_the_same_rows(tmp_path):
    path = tmp_path / "run.ckpt"
    expected = fitted(make(), epochs=6)
    fitted(make(), path)
    assert_same_fit(fitted(make(), path, (Rows(size=11), None), resume=True, epochs=6), expected)


@pytest.mark.parametrize("make", [make, population])
def test_a_fit_goes_on_with_the_memory_limit_that_it_began_with(tmp_path, monkeypatch, make):
    """By default the limit is a share of the memory that is free, which is another one after a while."""
    path = tmp_path / "run.ckpt"
    expected = fitted(make())
    fitted(make(), path, epochs=2)
    monkeypatch.setattr(memory_limit, "available_bytes", lambda: 10**9)
    assert_same_fit(fitted(make(), path, memory_limit=None, resume=True), expected)


@pytest.mark.parametrize("make", [make, population])
def test_blocks_of_another_version_are_refused(tmp_path, monkeypatch, make):
    """The order of the rows depends on the sizes of blocks, which a version may choose anew at the same limit."""
    path = tmp_path / "run.ckpt"
    fitted(make(), path, epochs=2)
    monkeypatch.setattr(shuffled_blocks, "SHARE", 4e-3)
    nets = make()
    params = nets.params.copy()
    message = r"run.ckpt' was written by another version of fastmlp, whose blocks .* Go on with that version, or"
    with pytest.raises(ValueError, match=message):
        fitted(nets, path, resume=True)
    np.testing.assert_array_equal(nets.params, params)


@pytest.mark.parametrize("make", [make, population])
def test_rows_that_were_in_memory_stay_there(tmp_path, monkeypatch, make):
    path = tmp_path / "run.ckpt"
    monkeypatch.setattr(row_loading, "SHARE_IN_MEMORY", 1e-3)  # of a megabyte, less than the rows take
    expected = fitted(make(), memory_limit="10MB")
    stopped = fitted(make(), path, memory_limit="10MB")
    assert_same_fit(stopped, expected)
    monkeypatch.setattr(memory_limit, "available_bytes", lambda: 2_000_000)
    assert_same_fit(fitted(make(), path, memory_limit=None, resume=True), expected)
    more = Rows(np.tile(X, (2, 1)), np.tile(Y, 2)), None  # which are not loaded before they are refused
    for arguments in ({}, {"memory_limit": None, "data": more}):
        with pytest.raises(ValueError, match=r"here they take more than memory_limit. Raise it"):
            fitted(make(), path, resume=True, **arguments)


@pytest.mark.parametrize("make", [make, population])
def test_rows_on_disk_do_not_go_on_in_memory(tmp_path, make):
    path = tmp_path / "run.ckpt"
    fitted(make(), path)
    message = r"read its rows from disk, .* Pass the same source, with memory_limit=1000000"
    with pytest.raises(ValueError, match=message):
        train(make(), (X, Y), path, batch_size=BATCH, epochs=4, resume=True)


def test_fewer_epochs_than_done_are_refused(tmp_path):
    fitted(make(), tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match=r"has 4 epochs, but epochs=3. Give at least 4"):
        fitted(make(), tmp_path / "run.ckpt", resume=True, epochs=3)


def test_more_epochs_warn_if_the_schedule_depends_on_their_number(tmp_path):
    fitted(make(), tmp_path / "run.ckpt", schedule="cosine")
    with pytest.warns(UserWarning, match="The schedule depends on the number of epochs"):
        fitted(make(), tmp_path / "run.ckpt", schedule="cosine", resume=True, epochs=6)


def test_the_fit_says_where_it_goes_on(tmp_path, capsys):
    for fresh, where in ((make, "after epoch 4 of 6"), (population, "with 0 finished nets of 3")):
        path = tmp_path / fresh.__name__
        fitted(fresh(), path, resume=True, verbose=1)
        assert f"There is no checkpoint {str(path)!r} yet: the fit starts anew." in capsys.readouterr().err
        fitted(fresh(), path, resume=True, epochs=6, verbose=1)
        assert f"The fit goes on {where}, from {str(path)!r}." in capsys.readouterr().err


def test_damage_of_the_last_checkpoint_costs_the_epochs_since_the_one_before(tmp_path):
    path, expected = tmp_path / "run.ckpt", fitted(make())
    fitted(make(), path, every=1, callbacks=lambda epoch, history: epoch == 2)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="goes on from the one before it"):
        found = fitted(make(), path, resume=True)
    assert found[1].epochs_before == 2
    assert_same_fit(found, expected)
