"""Callbacks: they own time, the modules own weights."""
