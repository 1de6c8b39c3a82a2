"""One training step, and one file a strategy."""
