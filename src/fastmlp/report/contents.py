"""HTML report of a fit on one self-contained page: key figures, verdict, curves, predictions, settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..console.durations import long_duration
from ..console.fit_time import is_compile_time_worth_showing
from ..errors import counted
from ..network.net_settings import NET_SETTINGS
from ..plots import boundary, calibration, confusion, predictions
from ..plots import history as plot_history
from ..plots.samples import plot_samples
from ..plots.style import import_pyplot, number, percent
from ..population_result.stopped_by import TEXTS
from ..runtime.output_files import check_output, write_bytes
from .html_elements import Page, as_svg

MIN_CALIBRATION_SAMPLES = 30  # fewest samples for a meaningful calibration curve


def write(
    history: Any,
    path: str | os.PathLike,
    X: Any = None,
    y: Any = None,
    *,
    feature_names: Any = None,
    labels: Any = None,
    diagnosis: Any = None,
    title: str | None = None,
    parts: Mapping[str, tuple[Any, Any]] | None = None,
    note: str = "",
) -> None:
    """Write the report of a fit to an HTML file.

    Parameters
    ----------
    history : History
        History of the fit.
    path : str or path
        Path of the HTML file.
    X : array_like of shape (n_samples, n_features), optional
        Samples for the verdict and the plots of predictions. If not given, the samples of the fit are used, and for the
        plots its held-out samples if there are any. After loading a net, these are not known, and the report has
        neither a verdict nor plots of predictions.
    y : array_like, optional
        Targets of X, as for fit.
    feature_names : sequence of str, optional
        Names of the features.
    labels : sequence of str, optional
        Names of the classes.
    diagnosis : Diagnosis, optional
        Result of fastmlp.diagnose. By default fastmlp.diagnose is called.
    title : str, optional
        Title of the page.
    parts : dict, optional
        {"training": (X, y), "validation": (X, y)} instead of X and y. The verdict is made on the first part, with the
        validation part as held-out samples, and the plots show the last part.
    note : str, default ""
        Sentences below the title.

    Raises
    ------
    OSError
        If the file cannot be written. An existing file is then unchanged.
    ImportError
        If Matplotlib is not installed.
    ValueError
        If the samples do not fit the net, or if there is neither a fit nor a sample to report on.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=20)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(history, f"{folder}/report.html")
    ...     os.listdir(folder)
    ['report.html']
    """
    check_output(path)
    if (X is None) != (y is None):
        raise ValueError("Give both X and y, or neither.")
    if not all(hasattr(history, name) for name in ("net", "samples", "stopped_by")):
        raise ValueError(f"The report is of a History, which fit returned, but it is {type(history).__name__}.")
    if X is not None:
        parts = {"": (X, y)}
    elif parts is None:
        parts = history.samples
    if not history.epochs and not parts:
        raise ValueError(
            "There is nothing to report: the net has no history of a fit, and no samples were given. Train it and "
            "save it again, or give samples."
        )
    import_pyplot()  # raises ImportError before anything is computed
    net = history.net
    if net is None:
        raise ValueError(
            "This history does not know its net, as that of an estimator of tables: save the estimator, and write the "
            "report by `fastmlp report FILE TABLE`."
        )
    sizes = "-".join(map(str, net.network.layer_sizes))
    net_name = sizes if net.preprocessing is None else f"{net.preprocessing.target.name}, {sizes}"
    page = Page(title or f"Training report: {net_name}", f"{net!r}")
    if note:
        page.text(note)
    _key_figures(page, history)
    if diagnosis is None and parts:
        import fastmlp

        (X_of, y_of), records = next(iter(parts.values())), history if history.epochs else None
        diagnosis = fastmlp.diagnose(net, X_of, y_of, records, validation_data=parts.get("validation"))
    if diagnosis is not None:
        _verdict(page, diagnosis)
    if history.epochs:
        _learning_curves(page, history)
    if parts:
        name, (X, y) = list(parts.items())[-1]  # the validation part, if there is one
        _predictions(page, history, X, y, name, feature_names, labels)
    _settings(page, history)
    write_bytes(path, page.html().encode())


def _key_figures(page: Page, history: Any) -> None:
    """Add the key figures: losses, accuracies, epochs and time."""
    cards, weighted = [], "weighted " * bool(history.epochs and history.settings.get("weighted"))
    for name in ("loss", "accuracy"):
        for record, part in ((f"validation_{name}", "validation"), (name, "training")):
            if history.epochs and getattr(history, record) is not None:
                epoch, note = -1, "last epoch"  # the epoch whose parameters the net has
                if history.best_epoch is not None:
                    epoch, note = history.best_epoch, f"epoch {history.best_epoch + 1:,} of {history.epochs:,}, kept"
                value = getattr(history, record)[epoch]
                kind = f"{weighted}{part} {name}"
                cards.append((kind, percent(value) if name == "accuracy" else f"{value:.4g}", note))
    if history.epochs:
        cards.append(("epochs", f"{history.epochs:,}", TEXTS.get(history.stopped_by, history.stopped_by)))
        n_timed, note = history.epochs - history.epochs_before, ""
        if n_timed:
            note = f"{long_duration(history.training_seconds / n_timed)} an epoch"
        if history.epochs_before:
            note = f"{note and f'{note}, '}of the last {n_timed:,} epochs: the fit was resumed"
        if is_compile_time_worth_showing(history.compile_seconds, history.seconds):
            note += f", after {long_duration(history.compile_seconds)} of compiling"
        cards.append(("time", long_duration(history.training_seconds), note))
    page.cards(cards)


def _verdict(page: Page, diagnosis: Any) -> None:
    page.section("Verdict")
    page.verdict(
        diagnosis.title,
        [
            ("Doubt", diagnosis.doubt),
            ("What to do", diagnosis.remedy),
            ("How to confirm it", diagnosis.experiment),
            ("Judged on", diagnosis.judged_on),
        ],
        {name: _setting(value) for name, value in diagnosis.evidence.items()},
        alarms=not diagnosis.is_healthy,
    )


def _learning_curves(page: Page, history: Any) -> None:
    page.section("Learning")
    recorded = [name for name in ("loss", "accuracy") if getattr(history, name) is not None]
    text = "Curves of the {} over the epochs"
    page.pictures([as_svg(text.format(name), (6.0, 3.5), plot_history, history, name) for name in recorded])


def _predictions(page: Page, history: Any, X: Any, y: Any, subset: str, names: Any, labels: Any) -> None:
    net, drawn = history.net, (history.net, X, y)
    samples = plot_samples(*drawn)
    n = len(samples.X)
    subset_text = f" ({subset} samples)" if subset else f" ({counted(n, 'sample')} given)"
    pictures = []
    if net.network.n_features == 2:
        text, options = "Output of the net over the plane of its two inputs", {"feature_names": names, "labels": labels}
        pictures.append(as_svg(text, (5.6, 4.2), boundary, *drawn, **options))
    if samples.classes is not None:
        side = float(np.clip(2.2 + 0.5 * max(2, net.network.n_outputs), 3.6, 7.5))
        text = "How often each true class was predicted as each class"
        pictures.append(as_svg(text, (side + 0.6, side), confusion, *drawn, labels=labels))
        if n >= MIN_CALIBRATION_SAMPLES:
            text = "Fraction of correct predictions over the predicted probability"
            pictures.append(as_svg(text, (5.8, 4.0), calibration, *drawn, labels=labels))
    elif not samples.have_classes:
        pictures.append(as_svg("Predictions over true values", (4.6, 4.2), predictions, *drawn))
    if pictures:
        page.section(f"What was learned{subset_text}")
        page.pictures(pictures)
        n_training = history.settings.get("n_samples") if history.epochs else None
        if n_training and not subset:
            page.text(
                f"The net was trained on {counted(n_training, 'sample')}. If some of them are among the {n:,} shown "
                "here, the figures are better than they would be on new samples."
            )


NAMES = {
    "n_samples": "training samples",
    "n_validation": "validation samples",
    "n_threads": "threads",
    "weighted": "weighted samples",
}


def _settings(page: Page, history: Any) -> None:
    settings = history.net.get_settings()
    defaults = {name: row.default for name, row in NET_SETTINGS.rows.items() if isinstance(row.default, float)}
    net = {"layers": " - ".join(map(str, settings.pop("layer_sizes")))}
    net |= {name: _setting(value) for name, value in settings.items() if value != defaults.get(name) and np.any(value)}
    fit = {name: _setting(value) for name, value in history.settings.items() if value not in (0, False, "None")}
    tables = {"Net": net, "Fit": fit} if fit else {"Net": net}
    page.section("Settings")
    page.tables(
        {
            title: {NAMES.get(key, key.replace("_", " ")): text for key, text in rows.items()}
            for title, rows in tables.items()
        }
    )


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(dict.fromkeys(map(_setting, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)
