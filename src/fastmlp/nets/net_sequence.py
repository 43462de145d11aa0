"""Sequence interface of a population: len(pop), pop[k], pop[a:b], for net in pop."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any, Generic, TypeVar

NetType = TypeVar("NetType")  # the class of one net


class NetSequence(Generic[NetType]):
    """Mixin for a class with n_nets nets and a method net(k) that returns net k."""

    n_nets: int

    if TYPE_CHECKING:

        def net(self, k: int) -> NetType: ...  # the class that is mixed in has it

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

    def __iter__(self) -> Iterator[NetType]:
        """Return an iterator over the nets, each of which is made when it is reached."""
        return (self.net(k) for k in range(self.n_nets))
