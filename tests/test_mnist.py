"""MNIST's files: where they are looked for, what is verified, and how they are downloaded."""

import bz2
import gzip
import importlib
import lzma
import os
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae import backend
from minivae.data import Batches, Redrawn, mnist, read_idx
from minivae.errors import DTypeError, OptionError

module = importlib.import_module("minivae.data.mnist")  # the package has a function of that name
IMAGES = "t10k-images-idx3-ubyte"


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


# -- the format ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 2, 4), (5,), (0, 28, 28), ()])
def test_idx_gives_the_array(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(read_idx(idx(array)), array) and read_idx(idx(array)).shape == shape


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is not an IDX file"), (b"\x89PNG....", "is not an IDX file"),
    (b"\0\0\x0d\1\0\0\0\1abcd", "is not an IDX file of bytes (uint8) but one of float32"),
    (gzip.compress(b"x"), "is not an IDX file but compressed by gzip; gzip.decompress(content) gives"),
    (bz2.compress(b"x"), "compressed by bzip2; bz2.decompress"), (lzma.compress(b"x"), "compressed by xz; lzma.dec"),
    (b"PK\3\4....", "a zip archive"), (b"<!DOCTYPE html>", "a page of HTML"),
    (b"\0\0\x08\xff" + b"\0" * 1020, "says that it has 255 axes, more than 32"),
    (b"\0\0\x08\3\0\0\0\1", "ends within its header, after 8 bytes"),
    (idx(np.zeros((3, 4), np.uint8))[:-1], "says that it holds 3 × 4 = 12 bytes, but has 11"),
    (idx(np.zeros((3, 4), np.uint8)) + b"!", "but has 13"),
    (b"\0\0\x08\3" + b"\xff" * 12, "= 79228162458924105385300197375 bytes, but has 0")],
    ids=range(13))  # gzip's bytes hold the time, and an identifier must not
def test_damaged_idx_is_explained(content, message):
    with pytest.raises(OptionError, match="digits") as error:
        read_idx(content, "digits")
    assert message in str(error.value)


@pytest.mark.parametrize("content", ["digits.idx", Path("digits.idx"), np.zeros(20, np.uint8), None, open], ids=repr)
def test_what_is_not_the_content_of_a_file_is_named(content):
    with pytest.raises(OptionError, match=r"read_idx takes the bytes of a file, not .*read_bytes\(\) gives them"):
        read_idx(content)


@pytest.mark.parametrize("compressed", [True, False])
def test_files_under_each_others_names_are_told_by_their_names(small_mnist, compressed):
    train, test = (small_mnist / f"{name}-labels-idx1-ubyte.gz" for name in ("train", "t10k"))
    content = train.read_bytes()
    train.write_bytes(test.read_bytes())
    if compressed:
        test.write_bytes(content)
    else:
        test.with_suffix("").write_bytes(gzip.decompress(content))
    with pytest.raises(OptionError, match=r"is not MNIST's t10k-labels-idx1-ubyte: 158 bytes with MD5 \w+, its "
                                          "train-labels-idx1-ubyte; expected 58 with"):
        mnist("test", small_mnist, download=False)
    with pytest.raises(OptionError, match=r"train-labels-idx1-ubyte: 58 bytes with MD5 \w+, its t10k-labels"):
        mnist("train", small_mnist, download=False)


@given(st.binary(max_size=64))
def test_any_bytes_are_an_array_or_an_explained_error(content):
    try:
        assert read_idx(content).nbytes <= 64
    except OptionError:
        pass


# -- the data set -------------------------------------------------------------------------------------


