"""Reads what a W&B client has written offline: LevelDB log blocks of 32 KiB, each record a protocol buffer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


def records(run: Path) -> list[Any]:
    """Return the records of the one offline run of a run directory."""
    from wandb.proto import wandb_internal_pb2

    (path,) = (run / "wandb").glob("offline-run-*/*.wandb")
    found = []
    for content in chunks(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        found.append(record)
    return found


def chunks(data: bytes) -> Iterator[bytes]:
    """Put the pieces of every record together."""
    assert data[:4] == b":W&B"
    place, pieces = 7, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        pieces += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last piece
            yield pieces
            pieces = b""
