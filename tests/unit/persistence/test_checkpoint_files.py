"""Files of checkpoints: kept, damaged, missing and foreign ones, and what is refused, with the words."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from resumed_fits import assert_same_fit, train

import fastmlp
from fastmlp.persistence import checkpoint_files
from fastmlp.persistence.checkpoint_files import PREVIOUS, Contents, read, write
from fastmlp.persistence.saved_net import FORMAT

rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)


def make(sizes=(3, 4, 1), **settings):
    return fastmlp.MLP(sizes, **{"loss": "binary_cross_entropy", "device": "cpu", "random_state": 3} | settings)


def stopped(path, n_epochs=4, net=None, data=(X, y), **arguments):
    """A fit that a callback stops."""
    stop = lambda epoch, history: epoch + 1 == n_epochs
    return train(net or make(), data, path, **{"epochs": 10, "callbacks": stop, "every": 2} | arguments)


def a_checkpoint(number):
    return Contents({"l2": "0.1"}, {"seed": 1, "fits": 0}, {"params": np.full(9, number)})


def no_links(*_):
    raise OSError(errno.EPERM, "no hard links")


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_checkpoint_is_read_as_written_and_the_one_before_is_kept(tmp_path, monkeypatch, hard_links):
    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "run.ckpt"
    for number in range(3):
        write(path, "net", a_checkpoint(number))
    for file, number in ((path, 2), (tmp_path / f"run.ckpt{PREVIOUS}", 1)):
        found = read(file, "net")
        assert found[:2] == a_checkpoint(0)[:2]
        np.testing.assert_array_equal(found.state["params"], number)
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", f"run.ckpt{PREVIOUS}"]


def damaged(path, rng):
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_falls_back_to_the_one_before(tmp_path, seed):
    path = tmp_path / "run.ckpt"
    expected = train(make(), (X, y), epochs=10)
    stopped(path)
    damaged(path, np.random.default_rng(seed))
    with pytest.warns(UserWarning, match=r"should be a checkpoint, but it .*goes on from the one before it"):
        found = train(make(), (X, y), path, epochs=10, every=2, resume=True)
    assert_same_fit(found, expected)


@pytest.mark.parametrize("hard_links", [True, False])
def test_several_processes_may_write_one_file(tmp_path, monkeypatch, hard_links):
    """Here threads, each of which writes as a process does that goes on from the same checkpoint."""
    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "run.ckpt"
    stopped(path)
    found = read(path, "net")
    with ThreadPoolExecutor(3) as pool:
        written = [pool.submit(write, path, "net", found) for _ in range(150)]
    for one in written:
        one.result()  # raises what it has raised
    np.testing.assert_array_equal(read(path, "net").state["net.0.params"], found.state["net.0.params"])
    read(tmp_path / f"run.ckpt{PREVIOUS}", "net")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.ckpt", f"run.ckpt{PREVIOUS}"]


def test_the_last_checkpoint_is_kept_again_after_a_failed_one(tmp_path):
    """It and the one before it are then names of the same file."""
    path = tmp_path / "run.ckpt"
    stopped(path)
    found = read(path, "net")
    (tmp_path / f"run.ckpt{PREVIOUS}").unlink()
    os.link(path, tmp_path / f"run.ckpt{PREVIOUS}")
    write(path, "net", found)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.ckpt", f"run.ckpt{PREVIOUS}"]


@pytest.mark.parametrize("content", [b"", b"x" * 1000, None], ids=["empty", "foreign", "missing"])
def test_a_missing_or_foreign_file_falls_back_to_the_one_before(tmp_path, content):
    path = tmp_path / "run.ckpt"
    stopped(path)
    before = read(tmp_path / f"run.ckpt{PREVIOUS}", "net").state["net.0.params"]
    path.unlink() if content is None else path.write_bytes(content)
    interrupt = lambda epoch, history: True
    with pytest.warns(UserWarning, match="goes on from the one before it"):
        train(make(), (X, y), path, epochs=10, resume=True, callbacks=interrupt)
    np.testing.assert_array_equal(read(tmp_path / f"run.ckpt{PREVIOUS}", "net").state["net.0.params"], before)
    assert len(read(path, "net").state["net.0.loss"]) == 3


def test_without_a_readable_file_the_fit_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    stopped(path)
    for file in (path, tmp_path / f"run.ckpt{PREVIOUS}"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"should be a checkpoint, but .*; of the one before it, .*remove both"):
        train(make(), (X, y), path, epochs=10, resume=True)
    (tmp_path / f"run.ckpt{PREVIOUS}").unlink()
    with pytest.raises(ValueError, match="and there is none before it"):
        train(make(), (X, y), path, epochs=10, resume=True)


def test_a_saved_net_is_no_checkpoint_and_a_checkpoint_no_saved_net(tmp_path):
    path = tmp_path / "run.ckpt"
    make().save(path)
    with pytest.raises(ValueError, match=r"it is a saved net, which fastmlp\.load reads"):
        train(make(), (X, y), path, epochs=10, resume=True)
    path.unlink()
    stopped(path)
    with pytest.raises(ValueError, match=r"it is a checkpoint of a fit, which checkpoint=fastmlp\.Checkpoint"):
        fastmlp.load(path)


def test_a_population_does_not_go_on_from_a_net(tmp_path):
    path = tmp_path / "run.ckpt"
    stopped(path)
    (tmp_path / f"run.ckpt{PREVIOUS}").unlink()
    population = fastmlp.Population((3, 4, 1), 20, random_state=3, device="cpu")
    with pytest.raises(ValueError, match="it is a checkpoint of a net, and this is a population"):
        train(population, (X, y), path, epochs=10, resume=True)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    monkeypatch.setattr(checkpoint_files, "FORMAT", FORMAT + 1)
    write(path, "net", a_checkpoint(0))
    with pytest.raises(ValueError, match=rf"wrote it in format {FORMAT + 1}, and this one, .*reads .* up to {FORMAT}"):
        read(path, "net")


def test_a_schedule_that_is_another_function_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    stopped(path, schedule=lambda steps, n: 0.5 ** (steps / n))
    with pytest.raises(ValueError, match="factors of the schedule had other values"):
        train(make(), (X, y), path, epochs=10, resume=True, schedule=lambda steps, n: 0.6 ** (steps / n))
    train(make(), (X, y), path, epochs=10, resume=True, schedule=lambda steps, n: 0.5 ** (steps / n))


def test_a_net_with_a_drawn_seed_goes_on_with_that_of_the_checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"
    fit = {"epochs": 10, "batch_size": 8, "validation_fraction": 0.2}
    first = make(random_state=None)
    stopped(path, net=first, **{**fit})
    expected = train(make(random_state=first.seed), (X, y), **fit)
    assert_same_fit(train(make(random_state=None), (X, y), path, resume=True, **fit), expected)


def test_the_number_of_fits_goes_on(tmp_path):
    """A second fit of a net is another one than the first: so it is when it goes on."""
    nets, path = [make(), make(), make()], tmp_path / "run.ckpt"
    for net in nets[:2]:
        train(net, (X, y), epochs=2, batch_size=8)
    expected = train(nets[0], (X, y), epochs=10, batch_size=8)
    stopped(path, net=nets[1], batch_size=8)
    assert_same_fit(train(nets[2], (X, y), path, epochs=10, batch_size=8, resume=True), expected)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"checkpoint": 3}, ValueError, "checkpoint must be the path of a file, or a fastmlp.Checkpoint, but it is 3"),
        ({"checkpoint": "nowhere/run.ckpt"}, FileNotFoundError, "There is no folder 'nowhere'"),
        ({"checkpoint": "."}, IsADirectoryError, "is a folder"),
    ],
)
def test_wrong_arguments_are_refused_before_training(tmp_path, monkeypatch, arguments, error, words):
    monkeypatch.chdir(tmp_path)
    net = make()
    with pytest.raises(error, match=words):
        net.fit(X, y, epochs=2, **arguments)
    assert net.fits == 0
    assert net.history is None


def test_a_checkpoint_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    expected = train(make(), (X, y), epochs=4)
    parts, count = checkpoint_files.parts_of_file, [0]

    def full(*arguments):
        count[0] += 1
        yield from parts(*arguments)
        if count[0] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_files, "parts_of_file", full)
    with pytest.warns(
        UserWarning, match=r"The checkpoint after epoch 2 is missing, and the fit goes on. .*No space left"
    ):
        found = train(make(), (X, y), path, epochs=4, every=1)
    assert_same_fit(found, expected)
    assert len(read(path, "net").state["net.0.loss"]) == 4
