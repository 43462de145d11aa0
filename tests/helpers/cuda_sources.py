"""CUDA sources that the backend generates for rows of the tables: one function for each kind of kernel.

Nothing is compiled or run here, so that the sources can be compiled by any NVRTC. The functions must be called inside
cuda_emulator.installed(), since some of them take device arrays.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
from cuda_cases import OF_LAYERWISE, OF_PASSES

from fastmlp import MLP
from fastmlp.execution.dispatch import NetsFit, choose_gpu_nets_variant
from fastmlp.execution.plan import describe_net
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES
from fastmlp.kernels.structs import Samples

HIDDEN = [row.name for row in ACTIVATIONS if row.hidden]
SWITCHES = ("WEIGHTED", "CLIPPED", "LAYERED", "SHUFFLES", "SCHEDULED", "PENALISED", "VALIDATES")
MANY_OUTPUTS = {1: 35, 4: 130, 6: 70}  # outputs of a case for the families that may have more than a warp has threads
N_CASES = max(len(RULES), len(LOSSES), -(-len(HIDDEN) // 2))


def switches(i):
    """Return the switches of case i. Over all cases, every pair of switches takes all four combinations of values."""
    return {name: bool(bin(i & (k + 1)).count("1") % 2) for k, name in enumerate(SWITCHES)}


def mlp_of(i, sizes, drops, many=None):
    """Return the net of case i.

    many : {case: number of outputs} for some cases
    """
    loss = LOSSES[i % len(LOSSES)]
    outputs = loss.outputs or [row.name for row in ACTIVATIONS if row.name != "softmax"]
    hidden = [HIDDEN[(2 * i + k) % len(HIDDEN)] for k in range(2)]
    few = 2 if loss.name == "softmax_cross_entropy" else 1 + i % 3
    wide = (*sizes, (many or {}).get(i, few))
    return MLP(
        wide,
        hidden_activation=hidden,
        loss=loss.name,
        output_activation=outputs[i % len(outputs)],
        dropout=0.25 if drops and i % 3 == 0 else 0.0,
        device="cpu",
    )


def net_of(i, sizes, drops, many=None):
    """Return (net, metric, dtype) of case i."""
    return describe_net(mlp_of(i, sizes, drops, many).network), i % 4, np.dtype("float64" if i % 4 == 3 else "float32")


@contextmanager
def recording():
    """Context manager: yields a list to which sources are appended instead of being compiled."""
    from fastmlp.kernels.cuda.layers import passes
    from fastmlp.kernels.cuda.population import launch

    found = []

    def compiled(text):
        found.append(text)
        return {"train_nets": None}

    with ExitStack() as patches:
        for module in (passes, launch):
            patches.enter_context(mock.patch.object(module, "compiled", compiled))
        yield found


def small_nets(i, sizes, n_nets, limit):
    from fastmlp.kernels.cuda.build.net_constants import Architecture
    from fastmlp.kernels.cuda.population.launch import Shape, compile_training

    net, metric, dtype = net_of(i, sizes, n_nets == 1)
    n_samples, n_state = 4 if i % 2 else 24, RULES[i % len(RULES)].n_state
    fit = NetsFit(dtype.itemsize, n_state, n_samples, n_samples)
    variant = choose_gpu_nets_variant(mlp_of(i, sizes, n_nets == 1).network, n_nets, fit)
    architecture = Architecture(net, metric, dtype)
    shape = Shape.of_threads() if variant.net_per_thread else Shape.of_blocks(architecture, n_state, 24, limit)
    compile_training(architecture, shape, i % len(RULES), n_samples if variant.unrolled else 0, **switches(i))
    return shape


def in_threads(i):
    """Small nets, one per thread, unless dispatch finds that they do not fit in the registers of a thread."""
    small_nets(i, (2, 2, 2), 1000, 0)


def in_blocks(i):
    assert small_nets(i, (4, 9, 5), 1, 10**6).in_shared


def in_workspace(i):
    assert small_nets(i, (4, 9, 5), 1, 0).workspace


PRECISIONS = ("bfloat16", "exact")  # of case 0 and so on


def in_step(i):
    from fastmlp.kernels.cuda.build.net_constants import Architecture, Operands
    from fastmlp.kernels.cuda.population.batched import compile_module

    net, metric, dtype = net_of(i, (5, 40, 7), True, MANY_OUTPUTS)
    operands, threads = Operands.of(net, dtype, PRECISIONS[i // 2 % 2]), (32, 256)[i % 2]
    compile_module(Architecture(net, metric, dtype), operands, i % len(RULES), threads, **switches(i))


def by_layers(i):
    from fastmlp.kernels.cuda.single_net.layerwise import LayerwiseWorkspace

    net, metric, dtype = net_of(i, (5, 40, 7), True, MANY_OUTPUTS)
    on = switches(i)
    data = Samples(8, np.zeros(40), np.zeros(8), on["WEIGHTED"], np.zeros(8), True, metric)
    work = LayerwiseWorkspace(net, 8, dtype, PRECISIONS[i // 2 % 2])
    work.module(data, i % len(RULES), on["CLIPPED"], on["LAYERED"])


KINDS = {  # function that generates the source of a case -> names of the kernels in the source
    in_threads: {"train_nets"},
    in_blocks: {"train_nets"},
    in_workspace: {"train_nets"},
    in_step: OF_PASSES | {"shuffle", "step_settings", "update", "finish", "swap_slots"},
    by_layers: OF_PASSES | OF_LAYERWISE,
}
