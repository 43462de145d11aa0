"""A fit in two parts, whatever ended the first one, has the bits of a whole fit: of each kind, with each option."""

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS
from fit_kinds import ALL, EPOCHS, HELD_OUT, KINDS, OPTIONS, WEIGHTS, cut_calls, fit, make, spoilt, whole
from kernel_clock import KernelClock
from kernel_families import FAMILIES, rows_for, use
from resumed_fits import Killed, assert_extended_fit, assert_same_fit, kill_after_writes
from small_blocks import BATCH, N, Rows

from fastmlp import SGD, Converged, DivergenceWarning, EarlyStopping, OptimizerState, Population
from fastmlp.execution import thresholds
from fastmlp.kernels.cpu import backend
from fastmlp.persistence.checkpoint_files import read

pytestmark = [
    pytest.mark.usefixtures("small_parts"),
    pytest.mark.filterwarnings("ignore:The time of the fit was over"),
    pytest.mark.filterwarnings("ignore::fastmlp.DivergenceWarning"),
]
FULL_BATCHES = "full batches", "quasi-Newton"
SHORT = 5  # epochs
LONGER = [  # attempts of nets on workers are not kept when they end
    (kind, option)
    for kind, option in ALL
    if OPTIONS[option].longer and not ("on workers" in kind and option == "restarts")
]


def kill(n_writes, monkeypatch, *case, **more):
    """Fit until the n-th checkpoint is written."""
    with monkeypatch.context() as patches:
        kill_after_writes(n_writes, patches)
        with pytest.raises(Killed):
            fit(*case, **more)


def interrupt(n_calls, monkeypatch, *case, **more):
    """Fit until Ctrl-C comes after the n-th kernel call, each of one step."""
    with monkeypatch.context() as patches:
        cut_calls(patches, last=n_calls)
        assert np.any(np.asarray(fit(*case, **more)[1].stopped_by) == "interrupt")


def assert_same(found, expected, extended=False):
    """Assert that two fits have the same bits, but for last finite parameters, which depend on where calls end."""
    if isinstance(found[0], Population):
        diverged = expected[1].stopped_by == "divergence"
        found[0].params[diverged] = expected[0].params[diverged]
    (assert_extended_fit if extended and isinstance(found[0], Population) else assert_same_fit)(found, expected)


def assert_goes_on(kind, option, path, expected, extended=False, **more):
    """Assert that nets with other parameters end with the bits of a whole fit if they go on from the file."""
    assert_same(fit(kind, option, path, spoilt(kind, option), resume=True, **more), expected, extended)


