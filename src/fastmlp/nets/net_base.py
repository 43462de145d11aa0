"""Base classes of MLP and Population: parameters, choice of the device, class numbers, scores, files and pickling."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.checked_samples import as_numbers
from ..devices import Device, check_name, choose_device, device_context, resolve, to_library_of
from ..errors import checked_setting, drawn_setting
from ..execution.gpu_costs import trains_in_one_launch
from ..execution.plan import Plan
from ..history import History
from ..initialization import Init, check_init
from ..interface.setting_checks import checked_dtype, checked_precision
from ..kernels.structs import METRIC_NONE
from ..network.net_settings import PER_NET
from ..network.spec import Network
from ..population_result import PopulationResult
from ..runtime.memory_limits import check_params
from .prediction import predicted_classes


class NetBase:
    """Base class of MLP and Population. The constructors of both set seed, fits and _params."""

    network: Network
    dtype: np.dtype
    init: Init
    precision: str
    device: Device
    preprocessing: Any  # set by `fastmlp train`; save and load keep it
    seed: int
    _has_drawn_seed: bool = False  # whether the seed was drawn, since random_state was None
    fits: int  # number of fits since the last reset
    _named_device: str  # as the user named it
    _products: int  # multiply-adds of a training step with one sample, of all nets
    _params: np.ndarray
    _not_pickled: tuple[str, ...] = ("device",)

    if TYPE_CHECKING:  # methods of both classes

        def get_settings(self) -> dict[str, Any]: ...
        def get_arrays(self) -> dict[str, np.ndarray]: ...
        def _is_in_mean(self) -> np.ndarray: ...  # of populations
        def _scores_of_piece(self, X: Any, y: Any, metric: int | None, weight: Any) -> tuple[int, Any]: ...

    def _set_up(self, network: Network, n_nets: int, settings: dict[str, Any]) -> None:
        """Check the settings that all nets have in common, and store them.

        network : Network     architecture of the nets
        n_nets : int     number of nets
        settings : {name: value}     those of MLP
        """
        init, device, dtype = settings["init"], settings["device"], settings["dtype"]
        self.network = network
        check_init(init)
        check_name(device)
        self.dtype, self.init = checked_dtype(dtype), init
        check_params(network.layer_sizes, network.layout.n_params, self.dtype.itemsize, n_nets)
        self.precision = checked_precision(settings["precision"])
        self.device, self._named_device = resolve(device), device
        self.preprocessing = None
        self.fits = 0
        self._products = n_nets * network.layout.products

    def _architecture_text(self) -> str:
        """Return the layer sizes, and what few nets have, as text for the repr."""
        return str(self.network.layer_sizes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._not_pickled}

    # ---- parameters

    @property
    def params(self) -> np.ndarray:
        """All parameters, writable.

        (n_params,) for an MLP: per layer W (fan_in, fan_out) row by row, then b (fan_out,). (n_nets, n_params) for a
        Population: row k is laid out as MLP.params of net k.
        """
        return self._params

    @params.setter
    def params(self, values: Any) -> None:
        array = as_numbers(values, "params")
        if array.shape != self._params.shape:
            raise ValueError(f"params must have shape {self._params.shape}, but it has shape {array.shape}.")
        self._params[:] = array

    # ---- use

    def _choose_device(self, X: Any, samples: float, at_once: float) -> None:
        """Choose the device, if it is "auto", by the amount of work.

        X : inputs; a device that already holds them is used
        samples : number of training samples of each net over all epochs; a sample of a forward pass counts as a third
        at_once : number of samples in one step, counted in the same way
        """
        if self._named_device == "auto":
            each = self._products
            self.device = choose_device("auto", self.device, X, samples * each, at_once * each, self._in_one_launch())

    def _in_one_launch(self) -> bool:
        """Return whether a GPU would train all nets in one launch."""
        return False

    def _classes(self, outputs: Any, X: Any) -> Any:
        """Return the class numbers of outputs (..., n_samples, n_outputs), as an array of X's library."""
        with device_context(outputs):
            return to_library_of(predicted_classes(outputs, self.network), X)

    @staticmethod
    def _scores(metric: int, loss: Any, accuracy: Any) -> dict[str, Any]:
        """Return the result of evaluate: the loss and, for classification, the accuracy."""
        return {"loss": loss} if metric == METRIC_NONE else {"loss": loss, "accuracy": accuracy}

    # ---- files

    def save(self, path: str | os.PathLike) -> None:
        """Write the net, or all nets of a population, to a safetensors file, atomically; fastmlp.load reads it.

        Parameters
        ----------
        path : str or path
            File to write. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written, or path is a folder, a device or a pipe. An existing file is then unchanged.
        """
        from ..persistence import save

        save(self, path)

    def export(self, path: str | os.PathLike, *, prefix: str = "", mean: bool = False) -> None:
        """Write what `predict` computes as an ONNX model or a C file, atomically; the suffix of the path decides.

        An ONNX model has the input X (n_rows, n_features) and the output Y (n_rows, n_outputs), of a population
        (n_nets, n_rows, n_outputs), in the dtype of the net. A C file is C99 with a function
        `predict(const float *x, float *y)` for one sample, in float32; of a population, y has the outputs of all nets,
        one net after the other.

        Parameters
        ----------
        path : str or path
            File to write, which ends in .onnx or .h. An existing file is replaced, but no C file of somebody else.
        prefix : str, default ""
            Beginning of all names in a C file: "spam" gives spam_predict.
        mean : bool, default False
            Whether to export the mean of the outputs of a population's nets, as `ensemble_predict` returns it: Y is
            then (n_rows, n_outputs), and y has n_outputs numbers.

        Raises
        ------
        ImportError
            If the path ends in .onnx, and the package onnx is not installed.
        OSError
            If the file cannot be written, or is a C file that fastmlp has not written. An existing file is then
            unchanged.
        ValueError
            If the suffix or another argument is invalid, a parameter is not finite, or the net is too large.

        Examples
        --------
        >>> import fastmlp, tempfile
        >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.export(f"{folder}/net.h")
        ...     with open(f"{folder}/net.h") as file:
        ...         text = file.read()
        >>> "predict(const float *x, float *y)" in text
        True
        """
        from ..export.export_to_file import export
        from ..export.predictor import MEAN, OUTPUTS, Predictor

        if mean and self._params.ndim == 1:
            raise ValueError("mean=True is for the nets of a population: leave it out for one net.")
        params = self._params[self._is_in_mean()] if mean else self._params
        export(lambda: Predictor(self.network, params, MEAN if mean else OUTPUTS), path, prefix)


