"""Read the image files of a source, and say which one is at fault when that fails."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from partial_labels.errors import InputError, one_line

BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises, depending on where a file is damaged."""


def read_image(path: Path, where: str) -> NDArray[np.uint8]:
    """Read an 8-bit grey image; RGB with three equal channels (WebP knows no grey) counts as grey.

    Args:
        path: The file.
        where: How an error names it: file and row.

    Returns:
        (h, w) uint8.

    Raises:
        InputError: If the file is missing, damaged, coloured or of another depth.
    """
    array = _decode(path, where, ("L", "RGB"), "8-bit grey")
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise InputError(f"{where}: a colour image; convert it to 8-bit grey")
        array = np.ascontiguousarray(array[..., 0])
    return array


def read_label(path: Path, where: str) -> NDArray[np.uint8]:
    """Read a map of class ids: 8-bit grey, or a palette image whose indices are the ids.

    Args:
        path: The file.
        where: How an error names it: file and row.

    Returns:
        (h, w) uint8.

    Raises:
        InputError: If the file is missing, damaged or of another kind.
    """
    return _decode(path, where, ("L", "P"), "an 8-bit map of ids")


def _decode(path: Path, where: str, modes: tuple[str, ...], wanted: str) -> NDArray[Any]:
    try:
        with Image.open(path) as image:
            mode = image.mode
            array = np.array(image)
    except FileNotFoundError as error:
        raise InputError(f"{where}: the file is missing; restore it or take its row out") from error
    except BROKEN as error:
        raise InputError(f"{where}: unreadable or truncated ({one_line(error)}); restore the file") from error
    if mode not in modes:
        raise InputError(f"{where}: Pillow mode {mode}, expected {wanted}; convert the file")
    return array
