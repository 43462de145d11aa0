"""Unrolled code of tiny nets: when it is loaded or compiled, and which nets have none."""

import numpy as np

from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.execution import thresholds, unrolled_code
from fastmlp.execution.dispatch import choose_nets_variant
from fastmlp.execution.unrolled_code import choose_unrolled, steps_to_unrolled
from fastmlp.execution.work import products
from fastmlp.kernels.formulas.update_rules import CODES
from fastmlp.kernels.structs import HYPER, NO_UPDATE, UNROLLED_ALWAYS, UNROLLED_IF_ON_DISK, UNROLLED_NEVER, TrainConfig

XOR = (2, 2, 1)


def network(sizes, **settings):
    return MLP(sizes, **settings).network


def config(batch_size=4, rule="sgd"):
    code = NO_UPDATE if rule is None else CODES[rule]
    return TrainConfig(batch_size, False, 0, code, np.zeros(len(HYPER)), np.zeros(0), False, np.zeros(0))


CONFIG = config()


def test_unrolled_code_is_compiled_when_it_is_worth_it(monkeypatch):
    """Never before so many steps; a little earlier if another process has compiled it."""
    monkeypatch.setattr(unrolled_code, "_steps_done", {})
    monkeypatch.setattr(thresholds, "LOAD_UNROLLED_AFTER", 100)
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 1000)
    f4, f8 = np.dtype("float32"), np.dtype("float64")
    ask = lambda n, dtype=f4, settings=CONFIG, sizes=XOR: choose_unrolled(network(sizes), dtype, settings, 4, n)
    assert [ask(99), ask(1), ask(900), ask(1)] == [UNROLLED_NEVER] * 2 + [UNROLLED_IF_ON_DISK, UNROLLED_ALWAYS]
    assert ask(1, dtype=f8) == UNROLLED_NEVER, "each dtype has code of its own"
    assert ask(1, settings=config(1)) == UNROLLED_NEVER, "and batches of one sample"
    assert ask(1, settings=config(rule="adam")) == UNROLLED_NEVER, "and each rule"
    assert ask(1, settings=config(3)) == UNROLLED_ALWAYS
    assert steps_to_unrolled(network(XOR), 4) == 1000


def test_nets_without_unrolled_code(monkeypatch):
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    ask = lambda sizes=XOR, settings=CONFIG, n=4: choose_unrolled(network(sizes), np.dtype("f4"), settings, n, 1)
    assert ask() == UNROLLED_ALWAYS
    assert ask((2, 64, 1)) == ask(settings=config(5)) == ask(settings=config(rule=None)) == UNROLLED_NEVER
    assert [ask(n=4096), ask(n=4097)] == [UNROLLED_ALWAYS, UNROLLED_NEVER]
    assert steps_to_unrolled(network((2, 64, 1)), 4) == steps_to_unrolled(network(XOR), 5) == 0


def test_tiny_nets_of_a_population_have_unrolled_code(monkeypatch):
    """On the host, in fits of much work; not with dropout, whose masks the code does not draw."""
    host, gpu = Device("cpu", ""), Device("cuda:0", "")
    unrolled = lambda net, device=host: choose_nets_variant(net, device, 100, False, 10**9).unrolled
    assert unrolled(network(XOR)) == unrolled(network((13, 2, 1), dropout=0.0)) == UNROLLED_ALWAYS
    assert [network(sizes).layout.n_params for sizes in ((2, 9, 1), (3, 8, 1))] == [37, 41]
    assert [unrolled(network(sizes)) for sizes in ((2, 9, 1), (3, 8, 1))] == [UNROLLED_ALWAYS, UNROLLED_NEVER]
    assert unrolled(network(XOR, dropout=0.5)) == unrolled(network(XOR), gpu) == UNROLLED_NEVER
    monkeypatch.setattr(thresholds, "UNROLLED_NETS_UP_TO_PARAMS", 41)
    assert unrolled(network((3, 8, 1))) == UNROLLED_ALWAYS


def test_code_of_nets_is_compiled_when_an_architecture_has_trained_for_seconds(monkeypatch):
    monkeypatch.setattr(unrolled_code, "_nets_work", {})
    net, other = network(XOR), network((2, 9, 1))
    each = products(net, 1) + thresholds.NET_STEP_WORK
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_NETS_FROM", 3000 * each)
    unrolled = lambda net: choose_nets_variant(net, Device("cpu", ""), 10, False, 100).unrolled
    assert [unrolled(net) for _ in range(4)] == [UNROLLED_IF_ON_DISK] * 2 + [UNROLLED_ALWAYS] * 2
    assert unrolled(other) == UNROLLED_IF_ON_DISK
    shortly = choose_nets_variant(net, Device("cpu", ""), 10, False, 100, compiles=False)
    assert shortly.unrolled == UNROLLED_IF_ON_DISK, "in a short fit, however long others have been"
