"""Files of weights: written whole, listed, read back, begun from."""
