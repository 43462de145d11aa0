"""The cases of bench/gpu/run.py: fastmlp, its competitors and the GPU's limit, verified and then timed in turns.

A row of results: unit, times {name: a number per round}, left_out {name: reason}, pending {competitor that is not timed
yet: its state}, notes {name: text}, limit, target. A case is measured twice: fastmlp alone, then with its competitors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import fastmlp
import fastmlp.execution.dispatch
from gpu import batched_population
from gpu.batched_population import Builders, Competitor, left_out_on_error
from gpu.competitors import builders as single_net_builders
from gpu.launch_modes import graph_note, graph_notes, launch_modes
from gpu.limits import bare_products, bare_products_of_nets, median_time

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], np.float32)
CHECKED_EPOCHS = 20
JAX_EPOCHS = 500  # per run of JAX, whose data stay on the GPU
# Multiply-adds and their like of a net and epoch: bench/log/populations.md#population-target-table.
OPERATIONS_221 = 293
LIMIT = "bare products"
LIMIT_RUNS = 5  # per round: many steps, so that the wait for the last one does not count
FIRST_ROUNDS = 2  # of each competitor by itself, before all take turns
NOT_INTERLEAVED = "each by itself: the time was over before all could take turns"
SaveRow = Callable[[dict[str, Any]], object]
# Largest error of fastmlp's gradient, relative to the CPU's. Rounding switches units whose pre-activation is about 0:
# over 40 seeds, correct gradients of these nets are up to 0.003, 0.011 and 0.06 off.
GRADIENT_TOLERANCES = {"exact": 0.005, "tf32": 0.03, "bfloat16": 0.15}


def discard(row: dict[str, Any]) -> None:
    """Save no row."""


class Timing(NamedTuple):
    """How a case is timed.

    with_competitors : with them, or fastmlp alone
    save_row : called with the row after each addition
    """

    rounds: int
    with_competitors: bool = True
    save_row: SaveRow = discard


def timed(
    fastmlp_forms: dict[str, Competitor],
    builders: Builders,
    timing: Timing,
    limit: float | None = None,
    notes: dict[str, str] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """A row of results, with times in microseconds per unit.

    fastmlp is timed first, alone, so that its times exist whatever happens to the competitors, most of whose time goes
    into compiling; then each competitor when it is ready; then all in turns, which replaces the earlier times. A
    competitor that fails while it is built or warms up is left out; fastmlp must not fail.

    fastmlp_forms : fastmlp's forms, and the limit under the name LIMIT if it is timed
    builders : of the competitors, for a timing with them
    limit : the limit if it is a number; None if it is timed
    """
    rounds, with_competitors, save_row = timing
    builders = builders if with_competitors else {}
    row: dict[str, Any] = {
        **facts,
        "times": {},
        "left_out": {},
        "pending": dict.fromkeys(builders, "not reached"),
        "notes": {**(notes or {}), "rounds": NOT_INTERLEAVED},
    }

    def publish() -> None:
        if limit is None:
            row["limit"] = float(np.median(row["times"][LIMIT]))
        else:
            row["limit"] = limit
        save_row({**row, "times": {name: times for name, times in row["times"].items() if name != LIMIT}})

    for competitor in fastmlp_forms.values():
        warm_up(competitor)
    for row["times"] in interleaved(fastmlp_forms, FIRST_ROUNDS):
        publish()
    competitors = dict(fastmlp_forms)
    for name, make in builders.items():
        row["pending"][name] = "not ready"
        publish()
        with left_out_on_error(name, row["left_out"]):
            competitor = make()
            warm_up(competitor)
            *_, times_so_far = interleaved({name: competitor}, FIRST_ROUNDS)
            row["times"] |= times_so_far
            competitors[name] = competitor
        del row["pending"][name]
        publish()
    for times_so_far in interleaved(competitors, rounds):
        if len(times_so_far["fastmlp"]) >= min(rounds, FIRST_ROUNDS):
            row["times"] = times_so_far
            row["notes"].pop("rounds", None)
            publish()
    row["times"].pop(LIMIT, None)
    return row


def warm_up(competitor: Competitor) -> None:
    """Run a competitor a few times, so that it compiles."""
    run, wait, n, _ = competitor
    median_time(run, wait, max(1, n // 4))


def interleaved(competitors: dict[str, Competitor], rounds: int) -> Iterator[dict[str, list[float]]]:
    """Yield {name: microseconds per unit, a number per round} after each round."""
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, (run, wait, n, units) in competitors.items():
            times[name].append(1e6 * median_time(run, wait, n) / units)
        yield times


def set_up_note(fit: Callable[[int], Any], wait: Callable[[], None], epochs: int) -> dict[str, str]:
    """A note on the set-up of fit(epochs), on the host and for the device, which is part of fastmlp's times."""
    one_epoch, all_epochs = (
        min(median_time(partial(fit, n), wait, 1) for _ in range(repeats)) for n, repeats in ((1, 3), (epochs, 1))
    )
    set_up = max(0.0, (epochs * one_epoch - all_epochs) / max(1, epochs - 1))
    return {"set-up of a fit": f"{1e3 * set_up:.3g} ms, {100 * set_up / all_epochs:.2g} % of a fit of {epochs} epochs"}


