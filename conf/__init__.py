"""Hydra configuration; one folder a group, mirroring the code."""
