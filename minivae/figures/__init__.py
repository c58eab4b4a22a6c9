"""Pictures of models, as Pillow images: image grids, and curves and scatters where matplotlib is installed."""

from minivae.figures.images import (
    PRIOR, SPAN, grid, picture, plane, plane_picture, prior_samples, reconstructions, reconstructions_picture,
    samples_picture, save_png,
)
from minivae.figures.curves import comparison, curve
from minivae.figures.codes import scatter
from minivae.figures import style
