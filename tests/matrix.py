"""The suite under conditions that are not yours: other Pythons, libraries, BLAS kernels, compilers, threads and users.

    python tests/matrix.py                        every configuration, and the table of tests/README.md anew
    python tests/matrix.py prescott no-compiler   these; the table keeps its other rows
    python tests/matrix.py --ci                   those that .ci/run takes; the table stays as it is
    python tests/matrix.py haswell -- -x -k cupy  with other words for pytest; the table stays as it is
    python tests/matrix.py --list

Virtual environments are made once, in .matrix/.  What this machine lacks is left out, and the reason printed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / ".matrix"
README = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->"  # of the table in the README
HEAD = "| configuration | what differs | passed | skipped | failed | minutes | on |\n|---|---|---|---|---|---|---|\n"
NEWEST = ("pytest>=8", "hypothesis>=6", "matplotlib", "numpy", "pillow", "tqdm", "pytest-xdist", "pytest-randomly")
ANYBODY = "any user's"
NOBODY = 65534  # a user, and a group, without rights
# .ci/run, which has half an hour, runs in each what computes: files, processes and pages come to no other end.
COMPUTING = tuple(f"tests/test_{each}.py" for each in "contract values criterions containers models cupy optim "
                  "training evaluation checkpoint tutorials".split())
PRODUCTS = tuple(f"tests/test_{each}.py" for each in "contract values criterions containers sharing cupy optim "
                 "checkpoint resume evaluation".split())  # whose products are small: a plugin in Python makes them
DRAWING = tuple(f"tests/test_{each}.py" for each in "cli own_data quantities runs".split())
READING = ("tests/test_step_path.py", "tests/test_systems.py")  # what lies beside the package
BEYOND_IT = [option for each in (  # it allocates, and does not reach the processes that a test starts
    "training.py::test_a_step_allocates_nothing_that_grows_with_the_model", "kills.py",
    "lock.py::test_a_lock_that_was_left_behind_is_in_nobodys_way") for option in ("--deselect", f"tests/test_{each}")]


@dataclass
class Configuration:
    """One way to run the default suite: in what environment, with which variables, options and helpers."""

    differs: str
    python: str = ""  # a version such as 3.12; empty: this one
    packages: tuple = NEWEST
    variables: dict = field(default_factory=dict)
    options: tuple = ("-n", "2")  # of pytest; two processes, because two cores are what most machines have
    flags: tuple = ()  # of Python
    run: object = None  # (configuration, python) -> finished process, where the plain way will not do
    ci: tuple | None = None  # with these options .ci/run takes it; None: it does not
    lacks: object = lambda: ""  # why this machine cannot


def without(*names):
    return tuple(each for each in NEWEST if each not in names)


def lacks(*programs):
    return lambda: ", ".join(f"{each} is not installed" for each in programs if not shutil.which(each))


def lacks_avx512():
    info = Path("/proc/cpuinfo")
    return "" if info.exists() and "avx512bw" in info.read_text() else "the processor has no AVX-512"


def lowest():
    """The lowest versions that pyproject.toml allows."""
    import tomllib

    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return tuple(each.replace(">=", "==") for each in needed)


def kernel(name, **options):
    return Configuration(f"`OPENBLAS_CORETYPE={name}`", variables={"OPENBLAS_CORETYPE": name}, **options)


def threads(n):
    return Configuration(f"{n} threads of BLAS and of minivae", options=("-n", "0"), variables={
        "OPENBLAS_NUM_THREADS": str(n), "MINIVAE_THREADS": str(n)})


def become():
    """What makes root a user without rights; [] for one who has none."""
    root = os.name == "posix" and os.getuid() == 0
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if root else []


def as_nobody(configuration, python):
    """In a copy whose path has a space and an umlaut, as a user who may write there and nowhere else."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        clone, home = Path(folder) / "für mich" / "minivae", Path(folder) / "home"
        home.mkdir(mode=0o555)
        copy(clone)
        if become():
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(clone)], check=True)
        plain = {"HOME": str(home), "PYTHONPATH": str(clone), "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0",
                 "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
        return finished([*become(), *command(configuration, python)], clone, plain)


def from_wheel(configuration, python):
    """The installed wheel, tested with the tests of the source distribution."""
    with tempfile.TemporaryDirectory() as folder:
        build = [python, "-m", "hatchling", "build", "-d", folder]
        subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        wheel, source = *Path(folder).glob("*.whl"), *Path(folder).glob("*.tar.gz")
        install(python, "--no-deps", "--force-reinstall", str(wheel))
        shutil.unpack_archive(source, folder, filter="data")
        clone, = (each for each in Path(folder).iterdir() if each.is_dir())
        return finished(command(configuration, python), clone, configuration.variables)


CONFIGURATIONS = {
    "python-3.11": Configuration("Python 3.11", python="3.11"),
    "python-3.12": Configuration("Python 3.12", python="3.12"),
    "python-3.13": Configuration("Python 3.13", python="3.13"),
    "python-3.14": Configuration("Python 3.14", python="3.14"),
    "lowest": Configuration("the lowest NumPy, Pillow and tqdm that pyproject.toml allows, Python 3.11", python="3.11",
                            packages=(*lowest(), *without("numpy", "pillow", "tqdm")), ci=COMPUTING),
    "prescott": kernel("Prescott", ci=COMPUTING),
    "nehalem": kernel("Nehalem"),
    "sandybridge": kernel("Sandybridge"),
    "haswell": kernel("Haswell", ci=COMPUTING),
    "zen": kernel("Zen"),
    "skylakex": kernel("SkylakeX", lacks=lacks_avx512),
    "another-blas": Configuration("a matrix product with errors as large as any BLAS may make, others for each layout",
                                  options=("-n", "2", "-p", "another_blas", *BEYOND_IT), ci=PRODUCTS,
                                  variables={"PYTHONPATH": str(ROOT / "tests")}),
    "no-blas": Configuration("NumPy built without a BLAS (compiles for ten minutes)", lacks=lacks("c++"), packages=(
        *without("numpy"), "numpy", "--no-binary=numpy", "-Csetup-args=-Dblas=none", "-Csetup-args=-Dlapack=none",
        "-Csetup-args=-Dallow-noblas=true")),
    "no-compiler": Configuration("`MINIVAE_CC=none`", variables={"MINIVAE_CC": "none"}, ci=COMPUTING),
    "gcc": Configuration("`MINIVAE_CC=gcc`", variables={"MINIVAE_CC": "gcc"}, lacks=lacks("gcc")),
    "clang": Configuration("`MINIVAE_CC=clang`", variables={"MINIVAE_CC": "clang"}, lacks=lacks("clang")),
    "1-thread": threads(1),
    "2-threads": threads(2),
    "4-threads": threads(4),
    "one-process": Configuration("one process", options=("-n", "0")),
    "random-order": Configuration("random order, by pytest-randomly", options=("-n", "2", "-p", "randomly"),
                                  ci=COMPUTING),
    "seed-1": Configuration("the suite's seed is 1", variables={"MINIVAE_TEST_SEED": "1"}),
    "seed-2": Configuration("the suite's seed is 2", variables={"MINIVAE_TEST_SEED": "2"}),
    "user": Configuration("a user without rights, a read-only home, `LANG=C`, ASCII output, a path with a space and an "
                          "umlaut", python=ANYBODY, run=as_nobody, lacks=lacks("setpriv"),
                          options=("-n", "0")),  # pytest-xdist cannot send such a path
    "no-matplotlib": Configuration("without matplotlib", packages=without("matplotlib"), ci=DRAWING),
    "wheel": Configuration("the installed wheel, the tests of the source distribution", run=from_wheel,
                           packages=(*NEWEST, "hatchling"), flags=("-P",),  # not what lies in the folder
                           ci=(*COMPUTING, *READING)),
    "optimized": Configuration("`python -O`", flags=("-O",)),
}


def interpreter(version):
    """The command of that Python, of 3.11 or another, or of one that any user can start; None where there is none."""
    if version == ANYBODY:
        code = "import sys, subprocess as s; assert sys.version_info >= (3, 11); s.check_call([sys.executable, '-V'])"
        for each in filter(os.path.exists, (sys._base_executable, "/usr/local/bin/python3", "/usr/bin/python3")):
            if subprocess.run([*become(), each, "-c", code], capture_output=True).returncode == 0:
                return each
        return None
    if not version or version == "{}.{}".format(*sys.version_info):
        return sys.executable
    installed = sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))
    for each in filter(None, [shutil.which(f"python{version}"), *installed]):  # pyenv's shim may be there and fail
        if subprocess.run([each, "--version"], capture_output=True).returncode == 0:
            return each


