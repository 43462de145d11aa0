"""Results of diagnose, for one net or a population: as text, and as a dictionary."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import counted
from .measurements import n_measured
from .verdicts import NAMES, VERDICTS, score_verdicts
from .verdicts.evidence import Evidence
from .verdicts.verdict import Net, number

MAX_RUNNERS_UP = 3
MIN_CONFIDENCE = 0.1  # smallest confidence of a runner-up that is listed
WIDTH = 100
# Of 1,912 verdicts, 26 of 50 with less confidence were wrong, and 90 of the others
# (bench/log/estimators.md#diagnosis-accuracy).
SURE_CONFIDENCE = 0.6


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
    evidence : dict of str to float or str
        The measurements that support the verdict.
    remedy : str
        What to change, and by how much.
    experiment : str
        How to confirm the verdict.
    others : tuple of str, optional
        Names of the runners-up.
    is_healthy : bool, default False
        Whether nothing is broken: the net has converged, is still learning, or over-fits.
    is_sure : bool, default True
        Whether the evidence is strong; otherwise the verdict is only a hint, and may as well be wrong.
    judged_on : str, default ""
        The samples and records that the verdict is based on, in words.

    Attributes
    ----------
    doubt : str
        A warning sentence if the evidence is weak, otherwise an empty text.

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
    evidence: dict[str, float | str]
    remedy: str
    experiment: str
    others: tuple[str, ...] = ()
    is_healthy: bool = False
    is_sure: bool = True
    judged_on: str = ""

    @property
    def doubt(self) -> str:
        """A warning sentence if the evidence is weak, otherwise an empty text."""
        return (
            "" if self.is_sure else "Not sure: the evidence is weak, so treat the verdict as a hint and test it first."
        )

    def __str__(self) -> str:
        lines = [f"{self.title} ({self.verdict})"]
        lines += [self.doubt] if self.doubt else []
        if self.judged_on:
            lines += textwrap.wrap(f"Judged on: {self.judged_on}", WIDTH, subsequent_indent="  ")
        width = max((len(name) for name in self.evidence), default=0)
        for name, value in self.evidence.items():
            lines.append(f"  {name:<{width}}  {value if isinstance(value, str) else number(value)}")
        for heading, text in (("What to change", self.remedy), ("How to make sure", self.experiment)):
            lines += textwrap.wrap(f"{heading}: {text}", WIDTH, subsequent_indent="  ", break_long_words=False)
        if self.others:
            lines.append(f"Less likely: {', '.join(self.others)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Diagnosis(verdict={self.verdict!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as a dictionary of text and numbers, for JSON.

        Returns
        -------
        dict
            All fields by name.
        """
        evidence = {k: v if isinstance(v, str) or np.isfinite(v) else str(v) for k, v in self.evidence.items()}
        return asdict(self) | {"evidence": evidence}


class PopulationDiagnosis:
    """Diagnosis of a population: one verdict per net.

    `diagnose` makes it; users do not. print(diagnosis) shows a table of the verdicts.

    Parameters
    ----------
    evidence : Evidence
        The measurements of all nets.

    Attributes
    ----------
    verdicts : ndarray of str, shape (n_nets,)
        Names of the verdicts.
    is_sure : ndarray of bool, shape (n_nets,)
        Whether the evidence for each net's verdict is strong; otherwise it is only a hint.
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
    ({'unsuitable_weights': 20}, 'unsuitable_weights')
    """

    def __init__(self, evidence: Evidence):
        self._evidence, self._confidences = evidence, score_verdicts(evidence)
        self.verdicts = np.array(NAMES)[self._confidences.argmax(axis=0)]
        self.is_sure = self._confidences.max(axis=0) >= SURE_CONFIDENCE

    @property
    def n_nets(self) -> int:
        """Number of nets."""
        return self._confidences.shape[1]

    @property
    def loss(self) -> np.ndarray:
        """Loss of each net on the data of the diagnosis, (n_nets,)."""
        return self._evidence.loss

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
        confidences = dict(zip(NAMES, self._confidences[:, k].tolist(), strict=True))
        names = sorted(NAMES, key=lambda name: -confidences[name])  # the first of several
        others = [name for name in names[1:] if confidences[name] >= MIN_CONFIDENCE and name != "unclear"]
        best, net = VERDICTS[NAMES.index(names[0])], Net(self._evidence, k)
        n = n_measured(net.n_samples, self.n_nets)
        return Diagnosis(
            best.name,
            best.title,
            best.evidence_of(net),
            best.remedy(net),
            best.experiment(net),
            tuple(others[:MAX_RUNNERS_UP]),
            best.is_healthy,
            bool(self.is_sure[k]),
            f"{n:,} samples, drawn from those that were given" if n < net.n_samples else "",
        )

    def nets(self, verdict: str) -> np.ndarray:
        """Return the numbers of the nets with a verdict, those with the strongest evidence first.

        Parameters
        ----------
        verdict : str
            Name of the verdict.

        Returns
        -------
        ndarray of int, shape (n,)
        """
        chosen = np.flatnonzero(self.verdicts == verdict)
        return chosen[np.argsort(-self._confidences.max(axis=0)[chosen], kind="stable")]

    def counts(self) -> dict[str, int]:
        """Return the number of nets with each verdict, the most frequent verdict first.

        Returns
        -------
        dict of str to int
        """
        names, counts = np.unique(self.verdicts, return_counts=True)
        return {str(names[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, and the verdict of each net and whether it is sure, as a dictionary for JSON.

        Returns
        -------
        dict
            "n_nets", "counts", "verdicts" and "is_sure".
        """
        return {
            "n_nets": self.n_nets,
            "counts": self.counts(),
            "verdicts": self.verdicts.tolist(),
            "is_sure": self.is_sure.tolist(),
        }

    def __str__(self) -> str:
        titles = {verdict.name: verdict.title for verdict in VERDICTS}
        lines, indent = [counted(self.n_nets, "net")], " " * 23
        for name, count in self.counts().items():
            nets = self.nets(name)
            with np.errstate(invalid="ignore"):
                median = number(float(np.median(self.loss[nets])))
            n_unsure = int((~self.is_sure[nets]).sum())
            unsure = f"; {n_unsure:,} of them are not sure" if n_unsure else ""
            percentage = 100.0 * count / self.n_nets
            lines.append(
                f"  {count:>9,}  {percentage:5.1f} %  {titles[name]} ({name}), median loss {median}, as net "
                f"{nets[0]}{unsure}"
            )
            lines += textwrap.wrap(self.net(nets[0]).remedy, WIDTH, initial_indent=indent, subsequent_indent=indent)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"PopulationDiagnosis(n_nets={self.n_nets}, counts={self.counts()})"
