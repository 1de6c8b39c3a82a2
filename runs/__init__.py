"""The run directory: stages, checkpoints, configuration checks, loading."""
