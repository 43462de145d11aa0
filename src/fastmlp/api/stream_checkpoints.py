"""Checkpoints of fits to rows on disk: of one net, or of a population's nets, which are trained one after another.

The file has the state of each net that has begun, so that a net that has finished ends again at once, with the same
records, or goes on to a larger number of epochs. Each checkpoint has them all, and is written at the interval, not at
the end of each net.
"""

from __future__ import annotations

from typing import Any

from ..data.digest import sample_digests
from ..devices import Device
from ..errors import counted
from ..kernels.structs import Samples
from ..kernels.system import interrupts
from ..persistence.checkpoint_files import Checkpoint, CheckpointFile, Identity
from ..population_training.fit_state import parts_of_nets, states_of_nets
from ..population_training.state_checks import check_fits
from ..streams.row_file import RowFile
from ..streams.shuffled_blocks import block_sizes
from ..training.fit_state import Parts
from ..training.state_checks import StateForm, check_array, check_stream_state, steps_done
from ..training.stream_state import StreamState
from .checkpoint_identity import (
    MEMORY_LIMIT,
    FitSchedules,
    check_place_of_rows,
    describe_optimizer,
    description,
    identity_of_net,
    identity_of_nets,
)
from .fit_arguments import FitArguments
from .net_base import NetBase

FITS = "fits"  # number of a state: those of its nets
BLOCKS = "sizes of blocks"  # in an identity
BLOCKS_DEPEND_ON = ("data", MEMORY_LIMIT), ("fit", "batch_size")  # and on the size of a row


