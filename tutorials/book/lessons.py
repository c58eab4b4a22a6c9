"""Lessons as executed notebooks, kept until they, or what they import, change."""

import hashlib
import os
import platform
import re
import time
from pathlib import Path

import jupytext
import nbformat
import numpy
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import minivae

PROGRESS = re.compile(r" of \S+ in [\d:]+, ")  # a line of a long training: not for the page


class Failed(Exception):
    """A lesson stopped."""


def executed(paths, folder, fast):
    """{path: notebook with all that its cells show}; a progress line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    imported = sources()
    found = {}
    for k, path in enumerate(paths):
        mode = "fast" if fast else "full"
        kept = folder / f"{path.stem}-{mode}-{key(path, imported)}.ipynb"
        print(f"[{k + 1:2}/{len(paths)}] {path.stem} ", end="", flush=True)
        start = time.perf_counter()
        if kept.exists():
            print("as it was", flush=True)
        else:
            notebook = run(path, fast)
            for old in folder.glob(f"{path.stem}-{mode}-*.ipynb"):
                old.unlink()
            part = kept.with_suffix(f".{os.getpid()}")
            nbformat.write(notebook, part)
            part.replace(kept)
            print(f"{time.perf_counter() - start:.0f} s", flush=True)
        found[path] = nbformat.read(kept, as_version=4)
    return found


def sources():
    """All of minivae, and what computes beneath it."""
    digest = hashlib.sha256(f"{platform.python_version()} {numpy.__version__}".encode())
    for file in sorted(Path(minivae.__path__[0]).rglob("*")):
        if file.suffix in (".py", ".h"):
            digest.update(file.read_bytes())
    return digest.digest()


def key(path, imported):
    """A name for a lesson, its tools and all that it imports."""
    tools = (path.parent / "lesson.py").read_bytes()
    return hashlib.sha256(imported + path.read_bytes() + tools).hexdigest()[:16]


def run(path, fast):
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "pygments_lexer": "python"},
    }
    environment = {name: value for name, value in os.environ.items() if name != "MINIVAE_FAST"}
    environment |= {"MINIVAE_FAST": "1"} if fast else {}
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        extra_arguments=["--log-level=40"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute(env=environment)
    except CellExecutionError:
        print(flush=True)
        raise Failed(failure(path, notebook)) from None
    for where, cell in code_cells(notebook):
        said = "".join(output.text for output in cell.outputs if output.get("name") == "stderr")
        if rest := [line for line in said.splitlines() if line and not PROGRESS.search(line)]:
            first = f"{path.name}, {where}: a lesson has nothing to say on stderr, but"
            raise Failed("\n".join([first, *rest]))
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def failure(path, notebook):
    ran = [each for each in code_cells(notebook) if each[1].execution_count is not None]
    where, cell = ran[-1]
    error = next(output for output in cell.outputs if output.output_type == "error")
    return f"{path.name}, {where}:\n\n{cell.source}\n\n{error.ename}: {error.evalue}"


def code_cells(notebook):
    """(where a code cell stands, the cell)."""
    heading = ""
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("#"):
                    heading = line.strip("# ")
        else:
            yield f"cell {k + 1}, under “{heading}”", cell
