"""The latent explorer: a page with the decoder in it, whose code the reader moves."""

from typing import Any

import numpy as np

from minivae import backend
from minivae.data import Redrawn
from minivae.errors import OptionError
from minivae.evaluation import ACTIVE
from minivae.figures.decoder_layers import described
from minivae.figures.page import packed, page
from minivae.figures.style import COLOURS
from minivae.nn import BernoulliKL, CategoricalKL, GaussianKL

IMAGES = 500  # test images that are in the page, with their codes
CHECKED = 256  # codes that the largest difference is taken over: half of them test images', half from the prior
KINDS = (GaussianKL, BernoulliKL, CategoricalKL)  # whose codes explorer.js has controls for
SCRIPTS = ("layers.js", "explorer.js", "gallery.js", "plane_marks.js", "plane.js", "sliders.js", "bits.js",
           "choosers.js", "start.js")
NINTHS = tuple(f"{row} {column}".strip() or "middle" for row in ("top", "", "bottom")
               for column in ("left", "", "right"))


def explorer(model: Any, data: Any, title: str, precision: str = "float16") -> str:
    """The page on a model, as text: its decoder, and up to 500 test images of `data` with their codes.

        title       what it is headed with      precision   "float16" or "float32": how weights are kept in it

    The page says by how much float16 changes what is decoded.  A layer, or a kind of code, that it cannot run raises.
    """
    kind = next((each.__name__ for each in KINDS if isinstance(model.kl, each)), None)
    if kind is None:
        raise OptionError(f"the explorer has no controls for codes of {type(model.kl).__name__}; it has for "
                          f"{', '.join(each.__name__ for each in KINDS)}")
    model = model.clone().cpu().float().evaluate()
    lost = [name for name, array in model.state_dict().items() if not np.isfinite(array).all()]
    if lost:
        raise OptionError(f"{lost[0]} has entries that are NaN or infinite: there is nothing to explore; train anew, "
                          "or take an earlier checkpoint")
    images = data.test.draw(0) if isinstance(data.test, Redrawn) else data.test
    x = images[:IMAGES].astype(np.float32) * np.float32(data.scale)
    parameters = model.encode(x)
    difference, decoder = _difference(model, parameters, precision), described(model.decoder, precision)
    kl = model.kl.units(parameters)
    varies = model.kl.latent.expected(parameters).reshape(*kl.shape, -1).var(axis=0).max(axis=1)
    images = np.ascontiguousarray(model.target(x))
    labels, names = _labels(images, data)
    return page(f"{title}: latent explorer", "explorer.html", SCRIPTS, ("explorer.css",), {
        "title": title, "kind": kind, "units": kl.shape[1], "likelihood": model.likelihood, "grey": data.grey,
        "given": model.labels, "prior": _prior(model.kl, kl.shape[1]), "image": _image(model, x), "decoder": decoder,
        "precision": precision, "difference": difference,
        "kl": kl.mean(axis=0).tolist(), "active": (varies > ACTIVE).tolist(), "colours": COLOURS,
        "images": packed(np.rint(255 * images.reshape(len(x), -1)), "uint8"), "labels": labels, "names": names,
        "parameters": [packed(each, "float32") for each in
                       (parameters if isinstance(parameters, tuple) else (parameters,))]})


def _prior(kl, units):
    """Of bits their probabilities, of categories the logits of theirs, of a Gaussian nothing."""
    if isinstance(kl, BernoulliKL):
        return np.broadcast_to(kl.prior_probability, units).tolist()
    if isinstance(kl, CategoricalKL):
        return np.ravel(getattr(kl, "prior_logits", np.zeros((units, kl.categories)))).tolist()
    return None


def _image(model, x):
    """[planes, height, width] of what the decoder makes."""
    shape = np.shape(model.reconstruct(x[:1]))[1:]
    planes = int(np.prod(shape[:-2]))
    if len(shape) < 2 or planes not in (1, 3):
        raise OptionError(f"the explorer shows images of one plane, or of three for colour; this decoder makes arrays "
                          f"of {shape}: end it in View(1, height, width)")
    return [planes, *shape[-2:]]


def _difference(model, parameters, precision):
    """The largest difference of a decoded pixel from that of the float32 weights."""
    codes = [model.kl.latent.most_likely(parameters)[:CHECKED // 2]]
    with backend.seeded(0):
        codes = np.concatenate([*codes, model.kl.latent.sample_prior(CHECKED // 2, model.code)])
    rounded = model.clone()
    with np.errstate(over="ignore"):  # which is looked for below
        state = {name: array.astype(precision).astype(np.float32) if array.ndim > 1 else array
                 for name, array in rounded.state_dict().items()}
    lost = [name for name, array in state.items() if not np.isfinite(array).all()]
    if lost:
        raise OptionError(f"{lost[0]} has entries that {precision} cannot hold; --float32 keeps what is finite")
    rounded.load_state_dict(state)
    for each in (rounded, model) if model.labels else ():
        each.condition(np.arange(len(codes)) % model.labels)
    return float(np.abs(rounded.decode(codes) - model.decode(codes)).max())


def _labels(x, data):
    """(label of each image, name of each label): the data's own, or the ninth of the image that is brightest."""
    if data.labels is not None:
        return data.labels[:len(x)].tolist(), list(data.names)
    planes = x.reshape(len(x), -1, *x.shape[-2:]).mean(axis=1)
    ninth = 0
    for axis in (1, 2):  # rows, then columns
        light = planes.sum(axis=3 - axis)
        centre = (light @ (np.arange(light.shape[1]) + 0.5)) / np.maximum(light.sum(axis=1), 1e-6)
        ninth = 3 * ninth + np.clip((3 * centre / light.shape[1]).astype(int), 0, 2)
    return ninth.tolist(), list(NINTHS)
