"""The array library, its random numbers, buffers, products and element-wise work, for the whole of minivae.

Every layer takes its library as `self.xp` and is otherwise the same on NumPy and CuPy; where the two
differ, the difference is in here, beside its reason.
"""

from minivae.backend.selection import (
    FLOATS, NAMES, OTHERS, Array, DTypeLike, available, array_cure, current, default_dtype, from_numpy, array_library,
    name_of, number, require, set_default_dtype, to_floats, to_numpy, usable, use, use_device,
)
from minivae.backend.random import (
    fill_uniform, get_random_state, host_generator, manual_seed, rows_of_batch, seeded, set_random_state,
    standard_normal, uniform,
)
from minivae.backend.memory import address, at_most, bounds, empty, marked, owner, resize, sharing, side_by_side
from minivae.backend.elementwise import add_up, elementwise, least_normal, outside, row_totals, total
from minivae.backend.compiled import compile
from minivae.backend.copies import aligned, clear, copy, copy_from_host, copy_to_host, gather, page_locked
from minivae.backend.products import add_product, add_rows, affine, arithmetic, matmul
from minivae.backend.replayed import Replayed
from minivae.backend.cuda_graph import varying
