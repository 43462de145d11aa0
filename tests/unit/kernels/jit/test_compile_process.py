"""The second process that compiles linked functions: that it does, that it ends, and that all goes on without it."""

import os
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from fastmlp.kernels.jit import compile_process
from fastmlp.kernels.jit.compile_process import Work
from fastmlp.kernels.jit.linker import Link, codes_of

START = """
import os, time
import numpy as np
from fastmlp.kernels.cpu.single_net.optimizer_step import squares_of_gradient
from fastmlp.kernels.jit import compile_process, linked_types, object_cache
from fastmlp.kernels.jit.compiler import library
from fastmlp.kernels.jit.decorators import kernel
from fastmlp.kernels.simd.load_store import offset, scalar_like

def run(p, g, out):
    out[0] = squares_of_gradient(offset(p, 0), offset(g, 0), 0, 4, scalar_like(p, 0.5))

def has_file(patience=60):
    until = time.monotonic() + patience
    while not object_cache.exists(link.symbol) and time.monotonic() < until:
        time.sleep(0.05)
    return object_cache.exists(link.symbol)

x = np.zeros(4, np.float32)
(link,) = library(kernel(run), (x, x, np.zeros(1))).object_code.links
work = compile_process.work
work.start_process()
process = work.process
"""
IDLE_RUN = "compile_process.IDLE = 0.01; compile_process.run"


class Spec(NamedTuple):
    rows: np.ndarray
    last: int
    share: float


def test_functions_and_rows_in_use_are_submitted_once(monkeypatch):
    work, compiled = Work(), []
    monkeypatch.setattr(compile_process, "compile_link", lambda link: compiled.append((link.symbol, link.row)))
    work.codes = codes_of((3, np.arange(5), Spec(np.array([4, 1, -1, 4]), 2, 0.5)))
    for symbol, codes in (("a", ""), ("table", "Spec.rows"), ("a", ""), ("b", "Spec.last"), ("c", "Spec.share")):
        work.submit(Link(symbol, "module.name", codes, b""))
    work.compile_waiting()
    assert compiled == [("b_2", 2), ("table_4", 4), ("table_1", 1), ("a", -1)], "the newest first"


def test_second_process_compiles_is_unknown_to_a_forked_one_and_all_goes_on_without_it(tmp_path):
    program = """
work.submit(link)
print(has_file(), process.poll(), flush=True)
if not (child := os.fork()):
    print(compile_process.work.process, flush=True)
    time.sleep(60)  # with copies of the pipe, the second process would not end before
process.stdin.close()
assert process.wait(30) == 0
os.kill(child, 9)
import fastmlp
fastmlp.MLP((2, 3, 1), device="cpu").predict([[0, 1], [1, 0]])
print("compiled")
"""
    environment, command = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, [sys.executable, "-c", START + program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["True", "None", "None", "compiled"], "")


def test_idle_process_ends(monkeypatch):
    monkeypatch.setattr(compile_process, "PROGRAM", compile_process.PROGRAM.replace("compile_process.run", IDLE_RUN))
    work = Work()
    work.start_process()
    assert work.process.wait(30) == 0
    with suppress(BrokenPipeError):
        work.process.stdin.close()
