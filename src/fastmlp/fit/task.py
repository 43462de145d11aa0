"""Task of a fit: nets, rows and settings, all of them checked. It is the only record of settings above the kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..devices import Device, backend, device_of
from ..errors import is_per_net
from ..execution import dispatch
from ..execution.plan import Plan, describe_net
from ..kernels.formulas.losses import LOSSES
from ..kernels.structs import METRIC_NONE, NetSpec, Samples
from ..network.spec import Network
from ..optimizers import Optimizer
from ..runtime.memory_limits import check_memory
from ..schedules.checked_schedule import schedule_text
from .keywords import POPULATION_KEYWORDS
from .rows import Block, InMemory, OnDisk

if TYPE_CHECKING:
    from ..data.standardization import Units
    from .hooks.time_limit import TimeLimit
    from .optimizer_state import OptimizerState

Factors = Callable[[np.ndarray, int], np.ndarray]  # a schedule: (steps, n_steps) -> factors, as in schedules
IN_SETTINGS = [name for name, row in POPULATION_KEYWORDS.rows.items() if row.in_settings]
LANES_FAMILIES = "population_simd", "batched_gemm"  # whose nets are trained together
ONE_BY_ONE = "one_by_one"


class Whole(NamedTuple):
    """Properties of the task of all nets of a population. Tasks of some nets copy them, and so give the same bits."""

    n_nets: int
    family: str
    penalised: bool  # whether any net has an L2 penalty or weight decay
    clipped: bool  # whether any net has a clip_norm


@dataclass(frozen=True)
class FitTask:
    """Nets, rows and settings of one fit; names as in MLP.fit and Population.fit."""

    # nets
    network: Network
    device: Device
    dtype: np.dtype
    precision: str
    params: np.ndarray  # (n_nets, n_params), trained in place
    seeds: np.ndarray  # int64 (n_nets,), of shuffling and dropout in this fit
    l2: Any  # number or (n_nets,)
    dropout: np.ndarray  # (n_layers,) or (n_nets, n_layers)
    # rows
    rows: InMemory | OnDisk
    held_out: Samples | None
    batch_size: int
    shuffle: bool
    units: Units | None  # in which parameters are before and after the fit; rows are standardised; None: no difference
    # steps
    optimizer: Optimizer  # of a population, its settings are numbers or arrays (n_nets,)
    factors: Factors | None  # of the learning rate; None if it is constant
    # keywords of fit
    keywords: Mapping[str, Any]  # checked, those with in_task: attributes, too
    trains_together: bool  # whether kernels that train nets together know all keywords of the fit
    # what interrupts the steps
    monitor: Any = None  # watches for known failures: the Monitor of diagnosis/monitor.py
    optimizer_states: list[OptimizerState] = field(default_factory=list)  # one a net, carried on; or none
    time_limit: TimeLimit | None = None
    is_population: bool = False
    part_of: Whole | None = None  # None for the task of all nets
    first_net: int = 0  # number of its first net in the whole
    work: float = field(init=False)  # multiply-adds of an epoch of one net, about

    def __post_init__(self) -> None:
        work = float(self.rows.n_samples * self.network.layout.products)
        if self.optimizer.rule.needs_curvature:  # the product of the Jacobian, and the factorisation of each step
            n_params = self.network.layout.n_params
            work = work * n_params + self.n_batches * n_params**3
        made = {
            "n_nets": len(self.params),
            "work": work,
            "restart_after": None if self.keywords["converged"] is None else self.keywords["converged"].restart_after,
        }
        # Fields have what is made of a keyword, such as batch_size.
        vars(self).update({**self.keywords, **vars(self), **made})
        if self.optimizer.rule.is_second_order:
            check_second_order(self.optimizer, self.network, self.device)
            if not self.optimizer.rule.needs_curvature and self.n_batches > 1:
                raise ValueError(
                    f"{type(self.optimizer).__name__} compares gradients of the same samples, but batch_size is "
                    f"{self.batch_size:,} of {self.rows.n_samples:,} samples. Leave batch_size out."
                )

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # a keyword

    # ---- nets

    @cached_property
    def whole(self) -> Whole:
        """Properties of the task of all nets of the population."""
        if self.part_of is not None:
            return self.part_of
        settings = self.optimizer.settings
        return Whole(
            self.n_nets,
            self.family_on(self.device),
            bool(np.any(settings.get("weight_decay", 0.0)) or np.any(self.l2)),
            bool(np.any(settings.get("clip_norm", 0.0))),
        )

    def family_on(self, device: Device) -> str:
        """Return the kernel family that trains the nets of the whole population on a device."""
        if not isinstance(self.rows, InMemory) or not self.trains_together:
            return ONE_BY_ONE
        n_nets = self.n_nets if self.part_of is None else self.part_of.n_nets
        streams = False  # on a GPU, whether the samples are too many for its memory
        if not device.is_host and self.part_of is None:
            streams = device_of(self.rows.data.X) is None
        elif not device.is_host:  # on a worker, which has not placed the samples yet
            with device.on():
                streams = not backend(device).has_room_for_samples(self.rows.data.X.nbytes)
        shapes = self.network, n_nets, self.batch_size, device, self.dtype, streams, self.shuffle, self.precision
        return dispatch.choose_nets_family(*shapes, self.optimizer.rule)

    @cached_property
    def _differs_per_net(self) -> bool:
        return self.is_population and any(map(is_per_net, self.optimizer.settings.values()))

    def optimizer_of(self, net: int) -> Optimizer:
        """Return the optimiser of one net."""
        return self.optimizer.of_net(net) if self._differs_per_net else self.optimizer

    @cached_property
    def net(self) -> NetSpec:
        """Net as kernels see it, with the margin of the convergence rule."""
        row, margin = self.network.output_row, self.converged.margin if self.converged is not None else None
        return describe_net(self.network)._replace(margin=float(margin * (row.high - row.low)) if margin else 0.0)

    def plan_of(self, net: int, block: Block, n_threads: int | None) -> Plan:
        """Return the plan by which one net is trained on a block."""
        network = self.network
        shape = block.data.n_samples, block.batch_size, block.shuffle
        if not self.is_population:
            return Plan.for_training(network, self.device, self.dtype, *shape, precision=self.precision)
        l2 = float(self.l2[net]) if is_per_net(self.l2) else self.l2
        dropout = self.dropout[net] if self.dropout.ndim == 2 else self.dropout
        if not self.device.is_host:  # they may be compiled into a GPU's kernels
            network = replace(network, l2=l2, dropout=tuple(dropout[:-1].tolist()))
        plan = Plan.for_training(network, self.device, self.dtype, *shape, n_threads, self.precision)
        return plan.with_net(plan.net._replace(margin=self.net.margin, l2=l2, dropout=dropout))

    def part(self, nets: slice, rows: InMemory | OnDisk, held_out: Samples | None) -> FitTask:
        """Return the task of some nets, with views of what belongs to them.

        rows, held_out : samples of the part
        """
        chosen: Callable[[Any], Any] = lambda value: value[nets] if is_per_net(value) else value
        settings = {k: chosen(value) for k, value in self.optimizer.settings.items() if is_per_net(value)}
        return replace(
            self,
            params=self.params[nets],
            seeds=self.seeds[nets],
            optimizer=replace(self.optimizer, **settings) if settings else self.optimizer,
            l2=chosen(self.l2),
            dropout=self.dropout[nets] if self.dropout.ndim == 2 else self.dropout,
            rows=rows,
            held_out=held_out,
            units=None if self.units is None else self.units.of_nets(nets),
            keywords={**self.keywords, "verbose": 0},
            monitor=None,
            time_limit=None if self.time_limit is None else self.time_limit.rest(),
            optimizer_states=self.optimizer_states[nets],
            part_of=self.whole,
            first_net=self.first_net + nets.start,
        )

    # ---- steps and records

    @property
    def n_batches(self) -> int:
        """Steps of an epoch."""
        return -(-self.rows.n_samples // self.batch_size)

    @cached_property
    def monitored(self) -> str | None:
        """The record that early stopping looks at, or None without early stopping."""
        if self.early_stopping is None:
            return None
        return self.early_stopping.monitor or ("loss" if self.held_out is None else "validation_loss")

    @cached_property
    def checks_final_accuracy(self) -> bool:
        """Whether a net counts as converged if all samples are correct after its last step."""
        return self.converged is None and isinstance(self.rows, InMemory) and self.rows.metric != METRIC_NONE

    def description(self, optimizer: str | None = None, n_threads: int | None = None) -> Callable[[], dict[str, Any]]:
        """Return a function that returns settings and data sizes, JSON-serialisable, for a history or result.

        The history keeps the function, so that it refers neither to the rows nor to this task.

        optimizer : in words; by default its repr
        """
        settings = dict(zip(IN_SETTINGS, attrgetter(*IN_SETTINGS)(self), strict=True))
        if optimizer is not None:
            settings["optimizer"] = optimizer
        limit = None if self.time_limit is None else self.time_limit.seconds
        n_samples, weighted = self.rows.n_samples, self.rows.data.has_weights
        n_validation = 0 if self.held_out is None else self.held_out.n_samples
        memory_limit = self.rows.memory_limit if isinstance(self.rows, OnDisk) else None
        return lambda: {
            **{name: v if isinstance(v, (int, float)) else schedule_text(v) for name, v in settings.items()},
            "n_samples": n_samples,
            "n_validation": n_validation,
            "weighted": weighted,
            **({} if n_threads is None else {"n_threads": n_threads}),
            **({} if limit is None else {"time_limit": limit}),
            **({} if memory_limit is None else {"memory_limit": memory_limit}),
        }


def check_second_order(optimizer: Optimizer, network: Network, device: Device) -> None:
    """Raise ValueError if a net cannot be trained by a second-order rule."""
    name, loss, n_params = type(optimizer).__name__, network.loss_row, network.layout.n_params
    if not device.is_host:
        raise ValueError(
            f"{name} trains on the CPU alone, but the device is {device.name!r}. Make the net with device='cpu' or "
            "'auto', or take another optimiser, such as fastmlp.Adam."
        )
    if any(network.dropout):
        raise ValueError(
            f"{name} compares the loss before and after a step, which dropout makes random. Leave dropout out, or take "
            "another optimiser, such as fastmlp.Adam."
        )
    if not optimizer.rule.needs_curvature:
        return
    if loss.curvature is None:
        names = ", ".join(row.name for row in LOSSES if row.curvature is not None)
        raise ValueError(
            f"{name} needs a loss whose second derivative is above 0 ({names}), but the loss is {loss.name}. Take one "
            "of these, or another optimiser, such as fastmlp.Adam."
        )
    check_memory(
        3 * 8 * n_params**2,
        f"The Gauss-Newton matrices of {n_params:,} parameters",
        "Take a smaller net, or another optimiser, such as fastmlp.Adam.",
    )


def epochs_of_attempt(epochs: int, restart_after: int | None, attempt: int) -> int:
    """Return the largest number of epochs of a net in an attempt; 0 or less if there is no such attempt.

    epochs, restart_after : arguments of Population.fit
    attempt : int     counted from 0; each but the first begins with a restart
    """
    length = min(epochs, restart_after or epochs)
    return min(length, epochs - attempt * length)
