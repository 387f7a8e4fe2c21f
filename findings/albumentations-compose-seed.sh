#!/bin/bash
# albumentations 2.0.8: a seeded Compose gives every transform inside it the same random numbers.
#
# Expected: transforms of one pipeline draw independently; two flips of p = 0.5 give each of the four outcomes a
# quarter of the images, and the variances of two noises add up.
# Found: both flips happen or neither does, and the two noises are one noise twice.
# Exit 0: as described; 1: the behaviour changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q albumentations==2.0.8 opencv-python-headless==4.13.0.92 numpy==2.4.6
NO_ALBUMENTATIONS_UPDATE=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections import Counter
from importlib.metadata import version

import albumentations as A
import numpy as np

print("albumentations", version("albumentations"), "numpy", version("numpy"))
image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
names = {image[rows][:, columns].tobytes(): name for rows, columns, name in (
    (slice(None), slice(None), "neither"), (slice(None), slice(None, None, -1), "left-right alone"),
    (slice(None, None, -1), slice(None), "upside-down alone"), (slice(None, None, -1), slice(None, None, -1), "both"),
)}
found = Counter(
    names[A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], seed=seed)(image=image)["image"].tobytes()]
    for seed in range(200)
)
print("two flips of p = 0.5, 200 seeds:", dict(found))

grey = np.full((256, 256, 3), 128, np.uint8)
noise = A.Compose([A.GaussNoise(std_range=(0.1, 0.1), p=1) for _ in range(2)], seed=0)
deviation = (noise(image=grey)["image"].astype(float) - 128).std()
print(f"two noises of deviation 25.5: {deviation:.1f}; independent ones: {25.5 * 2**0.5:.1f}")
as_described = not found["left-right alone"] + found["upside-down alone"] and deviation > 45
print("as described" if as_described else "the behaviour changed")
sys.exit(not as_described)
PYTHON
