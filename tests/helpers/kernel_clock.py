"""A clock that only kernel calls move: fits with a time limit are then the same on every machine."""

import inspect
from types import SimpleNamespace

from fastmlp.kernels.cpu import backend
from fastmlp.kernels.jit import compile_time


class KernelClock:
    """Clock of all stopwatches. The attributes are seconds: of a step, a validation, and an epoch of nets in lanes.

    module : the backend whose kernels move it
    """

    def __init__(self, monkeypatch, step=0.0, validation=0.0, epoch_of_nets=0.0, compiling=0.0, module=backend):
        self.now = self.compiled = 0.0
        self.step, self.compiling = step, compiling  # compiling: of the first call
        self.n_steps = []  # of each call
        monkeypatch.setattr(compile_time, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(compile_time, "compile_seconds", lambda: self.compiled)
        for name, seconds in (("evaluate", validation), ("train_nets", epoch_of_nets), ("train", None)):
            monkeypatch.setattr(module, name, self._timed(getattr(module, name), seconds))

    def _timed(self, function, seconds):
        parameters = inspect.signature(function)

        def timed(*arguments):
            n = parameters.bind(*arguments).arguments.get("n", 1)
            result = function(*arguments)
            self.now += n * (self.step if seconds is None else seconds) + self.compiling
            self.compiled, self.compiling = self.compiled + self.compiling, 0.0
            if "n" in parameters.parameters:
                self.n_steps.append(n)
            return result

        return timed

    @property
    def trained(self):
        """Seconds without compiling."""
        return self.now - self.compiled
