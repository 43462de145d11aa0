"""Loading nets, populations and fitted estimators from files that `save` has written. No code in a file is executed.

A damaged file is refused and never loaded with wrong numbers: its description contains a checksum of itself and of all
arrays.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .devices import check_name
from .errors import no_file
from .history import RECORDS, History
from .initialization import OBJECTS, Init
from .interface.user_warnings import warn_user
from .mlp import MLP
from .network.own_formulas import Activation, Loss, OwnFormula
from .network.parameter_layout import Layout
from .persistence.safetensors_file import DAMAGE, read, reason_of, refusal
from .persistence.saved_net import HISTORY, METRIC_RECORDS, PREFIX, RANDOM, RESULT, RESULT_PREFIX
from .population import Population
from .population_result import CLAIMS, PopulationResult
from .population_result.stopped_by import STOPPED_BY

if TYPE_CHECKING:
    from .estimators.tabular import TabularMLPClassifier, TabularMLPRegressor

# Dtype kinds of a result's arrays that are not floating-point, and the arrays that not every result has.
KINDS = {"converged": "b", "epochs": "iu", "best_epoch": "iu", "restarts": "iu", "status": "iu", "record_epochs": "iu"}
OPTIONAL = {"accuracy", "best_value", "best_epoch"}


class MissingFormula(ValueError):
    """The program has not passed an own formula of the net."""


def load(
    path: str | os.PathLike, *, device: str = "auto", custom_objects: Sequence[Activation | Loss] = ()
) -> MLP | Population | TabularMLPClassifier | TabularMLPRegressor:
    """Return the net, population or fitted estimator in a file.

    No code in a file is executed. A damaged file is refused and never loaded with wrong numbers: it contains a
    checksum.

    Parameters
    ----------
    path : str or path
        File to read. The `save` method of MLP and Population writes files of nets and populations; `fastmlp train` and
        the `save` method of TabularMLPClassifier and TabularMLPRegressor write files of estimators, which take tables
        and have the net as `net_`.
    device : str, default "auto"
        As for MLP; the device of the saved net need not exist on this machine.
    custom_objects : sequence of Activation and Loss
        The net's own formulas: a file has their names and digests, but no code.

    Returns
    -------
    MLP, Population, TabularMLPClassifier or TabularMLPRegressor

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ImportError
        If the file holds an estimator, and scikit-learn is not installed.
    ValueError
        If the file is damaged, was not written by fastmlp, or was written by a newer version; or if an own formula of
        the net is missing in custom_objects, or is defined otherwise there.

    Warns
    -----
    UserWarning
        If the history or result of the last fit is inconsistent, and left out. Also if an earlier version has saved a
        net with precision "float16", which becomes "bfloat16".

    See Also
    --------
    fastmlp.persistence.save : Write such a file.

    Examples
    --------
    >>> import fastmlp, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.safetensors")
    ...     same = fastmlp.load(f"{folder}/net.safetensors")
    >>> bool((same.params == net.params).all())
    True
    """
    net = load_net(path, device=device, custom_objects=custom_objects)
    description = net.__dict__.pop("estimator", None)
    if description is None and net.preprocessing is None:
        return net
    from .estimators.serialization import from_table_net, restored
    from .estimators.tabular import TabularMLPClassifier, TabularMLPRegressor

    classes: dict[str, type] = {row.__name__: row for row in (TabularMLPClassifier, TabularMLPRegressor)}
    try:
        return from_table_net(net, classes) if description is None else restored(net, description, classes)
    except DAMAGE as error:
        raise refusal(path, "an estimator", error) from None


def load_net(
    path: str | os.PathLike, *, device: str = "auto", custom_objects: Sequence[Activation | Loss] = ()
) -> MLP | Population:
    """Return the net or population in a file written by `save`.

    An inconsistent history or result does not prevent loading: it is left out, with a warning.

    path : str or path     file to read
    device : str     as for MLP; the device of the saved net need not exist on this machine
    custom_objects : the net's own formulas

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ValueError
        If the file is damaged, by its checksum (which files of the first versions lack) or its contents; was not
        written by fastmlp; or has a newer format than this version reads.
    """
    path = Path(path)
    check_name(device)
    if not path.is_file():
        raise no_file(path)
    try:
        description, arrays = read(path)
        if "checkpoint" in description:
            raise ValueError(
                "it is a checkpoint of a fit, which checkpoint=fastmlp.Checkpoint(path, resume=True) goes on from"
            )
        if "params" not in arrays:
            raise ValueError("it is a safetensors file of another program")
        settings = description["settings"]
        if settings.pop("input_embedding", None) is not None:
            raise ValueError("it was saved with an input embedding, which fastmlp no longer has")
        _check_params(settings, arrays["params"])
        settings["init"] = _parse_init(settings["init"])
        _put_own_formulas(path, settings, description.get("own_formulas") or {}, custom_objects)
        notes = []
        if settings.get("precision") == "float16":  # of earlier versions
            settings["precision"] = "bfloat16"
            notes = [
                "precision='float16' is replaced by 'bfloat16': in float16, gradients underflow without loss scaling, "
                "which fastmlp does not have. Parameters are float32 with both."
            ]
        net = _make_net(settings, arrays, device)
        if description.get("estimator") is not None:  # fastmlp.load makes the estimator; other callers use the net
            vars(net)["estimator"] = description["estimator"]
        net.preprocessing = _load_preprocessing(description["preprocessing"], settings["layer_sizes"])
        if description.get("random") is not None:  # files of the first versions lack it
            random = _check_fields(description["random"], RANDOM, "randomness")
            net.seed, net.fits = random["seed"], random["fits"]
    except MissingFormula:
        raise
    except DAMAGE as error:
        raise refusal(path, "a net", error) from None
    name, records = ("history", _load_history) if isinstance(net, MLP) else ("result", _load_result)
    if description.get(name) is not None:
        try:
            setattr(net, name, records(net, description[name], arrays))
        except DAMAGE as error:  # the parameters can be used without the records
            notes.append(
                f"The {name} of the last fit is left out, since {reason_of(error)}; the parameters are complete."
            )
    for note in notes:
        warn_user(f"{str(path)!r}: {note}")
    return net


def _make_net(settings: dict[str, Any], arrays: dict[str, np.ndarray], device: str) -> MLP | Population:
    params = arrays["params"]
    if params.ndim == 1:
        net: MLP | Population = MLP(**settings, device=device)
    else:
        if (arrays["seeds"] < 0).any():
            raise ValueError("its seeds are not all positive")
        net = Population(**settings, n_nets=len(params), device=device)
        net.set_arrays(arrays)
    net.params[:] = params
    return net


def _check_fields(description: dict[str, Any], kinds: dict[str, tuple], section: str) -> dict[str, Any]:
    """Return the values of a description that `kinds` names, after a check of their types.

    kinds : {name: allowed types}
    section : str     name of the description in the message of the ValueError
    """
    for name, allowed in kinds.items():
        value = description[name]
        low = 0 if kinds is RANDOM else -(2**63)
        is_wrong = not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)
        if is_wrong or (isinstance(value, int) and not low <= value < 2**63):
            raise ValueError(f"its {section} has the {name} {reprlib.repr(value)}")
    return {name: description[name] for name in kinds}


def _load_result(net: Any, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> PopulationResult:
    """Return the result of the last fit of a population.

    Arrays with unknown names are ignored, since files of a later version may have more of them.

    Raises
    ------
    ValueError
        If an array is missing, or has values, a shape or a dtype that no result of the population has.
    """
    earlier = {"judged_by": "rule", "compile_seconds": 0.0, "arguments": {}}  # what files of earlier versions lack
    contents = {
        **dict.fromkeys(OPTIONAL),
        **_check_fields({**earlier, **description}, RESULT, "result"),
        "settings": {},
    }
    if contents["judged_by"] not in CLAIMS:
        raise ValueError(f"its result is judged by {contents['judged_by']!r}")
    required = {field.name for field in fields(PopulationResult) if field.default is field.default_factory is MISSING}
    names = required - contents.keys() | OPTIONAL
    n_records = arrays.get(f"{RESULT_PREFIX}record_epochs", np.empty(0)).size
    shapes = {"record_epochs": (n_records,), "records": (n_records, net.n_nets)}
    for key in (key for key in arrays if key.startswith(RESULT_PREFIX)):
        name, values = key.removeprefix(RESULT_PREFIX), arrays[key]
        setting = name.removeprefix("settings.")
        if setting == name and name not in names:
            continue
        kinds = KINDS.get(name, "f") if setting == name else "biuf"
        if values.shape != shapes.get(name, (net.n_nets,)) or values.dtype.kind not in kinds:
            raise ValueError(f"its result holds {values.dtype} {values.shape} as {name}")
        (contents if setting == name else contents["settings"])[setting] = values
    if contents["best_epoch"] is not None:  # files count epochs from 1, and 0 is none
        contents["best_epoch"] = np.maximum(contents["best_epoch"], 0) - 1
    if missing := sorted(names - contents.keys()):
        raise ValueError(f"its result lacks {', '.join(missing)}")
    if not np.isin(contents["status"], list(STOPPED_BY)).all():
        raise ValueError("its result holds an unknown status")
    if len({contents[name] is None for name in ("monitor", "best_value", "best_epoch")}) > 1:
        raise ValueError("its result names a monitored record without its values, or has values without a name")
    return PopulationResult(**contents)


def _load_history(net: Any, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> History:
    history = History(net)
    earlier = {"compile_seconds": 0.0, "epochs_before": 0}  # what files of earlier versions lack
    for name, value in _check_fields({**earlier, **description}, HISTORY, "history").items():
        setattr(history, name, value)
    names = sorted(name.removeprefix(PREFIX) for name in arrays if name.startswith(PREFIX))
    for name in dict.fromkeys(("loss", *names)):
        values = arrays[PREFIX + name]
        if values.dtype != np.float64 or values.ndim != 1:
            raise ValueError(f"its history holds {values.dtype} {values.shape} as {name}")
        group, _, metric = name.partition(".")
        if name in RECORDS:
            setattr(history, name, values)
        elif group in METRIC_RECORDS:
            getattr(history, group)[metric] = values
        if len(values) != history.epochs:
            raise ValueError(f"its history has {history.epochs} epochs of loss, and {len(values)} of {name}")
    if history.best_epoch is not None and not 0 <= history.best_epoch < history.epochs:
        raise ValueError(f"its history has {history.epochs} epochs, and the best_epoch {history.best_epoch}")
    history.epochs_before = min(max(history.epochs_before, 0), history.epochs)
    return history


def _check_params(settings: dict[str, Any], params: np.ndarray) -> None:
    """Check parameters against the layer sizes, before the net is made: absurd sizes must not allocate memory."""
    sizes = settings["layer_sizes"]
    if not isinstance(sizes, list) or not all(type(size) is int and 0 < size < 2**63 for size in sizes):
        raise ValueError(f"its layer sizes are {reprlib.repr(sizes)}")
    expected, dtype = Layout(tuple(sizes)).n_params, settings["dtype"]
    if params.ndim not in (1, 2) or params.shape[-1] != expected or not params.size or params.dtype.name != dtype:
        raise ValueError(f"it holds {params.dtype} {params.shape}, but layers {sizes} need {dtype} ({expected},)")


def _put_own_formulas(
    path: Path, settings: dict[str, Any], digests: dict[str, str], objects: Sequence[Activation | Loss]
) -> None:
    """Replace the names of a net's own formulas by the objects that the program passes."""
    own = {x.name: x for x in objects if isinstance(x, OwnFormula)}
    for name, digest in digests.items():
        if name not in own:
            raise MissingFormula(
                f"The net in {str(path)!r} has the own formula {name!r}, and a file has no code: pass the object, "
                f"fastmlp.load(path, custom_objects=[{name}])."
            )
        if own[name].digest != digest:
            raise MissingFormula(
                f"The net in {str(path)!r} was trained with another definition of {own[name]!r}: pass the one that it "
                "was trained with."
            )
    if digests:
        replaced = lambda name: own[name] if name in digests else name
        settings["hidden_activation"] = [replaced(name) for name in settings["hidden_activation"]]
        settings |= {key: replaced(settings[key]) for key in ("output_activation", "loss")}


def _parse_init(text: str) -> Init:
    """Return an initialiser's name, or the object for a repr such as "Normal(std=0.1)", without evaluating the text."""
    match = re.fullmatch(r"(\w+)\((.*)\)", text)
    if match is None:
        return text  # a name, which MLP checks
    numbers = re.sub(r"np\.\w+\(([^()]*)\)", r"\1", match[2])  # in files of version 0.2 and earlier: np.float64(0.1)
    settings = (item.strip().split("=") for item in numbers.split(","))
    return OBJECTS[match[1]](**{name: float(value) for name, value in settings})


def _load_preprocessing(description: dict[str, Any] | None, layer_sizes: list[int]) -> Any:
    from .tables.features import Preprocessing

    if description is None:
        return None
    preprocessing = Preprocessing.from_dict(description)
    if (len(preprocessing.feature_names), preprocessing.target.n_outputs) != (layer_sizes[0], layer_sizes[-1]):
        raise ValueError(f"its preprocessing does not fit a net with layers {layer_sizes}")
    return preprocessing
