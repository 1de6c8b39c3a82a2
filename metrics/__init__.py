"""Metrics that count only what was examined."""