def population(cupy: Any, n_nets: int, epochs: int, multiply_adds: float, timing: Timing) -> dict[str, Any]:
    """2-2-1 nets on XOR, SGD on the squared error.

    multiply_adds : the GPU's rate, per second
    """
    pop = fastmlp.Population(
        (2, 2, 1),
        n_nets,
        hidden_activation="sigmoid",
        output_activation="sigmoid",
        loss="squared_error",
        device="cuda",
        random_state=0,
    )
    start, X, y = pop.params.copy(), cupy.asarray(XOR_X), cupy.asarray(XOR_Y)
    fit = lambda n: pop.fit(X, y, epochs=n, optimizer=fastmlp.SGD(1.0), verbose=0)
    fit(CHECKED_EPOCHS)
    check_population("fastmlp", pop.params[:50], start)
    pop.params = start
    wait = synchronizer(cupy)

    def jax() -> Competitor:
        checked = jax_population(start[:50], CHECKED_EPOCHS)
        checked[0]()
        check_population("JAX", checked[2](), start)
        return *jax_population(start, JAX_EPOCHS)[:2], 1, n_nets * JAX_EPOCHS

    return timed(
        {"fastmlp": (lambda: fit(epochs), wait, 1, n_nets * epochs)},
        {"JAX vmap + scan": jax},
        timing,
        1e6 * OPERATIONS_221 / multiply_adds,
        set_up_note(fit, wait, epochs),
        unit="us per net and epoch",
        target="10 times JAX, 30 % of the limit",
    )


def check_population(name: str, reached: np.ndarray, start: np.ndarray) -> None:
    """Raise if the first nets' parameters after CHECKED_EPOCHS are not those of float64 NumPy."""
    P = start[: len(reached)].astype(np.float64)
    for _ in range(CHECKED_EPOCHS):
        W1, b1, W2, b2 = P[:, :4].reshape(-1, 2, 2), P[:, None, 4:6], P[:, 6:8, None], P[:, None, 8:]
        h = 1 / (1 + np.exp(-(XOR_X @ W1 + b1)))
        a = 1 / (1 + np.exp(-(h @ W2 + b2)))
        d = 2 * (a - XOR_Y) * a * (1 - a) / 4
        dh = d @ W2.transpose(0, 2, 1) * h * (1 - h)
        gradients = [XOR_X.T @ dh, dh.sum(1), h.transpose(0, 2, 1) @ d, d.sum(1)]
        P = P - np.concatenate([g.reshape(len(P), -1) for g in gradients], axis=1)
    np.testing.assert_allclose(reached, P, rtol=1e-3, atol=1e-4, err_msg=name)


