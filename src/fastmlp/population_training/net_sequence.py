"""The nets of a population as a sequence: len(pop), pop[k], pop[a:b], for net in pop."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..mlp import MLP


class NetSequence:
    """For a class that has n_nets nets, and net(k) to make one of them an MLP of its own."""

    n_nets: int

    def net(self, k: int) -> MLP:
        raise NotImplementedError

    def __len__(self) -> int:
        """The number of nets."""
        return self.n_nets

    def __getitem__(self, k: Any) -> Any:
        """pop[k] is pop.net(k), an MLP with a copy of the parameters; pop[a:b] is a list of them.

        Raises
        ------
        IndexError
            If there is no such net.
        TypeError
            For anything but a whole number or a slice.
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
        """The nets from the first to the last, each made when it is asked for."""
        return (self.net(k) for k in range(self.n_nets))
