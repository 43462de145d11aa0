"""What this machine's CPUs share, second by second: the study behind cpu_wakeup.py and gradient_exchange.py.

Run on an otherwise idle machine: python bench/studies/shared_cores.py [SECONDS]

Each line, after a second of rest, has the slowdown of two CPUs that compute at the same time (1.0 with a core each,
1.85 on the two hardware threads of one AMD core), the time until there was none, and the time of a barrier of two
threads (some 30 ns with a shared third-level cache, five times as long without).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.cpu_wakeup import Processors
from suite.thread_latency import barrier_latency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=int, nargs="?", default=20)
    seconds = parser.parse_args().seconds
    processors = Processors()
    with processors.awake():
        pass
    print(f"{'second':>6} {'slowdown':>8} {'until ms':>9} {'barrier ns':>11}")
    for second in range(seconds):
        time.sleep(1.0)
        began = time.perf_counter()
        with processors.awake() as at_speed:
            waited = time.perf_counter() - began
            slowdown = processors.first_look
        barrier = barrier_latency() or 0.0
        until = f"{1e3 * waited:.1f}" if at_speed else f"> {1e3 * waited:.0f}"
        print(f"{second:6} {slowdown:8.2f} {until:>9} {1e9 * barrier:11.0f}", flush=True)


if __name__ == "__main__":
    main()
