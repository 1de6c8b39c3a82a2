"""Segment a slice with an exported network: python run_onnx.py EXPORTED_FOLDER slice.png label.png.

Needs numpy, pillow and onnxruntime, and nothing else of the project that trained it. A slice is an 8-bit grey picture,
or slice.npy: an array of the network's size with the values that its windows are given in, as Hounsfield units.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, source, target = (Path(argument) for argument in sys.argv[1:])
about = json.loads((folder / "network.json").read_text(encoding="utf-8"))
shape = tuple(about["input"]["shape"][1:])  # (channels, height, width)
if source.suffix == ".npy":
    values = np.load(source).astype(np.float32)
    channels = [255 * (values - low) / (high - low) for low, high in about["windows"]]
    image = np.rint(channels).clip(0, 255).astype(np.float32) / 255
else:
    picture = ImageOps.pad(Image.open(source).convert("L"), (shape[2], shape[1]), Image.Resampling.BILINEAR)
    image = np.asarray(picture, dtype=np.float32)[None] / 255
if image.shape != shape:
    sys.exit(f"{source}: gives {image.shape} (channels, height, width), the network takes {shape}")
session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
(label,) = session.run(["label"], {"image": image[None]})  # (batch, height, width), class ids
Image.fromarray(label[0]).save(target)
for class_id in np.unique(label):
    print(f"{np.count_nonzero(label == class_id):8} pixels of {about['classes'][class_id]}")
