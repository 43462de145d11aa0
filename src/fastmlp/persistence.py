"""Saving and loading nets and populations: arrays in a safetensors file, described by JSON in its metadata. Nothing is
run.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from .devices import check_name
from .history import RECORDS, History
from .initialization import OBJECTS, Init
from .layout import Layout

if TYPE_CHECKING:
    from .mlp import MLP
    from .population import Population
    from .population_result import PopulationResult

KEY = "fastmlp"
FORMAT = 1  # raise it when a file written today could no longer be read
# What of the last fit is in the description, and of which types; the records and results are arrays.
HISTORY = {
    "seconds": (int, float), "compile_seconds": (int, float), "best_epoch": (int, type(None)), "stopped_by": (str,),
    "settings": (dict,),
}  # fmt: skip
RESULT = {
    "seconds": (int, float), "compile_seconds": (int, float), "monitor": (str, type(None)), "interrupted": (bool,),
    "judged_by": (str,),
}  # fmt: skip
RANDOM = {"seed": (int,), "fits": (int,)}
METRIC_RECORDS = "metrics", "validation_metrics"  # dictionaries: a tensor is "history.metrics.NAME"
PREFIX, RESULT_PREFIX = "history.", "result."  # of their names


def save(net: MLP | Population, path: str | os.PathLike, estimator: dict[str, Any] | None = None) -> None:
    """Write a net's or population's settings, parameters and table preprocessing to a file, whole or not at all.

    A net's last history goes with it, or a population's last result, and what later fits draw at random.

    Raises
    ------
    OSError
        If the file cannot be written; one that was there before is then untouched.

    >>> import fastmlp, tempfile
    >>> net = fastmlp.MLP((2, 3, 1), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.safetensors")
    ...     same = fastmlp.load(f"{folder}/net.safetensors")
    >>> bool((same.params == net.params).all())
    True
    """
    from safetensors.numpy import save as to_bytes

    table = None if net.preprocessing is None else net.preprocessing.to_dict()
    description: dict[str, Any] = {"format": FORMAT, "settings": net.get_settings(), "preprocessing": table}
    description["random"] = {"seed": net.seed, "fits": net.fits}
    if estimator is not None:  # what estimators.saving says of the estimator that the net belongs to
        description["estimator"] = estimator
    arrays = {name: np.ascontiguousarray(array) for name, array in net.get_arrays().items()}
    if (history := getattr(net, "history", None)) is not None:
        description["history"] = {name: getattr(history, name) for name in HISTORY}
        arrays |= {f"{PREFIX}{name}": values.copy() for name, values in _records(history).items()}
    if (result := getattr(net, "result", None)) is not None:
        description["result"] = {name: getattr(result, name) for name in RESULT}
        arrays |= {f"{RESULT_PREFIX}{name}": np.ascontiguousarray(array) for name, array in result.arrays().items()}
    metadata = {KEY: json.dumps(description, allow_nan=False)}
    _replace(Path(os.path.realpath(path)), to_bytes(arrays, metadata))


def check_folder(path: Path, replaces: bool = False) -> None:
    """Refuse a path where no file can be written.

    replaces : whether a file that is there will be replaced, which its folder must allow, not written to
    """
    from tempfile import TemporaryFile

    if path.is_dir():
        raise IsADirectoryError(f"The output should be a file, but {str(path)!r} is a folder; add a file name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for the output; make it first.")
    if replaces or not path.exists():
        try:  # a folder's permissions do not say it on every system
            TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
        except OSError as error:
            raise PermissionError(
                f"The output cannot be written to the folder {str(path.parent)!r} ({error.strerror}); choose another."
            ) from None


def _replace(path: Path, data: bytes) -> None:
    """Write beside `path`, reach the disk, then rename, which is atomic."""
    check_folder(path)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # still there only if something went wrong


def load(path: str | os.PathLike, *, device: str = "auto") -> MLP | Population:
    """The net or population in a file written by `save`, on any device: the one it was saved from need not exist here.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, was not written by fastmlp, or was written by a newer version.
    """
    path = Path(path)
    check_name(device)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}; check the path.")
    try:
        text, arrays = _read(path)
        description = _parse(text)
        settings = description["settings"]
        _check_params(settings, arrays["params"])
        settings["init"] = _parse_init(settings["init"])
        net = _made(settings, arrays, device)
        if description.get("estimator") is not None:  # for fastmlp.load; others use the net
            vars(net)["estimator"] = description["estimator"]
        net.preprocessing = _preprocessing(description["preprocessing"], settings["layer_sizes"])
        if description.get("random") is not None:  # files of the first versions have none of these
            found = _checked(description["random"], RANDOM, "randomness")
            net.seed, net.fits = found["seed"], found["fits"]
        if description.get("history") is not None:
            net.history = _history(net, description["history"], arrays)  # type: ignore[union-attr]  # of an MLP
        if description.get("result") is not None:
            net.result = _result(len(arrays["params"]), description["result"], arrays)  # type: ignore[union-attr]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        advice = "Restore it from a copy, or train and save again."
        raise ValueError(f"{str(path)!r} should be a net saved by fastmlp, but {reason}. {advice}") from None
    return net


def _made(settings: dict[str, Any], arrays: dict[str, np.ndarray], device: str) -> MLP | Population:
    from .mlp import MLP
    from .population import Population

    params = arrays["params"]
    if params.ndim == 1:
        net: MLP | Population = MLP(**settings, device=device)
    else:
        net = Population(**settings, n_nets=len(params), device=device)
        net.set_arrays(arrays)
    net.params[:] = params
    return net


def _checked(description: dict[str, Any], kinds: dict[str, tuple], of: str) -> dict[str, Any]:
    """Those of its values that `kinds` names."""
    for name, allowed in kinds.items():
        if not isinstance(description[name], allowed):
            raise ValueError(f"its {of} has the {name} {description[name]!r}")
    return {name: description[name] for name in kinds}


def _result(n_nets: int, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> PopulationResult:
    from .population_result import CLAIMS, PopulationResult

    own = {name.removeprefix(RESULT_PREFIX): a for name, a in arrays.items() if name.startswith(RESULT_PREFIX)}
    description = {
        "judged_by": "rule",
        "compile_seconds": 0.0,
        **description,
    }  # which files of the first versions do not say
    others = _checked(description, RESULT, "result")
    if others["judged_by"] not in CLAIMS:
        raise ValueError(f"its result is judged by {others['judged_by']!r}")
    return PopulationResult.from_arrays(own, n_nets, **others)


def _history(net: Any, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> History:
    history = History(net)
    # Files of the first versions do not know how long kernels took to compile.
    for name, value in _checked({"compile_seconds": 0.0, **description}, HISTORY, "history").items():
        setattr(history, name, value)
    history.loss = arrays[PREFIX + "loss"]
    for tensor, values in arrays.items():
        if not tensor.startswith(PREFIX):
            continue
        name = tensor.removeprefix(PREFIX)
        if values.dtype != np.float64 or values.shape != history.loss.shape[:1]:
            raise ValueError(f"its history holds {values.dtype} {values.shape} as {name}")
        group, _, metric = name.partition(".")
        if name in RECORDS:
            setattr(history, name, values)
        elif group in METRIC_RECORDS:
            getattr(history, group)[metric] = values
    return history


def _records(history: History) -> dict[str, np.ndarray]:
    """All records of a history, by the names that they have in a file."""
    found = {name: getattr(history, name) for name in RECORDS}
    for group in METRIC_RECORDS:
        found |= {f"{group}.{name}": values for name, values in getattr(history, group).items()}
    return {name: values for name, values in found.items() if values is not None}


def _read(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The description and the arrays of a file; a ValueError says only what is wrong."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if KEY in metadata and "params" in file.keys():  # noqa: SIM118, no mapping
                return metadata[KEY], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"it is no safetensors file, or damaged ({error})") from None
    raise ValueError("it is a safetensors file of another program")


def _parse(text: str) -> dict[str, Any]:
    def finite(number: str) -> float:
        if math.isfinite(value := float(number)):
            return value
        raise ValueError(f"its description holds {number}, which is not a finite number")

    description = json.loads(text, parse_float=finite, parse_constant=finite)
    if not isinstance(description, dict):
        raise ValueError("its description is not one of a net")
    if description["format"] > FORMAT:
        raise ValueError(f"a newer fastmlp wrote it in format {description['format']} (upgrade with pip)")
    return description


def _check_params(settings: dict[str, Any], params: np.ndarray) -> None:
    """Before the net is made, so that absurd sizes in a damaged file claim no memory."""
    sizes = settings["layer_sizes"]
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"its layer sizes are {sizes!r}")
    expected, dtype = Layout(tuple(sizes)).n_params, settings["dtype"]
    if params.ndim not in (1, 2) or params.shape[-1] != expected or not params.size or params.dtype.name != dtype:
        raise ValueError(f"it holds {params.dtype} {params.shape} where layers {sizes} need {dtype} ({expected},)")


def _parse_init(text: str) -> Init:
    """An initialiser's name, or an object from its repr, such as "Normal(std=0.1)", without running it."""
    match = re.fullmatch(r"(\w+)\((.*)\)", text)
    if match is None:
        return text  # a name, which MLP checks
    settings = (item.strip().split("=") for item in match[2].split(","))
    return OBJECTS[match[1]](**{name: float(value) for name, value in settings})


def _preprocessing(description: dict[str, Any] | None, layer_sizes: list[int]) -> Any:
    from .tabular import Preprocessing

    if description is None:
        return None
    preprocessing = Preprocessing.from_dict(description)
    if (len(preprocessing.feature_names), preprocessing.target.n_outputs) != (layer_sizes[0], layer_sizes[-1]):
        raise ValueError(f"its preprocessing does not fit a net with layers {layer_sizes}")
    return preprocessing
