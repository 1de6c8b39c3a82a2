"""From any source to batches: sources, splits, streams and the DataModule."""
