"""MLP: one multilayer perceptron with `fit`, `predict` and `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .data.checked_samples import validated_samples
from .devices import resolve
from .errors import checked_number
from .fit.entry import fit_mlp
from .fit.interrupt_warnings import warn_caller_of_net
from .fit.keywords import MLP_KEYWORDS, FitKeywords, checked
from .fit.more_epochs_hint import tell_of_falling_loss
from .history import History
from .initialization import draw_params
from .interface.keywords import explains_names, with_table, with_texts
from .interface.setting_checks import seed_of
from .interface.user_warnings import called_by_user
from .kernels.jit.compile_time import Stopwatch
from .nets.objective import Objective
from .nets.single_net_base import SingleNetBase
from .network.net_settings import NET_SETTINGS, NetSettings
from .network.spec import Network

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack


@with_texts(NET_SETTINGS)
class MLP(SingleNetBase):
    """A multilayer perceptron (one net) with its own training loop.

    Parameters
    ----------
    layer_sizes : sequence of int
        Number of inputs, number of units in each hidden layer, number of outputs, as in (2, 4, 1).
        (2, 1) is a net without hidden layer.
    {keywords}

    Attributes
    ----------
    network : Network
        Architecture: layer sizes, activations, loss, dropout and L2 penalty. It cannot be changed.
    params : ndarray of shape (n_params,)
        All parameters, one writable vector: per layer W (fan_in, fan_out) row by row, then b (fan_out,). An
        array that is assigned is copied into the vector.
    padded_params : ndarray of shape (n_padded,)
        The vector that kernels work on: params, followed by zeros up to a whole SIMD vector.
    weights : list of ndarray of shape (fan_in, fan_out)
        Weight matrices, one per layer, as views of params.
    biases : list of ndarray of shape (fan_out,)
        Bias vectors, one per layer, as views of params.
    history : History or None
        Records of the last fit; None before the first.
    device : Device
        The device of the last fit or prediction, and why it was chosen; `device.name` is its name.
    seed : int
        Seed of all random numbers of the net, from 0 to 2**63 - 1.
    fits : int
        Number of fits since the net was made or reset; shuffling and dropout of a fit depend on it.
    dtype : numpy.dtype
        Data type of the parameters.
    init : str or object
        Initialiser, as given.
    init_scale : float
        Factor on the initial parameters, as given.
    precision : str
        Format of the operands of matrix products on a GPU, as given.
    standardize : bool
        Whether fits standardise their rows, as given.
    preprocessing : object or None
        Preprocessing of the table that `fastmlp train` trained the net on; None for a net of arrays.

    Raises
    ------
    ValueError
        If a setting is invalid; the message names the valid values.
    RuntimeError
        If the named device is not available.

    See Also
    --------
    Population : Many nets of one architecture, trained in one call.
    MLPClassifier : The same net as an estimator of scikit-learn.

    Notes
    -----
    Layer k computes a = f(a_before @ W + b). Formulas of activations, losses and initialisers are in the reference, on
    the page "Choices".

    Examples
    --------
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop")
    >>> net.predict_classes(X)
    array([0, 1, 1, 0])
    """

    _not_pickled = ("device", "_padded")

    @explains_names
    @with_table(NET_SETTINGS)
    def __init__(self, layer_sizes: Sequence[int], **settings: Unpack[NetSettings]) -> None:
        chosen: dict[str, Any] = {**NET_SETTINGS.defaults, **settings}
        network = Network.build(layer_sizes, chosen)
        self.init_scale = checked_number("init_scale", chosen["init_scale"], 0.0)
        self._set_up(network, 1, chosen)
        self.history = None
        self.seed, self._has_drawn_seed = seed_of(chosen["random_state"]), chosen["random_state"] is None
        self._make_params()
        self.reset()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled or copied net with its own parameter vector, on a device that exists on this machine.

        `params` must again be a view of the padded vector that kernels work on.
        """
        params = state["_params"]
        self.__dict__.update(state)
        self.device = resolve(self._named_device)
        self._make_params()
        self._params[:] = params
        if self.history is not None and vars(self.history).get("net", self) is None:  # see History.__getstate__
            self.history.net = self

    # ---- parameters

    def reset(self) -> MLP:
        """Draw the initial parameters again, from the net's seed, and forget earlier fits.

        Returns
        -------
        MLP
            The net itself.
        """
        self._params[:] = draw_params(self.network, self.init, np.array([self.seed]), self.init_scale)[0]
        self.fits, self.history = 0, None
        return self

    # ---- training

    @with_table(MLP_KEYWORDS)
    def fit(self, X: Any, y: Any = None, **keywords: Unpack[FitKeywords]) -> History:
        """Train the net, starting from its current parameters.

        Ctrl-C ends the fit. The net keeps the parameters reached so far (with early stopping, those of the best epoch),
        and `history.stopped_by` is "interrupt".

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features), path, or source of rows
            Inputs: NumPy, or an array on a GPU (CuPy, or PyTorch and JAX through DLPack). Or data that are read piece
            by piece, and need not fit into memory: a Parquet, CSV or .npy file, a memory map, an array of h5py or zarr,
            an Arrow stream, or an iterable of batches.
        y : array_like of shape (n_samples, n_outputs) or (n_samples,), str, or sequence of str, optional
            Targets. A vector holds the targets of a net with one output, or the class numbers for a net with several
            outputs. Of a file, stream or data frame with named columns: the names of those with the targets. None if X
            is an iterable of batches (X, y). Beside data that are read piece by piece, it may be such data, too, with
            as many rows, as in fit("X.npy", "y.npy").
        {keywords}

        Returns
        -------
        History
            Records of the fit, which are also `net.history`.

        Raises
        ------
        ValueError
            If the data do not fit the net or are not finite, or a setting is invalid; if the checkpoint is of another
            net, other data or settings, or it and the one before it are damaged.
        FileExistsError
            If there is a checkpoint, and the fit is not to go on from it.

        Warns
        -----
        DivergenceWarning
            If the loss or the parameters stop being finite; the fit ends with the last finite parameters.
        TrainingWarning
            With monitor=True, at the first sign of a known failure.
        UserWarning
            If the last checkpoint is damaged, so that the fit goes on from the one before it; if one cannot be written;
            if a schedule depends on the number of epochs, and the checkpoint had another one; if Ctrl-C ended the fit.
        """
        watch = Stopwatch()
        settings = checked(MLP.fit, keywords, MLP_KEYWORDS, MLP)
        history = fit_mlp(self, X, y, settings, watch)
        if history.stopped_by == "interrupt" and called_by_user():
            warn_caller_of_net(history)
        elif settings["verbose"] and called_by_user():
            tell_of_falling_loss(history, settings)
        return history

    # ---- use

    def loss_and_gradient(self, X: Any, y: Any, *, sample_weight: Any = None) -> tuple[float, np.ndarray]:
        """Return the loss with the L2 penalty and its gradient at the current parameters, without dropout.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Inputs.
        y : array_like of shape (n_samples, n_outputs) or (n_samples,)
            Targets, as for fit.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample.

        Returns
        -------
        loss : float
            Mean loss of the samples, plus the L2 penalty.
        gradient : ndarray of shape (n_params,)
            Derivatives with respect to params, in their order.
        """
        return self.objective(X, y, sample_weight=sample_weight)(self._params)

    def objective(
        self, X: Any, y: Any, *, sample_weight: Any = None
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Return loss_and_gradient as a function of the parameters, for solvers such as scipy.optimize.minimize.

        The data are checked and copied once, not at each call. Each call sets the net's params to its argument,
        (n_params,).

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Inputs.
        y : array_like of shape (n_samples, n_outputs) or (n_samples,)
            Targets, as for fit.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample.

        Returns
        -------
        callable
            Function of params (n_params,) that returns (loss, gradient).

        Examples
        --------
        >>> from scipy.optimize import minimize
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> settings = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "dtype": "float64"}
        >>> net = MLP((2, 4, 1), **settings, random_state=0)
        >>> result = minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B")
        >>> net.params = result.x
        >>> net.predict_classes(X)
        array([0, 1, 1, 0])
        """
        data, _ = validated_samples(X, y, self.network, self.dtype, sample_weight)
        self._choose_device(X, data.n_samples, data.n_samples)
        return Objective(self, data)

    def plot_boundary(self, X: Any, y: Any = None, *, features: Sequence[int] = (0, 1), **options: Any) -> Any:
        """Plot the net's output over the plane of two inputs; see fastmlp.plots.boundary.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples, which are drawn too.
        y : array_like, optional
            Targets, as for fit.
        features : sequence of two ints, default (0, 1)
            Numbers of the inputs on the two axes; the others are at their medians.
        **options
            Further arguments of fastmlp.plots.boundary.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .plots.decision import boundary

        return boundary(self, X, y, features=features, **options)

    # ---- files

    def get_settings(self) -> dict[str, Any]:
        """Return the constructor arguments of an equal net, without device and random_state.

        Returns
        -------
        dict
            Arguments by name, as numbers, text and lists that JSON can hold.
        """
        return {
            **self.network.arguments(),
            "init_scale": self.init_scale,
            "init": self.init if isinstance(self.init, str) else repr(self.init),
            "dtype": self.dtype.name,
            "precision": self.precision,
            **({"standardize": True} if self.standardize else {}),
        }

    def get_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `save` writes besides the settings.

        Returns
        -------
        dict of str to ndarray
            {"params": (n_params,)}.
        """
        return {"params": self._params}

    def to_torch(self, *, logits: bool = False) -> torch.nn.Sequential:
        """Return a PyTorch module with copies of the parameters, which computes what `predict` does.

        The layers are Linear, activations and, where the net has some, Dropout; the module is in evaluation mode.
        Activations that PyTorch lacks, such as symmetric_sigmoid, are modules of fastmlp. In training, PyTorch uses the
        true derivative of fahlman_sigmoid. `fastmlp.from_torch` is the inverse: it gives the same parameters to the
        bit.

        Parameters
        ----------
        logits : bool, default False
            Whether to leave out the output activation, as the losses of PyTorch for classes expect it.

        Returns
        -------
        torch.nn.Sequential
            In the net's dtype, on the CPU.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        """
        from .export.to_torch import to_torch

        return to_torch(self.network, self._params, logits)

    def __repr__(self) -> str:
        hidden = ", ".join(dict.fromkeys(self.network.arguments()["hidden_activation"]))
        output = self.network.output_row.name
        return (
            f"MLP({self._architecture_text()}, hidden_activation={hidden!r}, output_activation={output!r}, "
            f"loss={self.network.loss_row.name!r}, n_params={len(self._params)}, device={self.device.name!r})"
        )
