"""`fastmlp warmup`: compiles kernels before they are needed, with a progress bar."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from ..kernels.jit import object_cache
from ..warmup import warm_up


def run(float64: bool) -> None:
    """Compile what nets need; show the progress on stderr.

    float64 : whether nets in float64 are included

    Raises
    ------
    RuntimeError
        If kernels cannot be kept here, or compiling fails.
    """
    if not object_cache.is_usable():
        raise RuntimeError("Kernels cannot be kept: no folder for them can be written. Set NUMBA_CACHE_DIR to one.")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("compiling kernels"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    start = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("compiling", total=None)
        for done, total in warm_up(("float32", "float64") if float64 else ("float32",)):
            progress.update(task, completed=done, total=total)
    files = list(Path(object_cache.cache_folder()).rglob("*.o"))
    size = sum(file.stat().st_size for file in files) / 1e6
    typer.echo(
        f"{len(files)} kernels, {size:.1f} MB, are in {object_cache.cache_folder()} "
        f"after {time.perf_counter() - start:.0f} s."
    )
