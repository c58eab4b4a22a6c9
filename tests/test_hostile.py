"""Files that somebody made to harm: each gives a valid object or an explained error, in little memory and time."""

import io
import json
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minivae import archive, backend, checkpoint, models
from minivae.cli import main
from minivae.data import Batches, read_idx, rectangles
from minivae.errors import MinivaeError, OptionError
from minivae.training import Training

OPTIONS = {"image": [1, 3, 3], "hidden": 2, "code": 2}
MEMORY = 4e6  # bytes beyond three times the file: most have 6,000
SECONDS = 5.0  # for one; a millisecond is usual


def training():
    return Training(models.build("vae", **OPTIONS), Batches(rectangles(20, 3, 3, sides=(1, 1)), 8, by_epoch=True))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The bytes of a checkpoint."""
    backend.manual_seed(0)
    trained = training()
    trained.run(4, progress=False)
    path = tmp_path_factory.mktemp("real") / checkpoint.NAME
    checkpoint.save(path, trained, {"model": "vae", "options": OPTIONS, "data": {"name": "rectangles", "images": 20}})
    return path.read_bytes()


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(content, change):
    """The checkpoint with another header: change(header) returns it, or changes what it is given."""
    parts = members(content)
    header = json.loads(parts["header.npy"][128:])
    header = change(header) or header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return packed(parts | {"header.npy": npy(np.frombuffer(text, np.uint8))})


@pytest.fixture(scope="module")
def opens(tmp_path_factory):
    """Read a file in every way there is; returns whether it is a checkpoint.  Errors that are not explained pass."""
    path, target = tmp_path_factory.mktemp("hostile") / checkpoint.NAME, training()
    blank = np.zeros((2, 1, 3, 3), np.float32)

    def read(content):
        path.write_bytes(content)
        started, sound = time.perf_counter(), 0
        tracemalloc.start()
        try:
            for attempt in (use, resume):
                try:
                    attempt()
                    sound += 1
                except MinivaeError as error:
                    assert len(str(error)) < 2000, "an error that nobody reads"
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MEMORY + 3 * len(content), f"{peak:.0f} bytes were allocated for a file of {len(content)}"
        assert time.perf_counter() - started < SECONDS
        return sound == 2

    def use():
        model = checkpoint.load_model(path)
        assert isinstance(model, models.VAE)
        with np.errstate(all="ignore"):
            model.reconstruct(blank)

    def resume():
        target.parameters.fill(1)  # so that a restored model shows
        before = held()
        try:
            checkpoint.restore(path, target)
        except MinivaeError:
            assert held() == before, "what was refused has changed the training"
            raise
        target.batches.next()

    def held():
        return (target.parameters.tobytes(), target.batches.position, target.steps, id(target.state),
                backend.get_random_state(), len(target.protocol))

    return read


# -- mutants ------------------------------------------------------------------------------------------

EXTREMES = [0, 1, 127, 128, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
VALUES = [None, True, -1, 0, 1, 2, 10**9, 10**12, 10**39, 10**4000, -1e308, 1e999, float("nan"), "", "vae", "../../etc",
          "a" * 5000, "\0", [], [[]], {}, {"name": 1}, [1, 9], [3, 3, 10**9], [10**9, "abcd"], [1] * 100, [0], [-3, -3]]


def mutant(real, random):
    """The real file with one to three things wrong with its bytes, or with the bytes of one of its arrays."""
    if random.random() < 0.5:
        return spoiled(real, random)
    parts = members(real)
    name = random.choice(list(parts))
    if random.random() < 0.5:  # where the checksum of the archive sees nothing
        return packed(parts | {name: spoiled(parts[name], random, most=130)})
    if random.random() < 0.5:
        return with_header(real, lambda header: put(header, random))
    kind = random.choice(["<f4", "<f8", "<i8", "|u1", ">f4", "|O", "<M8[s]"])
    shape = random.choice(["()", "(0,)", "(1000000000000,)", "(2, 2)", "(-1,)", "(99999999999999999999999, 2)"])
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return packed(parts | {name: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(16)})


def spoiled(content, random, most=None):
    content = bytearray(content)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(0, min(len(content), most or len(content)) or 1))
        length = int(random.choice([1, 2, 4, 8]))
        kind = random.integers(0, 6)
        if kind == 0:
            content[at:at + 1] = bytes([random.integers(0, 256)])
        elif kind == 1:
            value = EXTREMES[random.integers(len(EXTREMES))]
            content[at:at + length] = (value % 256**length).to_bytes(length, "little")
        elif kind == 2:
            del content[at:]
        elif kind == 3:
            del content[at:at + length]
        elif kind == 4:
            content[at:at] = content[:at][-50:]
        else:
            content[at:at] = random.bytes(length)
    return bytes(content)


def put(header, random):
    """Another value somewhere in the header, or one entry less or more."""
    place, keys = header, list(header)
    while True:
        key = keys[random.integers(len(keys))]
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.3:
            break
        place, keys = inner, list(inner) if isinstance(inner, dict) else list(range(len(inner)))
    value = VALUES[random.integers(len(VALUES))]
    if random.random() < 0.1:
        del place[key]
    elif random.random() < 0.1 and isinstance(place, dict):
        place[random.choice(["name", "samples", "beta", "p", "likelihood", "t", "epsilon", "self"])] = value
    else:
        place[key] = value


@pytest.mark.parametrize("count", [150, pytest.param(40000, marks=pytest.mark.slow)])
def test_mutants_of_a_checkpoint(real, opens, count):
    random = np.random.default_rng(count)
    sound = sum(opens(mutant(real, random)) for _ in range(count))
    assert 0 < sound < count / 2, "every mutant, or none, is a checkpoint: these show nothing"


@pytest.mark.parametrize("count", [50, pytest.param(8000, marks=pytest.mark.slow)])
def test_mutants_of_an_idx_file(count):
    random = np.random.default_rng(count)
    real = b"\0\0\x08\3" + struct.pack(">3I", 5, 4, 4) + bytes(80)
    for _ in range(count):
        content = spoiled(real, random, most=16)
        try:
            assert read_idx(content).nbytes <= len(content)
        except MinivaeError:
            pass


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=8)
PLACES = [("config",), ("config", "model"), ("config", "options"), ("config", "data"), ("steps",), ("columns",),
          ("dtype",), ("random",),
          ("random", "host"), ("random", "device"), ("random", "host", "state"), ("optimiser",),
          *(("config", "options", key) for key in ("image", "hidden", "code", "samples", "beta", "strange")),
          *(("optimiser", key) for key in ("t", "learning_rate", "strange"))]


@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_anything_in_a_header(real, opens, count):
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PLACES), json_values)
    def check(place, value):
        def change(header):
            *above, last = place
            for key in above:
                header = header[key]
            header[last] = value
        opens(with_header(real, change))
    check()


# -- attacks by name ----------------------------------------------------------------------------------


def refuses(opens, content, tmp_path, message):
    """The file is refused by this message, in little memory and time."""
    assert not opens(content)
    (tmp_path / checkpoint.NAME).write_bytes(content)
    with pytest.raises(MinivaeError, match=message):
        checkpoint.load_model(tmp_path)


def test_the_real_file_is_read(real, opens):
    assert opens(real) and opens(with_header(real, lambda header: None))


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(1000000, 1000000)", "(4294967296, 4294967296, 4)"])
def test_a_header_that_claims_10_to_the_12_items(real, opens, tmp_path, shape):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    bomb = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
    refuses(opens, packed(members(real) | {"protocol.npy": bomb}), tmp_path, "protocol.npy says that it has shape")


def test_a_zip_bomb(real, opens, tmp_path):
    bomb = packed(members(real) | {"model/x.npy": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    refuses(opens, bomb, tmp_path, "it is compressed")


def test_members_that_lie_in_one_place(real, opens, tmp_path):
    """A directory whose entries all point to one large member: small on the disk, large when it is read."""
    large = packed({"header.npy": bytes(200_000)})
    start = large.index(b"PK\x01\x02")
    end = large.index(b"PK\x05\x06")
    entry, count = large[start:end], 100
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, count * len(entry), start, 0)
    refuses(opens, large[:start] + count * entry + tail, tmp_path, "says that it holds 20000000")


@pytest.mark.parametrize(("key", "value", "message"), [
    ("hidden", 10**9, "array of shape .* bytes"), ("code", 10**12, "array of shape"),
    ("hidden", 3, "array of shape|shape"),
    ("image", [1, 10**9, 10**9], "array of shape"), ("image", [10**9, "abcd"], "the shape of an image"),
    ("samples", 0, "samples=0 is not a whole number from 1"), ("beta", float("nan"), "beta=nan is not a number from 0"),
    ("hidden", "2", "hidden='2' is not a whole number"),
    ("name", "vae", "unknown option name"),
    ("hidden", 10**60, "number of 61 digits"), ("beta", "x", "beta='x' is not a number from 0")])
def test_models_that_the_file_does_not_hold(real, opens, tmp_path, key, value, message):
    content = with_header(real, lambda header: header["config"]["options"].update({key: value}))
    refuses(opens, content, tmp_path, message)


@pytest.mark.parametrize(("change", "message"), [
    (lambda header: {"schema": 99}, "schema 99, this minivae reads"),
    (lambda header: {"schema": "a" * 10**5}, r"schema 'aaa.*\.\.\."),
    (lambda header: b"[" * 100_000, "recursion"), (lambda header: b'{"schema": ' + b"9" * 5000 + b"}", "5000 digits"),
    (lambda header: b" " * 2**21, "more than the 1048576"), (lambda header: [1], "no table"),
    (lambda header: header.update(dtype="object"), "dtype in its header is not one"),
    (lambda header: header["optimiser"].update(t="1"), "optimiser in its header"),
    (lambda header: header.update(dtype="float64"), "has dtype float32, its header says float64")])
def test_headers_that_are_none(real, opens, tmp_path, change, message):
    refuses(opens, with_header(real, change), tmp_path, message)


@pytest.mark.parametrize(("name", "array", "message"), [
    ("batches/order", np.full(20, 10**6), "no permutation"), ("batches/order", np.zeros(20), "no permutation"),
    ("batches/position", np.array(-5), "position is -5"), ("batches/position", np.array(10**6), "position is 1000000"),
    ("batches/position", np.zeros(3, np.int64), "position is"),
    ("optimiser/m", np.zeros(3, np.float32), "optimiser/m has shape"),
    ("protocol", np.zeros((2, 3)), "protocol has shape"),
    ("../../escape", np.zeros(2), "nothing that a checkpoint holds")])
def test_arrays_that_fit_nothing(real, opens, tmp_path, name, array, message):
    content = packed(members(real) | {f"{name}.npy": npy(array)})
    assert not opens(content)
    (tmp_path / checkpoint.NAME).write_bytes(content)
    with pytest.raises(MinivaeError, match=message):
        checkpoint.restore(tmp_path, training())


def test_pickles_are_not_opened(real, opens, tmp_path):
    class Fatal:
        def __reduce__(self):
            return pytest.exit, ("it was unpickled",)

    bomb = npy(np.array([Fatal()], dtype=object))
    refuses(opens, packed(members(real) | {"protocol.npy": bomb}), tmp_path, "no plain array of numbers")


def test_a_sparse_file_of_a_terabyte(real, tmp_path):
    path = tmp_path / checkpoint.NAME
    with open(path, "wb") as file:
        file.truncate(2**40)
        file.seek(0, 2)
        file.write(real)
    with pytest.raises(OptionError, match=f"more than the {archive.LARGEST}"):
        checkpoint.load_model(path)


@pytest.mark.parametrize("verb", ["evaluate", "step", "profile"])
def test_a_checkpoint_chooses_no_folder_that_is_written_to(real, tmp_path, capsys, monkeypatch, verb):
    """A verb reads MNIST where the training did, but a file that came from elsewhere cannot have it put there."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("it was about to download"))
    target = tmp_path / "elsewhere"
    source = {"name": "mnist", "root": str(target), "download": True}
    content = with_header(real, lambda header: header["config"].update(data=source))
    (tmp_path / checkpoint.NAME).write_bytes(content)
    assert main([verb, str(tmp_path)]) == 1
    assert f"is not in {target}" in capsys.readouterr().err and not target.exists()


@pytest.mark.parametrize("verb", ["evaluate", "step", "profile"])
def test_a_checkpoint_that_does_not_say_what_it_learned_from(real, tmp_path, capsys, verb):
    (tmp_path / checkpoint.NAME).write_bytes(with_header(real, lambda header: header["config"].update(data={})))
    assert main([verb, str(tmp_path)]) == 1
    assert "has no usable name of its data" in capsys.readouterr().err


@pytest.mark.parametrize("data", [{}, {"name": "rectangles", "images": 10**12}, {"name": "rectangles", "x": 1},
                                  {"name": "mnist", "root": 5}])
def test_evaluation_of_data_that_cannot_be(real, tmp_path, capsys, data):
    content = with_header(real, lambda header: header["config"].update(data=data))
    (tmp_path / checkpoint.NAME).write_bytes(content)
    assert main(["evaluate", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("minivae: ")
    assert "images" not in data or "expected 9 for" in error  # the number of training images is of no interest
