"""Result of a search over settings: configurations with their scores, as a text, a DataFrame and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..console.fit_time import format_time
from ..mlp import MLP


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Result of `sweep`: configurations and their scores, the best configuration first.

    `sweep` makes it; users do not.

    Parameters
    ----------
    settings : list of dict
        Settings of each configuration.
    scores : ndarray of float64, shape (n,)
        Mean score over the held-out folds; larger is better.
    fold_scores : ndarray of float64, shape (n, cv)
        Score on each held-out fold.
    train_losses : ndarray of float64, shape (n,)
        Training loss of the last epoch, mean over the folds.
    scoring : str
        "accuracy", or "-loss" for regression.
    best : MLP
        Net trained with the best settings on all samples.
    seconds : float
        Wall time in seconds, compiling included.
    interrupted : bool, default False
        Whether Ctrl-C left configurations out, or ended the training of `best`.
    compile_seconds : float, default 0.0
        Part of `seconds` in which kernels were compiled or loaded.

    Attributes
    ----------
    best_settings : dict
        Settings of the best configuration, the first of `settings`.

    Examples
    --------
    >>> import fastmlp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2)); y = (X[:, 0] > 0).astype(int)
    >>> result = fastmlp.sweep(X, y, {"learning_rate": [0.01, 0.03, 0.1]}, n=3, epochs=20, random_state=0)
    >>> result.best_settings == result.settings[0], result.fold_scores.shape
    (True, (3, 3))
    """

    settings: list[dict[str, Any]]
    scores: np.ndarray
    fold_scores: np.ndarray
    train_losses: np.ndarray
    scoring: str
    best: MLP
    seconds: float
    interrupted: bool = False
    compile_seconds: float = 0.0

    @property
    def best_settings(self) -> dict[str, Any]:
        """Settings of the best configuration."""
        return self.settings[0]

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row per configuration, the best first.

        Returns
        -------
        pandas.DataFrame
            The score, its standard deviation over the folds, the training loss, and the settings.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        from ..tables.table_files import import_pandas

        rows = [{key: _rounded(value) for key, value in row.items()} for row in self.settings]
        frame = import_pandas().DataFrame(rows)
        frame.insert(0, self.scoring, self.scores)
        frame.insert(1, "SD", self.fold_scores.std(axis=1, ddof=1))
        frame.insert(2, "train loss", self.train_losses)
        return frame

    def summary(self, top: int = 10) -> str:
        """Return the best configurations as text, ready to print.

        Parameters
        ----------
        top : int, default 10
            Number of configurations.

        Returns
        -------
        str
        """
        end = ", interrupted" if self.interrupted else ""
        lines = [
            f"{len(self.scores)} configurations in {format_time(self.seconds, self.compile_seconds)}{end}; "
            f"{self.scoring}, mean over folds and SD"
        ]
        for row, score, scores_of_folds in list(zip(self.settings, self.scores, self.fold_scores, strict=True))[:top]:
            text = ", ".join(f"{key}={_rounded(value)}" for key, value in row.items())
            lines.append(f"{score:9.4f} {scores_of_folds.std(ddof=1):7.4f}  {text}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"SweepResult(n={len(self.scores)}, best {self.scoring}={self.scores[0]:.4g}, seconds={self.seconds:.3g})"
        )


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
