"""Rows of a fit: in memory, or on disk, as blocks that the fit is trained on one after another.

Rows in memory are one block, on which all epochs are trained. Rows on disk are several blocks in each epoch. Those of a
source that is read piece by piece are in memory if they fit, else on disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.checked_samples import Strides, make_samples, samples_of_net, select_rows, select_weights, split
from ..data.sample_weights import as_weights
from ..errors import counted
from ..kernels.structs import Samples
from ..optimizers.batch_size import takes_all
from ..runtime.memory_limits import checked_memory_limit, format_bytes
from ..streams.source_kinds import is_source, names_columns

if TYPE_CHECKING:
    from ..data.standardization import Units
    from ..nets.net_base import NetBase
    from ..network.spec import Network
    from ..streams.row_file import RowFile

SHOWN_ROWS = 2_000  # of rows on disk, for plots and for a monitor to look at


def is_array(X: Any, y: Any) -> bool:
    """Whether X is an array in memory, and y no name of a column."""
    return type(X) is np.ndarray and not isinstance(y, (str, list, tuple))


class Block(NamedTuple):
    """Rows to train on, with what belongs to them."""

    data: Samples
    batch_size: int
    shuffle: bool
    seed: int  # of shuffling and dropout
    first_epoch: int  # number of the epoch that begins, or goes on, with these rows
    n_epochs: int  # that are trained on them before the next block
    first_step: int  # of the fit, by which schedules count
    is_last: bool = True  # of its epoch

    @property
    def n_batches(self) -> int:
        """Steps of an epoch on these rows."""
        return -(-self.data.n_samples // self.batch_size)


class BlockPosition(NamedTuple):
    """Blocks of the present epoch that are trained, of rows on disk."""

    n_blocks: int = 0
    n_rows: int = 0
    sums: np.ndarray = np.zeros(2)  # float64, over these rows: of the loss, and of rows predicted correctly


@dataclass(frozen=True)
class InMemory:
    """Rows in memory, of all nets or net by net."""

    data: Samples
    strides: Strides = (0, 0, 0)
    n_samples: int = field(init=False)  # of a net
    metric: int = field(init=False)

    def __post_init__(self) -> None:
        vars(self).update(n_samples=self.data.n_samples, metric=self.data.metric)

    def split(self, fraction: float, seed: int) -> tuple[InMemory, Samples]:
        """Return (rows to train on, held-out samples), as split in data/checked_samples.py draws them."""
        training, held_out = (select_rows(self.data, rows) for rows in split(self.n_samples, fraction, seed))
        return InMemory(training), held_out

    def with_data(self, data: Samples) -> InMemory:
        """Return rows of other samples, which lie as these do."""
        return InMemory(data, self.strides)

    def standardized(self, units: Units) -> InMemory:
        """Return standardised rows."""
        return self.with_data(units.standardized(self.data))

    @property
    def shown(self) -> Samples:
        """Samples for plots and for a monitor."""
        return self.data

    @property
    def sent(self) -> Samples:
        """Samples of which a worker of an executor gets the arrays."""
        return self.data

    def on_worker(self, place: Callable[[Samples], Samples]) -> InMemory:
        """Return the rows on the device of a worker that has got them."""
        return self.with_data(place(self.data))

    def close(self) -> None:
        """Release what on_worker has opened."""

    def blocks(self, net: Any) -> Generator[Block, None, None]:
        """Yield the one block of a net; net : OneNet or Lanes, which are trained on it"""
        task = net.task
        data = samples_of_net(self.data, self.strides, net.number) if any(self.strides) else self.data
        yield Block(data, task.batch_size, task.shuffle, net.seed, 0, net.n_epochs, 0)


class OnDisk(NamedTuple):
    """Rows of a row file, of all nets; weights may differ from net to net.

    data : maps of the files, which the system reads as they are used; weights are in memory
    memory_limit : int     bytes, for the blocks in memory
    announces : whether a fit with verbose above 0 says that it reads from disk
    """

    data: Samples
    strides: Strides
    file: RowFile
    memory_limit: int
    announces: bool = True

    @classmethod
    def of(cls, file: RowFile, memory_limit: int, announces: bool = True) -> OnDisk:
        """Return the rows of a file, without weights."""
        X, Y = file.maps()
        data = Samples(file.n_samples, X, Y, False, X[:0], True, file.metric)
        return cls(data, (0, 0, 0), file, memory_limit, announces)

    @property
    def n_samples(self) -> int:
        return self.data.n_samples

    @property
    def metric(self) -> int:
        return self.data.metric

    def weighted(self, sample_weight: Any, class_weight: Any, network: Network, n_nets: int = 1) -> OnDisk:
        """Return the rows with weights, as Population.fit takes them."""
        n, targets = self.n_samples, self.data.Y.reshape(self.n_samples, -1)
        shape = (n_nets, n) if np.ndim(sample_weight) == 2 else ()
        weight = as_weights(sample_weight, class_weight, targets, network, self.metric, targets.dtype, shape=shape)
        data = self.data._replace(has_weights=weight.size > 0, weight=weight)
        return self._replace(data=data, strides=(0, 0, n if shape else 0))

    def split(self, fraction: float, seed: int) -> tuple[OnDisk, Samples]:
        """Return what InMemory.split does; rows to train on are copied to a file of their own."""
        training, held_out = split(self.n_samples, fraction, seed)
        rows = OnDisk.of(self.file.part(training), self.memory_limit, self.announces)
        if self.data.has_weights:
            weight = select_weights(self.data.weight, training)
            rows = rows.with_data(rows.data._replace(has_weights=True, weight=weight))
        return rows, select_rows(self.data, held_out)

    def with_data(self, data: Samples) -> OnDisk:
        """Return the rows with weights of other nets."""
        return self._replace(data=data)

    def standardized(self, units: Units) -> OnDisk:
        """Standardise the rows on disk, and return them."""
        self.file.standardize(units)
        return self

    @property
    def shown(self) -> Samples:
        """Samples for plots and for a monitor: evenly spaced ones."""
        rows = np.linspace(0, self.n_samples - 1, min(self.n_samples, SHOWN_ROWS)).round().astype(np.int64)
        weight = select_weights(self.data.weight, rows) if self.data.has_weights else self.data.weight
        return make_samples(*self.file.take(rows), weight, self.metric)

    @property
    def sent(self) -> Samples:
        """Weights alone: workers read the same file."""
        return self.data._replace(X=self.data.X[:0], Y=self.data.Y[:0])

    def on_worker(self, place: Callable[[Samples], Samples]) -> OnDisk:
        """Return the rows as a worker reads them that has got the weights."""
        file = self.file.reopened()
        X, Y = file.maps()
        return self._replace(file=file, data=self.data._replace(X=X, Y=Y))

    def close(self) -> None:
        """Close the file that on_worker has opened."""
        self.file.close()

    def blocks(self, net: Any) -> Generator[Block, None, None]:
        """Yield the blocks of a net's epochs, from the position that it has reached."""
        from ..streams.shuffled_blocks import Blocks

        task = net.task
        settings = task.batch_size, task.shuffle, net.seed, self.memory_limit
        blocks = Blocks(self.file, *settings, samples_of_net(self.data, self.strides, net.number).weight)
        if task.verbose and self.announces and net.number == 0:
            print(self._notice(blocks.n_blocks), file=sys.stderr)
        for epoch in range(net.epochs_done, net.n_epochs):
            position = net.position
            with closing(blocks.epoch(epoch, position.n_blocks)) as of_epoch:  # its thread ends here
                for X, Y, weight in of_epoch:
                    n, number, n_done = X.size // self.file.widths[0], net.position.n_blocks, net.position.n_rows
                    yield Block(
                        self.data._replace(n_samples=n, X=X, Y=Y, weight=weight),
                        min(task.batch_size, n),
                        task.shuffle and n > task.batch_size,
                        seed_of_block(net.seed, epoch, number),
                        epoch,
                        1,
                        epoch * task.n_batches + n_done // task.batch_size,
                        n_done + n == self.n_samples,
                    )

    def _notice(self, n_blocks: int) -> str:
        n_bytes, limit = format_bytes(self.n_samples * self.file.row_bytes), format_bytes(self.memory_limit)
        return (
            f"Reading {self.n_samples:,} rows from disk in each epoch, in {counted(n_blocks, 'block')}: they take "
            f"{n_bytes}, and memory_limit is {limit}."
        )


