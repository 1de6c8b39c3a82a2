"""Curves, tables, pictures and pages."""
