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

SCHEMA = 1
NAME = "checkpoint.npz"


def save(path, training, config):
    """Write everything that continuing needs to `path`, whole or not at all.

    `config` is what rebuilds the model: {"model": name, "options": {...}}, and whatever else JSON can hold.
    """
    memory = {key: value for key, value in training.state.items() if hasattr(value, "shape")}
    header = {"schema": SCHEMA, "config": config, "steps": training.steps, "columns": training.protocol.columns,
              "random": backend.get_random_state(),
              "optimiser": {key: value for key, value in training.state.items() if key not in memory}}
    arrays = {f"model/{path}": array for path, array in training.model.state_dict().items()}
    arrays |= {f"optimiser/{key}": backend.to_numpy(value) for key, value in memory.items()}
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
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
    except FileNotFoundError as error:
        raise OptionError(f"there is no checkpoint {path}; give the folder of a run, such as runs/denoising") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OptionError(f"{path} is not a minivae checkpoint, or is damaged: {error}") from error
    if header.get("schema") != SCHEMA:
        raise OptionError(f"{path} has schema {header.get('schema')!r}, this minivae reads {SCHEMA}; "
                          "use the version that wrote it")
    return header, arrays


def load_model(path):
    """(model, config) of a checkpoint or a run's folder: the model as it was saved, in evaluation mode."""
    header, arrays = read(path)
    config = header["config"]
    model = models.build(config["model"], **config["options"])
    model.load_state_dict(_part(arrays, "model"))
    return model.evaluate(), config


def restore(path, training):
    """Continue a training where a checkpoint left it, exactly: the next step is the one it would have taken."""
    header, arrays = read(path)
    training.model.load_state_dict(_part(arrays, "model"))
    training.state.update(header["optimiser"])
    for key, value in _part(arrays, "optimiser").items():
        training.state[key] = backend.from_numpy(value, like=training.parameters)
    training.batches.set_state(_part(arrays, "batches"))
    training.steps = header["steps"]
    training.protocol = Protocol(tuple(header["columns"][4:]))
    training.protocol.rows = [tuple(row) for row in arrays["protocol"].tolist()]
    backend.set_random_state(header["random"])


def _part(arrays, prefix):
    return {name.removeprefix(prefix + "/"): array for name, array in arrays.items() if name.startswith(prefix + "/")}
