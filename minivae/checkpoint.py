"""A model in a file, alone or with its optimiser, its random state and its place in the data.

A checkpoint is a NumPy .npz archive without pickled objects: arrays, and a header of JSON in an array of bytes.

    header            schema, config (model, options and what else a run has), dtype; steps taken, random state, options
                      of the optimiser, what the training was given, and what the last digits of the numbers depend on
    model/PATH        parameters and running statistics, by their state_dict path
    optimiser/m, v    Adam's moments; velocity with momentum      batches/order, position    the place in the data
    protocol, tests   a row a step, and one for each look at the test images

A model alone has the first three entries of the header, and no other array than its own.  `save_model` adds `made`:
what layers it has, and what training may have set in them.
"""

import copy
import json
import reprlib
from collections.abc import Callable, Iterable
from itertools import zip_longest
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from minivae import archive, backend, configuration, kinds, models, nn
from minivae.errors import MinivaeError, OptionError, instance
from minivae.files import atomic, expanded
from minivae.models.record import taken
from minivae.optim.adam import DEFAULTS as ADAM
from minivae.optim.sgd import DEFAULTS as SGD
from minivae.protocol import Protocol
from minivae.training import Training

SCHEMA = 3  # 2 held Adam's moments divided by 1 − β₁ and 1 − β₂, and is converted
NAME = "checkpoint.npz"
OPTIMISERS = {"Adam": ("m", "v"), "gradient descent": ("velocity",)}  # what they keep as arrays
MOMENTS = sum(OPTIMISERS.values(), ())
OPTIONS = {*ADAM, *SGD, "t"}  # and what they keep as numbers
KNOWN = ("protocol", "tests", *(f"optimiser/{key}" for key in MOMENTS), "batches/order",
         "batches/position")  # beside model/...
LONGEST = 2**20  # bytes of a header
DIGITS = 40  # of a whole number in it: the random state's have 39
HUGE = 1e100  # nats that no loss reaches
SET: dict[type[nn.Module], dict[str, Any]] = {  # what training may set in layers, whatever made them
    nn.Divergence: {"beta": kinds.Rate, "free_bits": kinds.Rate}, nn.HardCode: {"straight_through": bool},
    nn.Sampler: {"samples": kinds.Whole, "temperature": kinds.Positive | None}}
SLACK = 2**16  # bytes that alignment may add to a model


def save_model(model: models.VAE, path: str | Path, **options: Any) -> None:
    """Write a model to `path`, whole or not at all: its parameters, and what makes it again.

    `options` are what its function was given, for a function of your own that does not end in VAE(...).made_by(...).

    >>> save_model(models.vae(image=(1, 6, 6), hidden=8), "vae.npz")
    >>> model = load_model("vae.npz")
    """
    instance("save", "model", model, models.VAE, "; numpy.savez(path, **module.state_dict()) writes the parameters of "
             "any module")
    function, given = model.made or (None, options)
    if function is not None and given | taken(function, options) != given:
        raise OptionError(f"save: {reprlib.repr(options)} is not what {function.__name__} was given, which is noted "
                          "already; leave it out, or note another function with model.made_by(FUNCTION, OPTIONS)")
    name = next((each.name for each in models.ALL if each.function is function), "")
    values = {key: _of_kind(key, kind, getattr(layer, known)) for key, (layer, known, kind) in _settable(model).items()}
    save_alone(path, model, {"model": name, "options": given}, made={"layers": _titles(model), "set": values})


def save_alone(path: str | Path, model: models.VAE, config: dict[str, Any], **more: Any) -> None:
    """Write a model to `path`, whole or not at all, with a configuration as `save` takes it, and what `made` it."""
    arrays = {f"model/{path}": array for path, array in model.state_dict().items()}
    _write(path, {"schema": SCHEMA, "config": config, "dtype": model.dtype.name} | more, arrays)


def load_model(path: str | Path, build: Callable[..., models.VAE] | None = None) -> models.VAE:
    """The model of a file or of a run's folder, in evaluation mode.

    `build` is the function that made it, where that is one of your own: a file never says what code is run.  Where it
    changes one of ours, it is given those of its options that it has too.
    """
    header, arrays = read(path)
    name = header["config"]["model"]
    if build is None and name not in models.BY_NAME:
        raise OptionError(f"{path} is of a model of your own{name and f', {name:.300}'}: load(path, build=FUNCTION) "
                          "takes the function that made it")
    if build is None:
        return rebuilt(header, arrays, models.find(name))
    record, options = models.Record("build", build), header["config"]["options"]
    if name in models.BY_NAME:
        header["config"]["options"] = {key: options[key] for key in options if key in record.parameters}
    return rebuilt(header, arrays, record)


