"""What all tests share: one seed, one backend, float32."""

import pytest

from minivae import backend


@pytest.fixture(autouse=True)
def same_start():
    """Every test starts from one seed on NumPy, whatever ran before it and whatever the environment says."""
    backend.use("numpy")
    backend.set_default_dtype("float32")
    backend.manual_seed(0)
    yield
    backend.set_default_dtype("float32")
