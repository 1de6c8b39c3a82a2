"""Reading random batches from the case store, beside opening the same slices as PNG files.

``python -m benchmarks store``. Both end with the image as float32 in [0, 1] and the label as ids, and both find their
files in the system's cache.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import in_turn, parser, print_costs, record
from benchmarks.small_run import composed
from runs.configuration.instantiate import build


def main() -> None:
    """Measure."""
    options = parser(__doc__, rounds=9, calls=5, batch=16, cases=200, size=256).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = f"data.image_size={options.size}"
        data = build(composed(root, size, f"data.source.num_slices={options.cases}").data)
        data.setup()
        train = data.part("train")
        for case in train:
            Image.fromarray(np.asarray(data.opened.images[case])).save(root / f"{case}.png")
            Image.fromarray(np.asarray(data.opened.labels[case])).save(root / f"{case}_label.png")
        rng = np.random.default_rng(0)

        def ids() -> torch.Tensor:
            return torch.from_numpy(rng.choice(train, options.batch, replace=False))

        def from_store() -> None:
            data.cases.read(ids())

        def from_files() -> None:
            cases = ids().tolist()
            images = np.stack([np.asarray(Image.open(root / f"{case}.png")) for case in cases])
            labels = np.stack([np.asarray(Image.open(root / f"{case}_label.png")) for case in cases])
            torch.from_numpy(images).float().div_(255), torch.from_numpy(labels)

        contenders = {"case store": from_store, "PNG files": from_files}
        cost = in_turn(contenders, options.rounds, options.calls)
    print(f"batches of {options.batch} slices of {options.size} x {options.size}")
    print_costs(cost, "case store")
    record("store", {name: one._asdict() for name, one in cost.items()})


if __name__ == "__main__":
    main()
