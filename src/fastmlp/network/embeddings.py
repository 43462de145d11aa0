"""Input embeddings: leading layers of a net in which each column of a table, or each group of columns, has a block.

Such a layer is a dense layer whose weight matrix is block-diagonal: entries outside of the blocks are 0, and training
leaves them 0.

Sources: Gorishniy, Rubachev and Babenko 2022 (arXiv:2203.05556; periodic and piecewise linear embeddings of numbers),
Holzmüller, Grinsztajn and Steinwart 2024 (arXiv:2407.04491; their trained phases, and a small sigma), Guo and Berkhahn
2016 (arXiv:1604.06737; embeddings of categories).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from ..errors import checked_count, checked_number, counted, shown


def _set_counts(embedding: Any, *names: str) -> None:
    """Check that some fields of a frozen dataclass are counts, and make them ints, which JSON can hold."""
    for name in names:
        object.__setattr__(embedding, name, checked_count(name, getattr(embedding, name)))


Blocks = tuple[tuple[int, int], ...]  # (number of inputs, number of outputs) of each block of a layer


@dataclass(frozen=True)
class PeriodicEmbedding:
    """Periodic embedding of numbers, for `input_embedding=` of MLP: each column becomes `size` features of its own.

    A number x becomes relu(W cos(w x + b) + c) with vectors w and b of `n_frequencies` entries and a matrix W, all of
    them trained, and different for each column. Nets with it fit functions that jump or oscillate along a column, which
    plain nets smooth.

    Parameters
    ----------
    n_frequencies : int, default 16
        Number of cosines for each column.
    size : int, default 4
        Number of features that a column becomes. About one column in 2**size has no feature above 0 in a new net, and
        may stay unseen: take 8 or more for few columns.
    sigma : float, default 0.1
        Standard deviation of the initial frequencies w / (2 pi), in periods for each unit of the column; above 0. For
        columns of standard deviation 1, values from 0.01 to 10 are usual; larger ones fit finer detail, and noise.
    n_inputs : int, optional
        Number of columns. By default all inputs that no other entry of `input_embedding` takes.

    Raises
    ------
    ValueError
        If a number is out of range.

    See Also
    --------
    CategoryEmbedding : Embedding of one-hot columns.

    Notes
    -----
    It is the embedding PLR of Gorishniy et al. 2022, with cosines of trained phases b, drawn from [-pi, pi], in place
    of pairs of cosines and sines, as in the embedding PBLD of Holzmüller et al. 2024. That one also has the number
    itself among its features, which these layers cannot pass on, because all units of a layer have one activation: the
    cosine in the first, and the ReLU in the second. The net's `init` draws W and c, with n_frequencies as the number of
    inputs; it does not concern frequencies and phases.

    A net holds the embedding as two layers of (n_inputs, n_inputs * n_frequencies) and (n_inputs * n_frequencies,
    n_inputs * size) weights, so that its cost grows with the square of the number of columns.

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.MLP((3, 32, 1), input_embedding=PeriodicEmbedding(n_frequencies=8, size=4), random_state=0)
    >>> net.network.layer_sizes
    (3, 24, 12, 32, 1)
    """

    n_frequencies: int = 16
    size: int = 4
    sigma: float = 0.1
    n_inputs: int | None = None

    def __post_init__(self):
        _set_counts(self, "n_frequencies", "size", *(() if self.n_inputs is None else ("n_inputs",)))
        object.__setattr__(self, "sigma", checked_number("sigma", self.sigma, 0.0, open_low=True))


@dataclass(frozen=True)
class CategoryEmbedding:
    """Embedding of a category, for `input_embedding=` of MLP: its one-hot columns become `size` features.

    Each category has a trained vector of `size` features: the row of a weight matrix that its column, which is 1,
    selects.

    Parameters
    ----------
    n_categories : int
        Number of columns: one for each category, 1 in the column of a row's category and 0 in the others.
    size : int
        Number of features that the category becomes.

    Attributes
    ----------
    n_inputs : int
        Number of columns, which is n_categories.

    Raises
    ------
    ValueError
        If a number is below 1.

    See Also
    --------
    PeriodicEmbedding : Embedding of numbers.

    Notes
    -----
    The initial vectors are uniform in -1 / sqrt(size) to 1 / sqrt(size), as in Gorishniy et al. 2021, whatever the
    net's `init` is. Beside a PeriodicEmbedding, a category becomes relu(W cos(v) + c): v is the vector of its category,
    initially uniform in [-pi, pi], and W a matrix (size, size).

    Examples
    --------
    Five columns of numbers with a trained scale and shift, and a category of three values.

    >>> import fastmlp
    >>> net = fastmlp.MLP((8, 32, 1), input_embedding=[5, CategoryEmbedding(3, size=2)], random_state=0)
    >>> net.network.layer_sizes
    (8, 7, 32, 1)
    """

    n_categories: int
    size: int

    def __post_init__(self):
        _set_counts(self, "n_categories", "size")

    @property
    def n_inputs(self) -> int:
        """Number of columns."""
        return self.n_categories


@dataclass(frozen=True)
class PiecewiseLinearEmbedding:
    """Embedding of a number and of its place in bins, for `input_embedding=` of MLP: they become `size` features.

    The features are W' x + c, with a trained matrix W (n_inputs, size) and vector c. With the place of a number in bins
    among its columns, each feature is a piecewise linear function of the number. At first it is linear: W begins at 0
    but for the row of the number.

    Parameters
    ----------
    n_inputs : int
        Number of columns: first the number, then its place in each bin, which is 0 below the bin, 1 above it, and rises
        linearly inside.
    size : int, default 16
        Number of features that they become.

    Raises
    ------
    ValueError
        If a number is below 1.

    See Also
    --------
    PeriodicEmbedding : Embedding of numbers without bins.

    Notes
    -----
    It is the embedding PLE of Gorishniy et al. 2022 in the form that nets of TabM have (Gorishniy et al. 2024,
    arXiv:2410.24210). The row of the number, and c, are initially uniform in -1 / sqrt(size) to 1 / sqrt(size),
    whatever the net's `init` is.

    Examples
    --------
    A number with eight bins, and five columns with a trained scale and shift.

    >>> import fastmlp
    >>> net = fastmlp.MLP((14, 32, 1), input_embedding=[PiecewiseLinearEmbedding(9, size=4), 5], random_state=0)
    >>> net.network.layer_sizes
    (14, 9, 32, 1)
    """

    n_inputs: int
    size: int = 16

    def __post_init__(self):
        _set_counts(self, "n_inputs", "size")


# An int is the number of columns that are only scaled and shifted.
Entry = PeriodicEmbedding | CategoryEmbedding | PiecewiseLinearEmbedding | int
Given = PeriodicEmbedding | Sequence[Entry] | None  # what users give as input_embedding
OF_ONE_BLOCK = CategoryEmbedding, PiecewiseLinearEmbedding
KINDS: dict[str, type] = {cls.__name__: cls for cls in (PeriodicEmbedding, *OF_ONE_BLOCK)}
FORMS = (
    "a PeriodicEmbedding, or a list of entries for consecutive columns: a PeriodicEmbedding, a CategoryEmbedding, a "
    "PiecewiseLinearEmbedding, or the number of columns that are only scaled and shifted"
)


@dataclass(frozen=True)
class InputEmbedding:
    """The entries of `input_embedding=` for all inputs of a net, in their order, and the layers that they make."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, given: Any, n_features: int) -> InputEmbedding | None:
        """Return the embedding of a net with n_features inputs; None for none.

        given : the argument of MLP, or what `to_list` has made of one

        Raises
        ------
        ValueError
            If it is none of FORMS, its columns are not those of the net, or its entries cannot stand together.
        """
        if given is None:
            return None
        is_list = isinstance(given, Sequence) and not isinstance(given, str)
        entries = [_entry(item) for item in (given if is_list else [given])]
        embedding = cls(tuple(_with_all_inputs(entries, n_features)))
        embedding._check()
        return embedding

    def _check(self) -> None:
        n_kept = sum(entry for entry in self.entries if isinstance(entry, int))
        if self.is_periodic and n_kept:
            raise ValueError(
                f"input_embedding only scales {counted(n_kept, 'column')} beside a PeriodicEmbedding, whose layers "
                "turn all columns into cosines. Give these columns a PeriodicEmbedding or a CategoryEmbedding, too."
            )
        if self.is_periodic and any(isinstance(entry, PiecewiseLinearEmbedding) for entry in self.entries):
            raise ValueError(
                "input_embedding has a PiecewiseLinearEmbedding beside a PeriodicEmbedding, whose layers turn all "
                "columns into cosines. Give the number without its bins a PeriodicEmbedding."
            )

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return sum(map(n_inputs_of, self.entries))

    @property
    def is_periodic(self) -> bool:
        """Whether it has two layers, a cosine and a ReLU; otherwise one without activation."""
        return any(isinstance(entry, PeriodicEmbedding) for entry in self.entries)

    @property
    def activations(self) -> tuple[str, ...]:
        """Name of each layer's activation."""
        return ("cos", "relu") if self.is_periodic else ("identity",)

    @cached_property
    def block_entries(self) -> tuple[Entry, ...]:
        """The entry of each block: a category and bins have one block, other entries have one for each column."""
        return tuple(entry for entry in self.entries for _ in range(_n_blocks(entry)))

    @cached_property
    def blocks(self) -> tuple[Blocks, ...]:
        """Blocks of each layer."""
        shapes = [_shapes(entry) for entry in self.block_entries]
        return tuple(tuple(pair[k] for pair in shapes) for k in range(len(self.activations)))

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of units of each layer."""
        entries, layers = self.entries, range(len(self.activations))
        return tuple(sum(_n_blocks(entry) * _shapes(entry)[k][1] for entry in entries) for k in layers)

    def __str__(self) -> str:
        return repr(self.entries[0] if len(self.entries) == 1 else list(self.entries))

    def to_list(self) -> list[Any]:
        """Return the entries, JSON-serialisable."""
        return [e if isinstance(e, int) else {"kind": type(e).__name__, **asdict(e)} for e in self.entries]


def n_inputs_of(entry: Entry) -> int:
    """Return the number of columns of an entry."""
    return entry if isinstance(entry, int) else entry.n_inputs or 0


def _n_blocks(entry: Entry) -> int:
    return 1 if isinstance(entry, OF_ONE_BLOCK) else n_inputs_of(entry)


def _shapes(entry: Entry) -> Blocks:
    """Return the shape of a block of an entry in the first layer, and in the second if there is one."""
    if isinstance(entry, PeriodicEmbedding):
        return (1, entry.n_frequencies), (entry.n_frequencies, entry.size)
    if isinstance(entry, CategoryEmbedding):
        return (entry.n_categories, entry.size), (entry.size, entry.size)
    if isinstance(entry, PiecewiseLinearEmbedding):
        return ((entry.n_inputs, entry.size),)
    return ((1, 1),)


def _entry(item: Any) -> Entry:
    """Return one entry, after a check."""
    if isinstance(item, (PeriodicEmbedding, CategoryEmbedding, PiecewiseLinearEmbedding)):
        return item
    if isinstance(item, Mapping) and item.get("kind") in KINDS:
        kind = KINDS[item["kind"]]
        names = {field.name for field in fields(kind)}
        if names == item.keys() - {"kind"}:
            return kind(**{name: item[name] for name in names})
    if isinstance(item, bool) or not hasattr(item, "__index__"):
        raise ValueError(f"input_embedding must be {FORMS}, but it has {shown(item)}.")
    return checked_count("The number of columns that input_embedding keeps", item)


def _with_all_inputs(entries: list[Entry], n_features: int) -> list[Entry]:
    """Return the entries with the number of inputs of each, which are n_features together."""
    open_ones = [k for k, e in enumerate(entries) if isinstance(e, PeriodicEmbedding) and e.n_inputs is None]
    n_known = sum(map(n_inputs_of, entries))
    if len(open_ones) > 1:
        raise ValueError(
            f"input_embedding has {len(open_ones)} entries PeriodicEmbedding without n_inputs, so that the columns of "
            "each are unknown: give n_inputs to all but one."
        )
    if n_known != n_features if not open_ones else n_known >= n_features:
        parts = ", ".join(f"{_name(entry)} {n_inputs_of(entry) or 'the rest'}" for entry in entries) or "none"
        raise ValueError(
            f"input_embedding must describe each of the {counted(n_features, 'input')} of the net, the first of "
            f"layer_sizes, but its entries take {counted(n_known, 'input')} ({parts})."
        )
    rest = n_features - n_known
    return [replace(e, n_inputs=rest) if k in open_ones else e for k, e in enumerate(entries)]  # type: ignore[type-var]


def _name(entry: Entry) -> str:
    return "columns that are scaled:" if isinstance(entry, int) else type(entry).__name__
