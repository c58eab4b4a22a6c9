"""Models of one's own: a function, or a record, in a file or a module that the user names.

To find one is to execute its file.  So only what a user typed comes here, and what a checkpoint says only where the
user typed --trust: `cli.subjects.record` decides that.
"""

import ast
import dataclasses
import hashlib
import importlib
import re
import reprlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from minivae.errors import MinivaeError, OptionError
from minivae.files import expanded
from minivae.models.record import Record
from minivae.models.vae import VAE

NAME = re.compile(r"(?P<where>.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)", re.DOTALL)


@dataclass(frozen=True)
class OwnModel(Record):
    """The record of a model of one's own, the file that it is in, and the SHA-256 of that."""

    file: str = ""
    digest: str = ""

    @property
    def origin(self) -> dict[str, Any]:
        return {"digest": self.digest}

    def build(self, /, **options: Any) -> VAE:
        try:
            return super().build(**options)
        except MinivaeError:
            raise
        except (Exception, SystemExit) as error:
            raise OptionError(f"{self.name} failed: {_said(error, self.file)}") from error


def is_own(text: str) -> bool:
    """Whether a text names a model of one's own: path/to/file.py:function, or module:function."""
    return NAME.fullmatch(text) is not None


def find(text: str) -> OwnModel:
    """The record of the model that a text names.  Its file is executed.

    The name behind the colon is a function that makes a VAE, or a minivae.models.Record of one.  A function whose
    record is in the file too has its schedule, data, help and presets.
    """
    match = NAME.fullmatch(text)
    if match is None:
        raise OptionError(f"{reprlib.repr(text)} names no function; a model of your own is FILE.py:FUNCTION or "
                          "MODULE:FUNCTION, such as my_vae.py:tiny")
    module, file, content = (_run if match["where"].endswith(".py") else _imported)(match["where"])
    value = vars(module).get(match["name"])
    records = [each for each in vars(module).values() if isinstance(each, Record)]
    if isinstance(value, Record):
        record = value
    elif callable(value):
        words = (value.__doc__ or "").strip().partition("\n")[0].rstrip(".") or "a model of your own"
        record = next((each for each in records if each.function is value), Record(match["name"], value, words))
    else:
        raise OptionError(f"{file} has no function {match['name']}; {_functions(content)}")
    known = {field.name: getattr(record, field.name) for field in dataclasses.fields(Record)}
    where = file if match["where"].endswith(".py") else match["where"]
    return OwnModel(**known | {"name": f"{where}:{match['name']}"}, file=str(file),
                    digest=hashlib.sha256(content).hexdigest())


def _run(where: str) -> tuple[ModuleType, Path, bytes]:
    """(module, file, its bytes) of a file that has been executed; its folder can be imported from, as a script's."""
    try:
        path = expanded(where).resolve()
        content = path.read_bytes()
        code = compile(content, str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise OptionError(f"{where} cannot be read: {error.strerror}; name a file of Python and a function in it, such "
                          "as my_vae.py:tiny") from error
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise OptionError(f"{where} is not Python, line {error.lineno}: {error.msg}" + f": {line}" * bool(line)
                          ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise OptionError(f"{where} is not Python: {error}") from error
    module = ModuleType(f"own_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses and annotations look for it
    _allow(path.parent)
    try:
        exec(code, vars(module))
    except (Exception, SystemExit) as error:
        raise OptionError(f"{where} cannot be executed: {_said(error, str(path))}") from error
    return module, path, content


def _imported(where: str) -> tuple[ModuleType, Path, bytes]:
    """(module, file, its bytes) of a module that has been imported, from the working folder too."""
    _allow(Path.cwd())
    try:
        module = importlib.import_module(where)
    except (Exception, SystemExit) as error:
        hint = f"; a file is named with its ending, {where}.py" if isinstance(error, ModuleNotFoundError) else ""
        raise OptionError(f"the module {where} cannot be imported: {_said(error, '')}{hint}") from error
    path = Path(getattr(module, "__file__", None) or where)
    return module, path, path.read_bytes() if path.is_file() else b""


def _allow(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _functions(content: bytes) -> str:
    """A clause that names the functions in a file."""
    names = [each.name for each in ast.parse(content).body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    return f"it has {', '.join(names)}" if names else "it has none"


def _said(error: BaseException, file: str) -> str:
    """What an error says, and the last line of this file that it passed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{type(error).__name__}: {str(error)[:300]}" + (f", line {lines[-1]}" if lines else "")
