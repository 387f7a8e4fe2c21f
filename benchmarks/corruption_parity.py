"""Are the pixels the reference's? `python -m benchmarks.corruption_parity --reference PATH`.

For random parameters at the paper's strengths and at the strongest level, at 224 and 32 pixels, counts how
far our bytes lie from those of the reference, given the same image and parameters. `--write-goldens FILE`
makes the small file that the tests read, from the reference's pixels alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import corruption_reference
from nversion.core import generator
from nversion.corruptions import (
    CORRUPTIONS,
    LEVELS_CIFAR,
    LEVELS_IMAGENET,
    PAPER_STRENGTHS_CIFAR,
    PAPER_STRENGTHS_IMAGENET,
    create,
)

GOLDENS = ((32, 3), (48, 2))


@dataclass(frozen=True)
class Parity:
    """How far our bytes lie from the reference's, over `num_images` images."""

    name: str
    severity: float
    side: int
    num_images: int
    equal: float
    within_1: float
    num_beyond_8: int
    furthest: int

    def __str__(self) -> str:
        return (
            f"{self.name:20} {self.severity:5g} {self.side:4} px {self.num_images:5} images   equal "
            f"{self.equal:.5f}   within ±1 {self.within_1:.6f}   beyond ±8 {self.num_beyond_8}   furthest "
            f"{self.furthest}"
        )


def synthetic_image(side: int) -> NDArray[np.uint8]:
    """A picture with gradients, edges, flat black and white, texture: (side, side, 3)."""
    row, column = np.mgrid[:side, :side]
    texture = (row * row * 7 + row * column * 13 + column * 29) % 64
    planes = [(row * 255) // side, (column * 255) // side, 96 + 2 * texture]
    image = np.stack(planes, axis=2)
    image[side // 4 : side // 2, side // 4 : side // 2] = 255
    image[side // 2 : 3 * side // 4, side // 2 : 3 * side // 4] = 0
    return image.astype(np.uint8)


def reference_pixels(
    construct: Any, severity: float, image_HW3: NDArray[np.uint8], parameters: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """What the reference makes of an image with these parameters."""
    arrays = {name: np.asarray(value) if name == "center" else value for name, value in parameters.items()}
    return np.asarray(construct(severity, len(image_HW3)).transform(image_HW3, **arrays))


def compare(construct: Any, name: str, severity: float, side: int, num_images: int) -> Parity:
    """Run both over the synthetic image with `num_images` drawn parameters."""
    image_HW3 = synthetic_image(side)
    image_13HW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None].contiguous()
    corruption = create(name, severity)
    histogram = np.zeros(256, dtype=np.int64)
    for draw in range(num_images):
        parameters = corruption.sample_parameters(generator("parity", name, side, draw), (side, side))
        theirs = reference_pixels(construct, severity, image_HW3, parameters).astype(np.int64)
        ours = corruption.apply(image_13HW, [parameters])[0].permute(1, 2, 0).numpy()
        histogram += np.bincount(np.abs(theirs - ours).ravel(), minlength=256)
    share = histogram / histogram.sum()
    return Parity(
        name,
        severity,
        side,
        num_images,
        equal=float(share[0]),
        within_1=float(share[:2].sum()),
        num_beyond_8=int(histogram[9:].sum()),
        furthest=int(np.flatnonzero(histogram).max()),
    )


def run(reference: Path, num_images_224: int = 10, num_images_32: int = 200) -> Iterator[Parity]:
    """Parity of all corruptions, at the paper's strength and at the strongest level."""
    constructors = corruption_reference.load(reference)
    for side, num_images, strengths, levels in (
        (32, num_images_32, PAPER_STRENGTHS_CIFAR, LEVELS_CIFAR),
        (224, num_images_224, PAPER_STRENGTHS_IMAGENET, LEVELS_IMAGENET),
    ):
        for name in CORRUPTIONS:
            if name in constructors:
                for severity in (strengths[name], levels[name][-1]):
                    yield compare(constructors[name], name, severity, side, num_images)


def write_goldens(reference: Path, file: Path) -> None:
    """Write parameters (JSON) and the reference's pixels of a few small images to an npz file."""
    arrays: dict[str, Any] = {}
    for name, construct in corruption_reference.load(reference).items():
        for side, count in GOLDENS:
            for draw in range(count):
                severity = (PAPER_STRENGTHS_CIFAR, PAPER_STRENGTHS_IMAGENET)[draw % 2][name]
                rng = generator("goldens", name, side, draw)
                parameters = create(name, severity).sample_parameters(rng, (side, side))
                pixels = reference_pixels(construct, severity, synthetic_image(side), parameters)
                arrays[f"{name}/{side}/{draw}/parameters"] = np.array(json.dumps(parameters))
                arrays[f"{name}/{side}/{draw}/pixels_HW3"] = pixels
    np.savez_compressed(file, **arrays)


def main() -> None:
    """Print one line for each corruption, strength and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="checkout of augmentation-corruption")
    parser.add_argument("--images-224", type=int, default=10)
    parser.add_argument("--images-32", type=int, default=200)
    parser.add_argument("--write-goldens", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.write_goldens:
        write_goldens(options.reference, options.write_goldens)
        return
    for parity in run(options.reference, options.images_224, options.images_32):
        print(parity, flush=True)


if __name__ == "__main__":
    main()
