"""Data sets as arrays of bytes, and the batches drawn from them."""

from minivae.data.batches import Batches
from minivae.data.rectangles import entropy, is_full_square, rectangles