def seed_of_block(seed: int, epoch: int, number: int) -> int:
    """Return the seed of shuffling and dropout in block `number` of an epoch."""
    state = np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))


# ---- from a source


@contextmanager
def rows_of(X: Any, y: Any, net: NetBase, arguments: dict[str, Any]) -> Iterator[Any]:
    """Context with the rows of a fit: (X, y) as arrays, or (rows on disk, None), which are removed at its end.

    arguments : dict
        Keywords of fit.
    """
    if isinstance(X, OnDisk) or not (is_source(X) or names_columns(X, y)):
        yield X, y
        return
    from ..streams.row_file import RowFile
    from ..streams.row_loading import load
    from ..streams.sources import as_source, with_weights

    weights: list[np.ndarray] = []
    named = arguments["sample_weight"] if isinstance(arguments["sample_weight"], str) else None
    source = as_source(X, y) if named is None else with_weights(X, y, named, weights)
    limit = checked_memory_limit(arguments["memory_limit"])
    rows = load(source, net.network, net.dtype, limit, lambda: _check_for_disk(arguments))
    if named is not None:
        arguments["sample_weight"] = np.concatenate(weights)
    if isinstance(rows, RowFile):
        with closing(rows):
            yield OnDisk.of(rows, limit), None
    else:
        yield rows.X, rows.y


def _check_for_disk(arguments: dict[str, Any]) -> None:
    """Refuse, before rows are written to disk, what needs all of them in memory."""
    if arguments["batch_size"] is None:
        raise ValueError(
            "batch_size is None, all samples in one batch, but they take more than memory_limit. Pass the number "
            "of samples in a step, such as batch_size=256."
        )
    if takes_all(arguments["batch_size"], arguments["optimizer"].rule):
        raise ValueError(
            f"{type(arguments['optimizer']).__name__} needs all samples in one batch, but they take more than "
            "memory_limit. Choose an optimizer that is trained in batches, such as 'adam'."
        )


def refuse_with_stream(**given: Any) -> None:
    """Raise ValueError if one of these arguments is given, which need all data in memory."""
    is_zero = lambda value: isinstance(value, Real) and not value
    is_empty = lambda value: value is None or is_zero(value) or (hasattr(value, "__len__") and len(value) == 0)
    names = [name for name, value in given.items() if not is_empty(value)]
    if names:
        raise ValueError(
            f"{' and '.join(names)} cannot be used with data that are read piece by piece. Leave out what cannot be "
            "used, pass arrays, or give fit a memory_limit that all rows fit into."
        )
