"""A model, its optimiser, its random state and its place in the data, in one file.

A checkpoint is a NumPy .npz archive without pickled objects: arrays, and a header of JSON in an array of bytes.

    header            schema, model and its options, steps taken, random state, options of the optimiser
    model/PATH        parameters, by their state_dict path
    optimiser/m, v    Adam's moments                batches/order, position    the place in the data
    protocol          a row a step
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from minivae import backend, models
from minivae.errors import OptionError
from minivae.files import atomic
from minivae.protocol import Protocol

SCHEMA = 2
NAME = "checkpoint.npz"
MOMENTS = ("m", "v")  # what Adam keeps as arrays


def save(path, training, config):
    """Write everything that continuing needs to `path`, whole or not at all.

    `config` is what rebuilds the model: {"model": name, "options": {...}}, and whatever else JSON can hold.
    """
    options = {key: value for key, value in training.state.items() if key not in MOMENTS}
    header = {"schema": SCHEMA, "config": config, "steps": training.steps, "columns": training.protocol.columns,
              "dtype": training.model.dtype.name, "random": backend.get_random_state(), "optimiser": options}
    arrays = {f"model/{path}": array for path, array in training.model.state_dict().items()}
    arrays |= {f"optimiser/{key}": backend.to_numpy(training.state[key]) for key in MOMENTS if key in training.state}
    arrays |= {f"batches/{key}": value for key, value in training.batches.get_state().items()}
    arrays["protocol"] = training.protocol.array()
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with atomic(path) as file:
        np.savez(file, **arrays)


def read(path):
    """(header, {name: array}) of a checkpoint, or of the one in a run's folder."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
        if not isinstance(header, dict):
            raise ValueError("its header is no table")
    except FileNotFoundError as error:
        raise OptionError(f"there is no checkpoint {path}; give the folder of a run, such as runs/denoising") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise OptionError(f"{path} is not a minivae checkpoint, or is damaged: {error}") from error
    if header.get("schema") != SCHEMA:
        raise OptionError(f"{path} has schema {header.get('schema')!r}, this minivae reads {SCHEMA}; "
                          "use the version that wrote it")
    missing = [key for key in ("config", "steps", "columns", "dtype", "random", "optimiser") if key not in header]
    if missing:
        raise OptionError(f"{path} is not a minivae checkpoint, or is damaged: its header lacks {', '.join(missing)}")
    return header, arrays


def load_model(path):
    """(model, config) of a checkpoint or a run's folder: the model as it was saved, in evaluation mode."""
    header, arrays = read(path)
    config = header["config"]
    with backend.seeded(0):  # its first weights are overwritten at once
        model = models.build(config["model"], **config["options"])
    if header["dtype"] == "float64":
        model.double()
    model.load_state_dict(_part(arrays, "model"))
    return model.evaluate(), config


def restore(path, training):
    """Continue a training where a checkpoint left it, exactly: the next step is the one it would have taken."""
    header, arrays = read(path)
    moments = _part(arrays, "optimiser")
    for key, value in moments.items():
        if value.shape != training.parameters.shape or value.dtype != training.parameters.dtype:
            raise OptionError(f"{path}: optimiser/{key} has shape {value.shape} and dtype {value.dtype}, the model's "
                              f"parameters {training.parameters.shape} and {training.parameters.dtype}")
    training.batches.set_state(_part(arrays, "batches"))
    training.model.load_state_dict(_part(arrays, "model"))
    training.state = header["optimiser"] | {key: backend.from_numpy(value, like=training.parameters)
                                            for key, value in moments.items()}
    training.steps = header["steps"]
    training.protocol = Protocol(tuple(header["columns"][4:]))
    training.protocol.rows = [tuple(row) for row in arrays["protocol"].tolist()]
    backend.set_random_state(header["random"])


def _part(arrays, prefix):
    return {name.removeprefix(prefix + "/"): array for name, array in arrays.items() if name.startswith(prefix + "/")}
