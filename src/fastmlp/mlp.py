"""MLP: one multilayer perceptron, the plain API."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .callbacks import Callback, as_callbacks, as_early_stopping
from .checks import checked_dtype, checked_precision, seed_of
from .console.compile_notice import CompileNotices
from .console.progress_bar import EpochLines, checked_verbose
from .console.stopwatch import Stopwatch
from .data import validation as border
from .data.class_weighting import split_and_weighted
from .devices import check_name, choose_device, device_context, resolve, to_library_of
from .errors import checked_count, checked_number, checked_share
from .execution.dispatch import products
from .execution.explain import explain_training
from .execution.plan import Plan
from .history import History
from .initialization import Init, check_init, draw_params
from .kernels.formulas.activations import ACTIVATIONS
from .kernels.formulas.seeded_draws import fit_seed
from .kernels.structs import METRIC_NONE, Samples
from .memory_check import LARGE, OUTPUTS, check_array, check_epochs, check_params
from .network.spec import Network
from .optimizers import optimizer_from_name
from .schedules import schedule_factors
from .training.epoch_metrics import FitMetrics
from .training.fit_loop import Fit
from .training.fit_options import Options
from .training.objective import Objective
from .training.optimizer_state import OptimizerState, checked_state
from .training.prediction import chosen_classes, predict


class MLP:
    """A multilayer perceptron that trains itself.

    Parameters
    ----------
    layer_sizes : sequence of int
        Number of inputs, of units in each hidden layer, of outputs.
    hidden_activation : str or sequence of str
        identity, sigmoid, tanh, relu, leaky_relu, elu, selu, gelu, silu, softplus, softsign, symmetric_sigmoid or
        fahlman_sigmoid; one for all hidden layers, or one each.
    output_activation : str, optional
        Follows from the loss unless given.
    loss : str
        squared_error, binary_cross_entropy, softmax_cross_entropy, absolute_error, huber, poisson or atanh_error: the
        mean over samples and, but for softmax_cross_entropy, over outputs, with no factor of one half.
    dropout : float or sequence of float
        Share of hidden units left out in each training step; the others are scaled up by 1 / (1 - dropout).
    l2 : float
        The objective gets l2 / 2 times the sum of squared weights (not biases).
    label_smoothing, huber_delta : float
        Constants of softmax_cross_entropy and of huber.
    init : str or object
        "auto", a name such as "glorot_uniform", or `Uniform(low, high)`, `Normal(std)`,
        `UniformByFanIn(gain)`.
    init_scale : float
        Factor on the first weights.
    dtype : "float32" or "float64"
    device : "auto", "cpu", "cuda" or "cuda:1"
        "auto" takes a GPU, if there is one, for inputs that lie there and for fits that are long enough to pay.
    precision : "exact", "tf32", "bfloat16" or "float16"
        To what a GPU may round the operands of matrix products in float32; sums and parameters stay float32. The
        last two take all layers of a net of up to 128 units a layer in one kernel, if it is not too deep for that.
    random_state : int, numpy.random.Generator or RandomState, optional
        The same value gives parameters and recorded losses of the same bits on the same machine, for any number of
        threads of the CPU.

    Raises
    ------
    ValueError
        For an impossible setting, in a sentence that names the possible ones.
    RuntimeError
        If a device was named that cannot be had.

    Examples
    --------
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop")
    >>> net.predict_classes(X)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        hidden_activation: str | Sequence[str] = "relu",
        output_activation: str | None = None,
        loss: str = "squared_error",
        dropout: float | Sequence[float] = 0.0,
        l2: float = 0.0,
        label_smoothing: float = 0.0,
        huber_delta: float = 1.0,
        init: Init = "auto",
        init_scale: float = 1.0,
        dtype: Any = "float32",
        device: str = "auto",
        precision: str = "exact",
        random_state: Any = None,
    ):
        self.network = Network.build(
            layer_sizes, hidden_activation, output_activation, loss, dropout, l2, label_smoothing, huber_delta
        )
        check_init(init)
        check_name(device)
        self.dtype, self.init = checked_dtype(dtype), init
        check_params(self.network.layer_sizes, self.network.layout.n_params, self.dtype.itemsize)
        self.precision = checked_precision(precision)
        self.init_scale = checked_number("init_scale", init_scale, 0.0)
        self.device = resolve(device)
        self.preprocessing: Any = None  # set by `fastmlp train`, kept by save and load
        self.history: History | None = None  # of the last fit; kept by save and load
        self._named_device = device
        self.seed = seed_of(random_state)
        self.fits = 0
        self._make_params()
        self.reset()

    def _make_params(self) -> None:
        self._padded = self.network.layout.padded(self.dtype)  # what kernels work on; its head is params
        self._params = self._padded[: self.network.layout.n_params]
        self._products = products(self.network, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_padded", "device")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy, by pickle or copy, has parameters of its own, which are the head of the vector kernels work on, and a
        device that is there.
        """
        params = state["_params"]
        self.__dict__.update(state)
        self.device = resolve(self._named_device)
        self._make_params()
        self._params[:] = params
        if self.history is not None and vars(self.history).get("net", self) is None:  # see History.__getstate__
            self.history.net = self

    # ---- parameters

    @property
    def params(self) -> np.ndarray:
        """All parameters, flat (n_params,): per layer W (fan_in, fan_out), then b (fan_out,). Readable and writable."""
        return self._params

    @params.setter
    def params(self, values: Any) -> None:
        array = border.as_numbers(values, "params")
        if array.shape != self._params.shape:
            raise ValueError(f"params must have shape {self._params.shape}, but it has shape {array.shape}.")
        self._params[:] = array

    @property
    def padded_params(self) -> np.ndarray:
        """(n_padded,), what kernels work on: params, and zeros up to whole vectors."""
        return self._padded

    @property
    def weights(self) -> list[np.ndarray]:
        """Views (fan_in, fan_out) into params, one per layer."""
        return self.network.layout.weights(self._params)

    @property
    def biases(self) -> list[np.ndarray]:
        """Views (fan_out,) into params, one per layer."""
        return self.network.layout.biases(self._params)

    def reset(self) -> MLP:
        """Draw new parameters: the first ones again where random_state was a number, and forget earlier fits."""
        self._params[:] = draw_params(self.network, self.init, np.array([self.seed]), self.init_scale)[0]
        self.fits, self.history = 0, None
        return self

    # ---- training

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 100,
        batch_size: int | None = None,
        optimizer: Any = "adam",
        schedule: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        validation_data: tuple[Any, Any] | None = None,
        validation_fraction: float = 0.0,
        early_stopping: Any = None,
        callbacks: Sequence[Callback] = (),
        metrics: Any = (),
        optimizer_state: OptimizerState | None = None,
        monitor: bool = False,
        verbose: int = 1,
    ) -> History:
        """Train from the present parameters on.

        X : (n_samples, n_features)
        y : (n_samples, n_outputs), or (n_samples,): targets of one output, or class numbers for several
        epochs : passes over the data
        batch_size : samples per step; None is all of them
        optimizer : a name ("sgd", "adam", "adamw", "rmsprop", "adagrad", "quickprop", "rprop") or an object
        schedule : a name, an object of fastmlp.schedules or a function (steps, n_steps) -> factors on the learning rate
        shuffle : whether each epoch sees the samples in a new order
        sample_weight : (n_samples,); a batch's loss is sum of w times loss over its number of samples, w scaled to
            mean 1
        class_weight : {class: weight}, 1 for a class that is not named, or "balanced"; for training only: validation
            figures count samples by their sample_weight
        validation_data : (X, y) or (X, y, sample_weight); or validation_fraction : the share of samples, drawn at
            random, that is held out with their sample_weight
        early_stopping : True, a patience in epochs, or an EarlyStopping; the best parameters are restored
        callbacks : functions (epoch, history), called after each epoch; returning True stops
        metrics : what to record besides the loss, after each epoch, for the training and the validation part: names
            ("squared_error", "absolute_error", "r2", "accuracy", "log_loss", "roc_auc") or functions (y_true, y_pred)
            -> float of arrays (n_samples, n_outputs); `history.metrics` and `history.validation_metrics` have them
        optimizer_state : a fastmlp.OptimizerState, given to several fits that are to be as one; None starts anew
        monitor : whether to watch for failures that are known, such as a loss that stays at the base rate's; a
            TrainingWarning tells, once
        verbose : 0 shows nothing; 1, where a terminal or a notebook is watched, a progress bar if the fit takes long,
            and that kernels are being compiled; 2 prints a line per epoch to standard output

        Ctrl-C ends the fit and keeps what was reached, with early_stopping the best of it; `history.stopped_by` tells.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            For data that do not fit the net or are not finite, and for impossible settings.
        """
        watch, verbose, epochs = Stopwatch(), checked_verbose(verbose), checked_count("epochs", epochs)
        share = checked_share(validation_fraction, validation_data)
        rule = optimizer_from_name(optimizer)
        stopping, factors = as_early_stopping(early_stopping), schedule_factors(schedule)
        with CompileNotices(verbose > 0):
            data = border.validated_samples(
                X, y, self.network, self.dtype, sample_weight, None if share else class_weight
            )
        size = data.n_samples if batch_size is None else min(checked_count("batch_size", batch_size), data.n_samples)
        check_epochs(epochs, -(-data.n_samples // size), 2 if validation_data is None and not share else 4)
        shuffle = bool(shuffle) and size < data.n_samples
        draws = shuffle or share or any(self.network.dropout)
        seed = fit_seed(self.seed, self.fits) if draws else 0
        held_out = None
        if validation_data is not None:
            held_out = border.make_validation(validation_data, self.network, self.dtype, data.metric)
        elif share:
            data, held_out = split_and_weighted(data, share, seed, class_weight, self.network)
            size = min(size, data.n_samples)
            shuffle = shuffle and size < data.n_samples
        measured = FitMetrics(metrics, self, {"training": data, "validation": held_out}, epochs) if metrics else None
        if stopping is not None:
            names = measured.names if measured else ()
            stopping.check_monitor(data.metric, None if held_out is None else held_out.metric, names)
        watching = None
        if monitor:
            from .diagnosis.monitor import Monitor

            watching = Monitor(self.network, data, epochs)
        lines = (EpochLines(epochs),) if verbose == 2 else ()
        options = Options(
            epochs, size, shuffle, seed, rule, factors, stopping, (*as_callbacks(callbacks), *lines), verbose,
            monitor=watching, state=checked_state(optimizer_state), metrics=measured,
        )  # fmt: skip
        self.history = history = History(self)
        history.optimizer = rule
        history.samples = border.sample_for_plots({"training": data, "validation": held_out})
        self.fits += 1
        self._choose_device(X, epochs * data.n_samples, size)
        with self.device.on():
            plan = Plan.for_training(
                self.network, self.device, self.dtype, data.n_samples, size, shuffle, precision=self.precision
            )
            history.settings = options.description(data, held_out, plan.n_threads, schedule)  # type: ignore[assignment]
            validation = None
            if held_out is not None:
                validation = self._plan_for(held_out.n_samples), held_out
            try:
                Fit(plan, data, validation, self._padded, options, history).run()
            finally:
                plan.release()
                history.seconds, history.compile_seconds = watch.read()
                for printer in lines:
                    printer.print_rest(history)
        return history

    def explain(self, X: Any, *, batch_size: int | None = None, epochs: int = 100) -> str:
        """Explain how `fit` would train this net on such data: kernel family, threads and rows, with their reasons.

        X : array (n_samples, n_features), or the number of samples
        batch_size : number of samples per step; None for all of them
        epochs : number of epochs, which counts where device="auto" may choose a GPU

        Returns
        -------
        Three lines of text.

        >>> print(MLP((2, 8, 1), device="cpu").explain(1000, batch_size=4).splitlines()[0])  # doctest: +ELLIPSIS
        Kernel family: batch_simd_4 on cpu (one small net, batches of up to 4 samples; ...).
        """
        n = X if isinstance(X, int) else len(border.as_features(X, self.network.n_features, self.dtype))
        n = checked_count("the number of samples", n)
        size = n if batch_size is None else min(checked_count("batch_size", batch_size), n)
        device, each = self.device, self._products
        if self._named_device == "auto":
            device = choose_device("auto", device, None if isinstance(X, int) else X, epochs * n * each, size * each)
        return explain_training(self.network, device, self.dtype, size, self.precision)

    def _choose_device(self, X: Any, samples: float, at_once: float) -> None:
        """By the work of so many samples trained, so many of them in one step, where the device is "auto"."""
        if self._named_device == "auto":
            each = self._products
            self.device = choose_device("auto", self.device, X, samples * each, at_once * each)

    # ---- use

    def _plan_for(self, n_samples: int) -> Plan:
        return Plan.for_evaluation(self.network, self.device, self.dtype, n_samples, precision=self.precision)

    def _evaluate(self, data: Samples, output: Any) -> tuple[float, float]:
        with self.device.on():
            plan = self._plan_for(data.n_samples)
            return plan.evaluate_alone(plan.place(data), self._padded, output)

    def predict(self, X: Any) -> Any:
        """Outputs (n_samples, n_outputs), after the output activation: a NumPy array, or one of X's own library on the
        device where X lies.
        """
        output = self._outputs(X)
        return output if type(output) is np.ndarray else to_library_of(output, X)

    def _outputs(self, X: Any) -> Any:
        """The same as NumPy's array or, for inputs on a device, as CuPy's."""
        features = border.as_features(X, self.network.n_features, self.dtype)
        n = len(features)
        if n * self._products > LARGE:
            check_array((n, self.network.n_outputs), self.dtype.itemsize, *OUTPUTS)
        self._choose_device(X, n / 3, n / 3)
        if self.device.is_host:  # by itself: to enter a device's context takes as long as the pass of a small net
            return predict(border.on_host(features), self._padded, self.network, self._plan_for)
        with self.device.on():
            output = type(features)((n, self.network.n_outputs), self.dtype)
        self._evaluate(border.inputs_only(features), output.reshape(-1))
        return output

    def predict_classes(self, X: Any) -> Any:
        """Class numbers (n_samples,): the largest output, or whether the only one is above the middle of its range."""
        output = self._outputs(X)
        with device_context(output):
            return to_library_of(chosen_classes(output, self.network), X)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """{"loss": ...} without the L2 penalty and, for classifications, "accuracy".

        With several outputs that is the share of samples whose largest output is the right one if each sample here has
        one class, else the share of labels on the right side.
        """
        data = border.validated_samples(X, y, self.network, self.dtype, sample_weight)
        self._choose_device(X, data.n_samples / 3, data.n_samples / 3)
        loss, right = self._evaluate(data, np.empty(0, self.dtype))
        return {"loss": loss} if data.metric == METRIC_NONE else {"loss": loss, "accuracy": right}

    def loss_and_gradient(self, X: Any, y: Any, *, sample_weight: Any = None) -> tuple[float, np.ndarray]:
        """The objective, L2 penalty included and dropout off, and its gradient (n_params,), at the present params."""
        return self.objective(X, y, sample_weight=sample_weight)(self._params)

    def objective(
        self, X: Any, y: Any, *, sample_weight: Any = None
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """loss_and_gradient as a function of params, for solvers that ask often: data are checked and copied once.

        Each call sets the net's params to its argument, (n_params,).

        >>> from scipy.optimize import minimize
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> net = MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", dtype="float64", random_state=0)
        >>> result = minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B")
        >>> net.params = result.x
        >>> net.predict_classes(X)
        array([0, 1, 1, 0])
        """
        data = border.validated_samples(X, y, self.network, self.dtype, sample_weight)
        self._choose_device(X, data.n_samples, data.n_samples)
        return Objective(self, data)

    def plot_boundary(self, X: Any, y: Any = None, *, features: Sequence[int] = (0, 1), **options: Any) -> Any:
        """What the net says over the plane of two inputs; returns the Axes. See fastmlp.plots.boundary."""
        from .plots.decision import boundary

        return boundary(self, X, y, features=features, **options)

    # ---- files

    def get_settings(self) -> dict[str, Any]:
        """Constructor settings that make an equal net, as JSON can hold them; random_state is not kept."""
        names = [ACTIVATIONS[code].name for code in self.network.activation_codes]
        return {
            "layer_sizes": list(self.network.layer_sizes),
            "hidden_activation": names[:-1],
            "output_activation": names[-1],
            "loss": self.network.loss_row.name,
            "dropout": list(self.network.dropout),
            "l2": self.network.l2,
            "label_smoothing": self.network.label_smoothing,
            "huber_delta": self.network.loss_constant or 1.0,
            "init_scale": self.init_scale,
            "init": self.init if isinstance(self.init, str) else repr(self.init),
            "dtype": self.dtype.name,
            "precision": self.precision,
        }

    def get_arrays(self) -> dict[str, np.ndarray]:
        """What `save` writes besides the settings."""
        return {"params": self._params}

    def save(self, path: str | os.PathLike) -> None:
        """Write the net to a safetensors file, atomically."""
        from .persistence import save

        save(self, path)

    def __repr__(self) -> str:
        hidden = ", ".join(dict.fromkeys(ACTIVATIONS[code].name for code in self.network.activation_codes[:-1]))
        output = self.network.output_row.name
        return (
            f"MLP({self.network.layer_sizes}, hidden_activation={hidden!r}, output_activation={output!r}, "
            f"loss={self.network.loss_row.name!r}, n_params={len(self._params)}, device={self.device.name!r})"
        )
