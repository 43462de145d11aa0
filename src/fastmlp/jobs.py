"""What `fastmlp train` and `fastmlp predict` do: a table in a file makes a net in a file, and both make predictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .callbacks import EarlyStopping
from .history import History
from .metrics import classification_metrics, regression_metrics
from .mlp import MLP
from .optimizers import optimizer_from_name
from .persistence import check_folder, load
from .probabilities import probabilities
from .schedules import schedule_factors
from .tabular import PARQUET_ENDINGS, Preprocessing, check_ending, drop_rows_without_target, import_pandas, read_table
from .targets import CLASSIFICATION, Target

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


@dataclass(frozen=True)
class TrainSettings:
    """The options of `fastmlp train` that shape the net and its training."""

    target: str
    task: str = "auto"
    scaling: str = "auto"
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    dropout: float = 0.1
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    schedule: str = "one_cycle"
    epochs: int = 100
    batch_size: int = 128
    validation: float = 0.2
    patience: int = 16
    seed: int = 0
    device: str = "auto"


def train(file: Path, settings: TrainSettings, output: Path, test_file: Path | None, console: Console) -> None:
    """Train a net on a table, print its metrics and save it with its preprocessing."""
    say = partial(console.print, markup=False, soft_wrap=True)
    check_folder(output, replaces=True)  # before any work is done
    optimizer = optimizer_from_name(settings.optimizer, settings.learning_rate)
    schedule_factors(settings.schedule)  # refuses an unknown name before the table is read
    table, n_dropped = drop_rows_without_target(read_table(file), settings.target)
    if n_dropped:
        say(f"{n_dropped} rows whose target {settings.target!r} is missing are left out.")
    task = Target.fit(table[settings.target], settings.task).task  # before the split: refuses what cannot be learned
    held_out, kept = split_rows(table[settings.target], task, settings.validation, settings.seed)
    parts = {"training": table.iloc[kept]}
    if len(held_out):
        parts["validation"] = table.iloc[held_out]
    preprocessing = Preprocessing.fit(parts["training"], settings.target, task, settings.scaling)
    for note in preprocessing.notes:
        say(note)
    if test_file is not None:  # before the training, so that a mistake in it costs no time
        test = read_table(test_file, preprocessing.text_columns)
        parts["test"], _ = drop_rows_without_target(test, settings.target)
    encoded = {name: encode(preprocessing, part) for name, part in parts.items()}

    net = make_net(preprocessing, settings)
    n_rows, n_features = encoded["training"][0].shape
    say(f"{task} of {settings.target!r}: {n_rows} rows, {n_features} features, {net.device}")
    history = net.fit(
        *encoded["training"],
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        optimizer=optimizer,
        schedule=settings.schedule,
        validation_data=encoded.get("validation"),
        early_stopping=EarlyStopping(settings.patience) if "validation" in parts else None,
    )
    say(summary(history))
    net.save(output)
    print_metrics(net, preprocessing, encoded, console)
    say(f"Saved to {output}")


def split_rows(target: pd.Series, task: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (held out, kept), each ascending; each class gives its share but keeps one row at least."""
    import pandas as pd

    groups = pd.factorize(target)[0] if task == CLASSIFICATION else np.zeros(len(target), dtype=np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]  # at random within each group, group after group
    sizes = np.bincount(groups)
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    is_held_out = rank < np.repeat(np.minimum(np.round(share * sizes), sizes - 1), sizes)
    if share > 0 and not is_held_out.any():
        raise ValueError(
            f"A validation share of {share:g} of {len(groups)} rows leaves none to validate on; raise it, give more "
            "rows, or switch validation off with 0."
        )
    return np.sort(order[is_held_out]), np.sort(order[~is_held_out])


