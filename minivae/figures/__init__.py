"""Pictures of models: image grids with Pillow, curves with matplotlib where it is installed."""

from minivae.figures.images import SPAN, grid, plane, prior_samples, reconstructions, save_png
from minivae.figures.curves import save_curve
from minivae.figures.codes import save_codes
