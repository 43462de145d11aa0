"""What changes while a fit runs: parameters, optimiser state, records, counts.

The fit loop writes it, and the state of a fit is copied from it.
"""

from __future__ import annotations

import numpy as np

from ..execution.plan import Plan
from ..history import History
from ..kernels.formulas.update_rules import MOST_STATE
from ..kernels.structs import STEPS_DONE, Samples, aligned_zeros
from .best_epoch import BestEpoch
from .divergence import DivergenceGuard
from .fit_options import Options
from .optimizer_state import CARRIED


class FitBase:
    """What changes while a fit runs: parameters, optimiser state, records, counts.

    plan : kernel family, buffers and backend; data, validation : samples, the latter with a plan of their own
    params : (n_padded,), the net's parameters, padded
    """

    def __init__(
        self,
        plan: Plan,
        data: Samples,
        validation: tuple[Plan, Samples] | None,
        params: np.ndarray,
        options: Options,
        history: History,
    ):
        self.plan, self.data, self.options, self.history = plan, plan.place(data), options, history
        self.validation = None if validation is None else (validation[0], validation[0].place(validation[1]))
        self.host_params = params
        self.train_state = plan.make_state(params, self._first_state(), options.epochs)
        if options.state is not None and options.state.scalars is not None:
            self.train_state.scalars[:, CARRIED] = options.state.scalars
        self.n_batches = -(-data.n_samples // options.batch_size)
        self.n_steps = options.epochs * self.n_batches
        self.validated, self.n_validated = np.empty((options.epochs if validation else 0, 2)), 0  # loss, accuracy
        self.guard = DivergenceGuard(plan, self.train_state)
        self.search = BestEpoch(options, validation is not None, self.n_batches)
        self.n_final_epochs: int | None = None  # number of epochs the fit ends with, where training went on for more
        self.n_checked = 0  # number of epochs whose records have been checked
        self.ended_by = ""  # why records have ended the fit
        self.saved_steps = -1  # steps done when the state was last given to the saver

    def _first_state(self) -> np.ndarray:
        """Return the optimiser state to begin with, in a buffer of the plan unless a later fit is to go on from it."""
        rule, n_padded, dtype = self.options.optimizer, len(self.host_params), self.host_params.dtype
        if self.options.state is not None:
            return self.options.state.fitted(rule, n_padded, dtype)
        state = self.plan.get_or_make("state", lambda: aligned_zeros((MOST_STATE, n_padded), dtype))
        rule.begin(state)
        return state

    @property
    def steps_done(self) -> int:
        return int(self.train_state.scalars[0, STEPS_DONE])

    @property
    def epochs_done(self) -> int:
        return self.steps_done // self.n_batches if self.n_final_epochs is None else self.n_final_epochs

    @property
    def n_finite_epochs(self) -> int:
        """Number of epochs done, without an epoch whose last step made parameters that are not finite."""
        return (self.steps_done - 1) // self.n_batches if self.guard.params_overflowed else self.epochs_done

    @property
    def n_recorded(self) -> int:
        """Number of epochs that have all their records."""
        return self.epochs_done if self.validation is None else min(self.epochs_done, self.n_validated)

    @property
    def shares_host_memory(self) -> bool:
        """Whether kernels work on the host's own parameters and optimiser state."""
        return self.train_state.params is self.host_params

    def copy_to_host(self) -> None:
        """Copy parameters and optimiser state to the host's arrays, where the device has arrays of its own."""
        state, to_host = self.options.state, self.plan.backend.to_host
        if not self.shares_host_memory:
            self.host_params[:] = to_host(self.train_state.params)
            if state is not None and state.array is not None:
                state.array[:] = to_host(self.train_state.state).reshape(MOST_STATE, -1)
        if state is not None:
            state.scalars = self.train_state.scalars[0, CARRIED]
