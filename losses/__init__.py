"""Losses for partially labeled images, and the baselines that ignore the difference."""
