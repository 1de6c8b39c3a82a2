"""From files to predictions: ensembles, test-time augmentation, post-processing, and what is written for each file."""
