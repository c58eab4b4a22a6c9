"""Milliseconds of a training step: minivae beside PyTorch and JAX, on this machine, in turn.

    python tests/benchmarks/speed.py [WORKLOAD ...] [--rounds 5] [--peers minivae plain floor eager fused compile jax]
    python tests/benchmarks/speed.py --device gpu [--batch 4096]
    python tests/benchmarks/speed.py --write tests/benchmarks/RESULTS.md

A step is: gather a batch from bytes, forward, loss, backward, Adam.  Every measurement is a process of its own, the
peers take turns, and what is printed is the median of the rounds with its range.  PyTorch takes its cross entropy from
logits, as its best user would.  `plain`: minivae without a C compiler; `floor`: the step's bare matrix products in
NumPy or CuPy; `graphs`: PyTorch with CUDA graphs, as minivae on a GPU (gpu_check.py is quicker).  Peers not
installed are left out.  `--write` also puts the tables into a file, between the lines <!-- speed cpu --> and
<!-- end -->, or <!-- speed gpu -->, <!-- speed gpu 4096 -->.  OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which slow NumPy
down, are unset.
"""

import argparse
import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from workloads import WORKLOADS

PEERS = {"cpu": ("minivae", "plain", "floor", "eager", "fused", "compile", "jax"),
         "gpu": ("minivae", "floor", "eager", "fused", "compile", "graphs", "jax")}
NAMES = {"minivae": "minivae", "plain": "minivae, no C compiler", "floor": "bare products", "eager": "PyTorch eager",
         "fused": "PyTorch, fused Adam", "compile": "torch.compile, fused Adam", "graphs": "torch.compile, CUDA graphs",
         "jax": "JAX jit"}
SECONDS = 2  # of one measurement, after the warm-up
WARM_UP = 30  # steps
TOGETHER = 5  # steps that are timed together, and waited for together


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), metavar="WORKLOAD",
                        help=f"of {', '.join(WORKLOADS)}; by default all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=NAMES, help="by default all that the device has")
    parser.add_argument("--device", choices=PEERS, default="cpu")
    parser.add_argument("--batch", type=int, help="instead of the workload's own")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into it")
    parser.add_argument("--measure", metavar="PEER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if args.write and (args.peers or len(args.workloads) < len(WORKLOADS)):
        parser.error("--write puts down all workloads and peers: leave WORKLOAD and --peers out")
    if args.measure:
        print(json.dumps(measure(args.measure, args.workloads[0], args.device, args.batch)))
        return
    machine = f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    machine += f", {graphics()}" if args.device == "gpu" else f", {compiler()}"
    print(machine)
    if args.write:
        parts_of(args.write, args)  # before an hour's work: whether it can be written
    peers = args.peers or PEERS[args.device]
    text = report({workload: compare(workload, peers, args) for workload in args.workloads}, peers, args)
    print(f"\n{text}")
    if args.write:
        before, after = parts_of(args.write, args)
        args.write.write_text(f"{before}\n{machine}.  {text}\n{after}", encoding="utf-8")


def parts_of(file, args):
    """The text of a file before and after what stands between the lines that `--write` looks for."""
    mark = " ".join(["<!-- speed", args.device, *([str(args.batch)] if args.batch else []), "-->"])
    before, found, rest = file.read_text(encoding="utf-8").partition(f"{mark}\n")
    _, end, after = rest.partition("<!-- end -->")
    if not found or not end:
        sys.exit(f"{file} has no lines {mark} and <!-- end --> to put the tables between")
    return before + mark, end + after


def processor():
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in (cpuinfo.read_text() if cpuinfo.exists() else "").splitlines()
             if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def compiler():
    """The C compiler that minivae takes."""
    from minivae.backend import compiled

    command = compiled.name()
    if command == "none":
        return "no C compiler"
    said = subprocess.run([command.split()[0], "--version"], capture_output=True, text=True).stdout.splitlines()
    return said[0] if said else command


def graphics():
    """The GPU's name, or the end of the program with what is in the way."""
    from minivae import backend

    works, reason = backend.available("cupy")
    if not works:
        sys.exit(f"there is no GPU to measure: {reason}")
    cuda = backend.array_library("cupy").cuda.runtime
    return f"{cuda.getDeviceProperties(0)['name'].decode()}, CUDA {cuda.runtimeGetVersion()}"


def compare(workload, peers, args):
    """{peer: [measurement of each round]}, the peers in turn."""
    results, options = {}, ["--device", args.device, *(["--batch", str(args.batch)] if args.batch else [])]
    for _ in range(args.rounds):
        for peer in peers:
            environment = {key: value for key, value in os.environ.items()
                           if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
            done = subprocess.run([sys.executable, __file__, workload, "--measure", peer, *options], env=environment,
                                  capture_output=True, text=True)
            if done.returncode == 0:
                results.setdefault(peer, []).append(json.loads(done.stdout.splitlines()[-1]))
            elif "ModuleNotFoundError" not in done.stderr:
                print(f"{peer} {workload}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return results


def measure(peer, workload, device, batch):
    """{ms: median over a few hundred steps, MB: peak memory of the process, import: seconds, version}."""
    started = time.perf_counter()
    import peers

    work = WORKLOADS[workload]
    step, finish, version = getattr(peers, peer)(dataclasses.replace(work, batch=batch) if batch else work, device)
    imported = time.perf_counter() - started
    ms = median_ms(step, finish, WARM_UP, SECONDS)
    return {"ms": ms, "MB": peak_memory(), "start": imported, "version": version}


def median_ms(step, finish, warm_up, seconds):
    """Milliseconds of a step, the median over so many seconds after the warm-up; `finish()` waits for a device."""
    for _ in range(warm_up):
        step()
    finish()
    times, end = [], time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        for _ in range(TOGETHER):
            step()
        finish()
        times.append((time.perf_counter() - now) / TOGETHER)
    return statistics.median(times) * 1e3


def peak_memory():
    """Of this process, in MB; since it began, so without what its parent held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def report(tables, peers, args):
    """The measurements as text: a table of times, and one of versions, memory and starts."""
    peers = [peer for peer in peers if any(peer in results for results in tables.values())]
    others = [peer for peer in peers if peer != "minivae"]
    lines = [f"Medians of {args.rounds} rounds; in brackets the peer's time divided by minivae's, and its range.", "",
             "| ms a step | minivae | " + " | ".join(NAMES[peer] for peer in others) + " |",
             "|---" * (len(others) + 2) + "|"]
    for workload, results in tables.items():
        mine = [each["ms"] for each in results["minivae"]]
        cells = [f"{WORKLOADS[workload].title}, batch {args.batch or WORKLOADS[workload].batch}",
                 f"{statistics.median(mine):.2f}"]
        for peer in others:
            theirs = [each["ms"] for each in results.get(peer, [])]
            ratios = [a / b for a, b in zip(theirs, mine)]
            cells.append(f"{statistics.median(theirs):.2f} (×{statistics.median(ratios):.2f}, {min(ratios):.2f}–"
                         f"{max(ratios):.2f})" if theirs else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| peer | version | peak memory, MB | import and build, s |", "|---|---|---|---|"]
    for peer in peers:
        runs = [each for results in tables.values() for each in results.get(peer, [])]
        lines.append(f"| {NAMES[peer]} | {runs[0]['version']} | {max(each['MB'] for each in runs):.0f} | "
                     f"{statistics.median(each['start'] for each in runs):.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
