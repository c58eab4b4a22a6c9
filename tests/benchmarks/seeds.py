"""Margins of the tutorials' claims, over seeds and BLAS kernels: of each `assert …` and `claim("sentence", …)`.

    python tests/benchmarks/seeds.py [04 08 ...] [--seeds 20] [--kernels Haswell Prescott] [--full] [--jobs 2]

Seed 0 is the lesson as it stands; any other shifts every seed that the lesson and minivae use.  A failed claim does not
end the run: the others are collected too.  `a < b` is split into

    margin    (b − a) / max(|a|, |b|) in the worst run: how much of a number it may change; below 0 the claim failed
    spread    the mean of b − a over its standard deviation over the runs: how many deviations lie between it and 0

and `np.isclose` has the margin that is left of its tolerance.  Claims that no run changes are counted, not listed.  A
kernel is a name for OPENBLAS_CORETYPE.  `--keep FILE` adds each run to a file and skips those that are in it, so a long
sweep can be done in pieces.  Some lessons need MINIVAE_DATA.  Ends with the smallest margin, and status 1 when a claim
failed.
"""

import argparse
import ast
import contextlib
import hashlib
import json
import operator
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

TUTORIALS = Path(__file__).parents[2] / "tutorials"
COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
HOLDS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tutorials", nargs="*", help="numbers, such as 04, or files; by default all")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="0 … N − 1")
    parser.add_argument("--kernels", nargs="+", default=[""], help="by default the one that NumPy chooses")
    parser.add_argument("--full", action="store_true", help="without MINIVAE_FAST")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each with one thread")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add each run to this file; skip those in it")
    parser.add_argument("--one", type=int, metavar="SEED", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(run(Path(args.tutorials[0]), args.one)))
        return 0
    paths = [path for name in args.tutorials or [""] for path in found(name)]
    tasks = [(path, seed, kernel) for seed in range(args.seeds) for kernel in args.kernels for path in paths]
    lines = args.keep.read_text(encoding="utf-8").splitlines() if args.keep and args.keep.exists() else []
    kept = {tuple(row["key"]): row for row in map(json.loads, lines)}

    def result(task):
        key = (*map(str, task), args.full, code_of(task[0]))
        if key not in kept:
            kept[key] = {"key": key} | started(*task, args.full)
            if args.keep:
                with args.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(kept[key]) + "\n")
        return kept[key]

    with ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(result, tasks))
    failures, smallest = report(list(zip(tasks, rows)))
    kernels = ", ".join(each or "default" for each in args.kernels)
    print(f"\n{len(paths)} tutorials, {args.seeds} seeds, kernels: {kernels}, {'full' if args.full else 'fast'} mode: "
          f"{failures} claims failed, smallest margin {smallest}")
    return int(failures > 0)


def code_of(path):
    """A fingerprint of a tutorial's code, which its text does not change."""
    return hashlib.sha256(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode()).hexdigest()


def found(name):
    """The tutorials whose names begin with `name`; or the file of that name."""
    if name.endswith(".py"):
        return [Path(name).resolve()]
    paths = sorted(TUTORIALS.glob(f"{name}*.py" if name else "[0-9][0-9]_*.py"))
    if not paths:
        sys.exit(f"no tutorial begins with {name!r}")
    return paths