def jax_population(start: np.ndarray, epochs: int, on_any_device: bool = False) -> tuple[Callable, Callable, Callable]:
    """(run, wait, parameters after the last run) of JAX.

    on_any_device : do not insist on a GPU
    """
    import jax
    import jax.numpy as jnp

    assert on_any_device or jax.default_backend() != "cpu", "it finds no GPU"
    jax.config.update("jax_default_matmul_precision", "highest")  # TF32 would not train the same nets
    X, Y = jnp.array(XOR_X), jnp.array(XOR_Y)

    def loss(p):
        h = jax.nn.sigmoid(X @ p[:4].reshape(2, 2) + p[4:6])
        return ((jax.nn.sigmoid(h @ p[6:8].reshape(2, 1) + p[8]) - Y) ** 2).mean()

    def train(p):
        return jax.lax.scan(lambda q, _: (q - jax.grad(loss)(q), None), p, None, length=epochs)[0]

    run, params, last = jax.jit(jax.vmap(train)), jnp.array(start), []
    last.append(run(params))
    return lambda: last.__setitem__(0, run(params)), lambda: last[0].block_until_ready(), lambda: np.asarray(last[0])


def nets_in_steps(
    cupy: Any,
    sizes: tuple[int, ...],
    n_nets: int,
    batch: int,
    n_batches: int,
    epochs: int,
    precision: str,
    timing: Timing,
) -> dict[str, Any]:
    """A population of mid-sized nets that take each step together; the limit is the bare products of the step."""
    fastmlp_forms, builders, notes, fit = batched_population.make_competitors(
        cupy, sizes, n_nets, batch, n_batches, epochs, precision
    )
    wait, products = synchronizer(cupy), bare_products_of_nets(cupy, sizes, n_nets, batch, precision)
    fastmlp_forms[LIMIT], limit_notes = limit_competitor(products, wait)
    notes |= limit_notes | set_up_note(fit, wait, epochs)
    unit, target = "us per step of all nets", "ahead of PyTorch and JAX"
    return timed(fastmlp_forms, builders, timing, notes=notes, unit=unit, target=target)


def limit_competitor(
    products: tuple[Callable[[], None], int], wait: Callable[[], None]
) -> tuple[Competitor, dict[str, str]]:
    """The limit as a competitor, and a note on whether its steps are replayed as a graph.

    products : (run, steps of a run)
    """
    run, n_steps = products
    return (run, wait, LIMIT_RUNS, n_steps), {f"graphs of {LIMIT}": graph_note(run)}


def synchronizer(cupy: Any) -> Callable[[], None]:
    return cupy.cuda.get_current_stream().synchronize


def single(
    cupy: Any,
    sizes: tuple[int, ...],
    batch: int,
    n_batches: int,
    epochs: int,
    precision: str,
    target: str,
    timing: Timing,
) -> dict[str, Any]:
    """One ReLU net with softmax cross-entropy and Adam; the limit is the bare products of its step.

    epochs : of one fit of fastmlp, enough to make its set-up, such as recording graphs, a small part of it
    """
    rng = np.random.default_rng(0)
    n = batch * n_batches
    X = rng.normal(size=(n, sizes[0])).astype(np.float32)
    y = rng.integers(sizes[-1], size=n)
    make = lambda device, kind: fastmlp.MLP(
        sizes, loss="softmax_cross_entropy", device=device, precision=kind, random_state=0
    )
    net, exact = make("cuda", precision), make("cpu", "exact")
    ours, reference = net.loss_and_gradient(X[:256], y[:256]), exact.loss_and_gradient(X[:256], y[:256])
    deviation = np.linalg.norm(ours[1] - reference[1]) / np.linalg.norm(reference[1])
    assert deviation < GRADIENT_TOLERANCES[precision], f"the gradient is off by {deviation:.2g}"
    wait, Xd, yd = synchronizer(cupy), cupy.asarray(X), cupy.asarray(y)
    fit = lambda n: net.fit(Xd, yd, epochs=n, batch_size=batch, optimizer="adam", verbose=0)
    launchers = launch_modes(
        fit,
        epochs,
        fastmlp.execution.dispatch.choose_training(net.network, net.device, net.dtype, batch, precision).family,
    )
    notes = graph_notes(launchers) | set_up_note(fit, wait, epochs)
    competitors: dict[str, Competitor] = {
        name: (run, wait, 1, n_epochs * n_batches) for name, (run, n_epochs) in launchers.items()
    }
    competitors[LIMIT], limit_notes = limit_competitor(bare_products(cupy, sizes, batch, precision), wait)
    notes |= limit_notes
    builders = single_net_builders(sizes, exact.params, X, y, batch, precision) if timing.with_competitors else {}
    return timed(competitors, builders, timing, notes=notes, unit="us per step", target=target)


