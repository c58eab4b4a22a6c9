"""Memory stays flat: many steps of a small model, a line every tenth of them.

    python tests/benchmarks/soak.py [--steps 100000] [--most 2]

Ends with status 1 when the process holds more than `--most` MiB above what it held after the first tenth, the rows of
the protocol not counted: they are meant to grow, and their size is printed beside it.
"""

import argparse
import sys
import time

import minivae as mv
from minivae.data import Batches, rectangles
from minivae.training import Training

MIB = 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--most", type=float, default=2, metavar="MIB")
    args = parser.parse_args()
    mv.manual_seed(0)
    model = mv.models.denoising_vae(image=(1, 12, 12), hidden=64)
    training = Training(model, Batches(rectangles(1000, 12, 12, sides=(5, 5)), 16, by_epoch=True), 1e-3, 1e-4)
    first, started = None, time.perf_counter()
    print("| steps | seconds | resident, MiB | protocol, MiB | resident − protocol, MiB |\n|---|---|---|---|---|")
    for _ in range(10):
        training.run(args.steps // 10, progress=False)
        held, rows = resident(), protocol(training)
        first = held - rows if first is None else first
        print(f"| {training.steps:,} | {time.perf_counter() - started:.0f} | {held / MIB:.1f} | {rows / MIB:.1f} | "
              f"{(held - rows) / MIB:.1f} |", flush=True)
    grown = (held - rows - first) / MIB
    print(f"\n{grown:+.1f} MiB since the first tenth; {training.protocol.mean(1000)['total']:.2f} nats per image")
    return int(grown > args.most)


def resident():
    """Bytes of memory that this process holds (Linux)."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def protocol(training):
    """Bytes of the protocol's rows: tuples of floats, each object rounded up to 16 as Python allocates it."""
    rows = training.protocol.rows
    a_row = sum(-(-sys.getsizeof(thing) // 16) * 16 for thing in (rows[0], *rows[0]))
    return sys.getsizeof(rows) + len(rows) * a_row


if __name__ == "__main__":
    sys.exit(main())
