"""Results of diagnose, for one net or a population: as text, as HTML in a notebook, and as a dictionary."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from ..errors import counted
from .evidence import evidence, number
from .measurements import Measurements, n_measured
from .verdicts import NAMES, VERDICTS, score_verdicts

MAX_RUNNERS_UP = 3
MIN_CONFIDENCE = 0.1  # smallest confidence of a runner-up that is listed
WIDTH = 100
SURE_CONFIDENCE = 0.5  # a verdict with less confidence is only a hint


@dataclass(frozen=True)
class Diagnosis:
    """Diagnosis of one net: a verdict with its evidence and a remedy.

    `diagnose` makes it; users do not. print(diagnosis) shows all of it.

    Parameters
    ----------
    verdict : str
        Name of the verdict, one of fastmlp.diagnosis.verdicts.NAMES.
    title : str
        The verdict in words.
    confidence : float
        How sure the verdict is, from 0 to 1.
    evidence : dict of str to float or str
        The measurements that support the verdict.
    remedy : str
        What to change, and by how much.
    experiment : str
        How to confirm the verdict.
    others : dict of str to float, optional
        Confidences of the runners-up, by verdict.
    is_healthy : bool, default False
        Whether nothing is broken: the net has converged, is still learning, or over-fits.
    judged_on : str, default ""
        The samples and records that the verdict is based on, in words.

    Attributes
    ----------
    is_sure : bool
        Whether the confidence is at least 0.5, high enough to act on the verdict; otherwise it is only a hint.
    doubt : str
        A warning sentence if the confidence is low, otherwise an empty text.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 8, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop")
    >>> found = fastmlp.diagnose(net, X, y, history)
    >>> found.verdict, found.is_healthy
    ('converged', True)
    """

    verdict: str
    title: str
    confidence: float
    evidence: dict[str, float | str]
    remedy: str
    experiment: str
    others: dict[str, float] = field(default_factory=dict)
    is_healthy: bool = False
    judged_on: str = ""

    @property
    def is_sure(self) -> bool:
        """Whether the confidence is high enough to act on the verdict; otherwise it is only a hint."""
        return self.confidence >= SURE_CONFIDENCE

    @property
    def doubt(self) -> str:
        """A warning sentence if the confidence is low, otherwise an empty text."""
        return (
            "" if self.is_sure else "Not sure: the evidence is weak, so treat the verdict as a hint and test it first."
        )

    def __str__(self) -> str:
        lines = [f"{self.title} ({self.verdict}, confidence {self.confidence:.2f})"]
        lines += [self.doubt] if self.doubt else []
        if self.judged_on:
            lines += textwrap.wrap(f"Judged on: {self.judged_on}", WIDTH, subsequent_indent="  ")
        width = max((len(name) for name in self.evidence), default=0)
        lines += [f"  {name:<{width}}  {shown(value)}" for name, value in self.evidence.items()]
        for heading, text in (("What to change", self.remedy), ("How to make sure", self.experiment)):
            lines += textwrap.wrap(f"{heading}: {text}", WIDTH, subsequent_indent="  ", break_long_words=False)
        if self.others:
            lines.append("Less likely: " + ", ".join(f"{name} {value:.2f}" for name, value in self.others.items()))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Diagnosis(verdict={self.verdict!r}, confidence={self.confidence:.2f})"

    @property
    def _basis(self) -> str:
        return f"Judged on: {self.judged_on}" if self.judged_on else ""

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td style='text-align:right'>{escape(shown(value))}</td></tr>"
            for name, value in self.evidence.items()
        )
        others = ", ".join(f"{escape(name)} {value:.2f}" for name, value in self.others.items())
        return (
            f"<div class='fastmlp-diagnosis'><p><b>{escape(self.title)}</b> <code>{escape(self.verdict)}</code>, "
            f"confidence {self.confidence:.2f}</p>"
            + "".join(f"<p>{escape(text)}</p>" for text in (self.doubt, self._basis) if text)
            + f"<table>{rows}</table>"
            f"<p><b>What to change:</b> {escape(self.remedy)}</p>"
            f"<p><b>How to make sure:</b> {escape(self.experiment)}</p>"
            + (f"<p><b>Less likely:</b> {others}</p>" if others else "")
            + "</div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as a dictionary of text and numbers, for JSON.

        Returns
        -------
        dict
            All fields and is_sure, by name.
        """
        return {
            "verdict": self.verdict,
            "title": self.title,
            "confidence": self.confidence,
            "evidence": {k: v if isinstance(v, str) or np.isfinite(v) else str(v) for k, v in self.evidence.items()},
            "remedy": self.remedy,
            "experiment": self.experiment,
            "others": dict(self.others),
            "is_healthy": self.is_healthy,
            "is_sure": self.is_sure,
            "judged_on": self.judged_on,
        }


def shown(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)


