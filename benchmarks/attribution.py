"""What attribution diversity costs after the maps, and what a second target costs beside the first.

Run as `python -m benchmarks.attribution [--zoo PATH/zoo.py]`; a zoo file has `ZOO` (names) and
`build(name) -> (module, dict(input_size, mean, std, interpolation, …))`. Without one, 14 torchvision
architectures with random weights stand in.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import Row, side_by_side
from nversion.attribution import GramSums, attribute, attribute_targets, gram
from nversion.diversity import attribution_diversity
from nversion.ensembles import Ensembles
from nversion.models import Classifier, Preprocessing, make_classifier

NUM_IMAGES, SIZE, NUM_BLOCKS = 8, 224, 50
NORMALISE = ("none", "l2")
STAND_INS = (
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "squeezenet1_0",
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "mnasnet0_5",
    "mnasnet1_0",
    "regnet_y_400mf",
    "regnet_x_400mf",
)


def run(zoo: Path | None = None, repeats: int = 3) -> list[Row]:
    """Both comparisons, for 14 classifiers on one batch of canonical images."""
    pool = _zoo_classifiers(zoo) if zoo else _stand_ins()
    generator = torch.Generator().manual_seed(0)
    images_N3HW = torch.rand(NUM_IMAGES, 3, SIZE, SIZE, generator=generator)
    blocks_N = torch.arange(NUM_IMAGES)
    with torch.inference_mode():
        predicted_MN = torch.stack([classifier(images_N3HW).argmax(-1) for classifier in pool])
    ensembles = Ensembles.all_of(len(pool), 3)
    return [
        _algebra(pool, images_N3HW, predicted_MN, blocks_N, ensembles, repeats),
        _second_target(pool[0], images_N3HW, predicted_MN[0], repeats),
    ]


def _algebra(
    pool: list[Classifier],
    images_N3HW: Tensor,
    predicted_MN: Tensor,
    blocks_N: Tensor,
    ensembles: Ensembles,
    repeats: int,
) -> Row:
    maps: list[Tensor] = []

    def make_maps() -> None:
        maps[:] = [
            attribute(classifier, images_N3HW, predicted_N, "saliency", absolute=True)
            for classifier, predicted_N in zip(pool, predicted_MN, strict=True)
        ]

    def algebra() -> None:
        for normalise in NORMALISE:
            sums = GramSums.of(gram(maps, normalise), blocks_N, NUM_BLOCKS)
            attribution_diversity(sums.mean_gram(), ensembles)

    make_maps()
    algebra_s, maps_s = side_by_side(algebra, make_maps, repeats)
    return Row(
        name="attribution diversity of all ensembles, after the maps",
        ours_s=algebra_s,
        baseline_s=maps_s,
        baseline="the saliency maps themselves",
        goal=20.0,
        note=(
            f"{len(pool)} models, {NUM_IMAGES} images of {SIZE}×{SIZE}, {len(NORMALISE)} normalisations, "
            f"{len(ensembles)} ensembles: {algebra_s / maps_s:.2%} of the maps' time, limit 5 %; the "
            "ensembles' part is counted for each batch and needed once a condition"
        ),
    )


def _second_target(classifier: Classifier, images_N3HW: Tensor, predicted_N: Tensor, repeats: int) -> Row:
    labels_N = predicted_N.clone()
    labels_N[: len(labels_N) // 4] += 1
    labels_N %= classifier.card.label_space.num_classes
    targets = {"predicted": predicted_N, "label": labels_N}
    ours_s, two_passes_s = side_by_side(
        lambda: attribute_targets(classifier, images_N3HW, targets, "saliency", absolute=True),
        lambda: [
            attribute(classifier, images_N3HW, targets_N, "saliency", absolute=True)
            for targets_N in targets.values()
        ],
        max(repeats, 5),
    )
    return Row(
        name="maps for predicted class and label",
        ours_s=ours_s,
        baseline_s=two_passes_s,
        baseline="a full pass for each",
        note=f"{classifier.name}, a quarter of the labels differ: the limit of the ratio is 2 / 1.25 = 1.6",
    )


def _zoo_classifiers(path: Path) -> list[Classifier]:
    spec = importlib.util.spec_from_file_location("benchmark_zoo", path)
    assert spec is not None, path
    assert spec.loader is not None, path
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    pool = []
    for name in zoo.ZOO:
        module, facts = zoo.build(name)
        pool.append(make_classifier(module, Preprocessing(**facts), name=name, source="zoo"))
    return pool


def _stand_ins() -> list[Classifier]:
    import torchvision

    preprocessing = Preprocessing(SIZE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [torchvision.models.get_model(name) for name in STAND_INS]
    return [
        make_classifier(module, preprocessing, name=name, source="random weights")
        for name, module in zip(STAND_INS, modules, strict=True)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, help="a file with ZOO and build(name)")
    for row in run(parser.parse_args().zoo):
        print(f"{row.name}: {row.ours_s:.4f} s against {row.baseline_s:.4f} s ({row.baseline})")
        print(f"  ratio {row.ratio:.2f}, goal {row.goal}; {row.note}")
