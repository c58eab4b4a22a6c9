"""Statistics of random draws, and reports on them."""
