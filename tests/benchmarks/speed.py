"""Milliseconds of a training step: minivae beside PyTorch and JAX, on this machine, in turn.

    python tests/benchmarks/speed.py [WORKLOAD ...] [--rounds 5] [--peers minivae plain floor eager fused compile jax]
    python tests/benchmarks/speed.py --what evaluation     the bound of 1,000 images by 100 draws of each
    python tests/benchmarks/speed.py --what products       a step's bare matrix products, by each library
    python tests/benchmarks/speed.py --what start          from nothing to the first step, and to MNIST's first batch
    python tests/benchmarks/speed.py --what growth         steps of larger batches and wider layers, as a picture too
    python tests/benchmarks/speed.py --device gpu [--batch 4096]
    python tests/benchmarks/speed.py --write tests/benchmarks/RESULTS.md

A step is: gather a batch from bytes, forward, loss, backward, Adam.  Every measurement is a process of its own, the
peers take turns, and what is printed is the median of the rounds with its range.  PyTorch takes its cross entropy from
logits, as its best user would.  `plain`: minivae without a C compiler; `floor`: the step's bare matrix products in
NumPy or CuPy, `torch_floor`, `jax_floor`: by those; `graphs`: PyTorch with CUDA graphs, as minivae on a GPU
(gpu_check.py is quicker).  Peers not installed are left out.  `--write` also puts the tables into a file, between the
lines <!-- speed cpu --> and <!-- end -->, or <!-- speed evaluation -->, <!-- speed gpu -->, <!-- speed gpu 4096 -->.
OPENBLAS_L2_SIZE, which slows NumPy down, is unset.  `OPENBLAS_CORETYPE=Haswell ATEN_CPU_CAPABILITY=avx2` stands in for
a processor without AVX-512.
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
import tempfile
import time
from pathlib import Path

from workloads import WORKLOADS

PEERS = {"cpu": ("minivae", "plain", "floor", "eager", "fused", "compile", "jax"),
         "gpu": ("minivae", "floor", "eager", "fused", "compile", "graphs", "jax")}
NAMES = {"minivae": "minivae", "plain": "minivae, no C compiler", "floor": "bare products", "eager": "PyTorch eager",
         "fused": "PyTorch, fused Adam", "compile": "torch.compile, fused Adam", "graphs": "torch.compile, CUDA graphs",
         "jax": "JAX jit", "torch_floor": "bare products, PyTorch", "jax_floor": "bare products, JAX"}
SECONDS = 2  # of one measurement, after the warm-up
WARM_UP = 30  # steps
TOGETHER = 5  # steps that are timed together, and waited for together
BOUNDS = ("minivae", "plain", "eager", "compile", "jax")
NOTHING_KEPT = ", with empty caches"  # of compiled code
STARTS = ("minivae", f"minivae{NOTHING_KEPT}", "plain", "eager", "compile", f"compile{NOTHING_KEPT}", "jax")
KERNELS = ("OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "MINIVAE_THREADS")  # that the head of a table names
PRODUCTS = ("floor", "torch_floor", "jax_floor")
GROWING = ("minivae", "fused", "compile", "jax")
BATCHES = (16, 64, 256, 1024, 4096)
WIDTHS = (128, 512, 2048, 4096)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), metavar="WORKLOAD",
                        help=f"of {', '.join(WORKLOADS)}; by default all")
    parser.add_argument("--what", choices=TABLES, default="steps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=NAMES, help="of the steps; by default all that the device has")
    parser.add_argument("--device", choices=PEERS, default="cpu")
    parser.add_argument("--batch", type=int, help="instead of the workload's own")
    parser.add_argument("--hidden", type=int, help="width of all hidden layers, instead of the workload's own")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into it")
    parser.add_argument("--measure", metavar="PEER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if args.write and (args.peers or args.hidden or len(args.workloads) < len(WORKLOADS)):
        parser.error("--write puts down all workloads and peers: leave WORKLOAD, --peers and --hidden out")
    if args.measure:
        print(json.dumps(MEASURES[args.what](args.measure, args)))
        return
    machine = f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    machine += f", {graphics()}" if args.device == "gpu" else f", {compiler()}"
    machine += "".join(f", {name}={os.environ[name]}" for name in KERNELS if name in os.environ)
    print(machine)
    if args.write:
        parts_of(args.write, args)  # before an hour's work: whether it can be written
    text = TABLES[args.what](args)
    print(f"\n{text}")
    if args.write:
        before, after = parts_of(args.write, args)
        args.write.write_text(f"{before}\n{machine}.  {text}\n{after}", encoding="utf-8")


def parts_of(file, args):
    """The text of a file before and after what stands between the lines that `--write` looks for."""
    what = args.device if args.what == "steps" else args.what
    mark = " ".join(["<!-- speed", what, *([str(args.batch)] if args.batch else []), "-->"])
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


def compare(peers, args, *options):
    """{peer: [measurement of each round]}, the peers in turn."""
    results = {}
    for _ in range(args.rounds):
        for peer in peers:
            found = child(peer, "--what", args.what, "--device", args.device, *options)
            if found:
                results.setdefault(peer, []).append(found)
    return results


def child(peer, *options):
    """What a process of its own measures, or None where the peer is not installed."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_L2_SIZE"}
    with tempfile.TemporaryDirectory() as empty:
        if peer.endswith(NOTHING_KEPT):
            environment |= {"XDG_CACHE_HOME": empty, "TORCHINDUCTOR_CACHE_DIR": empty}
        began = time.time()
        done = subprocess.run([sys.executable, __file__, "--measure", peer.removesuffix(NOTHING_KEPT), *options],
                              env=environment | {"BEGAN": str(began)}, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if "ModuleNotFoundError" not in done.stderr:
        said = done.stderr.strip().splitlines()[-1:] or [f"it ended with status {done.returncode}"]
        print(f"{peer} {' '.join(options)}: {said[0]}", file=sys.stderr)
    return None


def measure_step(peer, args):
    """{ms: median over a few hundred steps, MB: peak memory of the process, start: seconds, version}."""
    started = time.perf_counter()
    import peers

    step, finish, version = getattr(peers, peer)(workload(args), args.device)
    imported = time.perf_counter() - started
    ms = median_ms(step, finish, WARM_UP, SECONDS)
    return {"ms": ms, "MB": peak_memory(), "start": imported, "version": version}


def workload(args):
    """The workload that is named, with the batch and the width that are asked for."""
    work = WORKLOADS[args.workloads[0]]
    if args.hidden:
        work = dataclasses.replace(work, decoder=(args.hidden,) * len(work.decoder),
                                   encoder=(work.pixels, *[args.hidden] * len(work.encoder[1:])))
    return dataclasses.replace(work, batch=args.batch or work.batch)


def measure_bound(peer, args):
    """{ms: median of some bounds, version}."""
    import bounds

    bound, version = getattr(bounds, peer)()
    bound()
    times, end = [], time.perf_counter() + 2 * SECONDS
    while (now := time.perf_counter()) < end or len(times) < 3:
        bound()
        times.append(time.perf_counter() - now)
    return {"ms": statistics.median(times) * 1e3, "version": version}


def measure_start(peer, args):
    """{s: from the start of the process to the end of the first step, version}."""
    import peers

    if peer == "loading":
        return {"s": first_batch() - float(os.environ["BEGAN"]), "version": ""}
    step, finish, version = getattr(peers, peer)(workload(args), "cpu")
    step()
    finish()
    return {"s": time.time() - float(os.environ["BEGAN"]), "version": version}


def first_batch():
    """The time when MNIST's first batch is there."""
    from minivae.data import Batches, mnist

    Batches(mnist("train")[0], batch_size=128, scale=1 / 255).next()
    return time.time()


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


def steps(args):
    """A table of times of a step, and one of versions, memory and starts."""
    peers = args.peers or PEERS[args.device]
    batch = ["--batch", str(args.batch)] if args.batch else []
    hidden = ["--hidden", str(args.hidden)] if args.hidden else []
    found = {name: compare(peers, args, name, *batch, *hidden) for name in args.workloads}
    titles = [f"{WORKLOADS[name].title}, batch {args.batch or WORKLOADS[name].batch}" for name in found]
    lines = [of_rounds(args, peers[0]), "", *beside("ms a step", dict(zip(titles, found.values())), peers, "ms"),
             "", "| peer | version | peak memory, MB | import and build, s |", "|---|---|---|---|"]
    for peer in peers:
        runs = [each for results in found.values() for each in results.get(peer, [])]
        if runs:
            lines.append(f"| {NAMES[peer]} | {runs[0]['version']} | {max(each['MB'] for each in runs):.0f} | "
                         f"{statistics.median(each['start'] for each in runs):.2f} |")
    return "\n".join(lines)


def of_rounds(args, first="minivae"):
    how = f"in brackets the peer's time divided by that of {NAMES[first]}"
    return f"One round; {how}." if args.rounds == 1 else f"Medians of {args.rounds} rounds; {how}, and its range."


def beside(what, rows, peers, unit):
    """Lines of a table of {title: {peer: measurements}}, each peer beside the first in the same round."""
    first, *others = (peer for peer in peers if any(peer in results for results in rows.values()))
    lines = [f"| {what} | {name_of(first)} | " + " | ".join(name_of(peer) for peer in others) + " |",
             "|---" * (len(others) + 2) + "|"]
    for title, results in rows.items():
        mine = [each[unit] for each in results[first]]
        cells = [title, f"{statistics.median(mine):.2f}"]
        for peer in others:
            theirs = [each[unit] for each in results.get(peer, [])]
            ratios = [a / b for a, b in zip(theirs, mine)]
            spread = f", {min(ratios):.2f}–{max(ratios):.2f}" if len(ratios) > 1 else ""
            cells.append(f"{statistics.median(theirs):.2f} (×{statistics.median(ratios):.2f}{spread})"
                         if theirs else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def name_of(peer):
    kept = peer.removesuffix(NOTHING_KEPT)
    return NAMES[kept] + peer[len(kept):]


def evaluation(args):
    """A table of the time of a bound."""
    import bounds

    title = f"{bounds.IMAGES:,} images, K = {bounds.DRAWS}, 784-400-20"
    return "\n".join([of_rounds(args), "", *beside("ms", {title: compare(BOUNDS, args)}, BOUNDS, "ms")])


def products(args):
    """A table of the time of a step's products by each library."""
    rows = {f"{WORKLOADS[name].title}, batch {WORKLOADS[name].batch}": compare(PRODUCTS, args, name)
            for name in args.workloads}
    return "\n".join([of_rounds(args, PRODUCTS[0]), "", *beside("ms of the products of a step", rows, PRODUCTS, "ms")])


def start(args):
    """A table of the time to the first step, and, where MNIST is, the time to its first batch."""
    loading = compare(["loading"], args).get("loading")
    rows = {WORKLOADS[name].title: compare(STARTS, args, name) for name in ("mnist", "dvae")}
    text = "\n".join([of_rounds(args), "", *beside("s to the end of the first step", rows, STARTS, "s")])
    if loading:
        seconds = statistics.median(each["s"] for each in loading)
        text += f"\n\nA new process has MNIST's first batch, verified and shuffled, after {seconds:.2f} s."
    return text


def growth(args):
    """A table of steps of larger batches and wider layers, of mnist's network, and the same as a picture."""
    sizes = [("batch", batch) for batch in BATCHES] + [("hidden", width) for width in WIDTHS]
    rows = {(what, size): compare(GROWING, args, "mnist", f"--{what}", str(size)) for what, size in sizes}
    titles = {f"{what} {size:,}": results for (what, size), results in rows.items()}
    text = [of_rounds(args), "", *beside("ms a step", titles, GROWING, "ms")]
    if args.write:
        picture = args.write.parent / "growth.png"
        draw_growth(rows, picture)
        text += ["", f"![Milliseconds of a step against the batch and the width, of all four]({picture.name})"]
    return "\n".join(text)


def draw_growth(rows, picture):
    import matplotlib
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for ax, what, label in zip(axes, ("batch", "hidden"), ("images of a batch", "width of the hidden layers")):
        for peer in GROWING:
            points = [(size, statistics.median(each["ms"] for each in results[peer]))
                      for (kind, size), results in rows.items() if kind == what and peer in results]
            ax.loglog(*zip(*points), marker="o", markersize=4, label=NAMES[peer])
        ax.set(xlabel=label, ylabel="ms a step" if what == "batch" else "")
        ax.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(picture, dpi=110)


TABLES = {"steps": steps, "evaluation": evaluation, "start": start, "growth": growth, "products": products}
MEASURES = {"steps": measure_step, "growth": measure_step, "evaluation": measure_bound, "start": measure_start,
            "products": measure_step}


if __name__ == "__main__":
    main()
