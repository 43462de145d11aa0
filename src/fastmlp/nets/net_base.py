"""Base classes of MLP and Population: parameters, choice of the device, class numbers, scores, files and pickling."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.checked_samples import as_numbers
from ..devices import Device, check_name, choose_device, device_context, resolve, to_library_of
from ..errors import checked_setting, drawn_setting
from ..initialization import Init, check_init
from ..interface.setting_checks import checked_dtype, checked_precision
from ..kernels.structs import METRIC_NONE
from ..network.net_settings import PER_NET
from ..network.spec import Network
from ..runtime.memory_limits import check_params
from .prediction import predicted_classes


class NetBase:
    """Base class of MLP and Population. The constructors of both set seed, fits and _params."""

    network: Network
    dtype: np.dtype
    init: Init
    precision: str
    standardize: bool = False
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
        self.standardize = bool(settings["standardize"])
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

    def jacobian(self, X: Any) -> np.ndarray:
        """Return the derivatives of all outputs, after the output activation, by all inputs.

        They are computed in float64 on the CPU, by a backward pass for each output.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Inputs; of a Population, also (n_nets, n_samples, n_features), for nets with samples of their own.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs, n_features)
            Derivatives in the dtype of the net; of a Population, (n_nets, n_samples, n_outputs, n_features).

        Raises
        ------
        ValueError
            If X does not have the net's number of features, or is not finite.

        Examples
        --------
        >>> import fastmlp
        >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
        >>> net.jacobian([[0.5, -1.0], [2.0, 0.0]]).shape
        (2, 1, 2)
        """
        from .sensitivity import derivatives

        return derivatives(self, X)

    def input_gradient(self, X: Any, output: int = 0) -> np.ndarray:
        """Return the derivatives of one output, after the output activation, by all inputs: by one backward pass.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Inputs, as for jacobian.
        output : int, default 0
            Number of the output.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Derivatives in the dtype of the net; of a Population, (n_nets, n_samples, n_features).

        Raises
        ------
        ValueError
            If X does not have the net's number of features or is not finite, or if there is no such output.

        Examples
        --------
        >>> import fastmlp
        >>> net = fastmlp.MLP((2, 1), random_state=0)
        >>> bool((net.input_gradient([[0.5, -1.0]])[0] == net.weights[0][:, 0]).all())
        True
        """
        from .sensitivity import derivatives

        return derivatives(self, X, output)[..., 0, :]

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
        from ..persistence.saved_net import save

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
