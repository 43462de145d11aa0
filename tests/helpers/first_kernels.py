"""Compile the kernels of one dtype that most tests need: `python tests/helpers/first_kernels.py float32`.

Before all tests, conftest.py runs one such process per dtype. Kernels of one dtype share most of their helpers, and
processes that need the same kernel at the same time would wait for each other.
"""

import gc
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src")]

from fastmlp.warmup import NETS, POPULATIONS, use_net, use_population  # noqa: E402


def main(dtype: str) -> None:
    gc.disable()  # a twentieth of the time, and the process ends soon
    for sizes, rows, batch in NETS:
        use_net(dtype, sizes, rows, batch)
    for population in POPULATIONS:
        use_population(dtype, *population)


if __name__ == "__main__":
    main(sys.argv[1])