def test_real_mnist(real_mnist):
    images, labels = mnist("train", root=real_mnist)
    assert images.shape == (60000, 28, 28) and images.dtype == np.uint8 and images.max() == 255
    assert labels[:5].tolist() == [5, 0, 4, 1, 9] and np.bincount(labels).tolist()[:2] == [5923, 6742]
    assert images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    images, labels = mnist("test", root=real_mnist)
    assert images.shape == (10000, 28, 28) and labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_bits_of_three_kinds(small_mnist):
    grey, labels = mnist("train", root=small_mnist)
    threshold, again = mnist("train", root=small_mnist, binarize="threshold")
    assert np.array_equal(threshold, grey > 127) and np.array_equal(labels, again)
    fixed, _ = mnist("train", root=small_mnist, binarize="fixed")
    assert fixed.dtype == np.uint8 and set(np.unique(fixed)) == {0, 1}
    assert np.array_equal(fixed, mnist("train", root=small_mnist, binarize="fixed")[0])
    expect_frequencies(fixed.astype(float), grey)
    redrawn, _ = mnist("train", root=small_mnist, binarize="each_epoch")
    assert isinstance(redrawn, Redrawn) and len(redrawn) == 150 and np.array_equal(redrawn.grey, grey)


def expect_frequencies(bits, grey):
    """Σ bits lies within 5 standard deviations of Σ g/255: a false alarm in 2 million."""
    p = grey / 255
    assert abs(bits.sum() - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum())
    assert bits[grey == 0].sum() == 0


def test_batches_draw_the_bits_of_an_image_anew(small_mnist):
    images, _ = mnist("train", root=small_mnist, binarize="each_epoch")
    batches = Batches(images, 150, by_epoch=True)
    epochs = []
    for _ in range(20):
        batch = batches.next()
        epoch = np.empty_like(batch)
        epoch[batches.order] = batch
        epochs.append(epoch)
    assert epochs[0].dtype == np.float32 and set(np.unique(epochs)) == {0, 1}
    assert not np.array_equal(epochs[0], epochs[1])
    expect_frequencies(np.array(epochs), np.repeat(images.grey[None], 20, axis=0))
    backend.manual_seed(5)
    first = Batches(images, 10).next().copy()
    backend.manual_seed(5)
    assert np.array_equal(Batches(images, 10).next(), first)
    with pytest.raises(DTypeError, match="as uint8 from 0 to 255, got float64"):
        Redrawn(np.zeros((3, 4)))


@pytest.mark.parametrize("layout", ["", "mnist", "MNIST/raw"])
def test_files_are_found_compressed_and_not_in_any_of_the_usual_places(small_mnist, tmp_path, monkeypatch, layout):
    wanted, _ = mnist("test", root=small_mnist)
    place = tmp_path / "data" / layout
    place.mkdir(parents=True)
    for name in (IMAGES, "t10k-labels-idx1-ubyte"):
        (place / name.replace("-idx", ".idx")).write_bytes(gzip.decompress((small_mnist / f"{name}.gz").read_bytes()))
    monkeypatch.setenv("MINIVAE_DATA", str(tmp_path / "data"))
    assert np.array_equal(mnist("test")[0], wanted)


def test_without_a_root_the_files_are_in_the_cache(small_mnist, tmp_path, monkeypatch):
    monkeypatch.delenv("MINIVAE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "minivae").mkdir(parents=True)
    os.rename(small_mnist, tmp_path / "cache" / "minivae" / "mnist")
    assert len(mnist("test")[0]) == 50


def damage(path, how):
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-20], "flipped": content[:60] + bytes([content[60] ^ 1]) + content[61:],
                      "other": gzip.compress(b"something else"), "bomb": gzip.compress(bytes(10**8)),
                      "text": b"<html>404</html>"}[how])


@pytest.mark.parametrize("how", ["truncated", "flipped", "other", "bomb", "text"])
def test_a_damaged_file_is_named_and_kept(small_mnist, how):
    path = small_mnist / f"{IMAGES}.gz"
    damage(path, how)
    with pytest.raises(OptionError, match=r"t10k-images-idx3-ubyte.gz is .*; for other images of this format"):
        mnist("test", root=small_mnist)
    assert path.exists()


