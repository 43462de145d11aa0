"""Copies of samples to a GPU: one per fit, however many epochs, calls, restarts and windows it has."""

import pytest
from cuda_cases import Place, shorten_calls, sizes_moved

from fastmlp import MLP, Converged, Population


def crossings(moved, *arrays):
    """Return how often each array was copied to the device, by its size, which no other array has."""
    return [moved.count(array.size) for array in arrays]


@pytest.mark.parametrize("name, precision", [("block", "exact"), ("layers", "exact"), ("layers", "bfloat16")])
def test_samples_of_a_net_are_copied_once(cuda, monkeypatch, name, precision, rng):
    """Training and validation samples of a net are copied once."""
    shorten_calls(monkeypatch)
    place = Place(name, monkeypatch)
    given = [rng.random(shape) for shape in ((53, 3), (53, 2), 53, (31, 3), (31, 2))]
    X, y, weight, X_new, y_new = given
    moved = sizes_moved(cuda, monkeypatch)
    net = MLP((3, 5, 2), device="cuda", precision=precision, random_state=0)
    net.fit(X, y, epochs=4, batch_size=20, sample_weight=weight, validation_data=(X_new, y_new), verbose=0)
    assert crossings(moved, *given) == [1] * 5
    place.check()


@pytest.mark.parametrize("own", [False, True], ids=["shared", "per net"])
@pytest.mark.parametrize(
    "name, n_nets, windows",
    [("thread", 131, 1), ("block", 7, 1), ("block", 7, 7), ("batched", 7, 1), ("batched", 7, 7), ("layers", 7, 0)],
)
def test_samples_of_a_population_are_copied_once(cuda, monkeypatch, name, n_nets, windows, own, rng):
    """Samples are copied once even if memory is too small for all nets at once, and if nets are trained one by one."""
    from fastmlp.kernels.cuda.population import train, window

    shorten_calls(monkeypatch)
    if windows > 1:
        monkeypatch.setattr(train, "SHARE_OF_MEMORY", 1e-9)  # for one
    opened, begin = [], window.Window.__init__
    monkeypatch.setattr(window.Window, "__init__", lambda *given: opened.append(begin(*given)))
    place, several = Place(name, monkeypatch), (n_nets,) if own else ()
    shapes = ((*several, 53, 3), (*several, 53, 2), (*several, 53), (31, 3), (31, 2))
    given = [rng.random(shape) for shape in shapes]
    X, y, weight, X_new, y_new = given
    moved = sizes_moved(cuda, monkeypatch)
    result = Population((3, 2, 2), n_nets, device="cuda", random_state=0).fit(
        X,
        y,
        epochs=9,
        batch_size=20,
        sample_weight=weight,
        validation_data=(X_new, y_new),
        converged=Converged(1e-9, restart_after=3),
        verbose=0,
    )
    assert (result.restarts == 2).all()
    assert len(opened) == 3 * windows
    assert crossings(moved, *given) == [1] * 5
    place.check()