def install(python, *packages):
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)


def environment(configuration):
    """The Python of a virtual environment with these packages and this clone, made unless it is there."""
    base = interpreter(configuration.python)
    version = subprocess.run([base, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], check=True,
                             capture_output=True, text=True).stdout.strip()
    digest = zlib.crc32(repr((base, configuration.packages)).encode())
    folder = HERE / f"{version}-{digest:08x}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True)
        install(str(python), *configuration.packages)
        install(str(python), "--no-deps", "-e", str(ROOT))
        (folder / "complete").touch()
    return str(python)


def copy(clone):
    """The files that git knows, as they are now."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.check_output(words, cwd=ROOT, text=True).split("\0")):
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)


def command(configuration, python):
    order = () if "randomly" in configuration.options else ("-p", "no:randomly")
    return [python, *configuration.flags, "-m", "pytest", "-q", *order, *configuration.options]


def finished(words, folder, variables):
    return subprocess.run(words, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True,
                          errors="replace")


def counts(output):
    """(passed, skipped, failed) of pytest's last line."""
    last = output.strip().splitlines()[-1]
    number = {word: int(n) for n, word in re.findall(r"(\d+) (passed|skipped|failed|error)", last)}
    return number.get("passed", 0), number.get("skipped", 0), number.get("failed", 0) + number.get("error", 0)


