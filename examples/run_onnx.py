"""Segment a picture with an exported network: python run_onnx.py EXPORTED_FOLDER slice.png label.png.

Needs numpy, pillow and onnxruntime, and nothing else of the project that trained it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, source, target = (Path(argument) for argument in sys.argv[1:])
about = json.loads((folder / "network.json").read_text(encoding="utf-8"))
height, width = about["input"]["shape"][2:]
picture = ImageOps.pad(Image.open(source).convert("L"), (width, height), Image.Resampling.BILINEAR)
image = np.asarray(picture, dtype=np.float32)[None, None] / 255  # (batch, 1, height, width) in [0, 1]
session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
(label,) = session.run(["label"], {"image": image})  # (batch, height, width), class ids
Image.fromarray(label[0]).save(target)
for class_id in np.unique(label):
    print(f"{np.count_nonzero(label == class_id):8} pixels of {about['classes'][class_id]}")
