"""Where a comparison goes: one page, if the library of its charts is there."""

from __future__ import annotations

from pathlib import Path

from partial_labels.errors import InputError
from reports.comparison.comparison import Comparison


def write_page(comparison: Comparison, output: Path) -> Path:
    """Write ``compare.html`` and return its path.

    Raises:
        InputError: If Plotly is not installed.
    """
    try:
        from reports.comparison.page import write_comparison_page
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "plotly":
            raise
        raise InputError(f"{output}: its charts need plotly; pip install 'partialseg[compare]'") from error
    return write_comparison_page(comparison, output)
