"""Population: many independent nets of one architecture, trained in one call, each with its own settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from .devices import resolve
from .errors import checked_count, shown
from .fit.entry import fit_population
from .fit.interrupt_warnings import warn_caller_of_population
from .fit.keywords import POPULATION_KEYWORDS, PopulationFitKeywords, checked
from .initialization import draw_params
from .interface.keywords import explains_names, with_table, with_texts
from .interface.setting_checks import seed_of
from .interface.user_warnings import called_by_user
from .kernels.formulas.counter_rng import net_seeds
from .kernels.jit.compile_time import Stopwatch
from .mlp import MLP
from .nets.net_base import checked_per_net_setting
from .nets.population_base import PopulationBase
from .network.net_settings import PER_NET, POPULATION_SETTINGS, PopulationSettings
from .network.spec import Network
from .population_result import PopulationResult, result_of_nets
from .population_result.stopped_by import OUT_OF_TIME
from .runtime.memory_limits import check_memory

if TYPE_CHECKING:
    from typing_extensions import Unpack


@with_texts(POPULATION_SETTINGS)
class Population(PopulationBase):
    """Many independent nets of one architecture, trained in one call.

    Net k equals `MLP(layer_sizes, ..., random_state=pop.seeds[k])` and is trained as that MLP would be by itself. A
    population is a sequence: len(pop) is the number of nets, and pop[k] is pop.net(k).

    Parameters
    ----------
    layer_sizes : sequence of int
        Number of inputs, number of units in each hidden layer, number of outputs.
    n_nets : int
        Number of nets.
    {keywords}

    Attributes
    ----------
    n_nets : int
        Number of nets.
    seeds : ndarray of int64, shape (n_nets,)
        Seed of each net, on which its initial parameters, shuffling and dropout depend.
    params : ndarray of shape (n_nets, n_params)
        All parameters, writable; row k is laid out as MLP.params of net k.
    dropout : float or ndarray of shape (n_nets,)
        Dropout of all nets, or of each net.
    l2 : float or ndarray of shape (n_nets,)
        L2 penalty of all nets, or of each net.
    init_scale : float or ndarray of shape (n_nets,)
        Factor on the initial parameters of all nets, or of each net.
    result : PopulationResult or None
        Result of the last fit; None before the first.
    network : Network
        Architecture. Where nets differ in dropout or l2, it has the largest value.
    device : Device
        The device of the last fit or prediction, and why it was chosen; `device.name` is its name.
    seed : int
        Seed of the population, from 0 to 2**63 - 1.
    fits : int
        Number of fits since the population was made or reset; shuffling and dropout of a fit depend on it.
    dtype : numpy.dtype
        Data type of the parameters.
    init : str or object
        Initialiser, as given.
    precision : str
        Format of the operands of matrix products on a GPU, as given.
    standardize : bool
        Whether fits standardise their rows, as given.
    preprocessing : object or None
        Preprocessing of the table that the nets were trained on; None for nets of arrays.

    Raises
    ------
    ValueError
        If a setting is out of range, a name is unknown, or an array does not have length n_nets.
    RuntimeError
        If the named device is not available.

    See Also
    --------
    MLP : One net.
    sweep : Random search over settings, which trains nets as populations.

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

    @explains_names
    @with_table(POPULATION_SETTINGS)
    def __init__(self, layer_sizes: Sequence[int], n_nets: int, **settings: Unpack[PopulationSettings]) -> None:
        chosen: dict[str, Any] = {**POPULATION_SETTINGS.defaults, **settings}
        random_state = chosen.pop("random_state")
        self.n_nets = checked_count("n_nets", n_nets)
        check_memory(self.n_nets * 8, f"The seeds of {self.n_nets:,} nets", "Make fewer nets.")
        self.seed, self._has_drawn_seed = seed_of(random_state), random_state is None
        rng = np.random.default_rng(self.seed)
        self.seeds = net_seeds(rng, self.n_nets)
        for name in PER_NET:
            setattr(self, name, checked_per_net_setting(name, chosen.pop(name), self.n_nets, lambda: rng))
        # One Network describes all nets: where they differ in dropout or l2, it has the largest value.
        largest = {"dropout": float(np.max(self.dropout)), "l2": float(np.max(self.l2))}
        network = Network.build(layer_sizes, chosen | largest)
        self._set_up(network, self.n_nets, chosen)
        self._settings = chosen | {"layer_sizes": network.arguments()["layer_sizes"], "dtype": self.dtype}
        self.result = None
        self._params = np.empty((self.n_nets, network.layout.n_params), self.dtype)
        self.reset()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled or copied population with its own parameters, on a device that exists on this machine."""
        self.__dict__.update(state | {"_params": state["_params"].copy()})
        self.device = resolve(self._named_device)

    # ---- parameters

    def reset(self) -> Population:
        """Draw the initial parameters of all nets again, from their seeds, and forget earlier fits.

        Returns
        -------
        Population
            The population itself.
        """
        draw_params(self.network, self.init, self.seeds, self.init_scale, out=self._params)
        self.fits, self.result = 0, None
        return self

    def net(self, k: int) -> MLP:
        """Return one net as an MLP with a copy of its parameters.

        Parameters
        ----------
        k : int
            Number of the net, counted from 0; a negative number counts from the end.

        Returns
        -------
        MLP

        Raises
        ------
        IndexError
            If the population has no net k.
        """
        if not isinstance(k, Integral) or not -self.n_nets <= k < self.n_nets:
            raise IndexError(f"There is no net {shown(k)}: the population has nets 0 to {self.n_nets - 1}.")
        k %= self.n_nets
        own = {name: float(np.broadcast_to(getattr(self, name), self.n_nets)[k]) for name in PER_NET}
        net = MLP(**self._settings, **own, random_state=int(self.seeds[k]))
        net.params, net.fits = self._params[k], self.fits
        return net

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

    def __iter__(self) -> Iterator[MLP]:
        """Return an iterator over the nets, each of which is made when it is reached."""
        return (self.net(k) for k in range(self.n_nets))

    def best(self) -> MLP:
        """Return the best net of the last fit, as an MLP.

        It is the net with the lowest loss or, with early stopping, with the best value of the monitored record.

        Returns
        -------
        MLP

        Raises
        ------
        RuntimeError
            If the population has not been trained.
        """
        if self.result is None:
            raise RuntimeError("There is no best net before fit.")
        return self.net(self.result.best)

    # ---- training

    @with_table(POPULATION_KEYWORDS)
    def fit(self, X: Any, y: Any = None, **keywords: Unpack[PopulationFitKeywords]) -> PopulationResult:
        """Train all nets, each starting from its current parameters.

        Ctrl-C ends the fit. Each net keeps the parameters reached so far (with early stopping, those of its best
        epoch), and `result.interrupted` is True. Nets that have finished no epoch are no part of the ensemble:
        `ensemble_predict` and `export` with mean=True leave them out, unless an earlier fit has trained them or there
        are no others.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features) or (n_nets, n_samples, n_features), path, or source of rows
            Inputs of all nets, or one set per net. Sources, such as the path of a Parquet file, are read as by MLP.fit.
        y : array_like of shape (n_samples, n_outputs) or (n_samples,), or str, optional
            Targets, as for MLP.fit; a leading axis of length n_nets gives each net its own targets. The name of the
            column that holds them, where X has columns.
        {keywords}

        Returns
        -------
        PopulationResult
            One value per net, and statistics over the nets; it is also `pop.result`.

        Raises
        ------
        ValueError
            If the data do not fit the nets or are not finite, or a setting is invalid; if the checkpoint is of other
            nets, other data or settings, or it and the one before it are damaged; if executor is no executor, or comes
            with a checkpoint whose nets cannot go on there, or with rows on disk that a worker does not see.
        FileExistsError
            If there is a checkpoint, and the fit is not to go on from it.
        RuntimeError
            If an executor cannot go on, or a task was lost with its workers three times. Nets that were finished keep
            their parameters and are in `pop.result`, as after an error of a task, which is raised as it is.

        Warns
        -----
        DivergenceWarning
            If the loss of a net stops being finite; its training ends with finite parameters from before.
        TrainingWarning
            With monitor=True, when more than half of the nets fail.
        UserWarning
            If Ctrl-C ended the fit, or if a time limit ended it before each net had finished an epoch.
        """
        watch = Stopwatch()
        settings = checked(Population.fit, keywords, POPULATION_KEYWORDS, Population)
        result = fit_population(self, X, y, settings, watch)
        if (result.interrupted or (result.status == OUT_OF_TIME).any()) and called_by_user():
            left_out = not self._is_in_mean().all()
            if result.interrupted or left_out:
                warn_caller_of_population(result, left_out)
        return result

    # ---- files

    def get_settings(self) -> dict[str, Any]:
        """Return the constructor arguments of an equal one, without device, random_state and those in get_arrays.

        Returns
        -------
        dict
            Arguments by name, as numbers, text and lists that JSON can hold.
        """
        settings = self.net(0).get_settings()
        return {name: value for name, value in settings.items() if name not in PER_NET}

    def get_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `save` writes.

        Returns
        -------
        dict of str to ndarray
            "params" (n_nets, n_params), "seeds" (n_nets,), and "dropout", "l2" and "init_scale", each (1,) or
            (n_nets,).
        """
        settings = {name: np.atleast_1d(np.asarray(getattr(self, name), np.float64)) for name in PER_NET}
        return {"params": self._params, "seeds": self.seeds, **settings}

    def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Set seeds and per-net settings from the result of get_arrays; params are set by the caller.

        Parameters
        ----------
        arrays : dict of str to ndarray
            "seeds", "dropout", "l2" and "init_scale", as get_arrays returns them.

        Raises
        ------
        ValueError
            If an array has another shape or dtype, or values out of range.
        """
        for name in PER_NET:
            values = arrays[name]
            setattr(
                self, name, checked_per_net_setting(name, values[0] if len(values) == 1 else values, self.n_nets, None)
            )
        if arrays["seeds"].shape != (self.n_nets,) or arrays["seeds"].dtype != np.int64:
            raise ValueError(f"its seeds have shape {arrays['seeds'].shape}")
        self.seeds = arrays["seeds"].copy()
        dropout = (float(np.max(self.dropout)),) * self.network.n_hidden_layers
        self.network = replace(self.network, l2=float(np.max(self.l2)), dropout=dropout)

    def __repr__(self) -> str:
        return (
            f"Population({self._architecture_text()}, n_nets={self.n_nets}, loss={self.network.loss_row.name!r}, "
            f"n_params={self._params.shape[1]} each, device={self.device.name!r})"
        )


def subset_of(pop: Population, members: np.ndarray) -> Population:
    """Return a population of some nets of another one, with copies of their parameters and of their result.

    members : (n_members,)     numbers of the nets, one or more
    """
    chosen = Population(n_nets=len(members), **pop._settings, random_state=pop.seed)
    arrays = pop.get_arrays()
    for name, values in arrays.items():
        if len(values) == pop.n_nets:  # otherwise a setting that is one number for all nets
            arrays[name] = values[members]
    chosen.set_arrays(arrays)
    chosen.params = arrays["params"]
    chosen.fits, chosen.preprocessing, chosen.device = pop.fits, pop.preprocessing, pop.device
    chosen.result = None if pop.result is None else result_of_nets(pop.result, members)
    return chosen
