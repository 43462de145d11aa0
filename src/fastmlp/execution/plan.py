"""Plan of a fit or a prediction: the chosen kernel family, the net as kernels see it, and every buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..devices import Device, backend
from ..kernels import structs
from ..kernels.formulas.activations import ACTIVATIONS
from ..kernels.formulas.losses import SOFTMAX_CROSS_ENTROPY
from ..kernels.formulas.update_rules import Rule
from ..kernels.structs import Choice, KernelVariant, NetSpec, Samples, TrainConfig, TrainState
from ..network.spec import Network
from . import dispatch
from .buffer_cache import buffers
from .unrolled_code import choose_unrolled


@lru_cache(maxsize=64)
def describe_net(network: Network) -> NetSpec:
    """Return the network as kernels see it: codes, sizes and offsets."""
    rows = [ACTIVATIONS[code] for code in network.activation_codes]
    needs_z = [row.needs_z for row in rows]
    low, high = network.output_row.low, network.output_row.high
    finite = np.isfinite([low, high]).all()
    return NetSpec(
        n_layers=network.layout.n_layers,
        n_padded=network.layout.n_padded,
        sizes=np.array(network.layer_sizes, np.int64),
        activations=np.array(network.activation_codes, np.int64),
        weight_offsets=np.array(network.layout.weight_offsets, np.int64),
        bias_offsets=np.array(network.layout.bias_offsets, np.int64),
        keep_z=np.array([*needs_z[:-1], True], np.int64),
        derivative_needs_z=np.array(needs_z, np.int64),
        dropout=np.array([*network.dropout, 0.0], np.float64),
        loss=network.loss,
        loss_constant=network.loss_constant,
        delta_is_wrt_logit=network.loss_row.delta_is_wrt_logit,
        loss_width=1 if network.loss == SOFTMAX_CROSS_ENTROPY else network.n_outputs,
        class_threshold=(low + high) / 2 if finite else 0.5,
        margin=0.0,  # set where a convergence rule has one
        l2=network.l2,
    )


def _forget_samples(work: Any) -> None:
    """Mark the samples in the buffers as missing: they would be taken for those of the next net."""
    if hasattr(work, "filled"):
        work.filled[:] = -1


class PopulationPlan(NamedTuple):
    """How a population is trained or evaluated: with which nets and data, and as dispatch has chosen."""

    network: Network
    device: Device
    backend: ModuleType
    dtype: np.dtype
    choice: Choice  # its rows are samples per step, or that an evaluation takes through a net at a time
    n_samples: int
    metric: int  # one of METRIC_*
    rule: Rule | None = None  # None for an evaluation
    shuffle: bool = False
    precision: str = "exact"

    @contextmanager
    def begin(self, net: NetSpec) -> Iterator[tuple[Any, Any]]:
        """Context with the plan's device as the current one: (thread team, PopulationRun with the buffers).

        On the host the PopulationRun is the last one on this thread, if its shapes were the same.
        """
        use, choice = "a population" if self.rule else "a population's evaluation", self.choice
        shapes = self.network, self.dtype, choice.rows, self.n_samples if self.shuffle else 0
        # All that the buffers depend on, except for the number of threads, for which `run.begin` makes room.
        key = *shapes, self.device, choice.family, choice.variant, self.rule, self.metric
        with self.device.on(), buffers.borrow_team(self.backend, choice.n_threads) as team:
            run = buffers.acquire(use, key)
            if run is not None:
                run.begin(choice.n_threads)
            else:
                codes = self.network.loss, self.metric
                fit = self.network.layout.n_params, self.n_samples, self.shuffle, self.rule, codes
                run = self.backend.PopulationRun(choice, net, *fit, self.dtype, self.precision)
            try:
                yield team, run
            finally:
                if self.device.is_host:
                    buffers.release(use, key, run, run.n_bytes)


@dataclass(frozen=True)
class Plan:
    """What is chosen for a fit or an evaluation of one net, and its buffers, which live as long as the plan.

    A class method acquires a plan from the buffer cache or makes it, and `release` returns it to the cache.
    """

    network: Network
    device: Device
    backend: ModuleType
    dtype: np.dtype
    choice: Choice
    net: NetSpec
    work: Any
    use: str = ""  # in the buffer cache
    key: tuple = ()  # by which the cache finds it
    scratch: dict[str, Any] = field(default_factory=dict)  # buffers besides work, by name, and the team of evaluations

    @classmethod
    def for_training(
        cls,
        network: Network,
        device: Device,
        dtype: np.dtype,
        n_samples: int,
        batch_size: int,
        shuffle: bool,
        n_threads: int | None = None,
        precision: str = "exact",
    ) -> Plan:
        """Return a plan for training: the last one on this thread, with all its buffers, if its key is the same.

        n_samples : number of training samples; batch_size : samples per step
        n_threads : number of threads that the caller wants; None for as many as pay
        """
        choice = dispatch.choose_training(network, device, dtype, batch_size, precision, n_threads)
        assert choice.family != "batch_simd_4" or batch_size <= 4, "its kernels would leave out samples"
        key = network, device, dtype, choice, batch_size, shuffle and n_samples, precision
        plan = buffers.acquire("a net", key)
        if plan is not None:
            _forget_samples(plan.work)
            return plan
        net, module = describe_net(network), backend(device)
        work = module.make_workspace(choice, net, n_samples, shuffle, dtype, precision)
        return cls(network, device, module, dtype, choice, net, work, "a net", key)

    @classmethod
    def for_evaluation(
        cls,
        network: Network,
        device: Device,
        dtype: np.dtype,
        n_samples: int,
        n_threads: int | None = None,
        precision: str = "exact",
    ) -> Plan:
        """Return a plan for evaluation: the last one on this thread, if it is for such a net and number of samples.

        For another net, or other samples, kernel family and threads are chosen anew, and buffers for them reused.

        n_samples : number of samples; n_threads : as of for_training
        """
        key = network, device, dtype, precision, n_threads
        last = buffers.acquire("an evaluation", key) if device.is_host else None
        is_same_net = last is not None and last.network is network and n_threads is None
        if last is not None and is_same_net and last.choice.rows_of_thread == n_samples:
            return last
        precision = dispatch.evaluation_precision(network, device, dtype, precision)
        choice = dispatch.choose_evaluation(network, device, n_samples, n_threads)
        if last is not None and last.choice == choice:
            return last
        net, module = describe_net(network), backend(device)
        work = module.make_workspace(choice, net, n_samples, False, dtype, precision)
        return cls(network, device, module, dtype, choice, net, work, "an evaluation", key)

    def release(self) -> None:
        """Release the plan, with all its buffers, to the next fit or evaluation on this thread; this one is over."""
        if not self.device.is_host:
            return
        n_bytes = lambda: sum(x.nbytes for x in (*self.work, *self.scratch.values()) if isinstance(x, np.ndarray))
        buffers.release(self.use, self.key, self, self.get_or_make("bytes", n_bytes))

    def with_net(self, net: NetSpec) -> Plan:
        """Return this plan for another net of the same sizes; the two share all buffers."""
        _forget_samples(self.work)
        return replace(self, net=net)

    def get_or_make(self, use: str, make: Callable[[], Any]) -> Any:
        """Return the buffer stored under this name, creating it on first use."""
        if use not in self.scratch:
            self.scratch[use] = make()
        return self.scratch[use]

    def make_state(self, params: np.ndarray, state: np.ndarray, loss: np.ndarray, accuracy: np.ndarray) -> TrainState:
        """Return the state of a fit: its parameters and optimiser state, a gradient, and records.

        loss, accuracy : (n_epochs,), records that kernels write
        """
        grads = self.get_or_make("gradient", lambda: self.backend.to_device(self.network.layout.padded(self.dtype)))
        grads[:] = 0  # between the layers too, where no kernel writes and all of them update
        shape = self.choice.n_threads, structs.N_SCALARS
        scalars = self.get_or_make("scalars", lambda: structs.aligned_zeros(shape, np.float64))
        scalars[:] = 0
        scalars[:, structs.POWER1] = scalars[:, structs.POWER2] = 1.0
        return TrainState(
            params=self.backend.to_device(params),
            grads=grads,
            state=self.backend.to_device(state.reshape(-1)),
            epoch_loss=loss,
            epoch_accuracy=accuracy,
            scalars=scalars,
        )

    def draw_order(self, n_samples: int, seed: int, epoch: int) -> None:
        """Draw the order of an epoch's samples on the host, for a fit that starts within the epoch."""
        from ..kernels.jit.call import call  # imported late: a program that only imports nets need not load llvmlite

        call("formulas.counter_rng.draw_order", None, n_samples, seed, epoch, self.work.words, self.work.order)

    def train(
        self,
        team,
        n_threads: int,
        data: Samples,
        config: TrainConfig,
        state: TrainState,
        first: int,
        n: int,
        compiles: bool = True,
    ) -> None:
        """Train for n steps, from step number `first` on, on n_threads threads of the team; results are in `state`.

        compiles : whether code may be generated for the architecture (unrolled_code.pays_to_compile)
        """
        choice = self.choice
        if self.device.is_host:
            unrolled = structs.UNROLLED_NEVER
            if choice.family == "batch_simd_4":
                unrolled = choose_unrolled(self.network, self.dtype, config, data.n_samples, n, compiles)
            own_copies = dispatch.choose_own_copies(choice.family, self.network.layout.n_padded, team, n_threads)
            choice = choice._replace(n_threads=n_threads, variant=KernelVariant(own_copies, unrolled))
        self.backend.train(choice, team, self.net, data, config, state, self.work, first, n)

    def evaluate(self, team, data: Samples, params: np.ndarray, output: np.ndarray) -> tuple[float, float]:
        """Return (mean loss, accuracy) over the samples; outputs are written into `output` unless it is empty."""
        loss, n_correct = self.backend.evaluate(self.choice, team, self.net, data, params, self.work, output)
        return loss / data.n_samples, n_correct / data.n_samples

    def evaluate_alone(self, data: Samples, params: np.ndarray, output: np.ndarray) -> tuple[float, float]:
        """Evaluate outside a fit, with the plan's own thread team; arguments and result as of evaluate."""
        team = self._own_team()
        try:
            return self.evaluate(team, data, params, output)
        except BaseException:  # it may have interrupted anything
            self.scratch.pop("team", None)
            team.end()
            raise
        finally:
            team.forget_data()

    def repeat_prediction(self, data: Samples, params: np.ndarray, output: np.ndarray) -> Callable[..., None]:
        """Return evaluate_alone, on one thread of the host, as a function (X, output) of arrays of these shapes."""
        team = self._own_team()
        return self.backend.repeat_prediction(self.choice, team, self.net, data, params, self.work, output)

    def _own_team(self) -> Any:
        return self.get_or_make("team", lambda: self.backend.ThreadTeam(self.choice.n_threads))