def described(name, configuration):
    """Run one configuration; its row of the table, and whether all passed."""
    python = environment(configuration)
    start = time.monotonic()
    done = (configuration.run or here)(configuration, python)
    minutes, (passed, skipped, failed) = (time.monotonic() - start) / 60, counts(done.stdout)
    good = done.returncode == 0 and passed > 0
    print(f"{name}: {passed} passed, {skipped} skipped, {failed} failed in {minutes:.1f} minutes", flush=True)
    if not good:
        lines = done.stdout.splitlines()
        told = [each for each in lines if each.startswith(("FAILED", "ERROR"))] or lines[-30:]
        print(*told, done.stderr[-2000:], sep="\n", flush=True)
    return f"| {name} | {configuration.differs} | {passed} | {skipped} | {failed} | {minutes:.1f} |", good


def here(configuration, python):
    return finished(command(configuration, python), ROOT, configuration.variables)


def write(rows):
    """Put these rows into the table of tests/README.md, in the order of CONFIGURATIONS; others stay."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    kept = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    kept |= rows
    lines = [kept[name] for name in CONFIGURATIONS if name in kept]
    README.write_text(before + BEGIN + HEAD + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="CONFIGURATION", help="which; all when none is named")
    parser.add_argument("--ci", action="store_true", help="those that .ci/run takes, without writing the table")
    parser.add_argument("--list", action="store_true", help="say which there are")
    end = (*sys.argv, "--").index("--")
    args, more = parser.parse_args(sys.argv[1:end]), tuple(sys.argv[end + 1:])
    if unknown := set(args.names) - set(CONFIGURATIONS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(CONFIGURATIONS)}")
    names = [name for name, each in CONFIGURATIONS.items() if (not args.names or name in args.names)
             and (not args.ci or each.ci is not None)]
    failed = []
    for name in names:
        configuration = CONFIGURATIONS[name]
        configuration.options += (configuration.ci if args.ci else ()) + more
        if args.list:
            print(f"{name:14} {configuration.differs}")
            continue
        reason = configuration.lacks() or (not interpreter(configuration.python) and "it is not installed")
        if reason:
            print(f"{name}: left out, {reason}")
            continue
        row, good = described(name, configuration)
        failed += [] if good else [name]
        if not (args.ci or more):
            write({name: f"{row[:-1]}| {date.today()} |"})
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