@pytest.mark.parametrize("kind, option", ALL)
def test_a_fit_that_is_killed_twice_goes_on_to_the_same_bits(kind, option, tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    kill(1, monkeypatch, kind, option, path, every=1)
    kill(2, monkeypatch, kind, option, path, make(kind, option), every=2, resume=True)
    assert_goes_on(kind, option, path, whole(kind, option), every=3)


@pytest.mark.parametrize("kind, option", ALL)
def test_an_interrupted_fit_goes_on_to_the_same_bits(kind, option, tmp_path, monkeypatch):
    """Ctrl-C comes within the second epoch of a net, or after the fifth of nets in lanes."""
    path = tmp_path / "run.ckpt"
    interrupt(5 if KINDS[kind].lanes or option in FULL_BATCHES else 14, monkeypatch, kind, option, path)
    assert_goes_on(kind, option, path, whole(kind, option))


@pytest.mark.parametrize("kind, option", ALL)
def test_the_same_call_goes_on_after_a_time_limit(kind, option, tmp_path, monkeypatch):
    """The limit is the time of a call, and that of nets one by one holds one net with all its attempts."""
    expected = whole(kind, option)
    n_steps = 1 if option in FULL_BATCHES else 9
    KernelClock(monkeypatch, step=0.18 / n_steps, epoch_of_nets=0.1)
    path, limit, reasons = tmp_path / "run.ckpt", 2.5 if KINDS[kind].n_nets else 0.9, []
    while not reasons or "time_limit" in reasons[-1]:
        found = fit(kind, option, path, make(kind, option), resume=True, time_limit=limit)
        reasons.append(np.atleast_1d(found[1].stopped_by))
        assert len(reasons) < 20
    assert_same(found, expected)
    if np.sum(expected[1].epochs) == EPOCHS * (KINDS[kind].n_nets or 1):
        assert len(reasons) > 1, "no rule has shortened the fit, and the limit has not either"


@pytest.mark.parametrize("kind, option", LONGER)
def test_more_epochs_extend_a_fit(kind, option, tmp_path, monkeypatch):
    """One that has finished, and one that was killed."""
    fit(kind, option, tmp_path / "finished.ckpt", epochs=SHORT)
    assert_goes_on(kind, option, tmp_path / "finished.ckpt", whole(kind, option), extended=True)
    kill(2, monkeypatch, kind, option, tmp_path / "killed.ckpt", every=1, epochs=SHORT)
    assert_goes_on(kind, option, tmp_path / "killed.ckpt", whole(kind, option), extended=True)


@pytest.mark.parametrize("kind, option", ALL)
def test_checkpoints_change_no_bit_and_a_finished_fit_ends_at_once(kind, option, tmp_path, monkeypatch):
    def trains(*_):
        raise AssertionError("a step was trained")

    path = tmp_path / "run.ckpt"
    every = 1 if option == "early stopping by accuracy" else 5  # steps since the last one, up to the best, are repeated
    assert_same(fit(kind, option, path, every=every), whole(kind, option))
    for name in ("train", "train_nets"):
        monkeypatch.setattr(backend, name, trains)
    assert_goes_on(kind, option, path, whole(kind, option))


@pytest.mark.parametrize("kind", ["net", "nets in lanes"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_same_bits(optimizer, kind, tmp_path, monkeypatch):
    path, given = tmp_path / "run.ckpt", {"optimizer": OPTIMIZERS[optimizer]}
    expected = fit(kind, **given)
    kill(2, monkeypatch, kind, path=path, every=1, epochs=SHORT, **given)
    assert_goes_on(kind, "plain", path, expected, extended=True, **given)


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_goes_on_to_the_same_bits(family, kind, tmp_path, monkeypatch):
    """With threads, each of them has scalars of the fit."""
    use(family, monkeypatch)
    given = {"batch_size": rows_for(family, BATCH), "validation_data": HELD_OUT, "early_stopping": 5}
    given |= {"sample_weight": WEIGHTS, "epochs": 6}
    expected, path = fit(kind, **given), tmp_path / "run.ckpt"
    interrupt(10, monkeypatch, kind, "plain", path, **given)
    assert_goes_on(kind, "plain", path, expected, **given)


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
@pytest.mark.parametrize("option", ["plain", "early stopping by accuracy"])
def test_ctrl_c_after_any_step_goes_on_to_the_same_bits(option, kind, tmp_path, monkeypatch):
    """Within a block of rows and at its end, within an epoch and at its end."""
    expected, given = whole(kind, option, 3), {"epochs": 3, "callbacks": lambda epoch, history: None}
    for n_calls in range(1, 20):
        path = tmp_path / f"{n_calls}.ckpt"
        interrupt(n_calls, monkeypatch, kind, option, path, **given)
        assert_goes_on(kind, option, path, expected, **given)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
@pytest.mark.parametrize(
    "kind, family",
    [
        ("net", "layerwise"),
        ("net", "layerwise_data_parallel"),
        ("net", "batch_simd_data_parallel"),
        ("net, rows on disk", "batch_simd_data_parallel"),
        ("nets in lanes", None),
        ("nets one by one", None),
    ],
)
@pytest.mark.parametrize("given", [{}, {"early_stopping": EarlyStopping(8, "loss", 10.0)}], ids=["plain", "stopped"])
def test_another_number_of_threads_goes_on_to_the_same_bits(
    given, kind, family, before, after, tmp_path, monkeypatch, threads
):
    """Early stopping returns to the first epoch, which is trained again from the state before it."""
    path, given = tmp_path / "run.ckpt", given | {"batch_size": 24, "epochs": 30}
    if family:
        use(family, monkeypatch)
    expected = fit(kind, **given)

    def use_threads(n):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n))
        if family:
            threads(n)

    use_threads(before)
    kill(2, monkeypatch, kind, path=path, every=2, **given)
    use_threads(after)
    assert_goes_on(kind, "plain", path, expected, **given)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["net", "nets in lanes"])