class SingleNetBase(NetBase):
    """Base class of MLP, whose constructor sets the attributes."""

    history: History | None  # of the last fit
    _padded: np.ndarray  # (n_padded,), the vector that kernels work on; it begins with params

    def _make_params(self) -> None:
        self._padded = self.network.layout.padded(self.dtype)
        self._params = self._padded[: self.network.layout.n_params]

    @property
    def padded_params(self) -> np.ndarray:
        """The vector that kernels work on, (n_padded,): params, followed by zeros up to a whole SIMD vector."""
        return self._padded

    @property
    def weights(self) -> list[np.ndarray]:
        """Weight matrices (fan_in, fan_out), one per layer, as views of params."""
        return self.network.layout.weights(self._params)

    @property
    def biases(self) -> list[np.ndarray]:
        """Bias vectors (fan_out,), one per layer, as views of params."""
        return self.network.layout.biases(self._params)

    def _plan_for(self, n_samples: int) -> Plan:
        """Return a plan for evaluation, acquired from the buffer cache or made."""
        return Plan.for_evaluation(self.network, self.device, self.dtype, n_samples, precision=self.precision)


class PopulationBase(NetBase):
    """Base class of Population, whose constructor sets the attributes."""

    n_nets: int
    seeds: np.ndarray  # int64 (n_nets,)
    dropout: Any  # number, or (n_nets,); so are the next two
    l2: Any
    init_scale: Any
    result: PopulationResult | None  # of the last fit

    if TYPE_CHECKING:  # methods of Population

        def net(self, k: int) -> SingleNetBase: ...
        def _draw(self, members: np.ndarray, draw: int) -> None: ...
        def _outputs(self, X: Any, nets: Any) -> Any: ...

    def _is_in_mean(self) -> np.ndarray:
        """Return for each net whether it is a part of the ensemble, bool (n_nets,).

        Nets that finished no epoch of the first fit, which Ctrl-C or a time limit has ended, are not, if others are.
        """
        if self.result is None or self.fits > 1 or not self.result.epochs.any():
            return np.ones(self.n_nets, bool)
        return self.result.epochs > 0

    def _in_one_launch(self) -> bool:
        return trains_in_one_launch(self.network, self.dtype)

    # ---- a sequence of nets

    def __len__(self) -> int:
        """Return the number of nets."""
        return self.n_nets

    def __getitem__(self, k: Any) -> Any:
        """Return net k as an MLP with a copy of its parameters, as pop.net(k) does, or a list of MLPs for a slice.

        Raises
        ------
        IndexError
            If there is no net k.
        TypeError
            If k is neither a whole number nor a slice.
        """
        if isinstance(k, slice):
            return [self.net(i) for i in range(*k.indices(self.n_nets))]
        if not isinstance(k, Integral) or isinstance(k, bool):
            raise TypeError(
                f"A population is indexed by a net's number or by a slice, but the index is {k!r}. For the outputs of "
                "some of the nets use pop.predict(X, nets=...), for their parameters pop.params[...]."
            )
        return self.net(int(k))


def checked_per_net_setting(name: str, value: Any, n_nets: int, rng: Callable[[], np.random.Generator] | None) -> Any:
    """Return a setting as a number or an array (n_nets,), drawn if it is a distribution, and checked against PER_NET.

    name : str     name of the setting, a key of PER_NET
    value : number, array (n_nets,) or frozen SciPy distribution
    n_nets : int     number of nets
    rng : function that returns the generator to draw with; needed for a distribution only

    The bounds are checked twice, since the numbers of a distribution are known only after the draw.
    """
    drawn = drawn_setting(name, checked_setting(name, value, **PER_NET[name]), n_nets, rng)
    return checked_setting(name, drawn, **PER_NET[name])