def started(path, seed, kernel, full):
    """The result of `run` in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MINIVAE_FAST", "OPENBLAS_CORETYPE")}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "MINIVAE_THREADS": "1"} | ({} if full else {"MINIVAE_FAST": "1"})
    environment |= {"OPENBLAS_CORETYPE": kernel} if kernel else {}
    with tempfile.TemporaryDirectory() as pictures:
        done = subprocess.run([sys.executable, "-W", "error", __file__, str(path), "--one", str(seed)],
                              env=environment | {"MINIVAE_PICTURES": pictures}, capture_output=True, text=True,
                              encoding="utf-8")
    if done.returncode:
        return {"seconds": 0, "claims": [failed(0, "it runs", done.stderr.strip()[-200:])]}
    return json.loads(done.stdout.splitlines()[-1])


def run(path, seed):
    """Run a tutorial: what became of its claims, and the seconds of processor time that it took."""
    shift(seed)
    source = ast.parse(path.read_text(encoding="utf-8"))
    claims, rewrite = Claims(), Rewrite()
    code = compile(ast.fix_missing_locations(rewrite.visit(source)), str(path), "exec")
    claims.texts = rewrite.texts
    sys.path.insert(0, str(path.parent))  # as it is for a lesson that is started by itself
    clock = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            exec(code, {"__name__": "__main__", "__file__": str(path), "__claims__": claims})
        except Exception as error:
            claims.rows.append(failed(0, "it runs to its end", repr(error)[:200]))
    return {"seconds": time.process_time() - clock, "claims": claims.rows}


def shift(seed):
    """From now on a generator that is asked for with any seed is another one.  0 changes nothing."""
    generator, sequence = np.random.default_rng, np.random.SeedSequence
    if seed:
        np.random.SeedSequence = lambda entropy=None, **options: sequence([entropy or 0, seed], **options)
        np.random.default_rng = lambda entropy=None: generator(
            [entropy or 0, seed] if entropy is None or isinstance(entropy, int) else entropy)


class Rewrite(ast.NodeTransformer):
    """Makes of each `assert a < b and c` a call of `Claims` for a < b and one for c; `texts` says what they are.

    `claim("sentence", a < b and c)` is the same to it, whether its name is imported or has a module's before it.
    """

    def __init__(self):
        self.texts = []

    def visit_Assert(self, node):
        return self.parts(node.test)

    def visit_Expr(self, node):
        call = node.value
        if not (isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "claim"):
            return node
        named = {each.arg: each.value for each in call.keywords}
        return self.parts(named["holds"] if "holds" in named else call.args[1])

    def parts(self, condition):
        joined = isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And)
        return [self.tried(part) for part in (condition.values if joined else [condition])]

    def tried(self, part):
        call = ast.Expr(self.noted(part))
        missed = ast.Expr(self.call("missed", part, [ast.Name("error", ast.Load())]))
        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), "error", [missed])
        return ast.copy_location(ast.Try([call], [handler], [], []), part)

    def noted(self, node):
        """An expression with the value of `node` that also keeps it."""
        called = isinstance(node, ast.Call)
        if isinstance(node, ast.Compare):
            signs = [ast.Constant(COMPARE.get(type(each))) for each in node.ops]
            values = [node.left, *node.comparators]
            if all(sign.value for sign in signs):
                pairs = [self.key(ast.Compare(*pair), node) for pair in zip(values, ([op] for op in node.ops),
                                                                            ([each] for each in values[1:]))]
                return self.asked("compare", ast.List(pairs, ast.Load()), [ast.List(signs, ast.Load()), *values])
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            return ast.BoolOp(node.op, [self.noted(each) for each in node.values])
        if called and ast.unparse(node.func) == "all" and isinstance(node.args[0], ast.GeneratorExp):
            inner = node.args[0]  # as a list, so that the first that fails does not hide the others
            return ast.Call(node.func, [ast.ListComp(self.noted(inner.elt), inner.generators)], [])
        if called and isinstance(node.func, ast.Attribute) and node.func.attr == "all" and not node.args:
            return self.noted(node.func.value)
        if called and ast.unparse(node.func) in ("np.isclose", "np.allclose"):
            return self.call("close", node, node.args, node.keywords)
        return self.call("truth", node, [node])

    def key(self, node, place):
        """The number of a claim, as a piece of source."""
        text = (place.lineno, ast.unparse(node))
        if text not in self.texts:
            self.texts.append(text)
        return ast.Constant(self.texts.index(text))

    def call(self, verb, node, args, keywords=()):
        return self.asked(verb, self.key(node, node), args, keywords)

    def asked(self, verb, key, args, keywords=()):
        function = ast.Attribute(ast.Name("__claims__", ast.Load()), verb, ast.Load())
        return ast.Call(function, [key, *args], list(keywords))


class Claims:
    """What became of each claim, a row each time it is asked: line, text, held, margin, distance b − a."""

    def __init__(self):
        self.rows, self.texts = [], []

    def truth(self, key, value):
        self.note(key, bool(np.all(value)))
        return value

    def compare(self, keys, signs, *values):
        truth = True
        for key, sign, a, b in zip(keys, signs, values, values[1:]):
            small, large = (np.asarray(each) for each in ((a, b) if sign[0] == "<" else (b, a)))
            held = bool(np.all(HOLDS[sign](a, b)))
            truth = truth and held
            if small.dtype.kind not in "iuf" or large.dtype.kind not in "iuf":
                self.note(key, held)
                continue
            distance = large.astype(float) - small
            scale = np.maximum(np.maximum(np.abs(large), np.abs(small)), 1e-300)
            self.note(key, held, float((distance / scale).min()), float(distance.min()))
        return truth

    def close(self, key, a, b, rtol=1e-5, atol=1e-8):
        allowed = atol + rtol * np.abs(np.asarray(b))
        left = allowed - np.abs(np.asarray(a) - np.asarray(b))
        self.note(key, bool((left >= 0).all()), float((left / allowed).min()), float(left.min()))
        return bool((left >= 0).all())

    def missed(self, key, error):
        self.rows.append(failed(*self.texts[key], repr(error)[:200]))

    def note(self, key, held, margin=None, distance=None):
        line, text = self.texts[key]
        finite = margin is not None and np.isfinite([margin, distance]).all()
        self.rows.append({"line": line, "text": text, "held": held, "margin": margin if finite else None,
                          "distance": distance if finite else None})


def failed(line, text, why):
    return {"line": line, "text": f"{text}: {why}", "held": False, "margin": None, "distance": None}


def report(results):
    """Print a table of claims, of those that differ between runs; returns how many failed, and in words the smallest
    margin."""
    claims, seconds = {}, {}
    for (path, seed, kernel), row in results:
        seconds.setdefault(path.stem, []).append(row["seconds"])
        worst = {}  # of a claim that is asked several times in a run
        for each in sorted(row["claims"], key=badness, reverse=True):
            worst[path.stem, each["text"]] = each
        for key, each in worst.items():
            claims.setdefault(key, []).append((each, seed, kernel))
    print("| tutorial:line | claim | fails | margin | median | spread | worst at seed, kernel |")
    print("|---|---|---|---|---|---|---|")
    failures, steady, smallest = 0, 0, []
    for (stem, text), rows in sorted(claims.items(), key=lambda claim: (claim[0][0], claim[1][0][0]["line"])):
        margins = [each["margin"] for each, _, _ in rows if each["margin"] is not None]
        fails = sum(not each["held"] for each, _, _ in rows)
        failures += fails > 0
        if not fails and len(set(margins)) < min(2, len(rows)):
            steady += 1
            continue
        worst, *where = min(rows, key=lambda row: badness(row[0]))
        numbers = f"{min(margins):.3f} | {statistics.median(margins):.3f} | {spread(rows)}" if margins else "| |"
        text = text.replace("|", "\\|")
        text = text if len(text) < 90 else text[:87] + "…"
        smallest += [(min(margins), f"{stem[:2]}:{worst['line']}")] if margins else []
        print(f"| {stem[:2]}:{worst['line']} | `{text}` | {fails or ''} | {numbers} | {' '.join(map(str, where))} |")
    print(f"\n{steady} more claims held in every run and came out alike.  Seconds of processor time, mean and most:")
    for stem, each in sorted(seconds.items()):
        print(f"{stem[:2]} {statistics.mean(each):5.1f} {max(each):5.1f}")
    return failures, "{:.3f}, of {}".format(*min(smallest)) if smallest else "none, no number changes"


def badness(claim):
    """A key that sorts claims from the worst to the best."""
    return claim["held"], 1 if claim["margin"] is None else claim["margin"]


def spread(rows):
    """The mean distance of a claim from failing, in standard deviations over the runs."""
    distances = [each["distance"] for each, _, _ in rows if each["distance"] is not None]
    deviation = statistics.pstdev(distances)
    return f"{statistics.mean(distances) / deviation:.1f}" if deviation else "∞"


if __name__ == "__main__":
    sys.exit(main())
