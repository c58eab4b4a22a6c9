"""A model, its optimiser, its random state and its place in the data, in one file.

A checkpoint is a NumPy .npz archive without pickled objects: arrays, and a header of JSON in an array of bytes.

    header            schema, model and its options, steps taken, random state, options of the optimiser, and what the
                      last digits of the numbers depend on
    model/PATH        parameters and running statistics, by their state_dict path
    optimiser/m, v    Adam's moments; velocity with momentum      batches/order, position    the place in the data
    protocol, tests   a row a step, and one for each look at the test images
"""

import copy
import json
import reprlib
from math import isfinite
from pathlib import Path

import numpy as np

from minivae import archive, backend, models
from minivae.errors import MinivaeError, OptionError
from minivae.files import atomic
from minivae.optim.adam import DEFAULTS as ADAM
from minivae.optim.sgd import DEFAULTS as SGD
from minivae.protocol import Protocol

SCHEMA = 2
NAME = "checkpoint.npz"
MOMENTS = ("m", "v", "velocity")  # what the optimisers keep as arrays: Adam the first two
OPTIONS = {*ADAM, *SGD, "t"}  # and what they keep as numbers
KNOWN = ("protocol", "tests", *(f"optimiser/{key}" for key in MOMENTS), "batches/order",
         "batches/position")  # beside model/...
LONGEST = 2**20  # bytes of a header
DIGITS = 40  # of a whole number in it: the random state's have 39
HUGE = 1e100  # nats that no loss reaches
SLACK = 2**16  # bytes that alignment may add to a model


def save(path, training, config):
    """Write everything that continuing needs to `path`, whole or not at all.

    `config` is what rebuilds the model: {"model": name, "options": {...}}, and whatever else JSON can hold.
    """
    options = {key: value for key, value in training.state.items() if key not in MOMENTS}
    header = {"schema": SCHEMA, "config": config, "steps": training.steps, "columns": training.protocol.columns,
              "dtype": training.model.dtype.name, "random": backend.get_random_state(), "optimiser": options,
              "arithmetic": backend.arithmetic()}
    arrays = {f"model/{path}": array for path, array in training.model.state_dict().items()}
    arrays |= {f"optimiser/{key}": backend.to_numpy(training.state[key]) for key in MOMENTS if key in training.state}
    arrays |= {f"batches/{key}": value for key, value in training.batches.get_state().items()}
    arrays["protocol"] = training.protocol.array()
    arrays["tests"] = np.array(training.protocol.tests, dtype=np.float64).reshape(-1, 3)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    size = sum(array.nbytes for array in arrays.values())
    if size + SLACK > archive.LARGEST or arrays["header"].nbytes > LONGEST:
        raise OptionError(f"a checkpoint of {size} bytes, {arrays['header'].nbytes} of them configuration, would not "
                          f"be read again: at most {archive.LARGEST} and {LONGEST}; train a smaller model")
    with atomic(path) as file:
        np.savez(file, **arrays)


def read(path):
    """(header, {name: array}) of a checkpoint, or of the one in a run's folder.  Nothing in the file is trusted."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    if not path.exists():
        raise OptionError(f"there is no checkpoint {path}; give the folder of a run, such as runs/denoising")
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with archive.opened(path) as members:
            if "header" not in members:
                raise ValueError("it has no header")
            header = _header(members.pop("header")().tobytes(), path)
            arrays = {name: load() for name, load in members.items()}
        _expect_arrays(header, arrays)
    except MinivaeError:
        raise
    except PermissionError as error:
        raise OptionError(f"{path} may not be read: {error.strerror}") from error
    except archive.ERRORS as error:  # zipfile's can quote half of the file
        raise OptionError(f"{path} is not a minivae checkpoint, or is damaged: {str(error)[:300]}") from error
    return header, arrays


def load_model(path):
    """(model, config) of a checkpoint or a run's folder: the model as it was saved, in evaluation mode."""
    header, arrays = read(path)
    config, parameters = header["config"], _part(arrays, "model")
    numbers = sum(array.size for array in parameters.values())
    with backend.seeded(0), backend.at_most(2 * 8 * numbers + SLACK):  # its first weights are overwritten at once
        model = models.build(config["model"], **config["options"])
    if header["dtype"] == "float64":
        model.double()
    model.load_state_dict(parameters)
    return model.evaluate(), config


