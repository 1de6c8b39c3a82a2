"""Reads what a W&B client has written offline: LevelDB log blocks of 32 KiB, each record a protocol buffer."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


def records(run: Path, patience_seconds: float = 30) -> list[Any]:
    """Return the records of the one offline run of a run directory.

    The client's own process may write the last of them after it has answered that the run is finished.
    """
    (path,) = (run / "wandb").glob("offline-run-*/*.wandb")
    end = time.monotonic() + patience_seconds
    found = parsed(path)
    while time.monotonic() < end and not any(one.WhichOneof("record_type") == "exit" for one in found):
        time.sleep(0.2)
        found = parsed(path)
    return found


def parsed(path: Path) -> list[Any]:
    """Return the records that are complete."""
    from wandb.proto import wandb_internal_pb2

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