def test_unrolled_code_and_loops_go_on_with_each_others_states(kind, tmp_path, monkeypatch):
    given, path = {"batch_size": 4, "epochs": 20}, tmp_path / "run.ckpt"
    expected = fit(kind, **given)
    for after, resume in ((0, False), (10**12, True), (0, True)):
        monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", after)
        kill(2, monkeypatch, kind, path=path, every=2, resume=resume, **given)
    assert_goes_on(kind, "plain", path, expected, **given)


HERE = ["nets in lanes", "nets one by one", "nets, rows on disk"]
ON_WORKERS = [kind for kind in KINDS if "on workers" in kind]


@pytest.mark.parametrize("option", ["plain", "early stopping by accuracy", "restarts"])
@pytest.mark.parametrize("here, there", [*zip(HERE, ON_WORKERS, strict=True)])
def test_a_fit_goes_on_with_an_executor_and_without(here, there, option, tmp_path, monkeypatch):
    for first, second in ((here, there), (there, here)):
        path = tmp_path / f"{second}.ckpt"
        kill(2, monkeypatch, first, option, path, every=1)
        assert_goes_on(second, option, path, whole(here, option))


@pytest.mark.parametrize("kind", ["nets in lanes", "nets one by one"])
@pytest.mark.parametrize("short", [4, 6, 8, 10])
def test_attempts_go_on_and_others_follow(short, kind, tmp_path, recwarn):
    """With restarts after 4 epochs, the last attempt was cut short or not. Each attempt has the whole schedule."""
    given = {"converged": Converged(1e-9, restart_after=4), "schedule": None if short % 4 else "cosine"}
    fit(kind, path=tmp_path / "run.ckpt", epochs=short, **given)
    expected = fit(kind, **given)
    assert (expected[1].restarts == 2).all()
    assert_goes_on(kind, "plain", tmp_path / "run.ckpt", expected, extended=True, **given)
    assert not recwarn


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
def test_callbacks_are_called_once_for_each_epoch_and_what_they_change_stays(kind, tmp_path):
    path, seen = tmp_path / "run.ckpt", []

    def call(epoch, history):
        seen.append((epoch, len(history.loss)))
        history.net.params[:] *= 0.5
        return len(seen) in (2, 5)

    for reason in ("callback", "callback", "epochs"):
        found = fit(kind, path=path, callbacks=call, resume=True)
        assert found[1].stopped_by == reason
    assert seen == [(epoch, epoch + 1) for epoch in range(EPOCHS)]
    assert_same_fit(found, fit(kind, callbacks=lambda epoch, history: history.net.params.__imul__(0.5) is None))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].lanes])