def restore(path, training):
    """Continue a training where a checkpoint left it, exactly: the next step is the one it would have taken.

    All of it is checked before anything is changed.  Returns sentences on what the last digits depend on and has
    changed since.
    """
    header, arrays = read(path)
    moments = _part(arrays, "optimiser")
    for key, value in moments.items():
        if value.shape != training.parameters.shape or value.dtype != training.parameters.dtype:
            raise OptionError(f"{path}: optimiser/{key} has shape {value.shape} and dtype {value.dtype}, the model's "
                              f"parameters {training.parameters.shape} and {training.parameters.dtype}")
    with backend.seeded(0):
        backend.set_random_state(header["random"])
    copy.copy(training.batches).set_state(_part(arrays, "batches"))
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
    return [f"{name} was {before[name]!r:.150}, and is {now[name]!r}" for name in now
            if name in before and before[name] != now[name]]


def _header(content, path):
    """The header, once each of its entries is of the kind that `save` writes."""
    header = parsed(content)
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    if header.get("schema") != SCHEMA:
        raise OptionError(f"{path} has schema {reprlib.repr(header.get('schema'))}, this minivae reads {SCHEMA}; "
                          "use the version that wrote it")
    config, optimiser = header.get("config"), header.get("optimiser")
    sound = {
        "config": isinstance(config, dict) and isinstance(config.get("model"), str)
        and isinstance(config.get("options"), dict) and isinstance(config.get("data", {}), dict)
        and isinstance(config.get("data", {}).get("name", ""), str) and isinstance(config.get("training", {}), dict),
        "steps": type(header.get("steps")) is int and header["steps"] >= 0,
        "columns": isinstance(header.get("columns"), list) and all(isinstance(each, str) for each in header["columns"])
        and tuple(header["columns"][:4]) == Protocol(()).columns,
        "dtype": header.get("dtype") in tuple(backend.FLOATS),
        "random": isinstance(header.get("random"), dict),
        "arithmetic": isinstance(header.get("arithmetic", {}), dict),
        "optimiser": isinstance(optimiser, dict) and set(optimiser) <= OPTIONS and all(
            type(value) in ((bool,) if key == "nesterov" else (int, float)) and isfinite(value)
            for key, value in optimiser.items())}
    for key, is_sound in sound.items():
        if not is_sound:
            raise ValueError(f"its header lacks {key}" if key not in header else f"{key} in its header is not one")
    return header


def parsed(content):
    """What is in JSON that nobody vouches for: of a sensible length, with numbers of a sensible length."""
    if len(content) > LONGEST:
        raise ValueError(f"its configuration has {len(content)} bytes, more than the {LONGEST} that one may have")
    return json.loads(content, parse_int=_int)


def _int(digits):
    if len(digits) > DIGITS:
        raise ValueError(f"its configuration has a number of {len(digits)} digits")
    return int(digits)


def _expect_arrays(header, arrays):
    """Raise unless there are the arrays that `save` writes, in the header's dtype."""
    for name, array in arrays.items():
        group = name.partition("/")[0]
        if name not in KNOWN and group != "model":
            raise ValueError(f"{reprlib.repr(name)} is nothing that a checkpoint holds")
        if group in ("model", "optimiser") and array.dtype != header["dtype"]:
            raise ValueError(f"{name} has dtype {array.dtype}, its header says {header['dtype']}")
    missing = {"protocol", "batches/order", "batches/position"} - set(arrays)
    if missing or len(set(arrays) & {"optimiser/m", "optimiser/v"}) == 1:
        raise ValueError(f"it lacks {', '.join(sorted(missing)) or 'one of the moments'}")
    table, tests = arrays["protocol"], arrays.get("tests", np.zeros((0, 3)))
    if tests.dtype != np.float64 or tests.ndim != 2 or tests.shape[1] != 3:
        raise ValueError(f"its tests have shape {tests.shape} and dtype {tests.dtype}, expected float64 and 3 columns")
    if table.dtype != np.float64 or table.ndim != 2 or table.shape[1] != len(header["columns"]):
        raise ValueError(f"its protocol has shape {table.shape} and dtype {table.dtype}, expected float64 and "
                         f"{len(header['columns'])} columns")
    whole = len(table) == header["steps"] and np.array_equal(table[:, 0], np.arange(1, len(table) + 1))
    if not whole or not (np.abs(table[:, :4]) < HUGE).all():
        raise ValueError(f"its protocol is none of {header['steps']} steps, with losses that are finite")


def _part(arrays, prefix):
    return {name.removeprefix(prefix + "/"): array for name, array in arrays.items() if name.startswith(prefix + "/")}
