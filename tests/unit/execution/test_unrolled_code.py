"""Unrolled code of tiny nets: when it is loaded or compiled, and which nets have none."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.execution import thresholds, unrolled_code
from fastmlp.execution.dispatch import choose_nets_variant
from fastmlp.execution.unrolled_code import choose_unrolled, unrolled_at_once
from fastmlp.kernels.formulas.update_rules import CODES
from fastmlp.kernels.structs import HYPER, NO_UPDATE, UNROLLED_ALWAYS, UNROLLED_IF_ON_DISK, UNROLLED_NEVER, TrainConfig

XOR, HOST = (2, 2, 1), Device("cpu", "a test")


def network(sizes, **settings):
    return MLP(sizes, **settings).network


def choose(n_steps, dtype="float32", sizes=XOR, batch_size=4, rule="sgd", n_samples=4):
    code = NO_UPDATE if rule is None else CODES[rule]
    config = TrainConfig(batch_size, False, 0, code, np.zeros(len(HYPER)), np.zeros(0), False, np.zeros(0))
    return choose_unrolled(network(sizes), np.dtype(dtype), config, n_samples, n_steps)


@pytest.fixture(autouse=True)
def counted_from_zero(monkeypatch):
    for name in ("_steps_done", "_nets_work"):
        monkeypatch.setattr(unrolled_code, name, {})


def test_unrolled_code_is_compiled_when_it_is_worth_it(monkeypatch):
    """Never before so many steps; a little earlier if another process has compiled it."""
    monkeypatch.setattr(thresholds, "LOAD_UNROLLED_AFTER", 100)
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 1000)
    wanted = [UNROLLED_NEVER] * 2 + [UNROLLED_IF_ON_DISK, UNROLLED_ALWAYS]
    assert [choose(n) for n in (99, 1, 900, 1)] == wanted
    for settings in ({"dtype": "float64"}, {"batch_size": 1}, {"rule": "adam"}):  # each has code of its own
        assert choose(1, **settings) == UNROLLED_NEVER
    assert choose(1, batch_size=3) == UNROLLED_ALWAYS
    with unrolled_at_once():
        assert choose(1, rule="rprop") == UNROLLED_ALWAYS
    assert choose(1, rule="rprop") == UNROLLED_ALWAYS


def test_nets_without_unrolled_code(monkeypatch):
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    assert choose(1) == choose(1, n_samples=4096) == UNROLLED_ALWAYS
    for settings in ({"sizes": (2, 64, 1)}, {"batch_size": 5}, {"rule": None}, {"n_samples": 4097}):
        assert choose(1, **settings) == UNROLLED_NEVER, settings


def test_tiny_nets_of_a_population_have_unrolled_code():
    """On the host, in fits of much work; not with dropout, whose masks the code does not draw."""
    unrolled = lambda net, device=HOST: choose_nets_variant(net, device, 100, False, 10**9).unrolled
    assert [network(sizes).layout.n_params for sizes in ((2, 9, 1), (3, 8, 1))] == [37, 41]
    assert [unrolled(network(sizes)) for sizes in (XOR, (2, 9, 1))] == [UNROLLED_ALWAYS] * 2
    gpu = unrolled(network(XOR), Device("cuda:0", ""))
    assert [unrolled(network((3, 8, 1))), unrolled(network(XOR, dropout=0.5)), gpu] == [UNROLLED_NEVER] * 3


def test_code_of_nets_is_compiled_when_an_architecture_has_trained_for_seconds(monkeypatch):
    net, other = network(XOR), network((2, 9, 1))
    each = net.layout.products + thresholds.NET_STEP_WORK
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_NETS_FROM", 3000 * each)
    unrolled = lambda net, **settings: choose_nets_variant(net, HOST, 10, False, 100, **settings).unrolled
    assert [unrolled(net) for _ in range(4)] == [UNROLLED_IF_ON_DISK] * 2 + [UNROLLED_ALWAYS] * 2
    assert unrolled(other) == UNROLLED_IF_ON_DISK
    assert unrolled(net, compiles=False) == UNROLLED_IF_ON_DISK, "in a short fit, however long others have been"
