"""Curves, tables, pictures and pages.

A folder for each page (``run``, ``evaluation``, ``data``, ``comparison``) and one for the pictures of cases. Beside
them lies what pages share, and the commands ``python -m reports.<name>``.
"""
