"""The hooks of a fit, and the order in which they are asked."""

from __future__ import annotations

from ..lanes import Lanes
from .callbacks import Callbacks
from .checkpoint import SaveLanes, SaveNet
from .early_stopping import EndByRecords
from .epoch_scores import Measure, Validation
from .hook import Fit, Hook
from .lane_calls import LaneCalls
from .progress import ShowNets, ShowProgress, Watch
from .steps_and_threads import TunedCalls
from .time_limit import EndInTime


def hooks_of(fit: Fit) -> list[Hook]:
    """Make the hooks that a fit needs, in the order in which they are asked, and return them."""
    engine, task = fit.engine, fit.engine.task
    in_lanes = isinstance(engine, Lanes)  # whose kernels stop early and validate by themselves
    shows, saves, watches = fit.progress is not None, fit.saver is not None, task.monitor is not None
    table: tuple[tuple[type[Hook], bool], ...] = (  # hook, whether the fit needs it
        (TunedCalls, not in_lanes and not engine.is_short),
        (LaneCalls, in_lanes),
        (EndInTime, task.time_limit is not None),
        (Watch, watches and not task.is_population),
        (Validation, fit.validation_plan is not None),
        (Measure, bool(task.metrics)),
        (ShowProgress, shows and not in_lanes),
        (ShowNets, (shows or watches) and in_lanes),
        (EndByRecords, not in_lanes and (task.early_stopping is not None or task.converged is not None)),
        (Callbacks, bool(task.callbacks)),
        (SaveNet, saves and not in_lanes),
        (SaveLanes, saves and in_lanes),
    )
    for hook, is_needed in table:
        if is_needed:
            fit.hooks.append(hook(fit))  # type: ignore[call-arg]
    return fit.hooks
