"""Images of one's own: folders of files, arrays, IDX files; what is damaged or hostile is named and bounded."""

import gzip
import io
import re
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from few import few
from PIL import Image

from minivae.data import Images, Redrawn, array_file, data_set, idx_folder, image_folder, own_data
from minivae.errors import OptionError

RANDOM = np.random.default_rng(0)
MODES = {"L": (), "1": (), "P": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,), "YCbCr": (3,)}


def photograph(height=20, width=30, mode="RGB", dtype="uint8"):
    """A smooth picture, as lossy formats like it."""
    rows, columns = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(rows / 5 + k) * np.cos(columns / 7) for k in range(3)]
    return Image.fromarray(np.stack(planes, axis=2).astype(dtype)).convert(mode)


def written(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


# -- a folder of files --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode", "apart"), [
    ("PNG", "L", 0), ("PNG", "RGB", 0), ("PNG", "1", 0), ("PNG", "P", 12), ("PNG", "RGBA", 0), ("PNG", "LA", 0),
    ("JPEG", "L", 12), ("JPEG", "RGB", 12), ("JPEG", "CMYK", 12), ("TIFF", "RGB", 0), ("TIFF", "L", 0),
    ("TIFF", "CMYK", 12), ("GIF", "P", 12), ("GIF", "L", 0), ("BMP", "RGB", 0), ("PPM", "RGB", 0), ("WEBP", "RGB", 12)])
def test_a_file_of_every_kind_gives_its_picture(tmp_path, kind, mode, apart):
    image = photograph(mode=mode)
    (tmp_path / f"a.{kind.lower()}").write_bytes(written(image, kind))
    pixels = image_folder(tmp_path).pixels
    grey = mode in ("L", "1", "LA")
    wanted = np.asarray(image.convert("L" if grey else "RGB")).astype(int)
    wanted = wanted[None] if grey else np.moveaxis(wanted, 2, 0)
    assert pixels.dtype == np.uint8 and pixels.shape == (1, *wanted.shape)
    assert np.abs(pixels[0] - wanted).mean() <= apart  # of a mean of 128; some formats lose a little


def test_sixteen_bits_become_eight(tmp_path):
    values = np.array([[0, 257, 65535, 32896]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "b.tiff")
    Image.fromarray(values.astype(np.float32) / 65535).save(tmp_path / "c.tiff")
    assert image_folder(tmp_path).pixels.tolist() == 3 * [[[[0, 1, 255, 128]]]]


def test_what_is_transparent_is_white(tmp_path):
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = 0, 0, 0, 255
    Image.fromarray(clear, "RGBA").save(tmp_path / "a.png")
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "b.png", transparency=0)
    a, b = image_folder(tmp_path).pixels
    assert a[:, 0, 0].tolist() == [0, 0, 0] and (a[:, 1] == 255).all() and (b == 255).all()