def save(path: str | Path, training: Training, config: dict[str, Any]) -> None:
    """Write everything that continuing needs to `path`, whole or not at all.

    `config` is what rebuilds the model: {"model": name, "options": {...}}, and whatever else JSON can hold.
    """
    instance("save", "training", training, Training)
    options = {key: value for key, value in training.state.items() if key not in MOMENTS}
    header = {"schema": SCHEMA, "config": config, "steps": training.steps, "columns": training.protocol.columns,
              "dtype": training.model.dtype.name, "random": backend.get_random_state(), "optimiser": options,
              "training": _given(training), "arithmetic": backend.arithmetic()}
    arrays = {f"model/{path}": array for path, array in training.model.state_dict().items()}
    arrays |= {f"optimiser/{key}": backend.to_numpy(training.state[key]) for key in MOMENTS if key in training.state}
    arrays |= {f"batches/{key}": value for key, value in training.batches.get_state().items()}
    arrays["protocol"] = training.protocol.array()
    tests = training.protocol.tests
    try:
        arrays["tests"] = np.array(tests, dtype=np.float64).reshape(len(tests), 3)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{path} is not written: protocol.tests is {reprlib.repr(tests)}; each of its rows is (step, "
                          "reconstruction, divergence)") from error
    _write(path, header, arrays)


def _write(path: str | Path, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    try:
        content = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{path}: an option of the model cannot be kept in JSON: {error}; use numbers, texts and "
                          "lists") from error
    size = content.nbytes + sum(array.nbytes for array in arrays.values())
    if size + SLACK > archive.LARGEST or content.nbytes > LONGEST:
        raise OptionError(f"a checkpoint of {size} bytes, {content.nbytes} of them configuration, would not be read "
                          f"again: at most {archive.LARGEST} and {LONGEST}; train a smaller model")
    try:
        _expect_arrays(_header(content.tobytes(), path), arrays)
    except ValueError as error:
        raise OptionError(f"{path} is not written, for it could not be read again: {error}; what was there before "
                          "is untouched") from error
    with atomic(path) as file:
        np.savez(file, header=content, **arrays)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, {name: array}) of a checkpoint, or of the one in a run's folder.  Nothing in the file is trusted."""
    path = expanded(path)
    try:
        path = path / NAME if path.is_dir() else path
        if not path.exists():
            raise OptionError(f"there is no checkpoint {path}; give the folder of a run, such as runs/denoising")
        if not path.is_file():
            raise ValueError("it is no file")
        with archive.opened(path) as members:
            if "header" not in members:
                raise ValueError("it has no header")
            header = _header(members.pop("header")().tobytes(), path)
            arrays = {name: load() for name, load in members.items()}
        _expect_arrays(header, arrays)
        if header["schema"] == 2:
            _average(header.get("optimiser", {}), arrays)
    except MinivaeError:
        raise
    except PermissionError as error:
        raise OptionError(f"{path} may not be read: {error.strerror}") from error
    except archive.ERRORS as error:  # zipfile's can quote half of the file
        raise OptionError(f"{path} is not a minivae checkpoint, or is damaged: {str(error)[:300]}") from error
    return header, arrays


def rebuilt(header: dict[str, Any], arrays: dict[str, np.ndarray], record: models.Record) -> models.VAE:
    """The model of a checkpoint that has been read, as it was saved, in evaluation mode; `record` makes it."""
    parameters = _part(arrays, "model")
    numbers = sum(array.size for array in parameters.values())
    with backend.seeded(0), backend.at_most(2 * 8 * numbers + SLACK):  # its first weights are overwritten at once
        model = record.build(**header["config"]["options"])
    model.convert(None, header["dtype"])
    _set_layers(model, header.get("made", {}), record)
    model.load_state_dict(parameters)
    return model.evaluate()


def holds(path: str | Path, model: models.VAE) -> bool:
    """Whether the checkpoint has the parameters of this model, or those of another by now."""
    state, parameters = model.state_dict(), _part(read(path)[1], "model")
    return state.keys() == parameters.keys() and all(
        np.array_equal(state[name], parameters[name], equal_nan=True) for name in state)