def test_bad_options_are_explained(small_mnist, tmp_path):
    with pytest.raises(OptionError, match='choose the split "train" or "test"'):
        mnist("validation")
    with pytest.raises(OptionError, match="choose one of None, 'threshold', 'fixed', 'each_epoch'"):
        mnist("test", binarize="yes")
    with pytest.raises(OptionError, match="which is a file"):
        mnist("test", root=small_mnist / f"{IMAGES}.gz")


# -- downloading --------------------------------------------------------------------------------------


@pytest.fixture
def mirrors(small_mnist, monkeypatch):
    """Two mirrors on this machine: `answers[0]` and `answers[1]` are "right", or what is wrong with them."""
    answers, requests = ["right", "right"], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            which, name = int(self.path[1]), self.path[3:]
            requests.append((which, name))
            content, how = (small_mnist / name).read_bytes(), answers[which]
            if how == "missing":
                self.send_error(404)
                return
            content = {"wrong": gzip.compress(b"another file"), "page": b"<html>log in first</html>"}.get(how, content)
            self.send_response(200)
            if how != "endless":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if how == "slow":
                self.wfile.write(content[:40])
                time.sleep(20)
            elif how == "endless":
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    pass
            else:
                self.wfile.write(content[:-30] if how == "cut" else content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(module, "MIRRORS", (f"{address}/0/", f"{address}/1/"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield answers, requests
    server.shutdown()
    server.server_close()


def test_what_is_missing_is_downloaded_once(mirrors, small_mnist, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minivae.progress.SECONDS", 0)
    _, requests = mirrors
    images, _ = mnist("test", root=tmp_path / "new")
    assert np.array_equal(images, mnist("test", root=small_mnist)[0])
    assert sorted(os.listdir(tmp_path / "new")) == [f"{IMAGES}.gz", "t10k-labels-idx1-ubyte.gz"]
    assert IMAGES in capsys.readouterr().err  # the progress bar
    mnist("test", root=tmp_path / "new", progress=False)
    assert len(requests) == 2 and {which for which, _ in requests} == {0}


@pytest.mark.parametrize("how", ["missing", "cut", "wrong", "page", "endless"])
def test_when_the_first_mirror_fails_the_second_is_asked(mirrors, small_mnist, tmp_path, how):
    answers, requests = mirrors
    answers[0] = how
    images, _ = mnist("test", root=tmp_path / "new", progress=False)
    assert np.array_equal(images, mnist("test", root=small_mnist)[0])
    assert [which for which, _ in requests] == [0, 1, 0, 1]


@pytest.mark.parametrize(("how", "reason"), [("missing", "HTTP Error 404"), ("cut", "the connection ended after"),
                                             ("wrong", "is not MNIST's"), ("page", "is not MNIST's"),
                                             ("endless", "more than the")])
def test_when_all_fail_the_error_names_the_files_and_nothing_is_left(mirrors, tmp_path, how, reason):
    answers, _ = mirrors
    answers[:] = how, how
    with pytest.raises(OptionError) as error:
        mnist("test", root=tmp_path / "new", progress=False)
    text = str(error.value)
    assert text.count(reason) == 2 and "/0/: " in text and "/1/: " in text and str(tmp_path / "new") in text
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", IMAGES, "t10k-labels-idx1-ubyte"):
        assert f"{name}.gz" in text
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_an_interrupted_download_leaves_nothing(mirrors, tmp_path):
    answers, requests = mirrors
    answers[:] = "slow", "slow"
    code = textwrap.dedent(f"""
        import importlib, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs do not inherit
        module = importlib.import_module("minivae.data.mnist")
        module.MIRRORS = {module.MIRRORS!r}
        module.mnist("test", root={str(tmp_path / "new")!r})""")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not requests and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert requests and not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_explained(mirrors, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="MNIST is not in"):
        mnist("test", root=tmp_path / "file" / "inside", progress=False)
