import inspect
import subprocess
import sys
from dataclasses import dataclass

from fastmlp.interface.docstrings import with_entries_of


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base.

    Parameters
    ----------
    rate : float, default 0.1
        Step size,
        of two lines.
    decay : float, default 0.0
        Decay.

    Attributes
    ----------
    size : int
        Size.
    name : str
        Name of the base.

    Raises
    ------
    ValueError
        If a setting is invalid.

    Notes
    -----
    Of the base alone.
    """

    rate: float = 0.1
    decay: float = 0.0


@with_entries_of(Base)
@dataclass(frozen=True)
class Sub(Base):
    """A subclass.

    Parameters
    ----------
    momentum : float, default 0.9
        Momentum.

    Attributes
    ----------
    name : str
        Name of the subclass.

    Examples
    --------
    >>> Sub().rate
    0.5
    """

    rate: float = 0.5
    momentum: float = 0.9


def test_entries_are_completed_in_the_order_of_the_signature():
    assert inspect.getdoc(Sub) == inspect.cleandoc("""
        A subclass.

        Parameters
        ----------
        rate : float, default 0.5
            Step size,
            of two lines.
        momentum : float, default 0.9
            Momentum.
        decay : float, default 0.0
            Decay.

        Attributes
        ----------
        name : str
            Name of the subclass.
        size : int
            Size.

        Raises
        ------
        ValueError
            If a setting is invalid.

        Examples
        --------
        >>> Sub().rate
        0.5
        """)


def test_a_section_of_its_own_replaces_the_inherited_one():
    @with_entries_of(Base)
    class Other(Base):
        """Another.

        Raises
        ------
        TypeError
            Always.
        """

    assert "TypeError" in Other.__doc__
    assert "ValueError" not in Other.__doc__


def test_a_subclass_of_a_subclass_has_the_entries_of_both():
    @with_entries_of(Sub)
    @dataclass(frozen=True)
    class Third(Sub):
        """A third."""

        decay: float = 0.25

    order = ["rate : float, default 0.5", "decay : float, default 0.25", "momentum : float, default 0.9"]
    places = [Third.__doc__.index(entry) for entry in order]
    assert places == sorted(places)


def test_a_process_without_docstrings_imports_the_classes():
    program = "import fastmlp; assert fastmlp.SGD.__doc__ is None; fastmlp.SGD(0.1)"
    subprocess.run([sys.executable, "-OO", "-c", program], check=True)