LARGE, DIGITS, MANY = (784, 512, 512, 10), (64, 64, 32, 10), (64, 128, 64, 10)
DEFAULT = (64, 100, 10)  # scikit-learn's default net, and its batch size, on digits
# Layer sizes, batch size, batches, epochs, precision, target. The epochs last for some 0.2 s on a recent GPU; a note in
# the row states the set-up of a fit, which takes milliseconds.
SINGLES: dict[str, tuple] = {
    "784-512-512-10, batch 1024": (LARGE, 1024, 50, 40, "exact", "products are 85 % of a step"),
    "64-64-32-10, batch 32": (DIGITS, 32, 45, 200, "exact", "20 us"),
    "64-100-10, batch 200": (DEFAULT, 200, 9, 400, "exact", "ahead of PyTorch captured and JAX"),
    "784-512-512-10, batch 1024, tf32": (LARGE, 1024, 50, 80, "tf32", "ahead of PyTorch compiled and JAX"),
    "784-512-512-10, batch 1024, bfloat16": (LARGE, 1024, 50, 80, "bfloat16", "ahead of PyTorch compiled and JAX"),
}
# The same of populations: layer sizes, number of nets, batch size, batches, epochs, precision.
POPULATIONS: dict[str, tuple] = {
    "population 64-128-64-10, batch 32": (MANY, 1000, 32, 45, 30, "exact"),
    "population 64-128-64-10, batch 32, bfloat16": (MANY, 1000, 32, 45, 30, "bfloat16"),
    "5 nets 64-100-10, batch 5000": (DEFAULT, 5, 5000, 4, 400, "exact"),
}
QUICK_NETS = 200


def case_builders(
    cupy: Any,
    quick: bool,
    multiply_adds: float = float("nan"),
    with_competitors: bool = True,
    save_row: SaveRow = discard,
) -> dict[str, Callable[[], dict[str, Any]]]:
    """{name: function that measures this case}, the most important case first."""
    timing = Timing(3 if quick else 7, with_competitors, save_row)
    nets = lambda sizes, n, *job: nets_in_steps(cupy, sizes, min(n, QUICK_NETS) if quick else n, *job, timing)
    return {
        "population 2-2-1, XOR": partial(population, cupy, 10**5 if quick else 10**6, 20_000, multiply_adds, timing),
        **{name: partial(single, cupy, *job, timing) for name, job in SINGLES.items()},
        **{name: partial(nets, *job) for name, job in POPULATIONS.items()},
    }


def joined(alone: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    """A case's row: of the run with its competitors, or of fastmlp alone where that has timed none of them."""
    if "error" in alone:
        return beside
    if "error" not in beside and beside["times"].keys() - alone["times"].keys():
        return beside
    why = beside["error"] if "error" in beside else beside["notes"].get("ended early")
    notes = alone["notes"] | ({"competitors": why} if why else {})
    return {**alone, "notes": notes, "left_out": beside.get("left_out", {})}
