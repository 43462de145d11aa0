"""What this machine's CPUs share, second by second: the study behind cpu_wakeup.py and gradient_exchange.py.

Run on an otherwise idle machine: python bench/studies/shared_cores.py [SECONDS]

After each second of rest: how many times as long as alone both take for the same work (1.0 with a core each, 1.85 on
the two threads of a core of AMD's), how long that lasted, and how long a meeting of two threads takes (some 30 ns with
a third-level cache in common, five times as long without).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.thread_latency import barrier_latency

from fastmlp.benchmarks.cpu_wakeup import Processors


def main(seconds: int) -> None:
    processors = Processors()
    with processors.awake():
        pass
    print(f"{'second':>6} {'slowed':>7} {'until ms':>9} {'meeting ns':>11}")
    for second in range(seconds):
        time.sleep(1.0)
        began = time.perf_counter()
        with processors.awake() as at_speed:
            waited = time.perf_counter() - began
            slowed = processors.first_look
        meeting = barrier_latency() or 0.0
        until = f"{1e3 * waited:.1f}" if at_speed else f"> {1e3 * waited:.0f}"
        print(f"{second:6} {slowed:7.2f} {until:>9} {1e9 * meeting:11.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
