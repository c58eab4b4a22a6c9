"""Pictures of models, as Pillow images: image grids, and curves and scatters where matplotlib is installed."""

from minivae.figures.images import SPAN, grid, picture, plane, prior_samples, reconstructions, save_png
from minivae.figures.curves import curve
from minivae.figures.codes import scatter
