"""Data sets as arrays of bytes, and the batches drawn from them."""

from minivae.data.batches import Batches
from minivae.data.idx import read_idx
from minivae.data.mnist import mnist
from minivae.data.rectangles import entropy, is_full_square, rectangles, squares
from minivae.data.binarized import Redrawn
from minivae.data.images import Images
from minivae.data.image_folder import image_folder
from minivae.data.array_file import array_file
from minivae.data.idx_folder import idx_folder
from minivae.data import own_data
from minivae.data import data_set