def _settable(model: models.VAE) -> dict[str, tuple[nn.Module, str, Any]]:
    """{path: (layer, name, kind)} of what training may have set in the layers of a model."""
    return {f"{path}.{name}": (layer, name, kinds.of(kind)) for path, layer in model.named_modules()
            for cls, known in SET.items() if isinstance(layer, cls) for name, kind in known.items()}


def _of_kind(path: str, kind: Any, value: Any) -> Any:
    try:
        return kind.take(value)
    except ValueError:
        raise OptionError(f"{path}={reprlib.repr(value)} is not {kind.words}") from None


def _titles(model: models.VAE) -> list[str]:
    """A line for each module; of one's own only its place and class, for it may show what it has seen."""
    return [module.title if module.class_name.startswith("nn.") else f"{path} {module.class_name}"
            for path, module in model.named_modules()]


def _set_layers(model: models.VAE, was_made: dict[str, Any], record: models.Record) -> None:
    """Set in the layers what was set in those that were saved; raise unless they then are the same."""
    for path, (layer, name, kind) in _settable(model).items():
        if path in was_made.get("set", {}):
            setattr(layer, name, _of_kind(path, kind, was_made["set"][path]))
    made = _titles(model)
    for was, now in zip_longest(was_made.get("layers", made), made, fillvalue="nothing more"):
        if was != now:
            raise OptionError(f"the model was saved with {was!s:.100}, and {record.name!r} makes {now:.100}; "
                              "load(path, build=FUNCTION) takes a function that makes it as it was saved")


def restore(path: str | Path, training: Training) -> list[str]:
    """Continue a training where a checkpoint left it, exactly: the next step is the one it would have taken.

    All of it is checked before anything is changed.  Returns sentences on what the last digits depend on and has
    changed since.
    """
    instance("restore", "training", training, Training)
    header, arrays = read(path)
    if "steps" not in header:
        raise OptionError(f"{path} holds a model alone, and no training that could be continued")
    moments = _part(arrays, "optimiser")
    for key, value in moments.items():
        if value.shape != training.parameters.shape or value.dtype != training.parameters.dtype:
            raise OptionError(f"{path}: optimiser/{key} has shape {value.shape} and dtype {value.dtype}, the model's "
                              f"parameters {training.parameters.shape} and {training.parameters.dtype}")
    with backend.seeded(0):
        backend.set_random_state(header["random"])
    copy.copy(training.batches).set_state(_part(arrays, "batches"))
    before = header.get("training", {}) | {"optimiser": _optimiser(header["optimiser"])}
    now = _given(training) | {"optimiser": _optimiser(training.state)}
    if header["steps"] > 0:  # else the protocol has no columns yet
        before["schedules"], now["schedules"] = _schedules(header["columns"]), _schedules(training.schedules)
    for what in now:
        if before.get(what, now[what]) != now[what]:  # an older file does not tell
            raise OptionError(f"{path}: {what} is {reprlib.repr(before[what])} in the checkpoint, and {now[what]!r} in "
                              "the training that is to continue; make it as the other was, or train load(path) anew")
    training.model.load_state_dict(_part(arrays, "model"))
    training.batches.set_state(_part(arrays, "batches"))
    training.state = header["optimiser"] | {key: backend.from_numpy(value, like=training.parameters)
                                            for key, value in moments.items()}
    training.steps = header["steps"]
    training.protocol = Protocol(tuple(header["columns"][4:]))
    training.protocol.rows = [tuple(row) for row in arrays["protocol"].tolist()]
    training.protocol.tests = [tuple(row) for row in arrays.get("tests", np.zeros((0, 3))).tolist()]
    backend.set_random_state(header["random"])
    before, now = header.get("arithmetic", {}), backend.arithmetic()
    changed = [f"{name} was {before[name]!r:.150}, and is {now[name]!r}" for name in now
               if name in before and before[name] != now[name]]
    return changed + ["Adam's moments were kept in another scale"] * (header["schema"] == 2)