def png(depth, colour, rows, clear):
    """A PNG of samples of so many bits, one value or colour of which is transparent."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = b""
    for row in rows:
        bits = "".join(f"{value:0{depth}b}" for value in np.ravel(row))
        lines += bytes([0, *(int(bits[k:k + 8].ljust(8, "0"), 2) for k in range(0, len(bits), 8))])
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), depth,
                                                                         colour, 0, 0, 0)),
                     chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)), chunk(b"IDAT", zlib.compress(lines)),
                     chunk(b"IEND", b"")])


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_value_of_any_depth_is_white(tmp_path, depth):
    most = 2**depth - 1
    for clear in {0, 1, most // 2, most}:
        values = sorted({0, 1, most // 2, most})
        (tmp_path / "a.png").write_bytes(png(depth, 0, [values], [clear]))
        wanted = [255 if value == clear else round(255 * value / most) for value in values]
        assert image_folder(tmp_path).pixels[0, 0, 0].tolist() == wanted


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_of_any_depth_is_white(tmp_path, depth):
    colours = np.array([[10, 20, 30], [20, 30, 10]]) * 2**(depth - 8)
    (tmp_path / "a.png").write_bytes(png(depth, 2, [colours], colours[0]))
    assert image_folder(tmp_path).pixels[0, :, 0].T.tolist() == [[255, 255, 255], [20, 30, 10]]


def test_whole_numbers_of_32_bits_are_skipped(tmp_path):
    photograph(mode="L").save(tmp_path / "a.png")
    for kind in (np.int32, np.int16):
        (tmp_path / f"{kind.__name__}.tif").write_bytes(tiff(np.array([[0, 255], [128, 64]], kind)))
    found = image_folder(tmp_path)
    assert len(found) == 1 and [path.rpartition("int")[2] for path, _ in found.skipped] == ["16.tif", "32.tif"]
    assert all("none is known to be white; save it with 8 or 16 bits" in why for _, why in found.skipped)


def tiff(values):
    """A TIFF of whole numbers with a sign."""
    data, (height, width) = values.tobytes(), values.shape
    tags = [(256, width), (257, height), (258, 8 * values.itemsize), (259, 1), (262, 1), (273, 8), (277, 1),
            (278, height), (279, len(data)), (339, 2)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_one_image_in_colour_makes_all_so_and_grey_makes_none(tmp_path):
    photograph(mode="L").save(tmp_path / "a.png")
    photograph(mode="RGB").save(tmp_path / "b.png")
    assert image_folder(tmp_path).pixels.shape == (2, 3, 20, 30)
    assert image_folder(tmp_path, grey=True).pixels.shape == (2, 1, 20, 30)
    assert np.array_equal(image_folder(tmp_path).pixels[0, 0], np.asarray(photograph(mode="L")))


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    image = photograph()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    (tmp_path / "a.png").write_bytes(written(image, "PNG", exif=exif))
    assert np.array_equal(image_folder(tmp_path).pixels[0],
                          np.moveaxis(np.asarray(image.transpose(Image.Transpose.ROTATE_270)), 2, 0))


def test_size_covers_and_cuts_at_the_centre(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255  # the middle third
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(np.full((40, 20), 255, np.uint8)).save(tmp_path / "b.png")
    pixels = image_folder(tmp_path, size=10).pixels
    assert pixels.shape == (2, 1, 10, 10) and (pixels == 255).all()
    assert image_folder(tmp_path, size=(8, 6)).pixels.shape == (2, 1, 8, 6)
    with pytest.raises(OptionError, match=r"2 sizes, from 10×30 to 40×20 .*--size 28"):
        image_folder(tmp_path)
    for size in (0, 1.5, True, "12", (3,), (3, True), (3, 4.0), 4097):
        with pytest.raises(OptionError, match="a size is a whole number from 1"):
            image_folder(tmp_path, size=size)


def test_folders_inside_are_labels(tmp_path):
    for name in ("cat/1.png", "cat/more/2.png", "dog/3.png", ".hidden/4.png", "dog/.5.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photograph().save(tmp_path / name)
    found = image_folder(tmp_path)
    assert found.names == ("cat", "dog") and found.labels.tolist() == [0, 0, 1] and not found.skipped
    photograph().save(tmp_path / "nobody's.png")
    assert image_folder(tmp_path).labels is None


def test_train_and_test_folders_are_the_split(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "train/b/3.png", "test/b/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photograph().save(tmp_path / name)
    train, test = own_data.read(tmp_path)
    assert (len(train), len(test)) == (3, 1) and train.names == test.names == ("a", "b")
    assert train.labels.tolist() == [0, 1, 1] and test.labels.tolist() == [1]


def hostile(random):
    """(name, content, why it is skipped; "" where it may be used) of files that are damaged or made to harm."""
    png, jpeg, gif = written(photograph(), "PNG"), written(photograph(), "JPEG"), written(photograph(mode="P"), "GIF")
    yield "empty.png", b"", "empty"
    yield "text.jpg", b"once upon a time", "no image"
    yield "script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"
    sizes = b"IHDR" + struct.pack(">II", 100_000, 100_000) + png[24:29]
    yield "bomb.png", png[:12] + sizes + struct.pack(">I", zlib.crc32(sizes)) + png[33:], "million pixels"
    yield "large.png", written(Image.new("1", (9000, 9000)), "PNG"), "9000×9000 pixels"
    frames = [photograph(mode="P"), photograph(mode="P").rotate(90)]
    yield "moving.gif", written(frames[0], "GIF", save_all=True, append_images=frames[1:]), "several frames"
    pages = [photograph(), photograph()]
    yield "pages.tiff", written(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "several frames"
    yield "float.tiff", written(Image.fromarray(np.full((3, 3), 7, np.float32)), "TIFF"), "expected 0 to 1"
    for number in range(64):
        name, content = (("a.png", png), ("b.jpg", jpeg), ("c.gif", gif))[number % 3]
        yield f"cut{number}{name}", content[:random.integers(1, len(content) - 20)], ""
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 12):
            damaged[place] = random.integers(256)
        yield f"spoilt{number}{name}", bytes(damaged), ""


def test_two_hundred_hostile_files_are_named_and_bounded(tmp_path):
    photograph().save(tmp_path / "good.png")
    bad, files = {}, list(hostile(np.random.default_rng(1)))
    files += [(f"again{name}", content, why) for name, content, why in hostile(np.random.default_rng(2))]
    for name, content, why in files:
        (tmp_path / name).write_bytes(content)
        bad[name] = why
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "missing.png")
    assert len(files) > 200
    tracemalloc.start()
    found = image_folder(tmp_path, size=12, progress=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    skipped = {path.rsplit("/", 1)[-1]: why for path, why in found.skipped}
    assert most < 2**26 and len(found) + len(skipped) == len(files) + 2 and "nowhere.png" in skipped
    for name, why in bad.items():
        if why:
            assert re.search(why, skipped[name]), (name, skipped[name])
    assert sum(name.startswith("cut") for name in skipped) > 50
    lines = own_data.notes(tmp_path, found)
    assert all(any(name in line for line in lines) for name in skipped) and not any("\n" in line for line in lines)
    with pytest.raises(OptionError, match="remove it, or let it be skipped"):
        image_folder(tmp_path, size=12, strict=True, progress=False)


def test_a_folder_without_images_says_what_was_there(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(OptionError, match=r"no image that can be used: .*notes.txt: no image"):
        image_folder(tmp_path)
    with pytest.raises(OptionError, match="there is no file or folder"):
        own_data.read(tmp_path / "missing")


# -- arrays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "kept"), [((5, 6, 7), (5, 1, 6, 7)), ((5, 1, 6, 7), (5, 1, 6, 7)),
                                             ((5, 3, 6, 7), (5, 3, 6, 7)), ((5, 6, 7, 3), (5, 3, 6, 7)),
                                             ((5, 6, 7, 1), (5, 1, 6, 7))])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", "float32", "float64"])
def test_an_array_of_any_layout_and_type(tmp_path, shape, kept, dtype):
    values = RANDOM.random(shape)
    array = (values.astype(dtype) if "float" in dtype else values > 0.5 if dtype == "bool" else
             (255 * values).astype(dtype))
    np.save(tmp_path / "a.npy", np.asfortranarray(array))
    train, test = own_data.read(tmp_path / "a.npy")
    assert test is None and train.pixels.shape == kept and train.pixels.flags.c_contiguous
    assert train.pixels.dtype == ("float32" if "float" in dtype else "uint8") and train.bits == (dtype == "bool")
    wanted = np.moveaxis(array, 3, 1) if shape[-1] in (1, 3) else array.reshape(kept)
    assert np.array_equal(train.pixels, wanted.astype(train.pixels.dtype))


@pytest.mark.parametrize(("array", "says"), [
    (np.full((2, 3, 3), np.float32(1.0000001)), r"from 1.0000001 to 1.0000001; .*; numpy.clip\(images, 0, 1\)"),
    (np.full((2, 3, 3), 255.0), "divide by 255"), (np.full((2, 3, 3), -1.0), "images [+] 1"),
    (np.full((2, 3, 3), np.nan), "numpy.isnan"), (np.full((2, 3, 3), 256), "uint8 from 0 to 255"),
    (np.full((2, 3, 3), -1), "uint8 from 0 to 255"), (np.zeros((2, 784)), r"reshape\(-1, 28, 28\)"),
    (np.zeros((2, 3)), "expected"), (np.zeros((0, 3, 3)), "no pixel"), (np.zeros((2, 8, 8, 4)), r"\[\.\.\., :3\]"),
    (np.zeros((2, 2, 8, 8)), "1 plane"), (np.zeros((2, 3, 3), complex), "complex"), (np.array("text"), "expected"),
    (np.zeros((2, 3, 3), "M8[s]"), "datetime|plain numbers")])
def test_an_array_that_is_no_images_says_why(tmp_path, array, says):
    with pytest.raises(OptionError, match=says):
        Images.of(array)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(OptionError, match=f"a.npy.*({says}|plain numbers)"):
        array_file(tmp_path / "a.npy")


def test_rows_of_several_lengths_are_refused():
    for wrong in (([[[0, 1], [1, 0]], [[0, 1], [1]]], None), (np.zeros((2, 3, 3)), [[0], [1, 2]])):
        with pytest.raises(OptionError, match="rows of several lengths"):
            Images.of(*wrong)


def test_some_images_are_images_and_all_are_an_array():
    images = Images.of(np.arange(5, dtype=np.uint8).reshape(5, 1, 1), [3, 1, 3, 1, 2])
    for rows in (3, -1, np.int64(3), [3], [], [True, False] * 2 + [True], slice(3, 9)):
        wanted = np.arange(5)[rows].reshape(-1)
        assert images[rows].pixels.ravel().tolist() == wanted.tolist()
        assert images[rows].pixels.shape[1:] == (1, 1, 1) and np.array_equal(images[rows].labels, images.labels[wanted])
    assert [int(each.pixels.item()) for each in images] == [0, 1, 2, 3, 4]
    for wrong in (5, -6, "3", (slice(2), 0)):
        with pytest.raises(IndexError):
            images[wrong]
    assert np.asarray(images) is images.pixels and np.array(images, "float32").shape == (5, 1, 1, 1)
    assert images == images and images != images[:]


def test_labels_that_are_no_text_are_named(tmp_path):
    pixels, labels = np.zeros((2, 4, 4), np.uint8), np.array([b"a", b"\xff"])
    assert Images.of(pixels, np.char.decode(labels, "latin-1")).names == ("a", "ÿ")
    with pytest.raises(OptionError, match=r"the label b'\\xff' is no text in UTF-8; numpy.char.decode"):
        Images.of(pixels, labels)
    np.savez(tmp_path / "a.npz", images=pixels, labels=labels)
    with pytest.raises(OptionError, match=r"a.npz: images: the label .* is no text in UTF-8"):
        own_data.read(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_in_each_way_that_people_name_it(tmp_path, save):
    x, y = RANDOM.integers(0, 255, (6, 4, 4), dtype=np.uint8), np.array([3, 1, 3, 1, 7, 7])
    for names in ({"images": x, "labels": y}, {"x": x, "y": y[:, None]}, {"whatever": x}):
        save(tmp_path / "a.npz", **names)
        train, test = own_data.read(tmp_path / "a.npz")
        assert np.array_equal(train.pixels[:, 0], x) and test is None
        assert len(names) == 1 or (train.labels.tolist() == [1, 0, 1, 0, 2, 2] and train.names == ("1", "3", "7"))
    for kind in ("{}_images {}_labels", "x_{} y_{}"):
        train, test = (kind.format(split, split).split() for split in ("train", "test"))
        save(tmp_path / "a.npz", **{train[0]: x, train[1]: y, test[0]: x[:2], test[1]: y[:2]})
        first, second = own_data.read(tmp_path / "a.npz")
        assert (len(first), len(second)) == (6, 2) and second.labels.tolist() == [1, 0]
        assert second.names == first.names
    save(tmp_path / "a.npz", images=x, labels=np.array(["b", "a"] * 3))
    assert own_data.read(tmp_path / "a.npz")[0].names == ("a", "b")
    save(tmp_path / "a.npz", images=x, labels=y[:5])
    with pytest.raises(OptionError, match="for 6 images there are 6 labels"):
        own_data.read(tmp_path / "a.npz")
    save(tmp_path / "a.npz", one=x, other=x)
    with pytest.raises(OptionError, match=r"one, other.*`images`"):
        own_data.read(tmp_path / "a.npz")


@pytest.mark.parametrize(("others", "read"), [
    (["label"], ["images", "labels"]), (["x_train", "y"], ["images", "labels"]),
    (["labels", "test_images", "x_test", "val"], ["images", "labels", "test_images", "test_labels"])])
def test_an_array_of_an_archive_that_is_not_read_is_named(tmp_path, others, read):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((3, 4, 4), int), **{name: np.zeros((3, 4, 4)[:3 if "t" in name else 1], int)
                                                       for name in others})
    parts = [each for each in own_data.read(path) if each is not None]
    assert own_data.notes(path, *parts) == [
        f"skipped {path}: {name}: {', '.join(read)} are what is read" for name in others if name not in read]


def test_nothing_is_unpickled_and_no_header_is_believed(tmp_path):
    class Harm:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    np.save(tmp_path / "a.npy", np.array([Harm()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", images=np.array([Harm()], dtype=object))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 10000, 10000), }"
    huge = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.ljust(117) + b"\n"
    (tmp_path / "c.npy").write_bytes(huge)
    (tmp_path / "d.npy").write_bytes(huge.replace(b"(1000000, 10000, 10000)", b"(1, 10000, 10000)      "))
    with zipfile.ZipFile(tmp_path / "e.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", huge.replace(b"(1000000, 10000, 10000)", b"(60, 10000, 10000)     ") + bytes(99))
    for name, says in (("a.npy", "none are unpickled"), ("b.npz", "none are unpickled"), ("c.npy", "GiB"),
                       ("d.npy", "and has 128 bytes"), ("e.npz", "and has")):
        with pytest.raises(OptionError, match=says):
            array_file(tmp_path / name)


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize("count", few(1, [40, 2000]))
def test_a_damaged_array_is_used_or_refused(tmp_path, kind, count):
    file = tmp_path / f"a.{kind}"
    (np.save if kind == "npy" else np.savez_compressed)(file, RANDOM.integers(0, 255, (4, 5, 5), dtype=np.uint8))
    content, random, refused = file.read_bytes(), np.random.default_rng(count), 0
    for _ in range(count):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        file.write_bytes(damaged if random.random() < 0.7 else content[:random.integers(len(content))])
        try:
            array_file(file)
        except OptionError as error:
            refused += 1
            assert str(file) in str(error) and len(str(error)) < 700
    assert refused > count // 10


# -- files in MNIST's format --------------------------------------------------------------------------


def idx_set(folder, prefix="", pack=False, test="t10k", n=6, shape=(4, 5)):
    for split, count in (("train", n), (test, 2)):
        for what, array in (("images-idx3", RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)),
                            ("labels-idx1", np.arange(count, dtype=np.uint8) % 3)):
            content = idx(array)
            name = f"{prefix}{split}-{what}-ubyte" + ".gz" * pack
            (folder / name).write_bytes(gzip.compress(content) if pack else content)


@pytest.mark.parametrize("pack", [False, True])
def test_any_idx_set_in_a_folder_just_works(tmp_path, pack):
    idx_set(tmp_path, pack=pack)
    train, test = own_data.read(tmp_path)
    assert train.pixels.shape == (6, 1, 4, 5) and test.pixels.shape == (2, 1, 4, 5)
    assert train.labels.tolist() == [0, 1, 2] * 2 and train.names == test.names == ("0", "1", "2")


def test_of_several_sets_in_a_folder_the_file_of_one_names_it(tmp_path):
    for prefix in ("emnist-letters-", "emnist-digits-"):
        idx_set(tmp_path, prefix, True, "test")
    with pytest.raises(OptionError, match=r"emnist-digits-train.*give the file of one"):
        own_data.read(tmp_path)
    train, test = own_data.read(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz")
    assert (len(train), len(test)) == (6, 2)
    assert own_data.notes("emnist-letters-train-images-idx3-ubyte.gz", train) == [own_data.EMNIST]


def test_an_idx_set_that_is_not_whole_says_so(tmp_path):
    idx_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(5, np.uint8)))
    with pytest.raises(OptionError, match="for 6 images there are 6 labels"):
        idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert idx_folder(tmp_path)[0].labels is None
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + struct.pack(">III", 2**31, 2**31, 99))
    with pytest.raises(OptionError, match="GiB"):
        idx_folder(tmp_path)
    bomb = gzip.compress(idx(np.zeros((6, 4, 5), np.uint8)) + bytes(10**7))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(bomb)
    with pytest.raises(OptionError, match="says that it holds 6 × 4 × 5 = 120 bytes, but has 121"):
        idx_folder(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(OptionError, match="the one to learn from is not beside it"):
        own_data.read(tmp_path)


# -- held out, digests, notes -------------------------------------------------------------------------


def test_a_share_is_held_out_at_random_and_repeats():
    all_of_them = Images.of(np.arange(100, dtype=np.uint8).reshape(100, 1, 1), np.arange(100))
    train, test = own_data.split(all_of_them, 0.1)
    assert (len(train), len(test)) == (90, 10)
    together = np.concatenate([train.pixels, test.pixels]).ravel()
    assert sorted(together.tolist()) == list(range(100)) and np.array_equal(test.labels, test.pixels.ravel())
    assert np.array_equal(own_data.split(all_of_them, 0.1)[1].pixels, test.pixels)
    assert not np.array_equal(own_data.split(all_of_them, 0.1, seed=1)[1].pixels, test.pixels)
    with pytest.raises(OptionError, match="none is left to learn from"):
        own_data.split(all_of_them[:1], 0.1)
    with pytest.raises(OptionError, match="above 0 and below 1"):
        own_data.split(all_of_them, 1)


def test_the_digest_changes_with_every_pixel_label_and_shape():
    base = RANDOM.integers(0, 255, (4, 1, 2, 6), dtype=np.uint8)
    other = base.copy()
    other[3, 0, 1, 5] += 1
    found = {own_data.digest(Images.of(pixels, labels)) for pixels, labels in (
        (base, None), (other, None), (base, [0, 1, 0, 1]), (base, [0, 1, 1, 0]), (base.reshape(4, 1, 6, 2), None),
        (base / 255, None))}
    assert len(found) == 6 and own_data.digest(Images.of(base.copy())) in found


def test_equal_planes_are_said(tmp_path):
    photograph(mode="L").convert("RGB").save(tmp_path / "a.png")
    assert "--grey" in own_data.notes(tmp_path, image_folder(tmp_path))[0]


# -- as a data set ------------------------------------------------------------------------------------


def built(tmp_path, pixels, **options):
    np.savez(tmp_path / "a.npz", images=pixels)
    return data_set.build("own", path=str(tmp_path / "a.npz"), **options)


def test_a_data_set_knows_whether_its_pixels_are_bits(tmp_path):
    grey = RANDOM.integers(0, 256, (40, 4, 4), dtype=np.uint8)
    for pixels, scale, is_grey in ((grey, 1 / 255, True), (grey // 128, 1, False), (grey > 99, 1, False),
                                   (grey // 128 * 255, 1 / 255, False), (grey // 128 * 254, 1 / 255, True),
                                   (grey / 255, 1, True), ((grey > 99).astype("float64"), 1, False)):
        found = built(tmp_path, pixels)
        assert (found.scale, found.grey, found.image, len(found.train), len(found.test)) == (
            scale, is_grey, (1, 4, 4), 36, 4)
        assert 0.9 < found.train.max() * scale <= 1 and found.title == "a.npz"


@pytest.mark.parametrize(("train", "test", "scale", "grey"), [(255, 255, 1 / 255, False), (255, 0, 1 / 255, False),
                                                              (0, 255, 1 / 255, False), (1, 255, 1 / 255, True)])
def test_white_is_the_same_in_both_parts(tmp_path, train, test, scale, grey):
    bits = RANDOM.integers(0, 2, (40, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=bits * np.uint8(train), test_images=bits * np.uint8(test))
    found = data_set.build("own", path=str(tmp_path / "a.npz"))
    assert (found.scale, found.grey) == (scale, grey)


@pytest.mark.parametrize("how", ["threshold", "fixed", "each_epoch"])
def test_black_and_white_bytes_are_bits_whether_or_not_they_are_made_so(tmp_path, how):
    bits = RANDOM.integers(0, 2, (40, 4, 4), dtype=np.uint8)
    kept, made = built(tmp_path, 255 * bits), built(tmp_path, 255 * bits, binarize=how)
    drawn = made.train.draw(0) if how == "each_epoch" else made.train
    assert np.array_equal(kept.train, 255 * drawn) and np.array_equal(kept.test, 255 * made.test)
    assert not kept.grey and not made.grey


@pytest.mark.parametrize("how", ["threshold", "fixed", "each_epoch"])
@pytest.mark.parametrize("divisor", [1, 255])
def test_grey_pixels_of_ones_own_can_be_made_bits(tmp_path, how, divisor):
    grey = RANDOM.integers(0, 256, (40, 4, 4), dtype=np.uint8)
    found = built(tmp_path, grey / divisor if divisor > 1 else grey, binarize=how)
    bits = found.train.draw(0) if how == "each_epoch" else found.train
    assert not found.grey and set(np.unique(bits)) == set(np.unique(found.test)) == {0, 1}
    assert isinstance(found.train, Redrawn) == (how == "each_epoch") and not isinstance(found.test, Redrawn)
    with pytest.raises(OptionError, match="holds bits already"):
        built(tmp_path, grey // 128, binarize=how)


def test_images_that_have_changed_are_refused(tmp_path):
    pixels = RANDOM.integers(0, 256, (40, 4, 4), dtype=np.uint8)
    digest = built(tmp_path, pixels).digest
    assert np.array_equal(built(tmp_path, pixels, digest=digest).test, built(tmp_path, pixels).test)
    pixels[3, 2, 1] ^= 1
    with pytest.raises(OptionError, match="have changed since the run began"):
        built(tmp_path, pixels, digest=digest)
    assert len(built(tmp_path, pixels, images=5).train) == 5
    with pytest.raises(OptionError, match="has 36 images to learn from, not 37"):
        built(tmp_path, pixels, images=37)
