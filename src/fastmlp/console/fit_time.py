"""Wall time and compile time of a fit as text."""

from __future__ import annotations

# Seconds, and fraction of the wall time, from which the compile time is reported.
MIN_SECONDS, MIN_FRACTION = 0.01, 0.05
MIN_SHARE = 0.1  # of a time limit
SHORTEST_COMPILE = 0.2  # seconds that the quickest kernel takes to compile; kernels of the object cache load in less


def is_compile_time_worth_showing(compile_seconds: float, seconds: float) -> bool:
    """Return whether the compile time of a fit is long enough to be reported.

    compile_seconds : time spent on compiling and loading kernels
    seconds : wall time of the fit, with compiling
    """
    return compile_seconds >= max(MIN_SECONDS, MIN_FRACTION * seconds)


def format_time(seconds: float, compile_seconds: float, format_spec: str = ".3g") -> str:
    """Return the training time and, if it is long enough to be reported, the compile time as text.

    seconds : wall time of the fit, with compiling
    compile_seconds : time spent on compiling and loading kernels
    format_spec : format of the numbers

    >>> format_time(0.25, 0.0), format_time(13.7, 12.1)
    ('0.25 s', '1.6 s, after 12.1 s of compiling, once for this kind of net')
    """
    if not is_compile_time_worth_showing(compile_seconds, seconds):
        return f"{seconds:{format_spec}} s"
    training, kernels = f"{seconds - compile_seconds:{format_spec}} s", f"{compile_seconds:{format_spec}} s"
    if compile_seconds < SHORTEST_COMPILE:
        return f"{training}, after {kernels} of loading kernels"
    return f"{training}, after {kernels} of compiling, once for this kind of net"


def compiling_in_limit(compile_seconds: float, limit: float) -> str:
    """Return a sentence, after a space, on compile time that was a large part of a time limit; else "".

    compile_seconds : time spent on compiling and loading kernels
    limit : seconds

    >>> compiling_in_limit(7.24, 10.0)
    ' Compiling took 7.2 s, which are part of the limit, once for this kind of net.'
    """
    if compile_seconds < max(SHORTEST_COMPILE, MIN_SHARE * limit):
        return ""
    return f" Compiling took {compile_seconds:.2g} s, which are part of the limit, once for this kind of net."
