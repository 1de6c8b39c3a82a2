"""One file a source; each turns files (or a seed) into cases, and :mod:`datamodules.sources.base` into a store."""
