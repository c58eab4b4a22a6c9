"""Data sets as arrays of bytes, and the batches drawn from them."""

from minivae.data.batches import Batches
from minivae.data.idx import read_idx
from minivae.data.mnist import mnist
from minivae.data.rectangles import entropy, is_full_square, rectangles
from minivae.data.redrawn import Redrawn
from minivae.data import data_set