def encode(preprocessing: Preprocessing, part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """X (n_rows, n_features) and the encoded target of a table."""
    return preprocessing.transform(part), preprocessing.target.encode(part[preprocessing.target.name])


def make_net(preprocessing: Preprocessing, settings: TrainSettings) -> MLP:
    """A net of the right width at both ends: softmax over the classes, or one linear output."""
    is_classification = preprocessing.target.task == CLASSIFICATION
    net = MLP(
        (len(preprocessing.feature_names), *settings.hidden, preprocessing.target.n_outputs),
        hidden_activation=settings.activation,
        loss="softmax_cross_entropy" if is_classification else "squared_error",
        dropout=settings.dropout,
        device=settings.device,
        random_state=settings.seed,
    )
    net.preprocessing = preprocessing
    return net


def summary(history: History) -> str:
    """One sentence on how the training went."""
    ends = {"early_stopping": " (no more improvement)", "interrupt": " (interrupted)", "divergence": " (diverged)"}
    text = f"Trained {history.epochs} epochs in {history.seconds:.1f} s{ends.get(history.stopped_by, '')}"
    if history.best_epoch is None or history.stopped_by == "interrupt":
        return text + "."
    return f"{text}; the parameters of epoch {history.best_epoch + 1} are kept, the best on the validation part."


def print_metrics(
    net: MLP, preprocessing: Preprocessing, encoded: dict[str, tuple[np.ndarray, np.ndarray]], console: Console
) -> None:
    """One row per part of the data. The training part is shown only where nothing was held out."""
    from rich.table import Table

    shown = [name for name in encoded if name != "training"] or ["training"]
    results = {name: evaluate(net, preprocessing, *encoded[name]) for name in shown}
    grid = Table("part", "rows", *results[shown[0]])
    for name, metrics in results.items():
        grid.add_row(name, str(len(encoded[name][0])), *(f"{value:.4f}" for value in metrics.values()))
    console.print(grid)


def evaluate(net: MLP, preprocessing: Preprocessing, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Metrics in the units of the target column."""
    outputs = outputs_of(net, preprocessing, X)
    target = preprocessing.target
    if target.task == CLASSIFICATION:
        return classification_metrics(y, outputs)
    return regression_metrics(target.decode(y)["prediction"], target.decode(outputs)["prediction"])


def outputs_of(net: Any, preprocessing: Preprocessing, X: np.ndarray) -> np.ndarray:
    """What Target.decode takes: the net's outputs, of classes their probabilities with all digits of the small ones."""
    return probabilities(net, X) if preprocessing.target.task == CLASSIFICATION else net.predict(X)


def read_samples(net: MLP, file: Path, target: str | None) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """X, y and the names of the inputs from a table, or from an .npz file with the arrays X and y.

    A net from `fastmlp train` knows its columns. For another one all columns but the target must be numbers.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it does not fit the net.
    """
    if file.suffix == ".npz":
        return _read_arrays(file)
    if net.preprocessing is not None:
        name = net.preprocessing.target.name
        if target not in (None, name):
            raise ValueError(f"The net was trained to predict {name!r}, but --target is {target!r}; leave it out.")
        table, _ = drop_rows_without_target(read_table(file, net.preprocessing.text_columns), name)
        return *encode(net.preprocessing, table), None
    table = read_table(file)
    if target is None:
        raise ValueError("The net was not trained by `fastmlp train`, so name the column to predict with --target.")
    table, _ = drop_rows_without_target(table, target)
    inputs = table.drop(columns=target)
    return inputs.to_numpy(), table[target].to_numpy(), [str(name) for name in inputs.columns]


def _read_arrays(file: Path) -> tuple[np.ndarray, np.ndarray, None]:
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}; check the path.")
    with np.load(file) as arrays:
        if not {"X", "y"} <= set(arrays.files):
            raise ValueError(
                f"{str(file)!r} must hold arrays X and y, but it holds {', '.join(arrays.files) or 'none'}."
            )
        return arrays["X"], arrays["y"], None


def report(model: Path, file: Path | None, target: str | None, output: Path | None, device: str) -> Path:
    """Write the report of a saved net, and return where; on the samples of `file` if there is one."""
    from .report import write

    output = model.with_suffix(".html") if output is None else output
    check_folder(output)
    net = load(model, device=device)
    if not isinstance(net, MLP):
        raise ValueError(
            f"{str(model)!r} holds a population, but a report is about one net: save one with pop.best().save(...)."
        )
    X, y, names = (None, None, None) if file is None else read_samples(net, file, target)
    write(net.history or History(net), output, X, y, feature_names=names)
    return output


def predict(model: Path, file: Path, device: str) -> pd.DataFrame:
    """The predictions for each row of a table: `prediction`, and for classes a column of probabilities each."""
    pandas = import_pandas()
    net = load(model, device=device)
    preprocessing = net.preprocessing
    if preprocessing is None:
        raise ValueError(
            f"{str(model)!r} should be a net saved by `fastmlp train`, but it knows no table columns; use fastmlp.load "
            "and its predict method with an array."
        )
    X = preprocessing.transform(read_table(file, preprocessing.text_columns), net.dtype.name)
    return pandas.DataFrame(preprocessing.target.decode(outputs_of(net, preprocessing, X)))


def as_csv(table: pd.DataFrame, path: Path | None = None) -> str | None:
    """The table as CSV: text, or in a file whose ending says how it is separated and compressed."""
    separator = "\t" if path is not None and ".tsv" in path.name.lower() else ","
    return table.to_csv(path, sep=separator, index=False, float_format="%.9g", lineterminator="\n")


def check_table_path(path: Path) -> None:
    """Refuse, before there is anything to write, a path where write_table could write no table."""
    check_folder(path)
    check_ending(path)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """The table in a file: Parquet where its name says so, else CSV."""
    if path.name.lower().endswith(PARQUET_ENDINGS):
        table.to_parquet(path, index=False)
    else:
        as_csv(table, path)