def test_optimizer_state_of_the_user_goes_on(kind, tmp_path):
    """The last call ends at once."""
    states = [OptimizerState() for _ in range(3)]
    fit(kind, path=tmp_path / "run.ckpt", epochs=SHORT, optimizer_state=OptimizerState())
    for state in states[1:]:
        fit(kind, path=tmp_path / "run.ckpt", resume=True, optimizer_state=state)
    fit(kind, optimizer_state=states[0])
    parts = [state.nets or [state] for state in states]
    for expected, *found in zip(*parts, strict=True):
        for other in found:
            np.testing.assert_array_equal(other.array, expected.array)
            np.testing.assert_array_equal(other.scalars, expected.scalars)


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
def test_a_diverged_fit_leaves_the_last_finite_state(kind, tmp_path):
    """The steps of two epochs are good ones, and the next one overflows."""
    per_epoch, path = -(-N // BATCH), tmp_path / "run.ckpt"
    with pytest.warns(DivergenceWarning):
        history = fit(
            kind,
            path=path,
            every=1,
            optimizer=SGD(0.1),
            schedule=lambda step, n: np.where(step < 2 * per_epoch, 1.0, 1e60),
        )[1]
    assert history.stopped_by == "divergence"
    net, _ = fit(kind, epochs=2, optimizer=SGD(0.1))
    found = read(path, "net").state["net.0.params"]
    np.testing.assert_array_equal(found[: net.params.size], net.params)


@pytest.mark.parametrize("kind", HERE)
def test_a_population_with_drawn_seeds_goes_on_with_those_of_the_checkpoint(kind, tmp_path, monkeypatch):
    """Also nets that had not begun, whose initial parameters another process would draw from other seeds."""
    path, first = tmp_path / "run.ckpt", make(kind, random_state=None)
    expected = make(kind, random_state=first.seed)
    np.testing.assert_array_equal(expected.params, first.params)
    kill(1, monkeypatch, kind, "plain", path, first, every=2)
    found = fit(kind, "plain", path, make(kind, random_state=None), resume=True)
    assert_same_fit(found, fit(kind, nets=expected))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].n_nets and not KINDS[kind].lanes])
def test_an_error_leaves_the_nets_before_it(kind, tmp_path):
    path, expected = tmp_path / "run.ckpt", whole(kind)

    def fail(epoch, history):
        if (history.net_number, epoch) == (1, 3):
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        fit(kind, path=path, callbacks=fail)
    trained = []
    note = lambda epoch, history: trained.append(history.net_number)
    assert_same_fit(fit(kind, "plain", path, spoilt(kind), resume=True, callbacks=note), expected)
    assert 0 not in trained
    assert 1 in trained


@pytest.mark.parametrize(
    "kind, every, n_written",
    [
        ("net", 2, 6),
        ("net", 100, 1),
        ("nets one by one", 5, 7),
        ("nets one by one", "5 min", 1),
        ("nets in lanes on workers", 1, 4),
        ("nets in lanes on workers", 13, 2),
        ("nets in lanes on workers", 1000, 1),
    ],
)
def test_the_interval_counts_the_epochs_of_all_nets(kind, every, n_written, tmp_path, monkeypatch):
    """The end of a net is no reason to write, and the last write is at the end of the fit."""
    kill(n_written, monkeypatch, kind, "plain", tmp_path / "killed.ckpt", every=every)
    kill_after_writes(n_written + 1, monkeypatch)
    fit(kind, "plain", tmp_path / "run.ckpt", every=every)


@pytest.mark.parametrize("kind", ["net", "nets, rows on disk"])
def test_the_fit_says_where_it_goes_on(kind, tmp_path, capsys):
    path = tmp_path / "run.ckpt"
    fit(kind, path=path, resume=True, epochs=4, verbose=1)
    assert f"There is no checkpoint {str(path)!r} yet: the fit starts anew." in capsys.readouterr().err
    fit(kind, path=path, resume=True, epochs=6, verbose=1)
    where = "with 0 finished nets of 3" if KINDS[kind].n_nets else "after epoch 4 of 6"
    assert f"The fit goes on {where}, from {str(path)!r}." in capsys.readouterr().err


def test_pieces_of_other_sizes_are_the_same_rows(tmp_path):
    kind, path = "net, rows on disk", tmp_path / "run.ckpt"
    fit(kind, path=path, epochs=SHORT)
    assert_goes_on(kind, "plain", path, whole(kind), data=(Rows(size=11), None))