class StreamFile:
    """The file of the checkpoints of a fit to rows on disk, with the states of its nets.

    As a context, it writes the last states of a population's nets at its end, also after an error or Ctrl-C.

    A net of a population that has no state in the file, since it had not begun or had diverged before one was due, gets
    the parameters with which it was to begin.

    file : CheckpointFile
    nets : MLP or Population
    device : Device     on which the nets are trained
    rows : RowFile
    arguments, shuffle : arguments of fit
    held_out : Samples or None
    memory_limit : int     bytes

    Raises
    ------
    ValueError
        If the file is of another fit, or has finished or begun more epochs than this one has.
    """

    def __init__(
        self,
        file: CheckpointFile,
        nets: NetBase,
        device: Device,
        rows: RowFile,
        arguments: FitArguments,
        shuffle: bool,
        held_out: Samples | None,
        memory_limit: int,
    ):
        check_place_of_rows(file, on_disk=True)
        self._file, self._epochs, found = file, arguments.epochs, file.found
        self._nets: Any = nets
        self._random = {"seed": nets.seed, "fits": nets.fits}
        self._states: dict[int, StreamState] = {}
        if found is not None:
            with file.checking_state():
                of_nets = Parts(found.state.arrays, found.state.numbers[FITS])
                self._states = states_of_nets(of_nets, StreamState.from_file)
                for state in self._states.values():
                    steps_done(state.fit)
        self.n_trained = 0  # epochs of all nets that this fit has trained, by which a number for `every` counts
        self._last = 0  # number of the net that has given its state last
        self._is_written = True  # whether the file has all states
        size = arguments.batch_rows(rows.n_samples, 4)
        self._identity: Identity = {
            "net": {**_identity_of(nets), "device": device.name.partition(":")[0]},
            "data": {
                MEMORY_LIMIT: memory_limit,
                "number of training samples": rows.n_samples,
                **rows.checksums,
                **sample_digests({"validation": held_out}),
            },
            "fit": {
                "batch_size": size,
                "shuffle": bool(shuffle),
                **describe_optimizer(arguments.optimizer),
                "early_stopping": description(arguments.early_stopping),
                BLOCKS: [*block_sizes(rows.row_bytes, size, memory_limit)],
            },
        }
        further = {"weight decay": arguments.optimizer.decay_factors, "dropout": arguments.dropout_factors}
        schedules = FitSchedules(arguments.schedules[0], arguments.factors, further, -(-rows.n_samples // size))
        with file.checking_state():
            n_done = max((state.n_steps(rows.n_samples, size) for state in self._states.values()), default=0)
        _check_blocks(file, self._identity)
        schedules.begin(file, self._identity, self._epochs, n_done, self._where())
        chunk_rows, n_chunks = self._identity["fit"][BLOCKS]
        form = StateForm(
            n_padded=nets.network.layout.padded(nets.dtype).size,
            n_state=arguments.optimizer.rule.n_state,
            dtype=nets.dtype,
            n_epochs=self._epochs,
            n_batches=schedules.n_batches,
            validates=held_out is not None,
        )
        check = lambda state: check_stream_state(state, form, chunk_rows * n_chunks, rows.n_samples, size)
        with file.checking_state():
            check_fits(self._states, len(nets.params) if self._has_several else 1, check)
            if found is not None and self._has_several:
                check_array("params", found.state.arrays["params"], nets.dtype, *nets.params.shape)
        self.timer = file.timer
        self.timer.restart(self.n_trained)
        if found is not None and self._has_several:
            nets.params[:] = found.state.arrays["params"]
        # What the fit begins with: pop.params gets those of nets that have ended, also of diverged ones.
        self._initial = nets.params.copy() if self._has_several else None

    @property
    def _has_several(self) -> bool:
        return self._nets.params.ndim == 2

    def _where(self) -> str:
        """Return where the fit goes on, to say."""
        if not self._has_several:
            done = self._states[0].n_epochs if 0 in self._states else 0
            return f"after epoch {done:,} of {self._epochs:,}"
        ended = [state for state in self._states.values() if state.fit.ended_by or state.n_epochs >= self._epochs]
        return f"with {counted(len(ended), 'finished net')} of {len(self._nets.params):,}"

    def of_net(self, number: int = 0) -> StreamSaver:
        """Return the saver of the fit of a net, which begins now."""
        return StreamSaver(self, number, self._states.get(number))

    def take(self, number: int, state: StreamState, n_trained: int) -> None:
        """Take the state of a net: of an MLP to write it now, of a population to write it when a checkpoint is due.

        number : of the net
        n_trained : epochs of all nets that this fit has trained
        """
        self._states[number], self._last, self.n_trained = state, number, n_trained
        self._is_written = False
        if not self._has_several or self.timer.is_due(n_trained):
            self.write()

    def write(self) -> None:
        """Write the states of all nets, unless the file has them."""
        if self._is_written:
            return
        self._is_written = True  # at once, so that a write that has failed is not repeated at the end
        arrays, numbers = parts_of_nets(self._states)
        reached = f"epoch {self._states[self._last].n_epochs:,}"
        if self._initial is not None:
            arrays |= {"params": self._initial, "seeds": self._nets.seeds}
            reached += f" of net {self._last}"
        checkpoint = Checkpoint(self._identity, self._random, self._epochs, Parts(arrays, {FITS: numbers}))
        self._file.write(checkpoint, reached, self.n_trained)

    def __enter__(self) -> StreamFile:
        return self

    def __exit__(self, *_: object) -> None:
        with interrupts.deferred():
            self.write()


class StreamSaver:
    """Saver of the fit of one net.

    file : StreamFile
    number : int     number of the net
    start : StreamState or None     state to start from
    """

    def __init__(self, file: StreamFile, number: int, start: StreamState | None):
        self._file, self._number, self.start = file, number, start
        before = 0 if start is None else start.n_epochs
        self._offset = file.n_trained - before  # from epochs of this net to those of all nets in this fit

    def is_due(self, epochs_done: int) -> bool:
        return self._file.timer.is_due(self._offset + epochs_done)

    def epochs_left(self, epochs_done: int) -> int | None:
        return self._file.timer.epochs_left(self._offset + epochs_done)

    def save(self, state: StreamState, epochs_done: int) -> None:
        self._file.take(self._number, state, self._offset + epochs_done)


def _check_blocks(file: CheckpointFile, identity: Identity) -> None:
    """Raise ValueError if a file has other blocks than this fit at the same limit, as another version chooses them."""
    if file.found is None:
        return
    found = file.found.identity
    before, here = found["fit"].get(BLOCKS), identity["fit"][BLOCKS]
    is_same = all(found[part].get(name) == identity[part][name] for part, name in BLOCKS_DEPEND_ON)
    if before != here and is_same:
        raise ValueError(
            f"{str(file.path)!r} was written by another version of fastmlp, whose blocks of rows have other sizes: "
            f"{before} instead of {here} rows and chunks. Go on with that version, or train anew with another file."
        )


def _identity_of(nets: Any) -> dict[str, Any]:
    return identity_of_net(nets) if nets.params.ndim == 1 else identity_of_nets(nets)