def _header(content: bytes, path: str | Path) -> dict[str, Any]:
    """The header, once each of its entries is of the kind that `save` writes."""
    header = parsed(content)
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    if header.get("schema") not in (2, SCHEMA):
        raise OptionError(f"{path} has schema {reprlib.repr(header.get('schema'))}, this minivae reads 2 and {SCHEMA}; "
                          "use the version that wrote it")
    configuration.expect(header.get("config"), ("model", "options"), path)
    optimiser = header.get("optimiser")
    alone, made = set(header) - {"made"} == {"schema", "config", "dtype"}, header.get("made", {})
    sound = {
        "dtype": header.get("dtype") in tuple(backend.FLOATS),
        "made": isinstance(made, dict) and isinstance(made.get("layers", []), list) and isinstance(
            made.get("set", {}), dict)} | ({} if alone else {
        "steps": type(header.get("steps")) is int and header["steps"] >= 0,
        "columns": isinstance(header.get("columns"), list) and all(isinstance(each, str) for each in header["columns"])
        and tuple(header["columns"][:4]) == Protocol(()).columns,
        "random": isinstance(header.get("random"), dict),
        "arithmetic": isinstance(header.get("arithmetic", {}), dict),
        "training": isinstance(header.get("training", {}), dict),
        "optimiser": isinstance(optimiser, dict) and set(optimiser) <= OPTIONS and all(
            type(value) in ((bool,) if key == "nesterov" else (int, float)) and isfinite(value)
            for key, value in optimiser.items())})
    for key, is_sound in sound.items():
        if not is_sound:
            raise ValueError(f"its header lacks {key}" if key not in header else f"{key} in its header is not one")
    return header


def parsed(content: bytes) -> Any:
    """The content of JSON from anywhere, if it is of a sensible length and so are its numbers."""
    if len(content) > LONGEST:
        raise ValueError(f"its configuration has {len(content)} bytes, more than the {LONGEST} that one may have")
    return json.loads(content, parse_int=_int)


def _int(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"its configuration has a number of {len(digits)} digits")
    return int(digits)


def _expect_arrays(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raise unless there are the arrays that `save` writes, in the header's dtype."""
    for name, array in arrays.items():
        group = name.partition("/")[0]
        if name not in KNOWN and group != "model":
            raise ValueError(f"{reprlib.repr(name)} is nothing that a checkpoint holds")
        if group in ("model", "optimiser") and array.dtype != header["dtype"]:
            raise ValueError(f"{name} has dtype {array.dtype}, its header says {header['dtype']}; .float() or "
                             ".double() converts a whole model")
    if "steps" not in header:
        if len(arrays) != len(_part(arrays, "model")):
            raise ValueError("it holds a model alone, and arrays beside it")
        return
    missing = {"protocol", "batches/order", "batches/position"} - set(arrays)
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    moments, name = sorted(_part(arrays, "optimiser")), _optimiser(header["optimiser"])
    if moments and moments != [*OPTIMISERS[name]]:
        raise ValueError(f"its optimiser keeps {', '.join(moments)}, and {name} {', '.join(OPTIMISERS[name])}; a "
                         f"checkpoint is of {' or '.join(OPTIMISERS)}")
    table, tests = arrays["protocol"], arrays.get("tests", np.zeros((0, 3)))
    if tests.dtype != np.float64 or tests.ndim != 2 or tests.shape[1] != 3:
        raise ValueError(f"its tests have shape {tests.shape} and dtype {tests.dtype}, expected float64 and 3 columns")
    if table.dtype != np.float64 or table.ndim != 2 or table.shape[1] != len(header["columns"]):
        raise ValueError(f"its protocol has shape {table.shape} and dtype {table.dtype}, expected float64 and "
                         f"{len(header['columns'])} columns")
    whole = len(table) == header["steps"] and np.array_equal(table[:, 0], np.arange(1, len(table) + 1))
    if not whole or not (np.abs(table[:, :4]) < HUGE).all():
        raise ValueError(f"its protocol is none of {header['steps']} steps, with losses that are finite")


def _optimiser(options: dict[str, Any]) -> str:
    """The name of the optimiser that has these options."""
    return "gradient descent" if "momentum" in options else "Adam"


def _given(training: Training) -> dict[str, Any]:
    """What a training was given, other than the model, the optimiser and the schedules."""
    batches, objective = training.batches, training.objective
    return {"images": len(batches.pixels), "batch_size": batches.batch_size, "by_epoch": batches.by_epoch,
            "drop_last": batches.drop_last, "objective": objective.name, "estimator": objective.estimator}


def _schedules(columns: Iterable[str]) -> list[str]:
    """The columns of a protocol that are those of schedules."""
    return [name for name in columns if name in ("learning_rate", "beta", "temperature")]


def _average(options: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Adam's moments as averages, from the sums that schema 2 kept."""
    for name, beta in (("optimiser/m", "beta1"), ("optimiser/v", "beta2")):
        if name in arrays:
            with np.errstate(all="ignore"):  # of a β that Adam will refuse
                arrays[name] = arrays[name] * (1.0 - (ADAM | options)[beta])


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix + "/"): array for name, array in arrays.items() if name.startswith(prefix + "/")}
