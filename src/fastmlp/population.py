"""Population: many independent nets of one architecture, trained in one call, each with its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from .api.fit_arguments import FitArguments
from .api.net_base import NetBase
from .api.per_net_settings import PER_NET, checked_per_net_setting
from .api.population_fit import checked_restarts, placed_data, population_watcher, result_of
from .checks import LateGenerator, seed_of
from .console.compile_notice import CompileNotices
from .console.stopwatch import Stopwatch
from .data.population_data import fit_data, prediction_samples, validated_population_samples
from .devices import resolve, to_library_of
from .errors import checked_count, is_per_net, shown
from .execution.dispatch import trains_in_one_launch
from .initialization import Init, draw_params
from .kernels.formulas.seeds import fit_seeds, net_seeds
from .kernels.jit import interrupts
from .memory_check import OUTPUTS, check_array, check_memory
from .mlp import MLP
from .network.spec import Network
from .population_result import PopulationResult
from .population_training.ensemble import average, checked_weights, greedy_weights
from .population_training.evaluate import checked_members, evaluate_nets
from .population_training.fit import run
from .population_training.net_sequence import NetSequence
from .population_training.task import PopulationTask


class Population(NetBase, NetSequence):
    """Many independent nets of one architecture, trained in one call.

    Net k equals `MLP(layer_sizes, ..., random_state=pop.seeds[k])` and is trained as that MLP would be by itself. A
    population is a sequence: len(pop) is the number of nets, and pop[k] is pop.net(k).

    Parameters
    ----------
    layer_sizes, hidden_activation, output_activation, loss, label_smoothing, huber_delta, init, dtype, device
    precision
        As for MLP.
    n_nets : int
        Number of nets.
    dropout, l2, init_scale : float, array (n_nets,) or frozen SciPy distribution
        As for MLP: a number for all nets, one number per net, or a distribution from which one number per net is
        drawn.
    random_state : int, Generator or None
        Seed of the nets' seeds and of the numbers that are drawn from distributions.

    Raises
    ------
    ValueError
        If a setting is out of range, a name is unknown, or an array does not have length n_nets.
    RuntimeError
        If the named device is not available.

    Examples
    --------
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> pop = Population((2, 2, 1), n_nets=200, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> result = pop.fit(X, y, epochs=500, optimizer="rprop", converged=0.05)
    >>> result.n_nets, 0.2 < result.success_rate < 0.7
    (200, True)
    >>> pop.best().predict_classes(X)
    array([0, 1, 1, 0])
    """

    def __init__(  # noqa: PLR0913
        self,
        layer_sizes: Sequence[int],
        n_nets: int,
        *,
        hidden_activation: str | Sequence[str] = "relu",
        output_activation: str | None = None,
        loss: str = "squared_error",
        dropout: Any = 0.0,
        l2: Any = 0.0,
        label_smoothing: float = 0.0,
        huber_delta: float = 1.0,
        init: Init = "auto",
        init_scale: Any = 1.0,
        dtype: Any = "float32",
        device: str = "auto",
        precision: str = "exact",
        random_state: Any = None,
    ):
        self.n_nets = checked_count("n_nets", n_nets)
        check_memory(self.n_nets * 8, f"The seeds of {self.n_nets:,} nets", "Make fewer nets.")
        self.seed = seed_of(random_state)
        rng = np.random.default_rng(self.seed)
        self.seeds = net_seeds(rng, self.n_nets)
        self.dropout = checked_per_net_setting("dropout", dropout, self.n_nets, lambda: rng)
        self.l2 = checked_per_net_setting("l2", l2, self.n_nets, lambda: rng)
        self.init_scale = checked_per_net_setting("init_scale", init_scale, self.n_nets, lambda: rng)
        # One Network describes all nets: where they differ in dropout or l2, it has the largest value.
        rate, penalty = float(np.max(self.dropout)), float(np.max(self.l2))
        network = Network.build(
            layer_sizes, hidden_activation, output_activation, loss, rate, penalty, label_smoothing, huber_delta
        )
        self._set_up(network, self.n_nets, init=init, dtype=dtype, device=device, precision=precision)
        self._settings: dict[str, Any] = {
            "layer_sizes": network.layer_sizes,
            "hidden_activation": hidden_activation,
            "output_activation": output_activation,
            "loss": loss,
            "label_smoothing": label_smoothing,
            "huber_delta": huber_delta,
            "init": init,
            "dtype": self.dtype,
            "device": device,
            "precision": precision,
        }
        self.result: PopulationResult | None = None
        self._params = np.empty((self.n_nets, network.layout.n_params), self.dtype)
        self.reset()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled or copied population with its own parameters, on a device that exists on this machine."""
        self.__dict__.update(state | {"_params": state["_params"].copy()})
        self.device = resolve(self._named_device)

    # ---- parameters

    def reset(self) -> Population:
        """Draw the initial parameters of all nets again, from their seeds, and forget earlier fits."""
        self._draw(np.arange(self.n_nets), 0)
        self.fits, self.result = 0, None
        return self

    def _draw(self, members: np.ndarray, draw: int) -> None:
        """Draw initial parameters.

        members : (n_members,)     numbers of the nets
        draw : int     0 for the initial parameters, k for the parameters after the k-th restart
        """
        scale = self.init_scale[members] if is_per_net(self.init_scale) else self.init_scale
        if len(members) == self.n_nets:
            draw_params(self.network, self.init, self.seeds, scale, draw, out=self._params)
        else:
            self._params[members] = draw_params(self.network, self.init, self.seeds[members], scale, draw)

    def _one(self, values: Any, k: int) -> float:
        return float(values[k]) if is_per_net(values) else float(values)

    def net(self, k: int) -> MLP:
        """Return net k as an MLP with a copy of its parameters; a negative k counts from the end.

        Raises
        ------
        IndexError
            If the population has no net k.
        """
        if not isinstance(k, Integral) or not -self.n_nets <= k < self.n_nets:
            raise IndexError(f"There is no net {shown(k)}: the population has nets 0 to {self.n_nets - 1}.")
        k %= self.n_nets
        settings = {**self._settings, "dropout": self._one(self.dropout, k), "l2": self._one(self.l2, k)}
        net = MLP(**settings, init_scale=self._one(self.init_scale, k), random_state=int(self.seeds[k]))
        net.params = self._params[k]
        return net

    def best(self) -> MLP:
        """Return the best net of the last fit, as an MLP.

        It is the net with the lowest loss or, with early stopping, with the best value of the monitored record.

        Raises
        ------
        RuntimeError
            If the population has not been trained.
        """
        if self.result is None:
            raise RuntimeError("There is no best net before fit.")
        return self.net(self.result.best)

    # ---- training

    def fit(  # noqa: PLR0913
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
        converged: Any = None,
        restart_after: int | None = None,
        monitor: bool = False,
        verbose: int = 1,
    ) -> PopulationResult:
        """Train all nets, each starting from its current parameters.

        X : (n_samples, n_features)     inputs of all nets, or (n_nets, n_samples, n_features) for one set per net
        y : (n_samples, n_outputs) or (n_samples,)     targets as for MLP.fit; a leading axis of length n_nets gives
            each net its own targets
        epochs : int     number of passes over the data for each net, restarts included
        optimizer : str or Optimizer     name or object; its settings may be arrays (n_nets,) or frozen SciPy
            distributions
        sample_weight : (n_samples,) or (n_nets, n_samples)     weight of each sample, for all nets or per net; see
            fastmlp.folds and fastmlp.bootstrap
        early_stopping : as for MLP.fit, applied to each net's own record; each net ends with the parameters of its
            best epoch
        converged : rule by which a net has converged and stops. A number: its loss is at most this; "accuracy": all
            samples are classified correctly; "40-20-40": every output is within 40 % of the output's range of its
            target; or a fastmlp.Converged. None trains all nets for all epochs
        restart_after : int or None     number of epochs after which a net that has not converged is restarted from
            new initial parameters; needs `converged`
        monitor : bool     whether to warn once, with a TrainingWarning, when more than half of the nets fail in a
            known way
        verbose : as for MLP.fit; 2 prints at most one line per second, about the nets that have finished
        batch_size, schedule, shuffle, class_weight, validation_data, validation_fraction : as for MLP.fit

        Ctrl-C ends the fit. Each net keeps the parameters reached so far (with early stopping, those of its best
        epoch), and `result.interrupted` is True.

        Returns
        -------
        PopulationResult

        Raises
        ------
        ValueError
            If the data do not fit the nets or are not finite, or a setting is invalid.
        """
        watch = Stopwatch()
        arguments = FitArguments.checked(epochs, batch_size, optimizer, schedule, early_stopping, verbose)
        rule, restart_after = checked_restarts(converged, restart_after)
        rng, validation = LateGenerator([self.seed, self.fits]), (validation_data, validation_fraction)
        nets_optimizer = arguments.optimizer.for_nets(self.n_nets, rng)
        with CompileNotices(arguments.verbose > 0):
            data, strides, held_out = fit_data(
                X, y, self.network, self.dtype, self.n_nets, sample_weight, class_weight, validation, rule, rng
            )
        arguments.check_monitor(data, held_out)
        rows = arguments.batch_rows(data.n_samples, 0)
        shuffle, drops = bool(shuffle) and rows < data.n_samples, any(self.network.dropout)
        self._choose_device(X, arguments.epochs * data.n_samples, rows, self._in_one_launch())
        placed, placed_held_out = placed_data(self.device, data, held_out)
        task = PopulationTask(
            network=self.network,
            device=self.device,
            dtype=self.dtype,
            params=self._params,
            seeds=fit_seeds(self.seeds, self.fits) if shuffle or drops else self.seeds,  # else nothing is drawn
            optimizer=nets_optimizer,
            l2=self.l2,
            dropout=self._dropout_rates(drops),
            data=placed,
            strides=strides,
            held_out=placed_held_out,
            batch_size=rows,
            shuffle=shuffle,
            factors=arguments.factors,
            converged=rule,
            early_stopping=arguments.early_stopping,
            verbose=arguments.verbose,
            precision=self.precision,
            watch=population_watcher(self.network, data, strides) if monitor else None,
        )
        outcome, restarts, interrupted = run(task, arguments.epochs, restart_after, self._draw)
        if task.watch is not None:
            task.watch.look(outcome, at_end=True, stacklevel=3)
        with interrupts.deferred():  # Ctrl-C here must not leave trained nets without their result
            self.fits += 1
            settings = {"l2": self.l2, "dropout": self.dropout, "init_scale": self.init_scale}
            self.result = result_of(task, outcome, restarts, interrupted, settings, watch)
        self.result.warn_of_divergence(stacklevel=3)
        return self.result

    def _dropout_rates(self, drops: bool) -> np.ndarray:
        """Return the dropout rates of the layers, (n_layers,), or (n_nets, n_layers) if nets differ."""
        rates = np.zeros((self.n_nets if is_per_net(self.dropout) else 1, self.network.layout.n_layers))
        if drops:
            rates[:, :-1] = np.reshape(self.dropout, (-1, 1))
        return rates if len(rates) > 1 else rates[0]

    def _in_one_launch(self) -> bool:
        return trains_in_one_launch(self.network, self.dtype)

    # ---- use

    def predict(self, X: Any, *, nets: Any = None) -> np.ndarray:
        """Return the outputs (n_nets, n_samples, n_outputs), after the output activation.

        X : (n_samples, n_features) or (n_nets, n_samples, n_features)     inputs of all nets, or per net
        nets : net numbers (n_members,) or a mask (n_nets,)     the nets to predict with, which then are the first axis
            of the result; None takes all nets

        The result is a NumPy array; for X on a device, it is an array of X's library on the same device.
        """
        return to_library_of(self._outputs(X, nets), X)

    def _outputs(self, X: Any, nets: Any) -> Any:
        data, strides = prediction_samples(X, self.network.n_features, self.dtype, self.n_nets)
        members = np.arange(self.n_nets) if nets is None else checked_members(nets, self.n_nets)
        self._choose_device(X, data.n_samples / 3, data.n_samples / 3, self._in_one_launch())
        check_array((len(members), data.n_samples, self.network.n_outputs), self.dtype.itemsize, *OUTPUTS)
        kind = np.ndarray if self.device.is_host else type(data.X)
        with self.device.on():
            output = kind((len(members), data.n_samples, self.network.n_outputs), self.dtype)
        evaluate_nets(self.network, self.device, self._params, data, strides, members, output.reshape(-1))
        return output

    def predict_classes(self, X: Any, *, nets: Any = None) -> Any:
        """Return the class numbers (n_nets, n_samples), chosen as in MLP.predict_classes; X and nets as for predict."""
        return self._classes(self._outputs(X, nets), X)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, np.ndarray]:
        """Return {"loss": (n_nets,)}, without the L2 penalty, and for classification "accuracy" (n_nets,).

        X, y, sample_weight : as for fit
        """
        data, strides = validated_population_samples(X, y, self.network, self.dtype, self.n_nets, sample_weight)
        self._choose_device(X, data.n_samples / 3, data.n_samples / 3, self._in_one_launch())
        return self._scores(data.metric, *evaluate_nets(self.network, self.device, self._params, data, strides))

    def ensemble_predict(self, X: Any, *, top: int | None = None, weights: Any = None) -> Any:
        """Return the weighted mean of the nets' outputs (n_samples, n_outputs).

        X : as for predict
        top : int or None     number of nets to average, the best of the last fit; None takes all
        weights : (n_nets,) or None     weight of each net, such as greedy_weights returns; None weights all equally

        The result is an array of the same library as that of predict.

        Raises
        ------
        ValueError
            If weights has another shape, a negative entry, or no entry above 0.
        """
        members = self._best_nets(top)
        weights = checked_weights(weights, self.n_nets, members)
        members = members[weights[members] > 0]
        return average(self, X, members, weights[members])

    def _best_nets(self, top: int | None) -> np.ndarray:
        """Return the numbers of the `top` best nets of the last fit; of all nets if top is None."""
        if top is None:
            return np.arange(self.n_nets)
        if self.result is None:
            raise RuntimeError("top needs a fit, whose losses say which nets are the best.")
        return self.result.order()[: checked_count("top", top)]

    def greedy_weights(self, X: Any, y: Any, *, rounds: int = 50, top: int | None = 100) -> np.ndarray:
        """Return weights (n_nets,) for ensemble_predict, by greedy ensemble selection (Caruana et al. 2004).

        X : (n_samples, n_features)     inputs of held-out samples
        y : (n_samples, n_outputs) or (n_samples,)     targets of held-out samples
        rounds : int     number of selections; each adds the net that lowers the loss of the average most. A net may
            be selected several times
        top : int or None     number of candidates, the best nets of the last fit; None takes all nets
        """
        return greedy_weights(self, X, y, rounds, self._best_nets(None if self.result is None else top))

    # ---- files

    def get_settings(self) -> dict[str, Any]:
        """Return the constructor arguments of an equal population, JSON-serialisable, without those in get_arrays."""
        settings = self.net(0).get_settings()
        return {name: value for name, value in settings.items() if name not in PER_NET}

    def get_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `save` writes, by name: params, seeds, and the settings that may differ per net."""
        settings = {name: np.atleast_1d(np.asarray(getattr(self, name), np.float64)) for name in PER_NET}
        return {"params": self._params, "seeds": self.seeds, **settings}

    def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Set seeds and per-net settings from the result of get_arrays; params are set by the caller."""
        for name in PER_NET:
            values = arrays[name]
            setattr(
                self, name, checked_per_net_setting(name, values[0] if len(values) == 1 else values, self.n_nets, None)
            )
        if arrays["seeds"].shape != (self.n_nets,) or arrays["seeds"].dtype != np.int64:
            raise ValueError(f"its seeds have shape {arrays['seeds'].shape}")
        self.seeds = arrays["seeds"].copy()
        dropout = (float(np.max(self.dropout)),) * len(self.network.dropout)
        self.network = replace(self.network, l2=float(np.max(self.l2)), dropout=dropout)

    def __repr__(self) -> str:
        return (
            f"Population({self.network.layer_sizes}, n_nets={self.n_nets}, loss={self.network.loss_row.name!r}, "
            f"n_params={self._params.shape[1]} each, device={self.device.name!r})"
        )
