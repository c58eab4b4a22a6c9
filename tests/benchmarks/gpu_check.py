"""All that only a GPU can tell, in one command of some six minutes.

    python tests/benchmarks/gpu_check.py [--write tests/benchmarks/RESULTS.md] [--without tests speed]

It runs the tests that need a GPU, compares steps that are replayed with steps that are launched kernel by kernel, and
measures the milliseconds of a step of every workload, at its own batch and at 4,096, beside PyTorch and JAX where they
are installed.  Each peer is one process, which measures all workloads in turn; what torch.compile compiles is compiled
by several processes before.  `--write` puts the tables between the lines <!-- gpu --> and <!-- end --> of a file.
Needs CuPy; pytest for the tests.
"""

import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import peers
import speed
from workloads import WORKLOADS

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
BATCHES = (None, 4096)  # the workload's own, and a large one
PEERS = ("minivae", "launched", "floor", "eager", "fused", "compile", "graphs", "jax")
NAMES = speed.NAMES | {"launched": "minivae, launched kernel by kernel", "floor": "bare products, launched",
                       "eager": "PyTorch eager"}
RIVALS = ("eager", "fused", "compile", "graphs")  # PyTorch's modes
SECONDS, WARM_UP = 0.5, 12
LIMITS = {"tests": 150, "compile": 100, "peer": 120}  # seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into it")
    parser.add_argument("--without", nargs="+", default=[], choices=("tests", "speed"))
    parser.add_argument("--measure", metavar="PEER", help=argparse.SUPPRESS)
    parser.add_argument("--compile", nargs=2, metavar=("WORKLOAD", "BATCH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # minivae, where it is not installed
    os.environ["PYTHONPATH"] = str(ROOT)
    if args.measure:
        measure(args.measure)
        return
    if args.compile:
        compile_for(*args.compile)
        return
    started = time.monotonic()
    machine = f"{datetime.date.today()}, {speed.graphics()}"
    print(machine, flush=True)
    lines = [] if "tests" in args.without else [run_tests()]
    lines.append(compare())
    print(*lines, sep="\n", flush=True)
    if "speed" not in args.without:
        lines += ["", report(measured())]
        print(lines[-1])
    text = "\n".join([f"{machine}.", "", *lines])
    if args.write:
        write(args.write, text)
    print(f"{time.monotonic() - started:.0f} s")


def run_tests():
    """One line on the tests that run on a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "-k", "cupy",
               "tests"]
    if subprocess.run([sys.executable, "-c", "import xdist"], capture_output=True).returncode == 0:
        command += ["-n", str(min(12, os.cpu_count()))]
    started = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMITS["tests"])
    except subprocess.TimeoutExpired:
        return f"Tests: not finished after {LIMITS['tests']} s"
    said = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    for line in said:
        if line.startswith(("FAILED", "ERROR", "E   ")):
            print(line, flush=True)
    return f"Tests, `pytest -k cupy`: {said[-1].strip('= ')} ({time.monotonic() - started:.0f} s)"


def compare():
    """One line: whether 50 steps replayed give what 50 steps launched give, for each model."""
    import numpy as np

    import minivae as mv
    from minivae import backend, models
    from minivae.data import Batches, rectangles
    from minivae.training import Training

    backend.use("cupy")
    found = {}
    for name in models.BY_NAME:
        ends = []
        for graphs in ("", "none"):
            os.environ["MINIVAE_GRAPHS"] = graphs
            mv.manual_seed(1)
            model = models.build(name, image=(1, 24, 24))
            run = Training(model, Batches(rectangles(1000), 16, by_epoch=True))
            for _ in range(50):
                run.step()
            ends.append((backend.to_numpy(run.parameters), run.protocol.array()))
        found[name] = all(map(np.array_equal, *ends))
    os.environ["MINIVAE_GRAPHS"] = ""
    differ = [name for name, same in found.items() if not same]
    return ("50 steps replayed equal 50 launched, bit for bit, for " +
            (", ".join(found) if not differ else f"all but {', '.join(differ)}"))


def measured():
    """{(workload, batch): {peer: ms}}"""
    with concurrent.futures.ThreadPoolExecutor(min(14, max(1, os.cpu_count() - 2))) as pool:
        jobs = [(workload, str(batch or 0)) for batch in BATCHES for workload in WORKLOADS]
        list(pool.map(lambda job: call("--compile", *job, limit=LIMITS["compile"]), jobs))
    results = {}
    for peer in PEERS:
        for line in call("--measure", peer, limit=LIMITS["peer"]).splitlines():
            if line.startswith("{"):
                found = json.loads(line)
                print(peer, found, flush=True)
                results.setdefault((found["workload"], found["batch"]), {})[peer] = found["ms"]
    return results


def call(*arguments, limit):
    """What this program prints when it is called with such arguments, as far as it gets in time."""
    try:
        return subprocess.run([sys.executable, str(HERE), *arguments], capture_output=True, text=True,
                              timeout=limit).stdout
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode()


def compile_for(workload, batch):
    """Fill torch.compile's cache for a workload."""
    work = WORKLOADS[workload]
    work = dataclasses.replace(work, batch=int(batch)) if int(batch) else work
    for peer in ("compile", "graphs"):
        step, finish, _ = getattr(peers, peer)(work, "gpu")
        step()
        finish()


def measure(peer):
    """Print {workload, batch, ms} of each workload as a line of JSON: the median of half a second."""
    if peer == "launched":
        os.environ["MINIVAE_GRAPHS"] = "none"
    make = getattr(peers, "minivae" if peer == "launched" else peer)
    for batch in BATCHES:
        for name, work in WORKLOADS.items():
            try:
                step, finish, _ = make(dataclasses.replace(work, batch=batch) if batch else work, "gpu")
                ms = speed.median_ms(step, finish, WARM_UP, SECONDS)
                if peer in ("compile", "graphs"):
                    sys.modules["torch"]._dynamo.reset()  # which compiles a function eight times, and then no more
            except ModuleNotFoundError:
                return
            except Exception as error:  # of one workload: the others are measured all the same
                print(f"{peer} {name}: {error}", file=sys.stderr)
                continue
            print(json.dumps({"workload": name, "batch": batch or work.batch, "ms": ms}), flush=True)


def report(results):
    """The measurements as a table; in brackets how many times as long as minivae's step."""
    shown = [peer for peer in PEERS if any(peer in found for found in results.values())]
    lines = [f"Milliseconds of a step, medians of {SECONDS} s; in brackets: divided by minivae's.", "",
             "| workload, batch | " + " | ".join(NAMES[peer] for peer in shown) + " | PyTorch's best |",
             "|---" * (len(shown) + 2) + "|"]
    for (workload, batch), found in results.items():
        mine, rivals = found.get("minivae", float("nan")), [found[peer] for peer in RIVALS if peer in found]
        cells = ["" if peer not in found else f"{found[peer]:.2f}" if peer == "minivae" else
                 f"{found[peer]:.2f} (×{found[peer] / mine:.2f})" for peer in shown]
        best = f"×{min(rivals) / mine:.2f}" if rivals else ""
        lines.append(f"| {WORKLOADS[workload].title}, {batch} | " + " | ".join(cells) + f" | {best} |")
    return "\n".join(lines)


def write(file, text):
    before, found, rest = file.read_text(encoding="utf-8").partition("<!-- gpu -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not found or not end:
        sys.exit(f"{file} has no lines <!-- gpu --> and <!-- end --> to put the tables between")
    file.write_text(f"{before}{found}{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