class PopulationDiagnosis:
    """Diagnosis of a population: one verdict per net.

    `diagnose` makes it; users do not. print(diagnosis) shows a table of the verdicts.

    Parameters
    ----------
    *measurements : Measurements
        Measurements of all nets, or of each net if their data differ.

    Attributes
    ----------
    verdicts : ndarray of str, shape (n_nets,)
        Names of the verdicts.
    confidence : ndarray of float64, shape (n_nets,)
        Confidence of each net's verdict, from 0 to 1.
    confidences : ndarray of float64, shape (n_verdicts, n_nets)
        Confidence of every verdict, in the order of fastmlp.diagnosis.verdicts.NAMES.
    n_nets : int
        Number of nets.
    loss : ndarray of float64, shape (n_nets,)
        Loss of each net on the data of the diagnosis.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> pop = fastmlp.Population((2, 2, 1), 20, loss="binary_cross_entropy", init="zeros", random_state=0)
    >>> result = pop.fit(X, y, epochs=100)
    >>> found = fastmlp.diagnose(pop, X, y)
    >>> found.counts(), found.net(3).verdict
    ({'symmetric_units': 20}, 'symmetric_units')
    """

    def __init__(self, *measurements: Measurements):
        self._measurements = measurements  # a single one for all nets, or one for each net if their data differ
        self.confidences = np.concatenate([score_verdicts(measured) for measured in measurements], axis=1)
        best = self.confidences.argmax(axis=0)
        self.verdicts = np.array(NAMES)[best]
        self.confidence = self.confidences.max(axis=0)

    @property
    def n_nets(self) -> int:
        """Number of nets."""
        return self.confidences.shape[1]

    @property
    def loss(self) -> np.ndarray:
        """Loss of each net on the data of the diagnosis, (n_nets,)."""
        return np.concatenate([measured.loss for measured in self._measurements])

    def net(self, k: int) -> Diagnosis:
        """Return the diagnosis of one net.

        Parameters
        ----------
        k : int
            Number of the net; a negative number counts from the end.

        Returns
        -------
        Diagnosis

        Raises
        ------
        IndexError
            If there is no net k.
        """
        if not -self.n_nets <= k < self.n_nets:
            raise IndexError(f"There is no net {k}: the population has nets 0 to {self.n_nets - 1}.")
        k %= self.n_nets
        order = np.argsort(-self.confidences[:, k], kind="stable")
        row, confidences = VERDICTS[order[0]], self.confidences[:, k]
        m, index = (self._measurements[0], k) if len(self._measurements) == 1 else (self._measurements[k], 0)
        n = n_measured(m.n_samples, len(m.loss))
        return Diagnosis(
            row.name,
            row.title,
            float(confidences[order[0]]),
            evidence(m, index, row.evidence_names),
            row.remedy(m, index),
            row.experiment(m, index),
            {
                NAMES[i]: round(float(confidences[i]), 3)
                for i in order[1 : 1 + MAX_RUNNERS_UP]
                if confidences[i] >= MIN_CONFIDENCE
            },
            row.is_healthy,
            f"{n:,} samples, drawn from those that were given" if n < m.n_samples else "",
        )

    def nets(self, verdict: str) -> np.ndarray:
        """Return the numbers of the nets with a verdict, by decreasing confidence.

        Parameters
        ----------
        verdict : str
            Name of the verdict.

        Returns
        -------
        ndarray of int, shape (n,)
        """
        chosen = np.flatnonzero(self.verdicts == verdict)
        return chosen[np.argsort(-self.confidence[chosen], kind="stable")]

    def counts(self) -> dict[str, int]:
        """Return the number of nets with each verdict, the most frequent verdict first.

        Returns
        -------
        dict of str to int
        """
        names, counts = np.unique(self.verdicts, return_counts=True)
        return {str(names[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, and the verdict and confidence of each net, as a dictionary of text and numbers, for JSON.

        Returns
        -------
        dict
            "n_nets", "counts", "verdicts" and "confidence".
        """
        return {
            "n_nets": self.n_nets,
            "counts": self.counts(),
            "verdicts": self.verdicts.tolist(),
            "confidence": self.confidence.tolist(),
        }

    def _rows(self) -> list[tuple[str, str, int, float, str]]:
        titles = {row.name: row.title for row in VERDICTS}
        with np.errstate(invalid="ignore"):
            return [
                (
                    name,
                    titles[name],
                    count,
                    float(np.median(self.loss[self.nets(name)])),
                    self.net(self.nets(name)[0]).remedy,
                )
                for name, count in self.counts().items()
            ]

    def _unsure_text(self, verdict: str) -> str:
        n = int((self.confidence[self.verdicts == verdict] < SURE_CONFIDENCE).sum())
        return f"; {n:,} of them are not sure" if n else ""

    def __str__(self) -> str:
        lines = [counted(self.n_nets, "net")]
        for name, title, count, loss, remedy in self._rows():
            percentage = 100.0 * count / self.n_nets
            lines.append(
                f"  {count:>9,}  {percentage:5.1f} %  {title} ({name}), median loss {number(loss)}, "
                f"as net {self.nets(name)[0]}{self._unsure_text(name)}"
            )
            lines += textwrap.wrap(remedy, WIDTH - 23, initial_indent=" " * 23, subsequent_indent=" " * 23)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"PopulationDiagnosis(n_nets={self.n_nets}, counts={self.counts()})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:right'>{count:,}</td><td>{escape(title)} <code>{name}</code></td>"
            f"<td style='text-align:right'>{number(loss)}</td><td>{escape(remedy)}</td></tr>"
            for name, title, count, loss, remedy in self._rows()
        )
        return f"<table><tr><th>nets</th><th>verdict</th><th>median loss</th><th>what to change</th></tr>{rows}</table>"
