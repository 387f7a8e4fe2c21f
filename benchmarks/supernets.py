"""What subnets of one supernet cost beside networks of their own: switching, memory, forward, evaluation.

Run as `python -m benchmarks --only supernets`. Weights are random and images generated: no time depends on
what is learnt. Seconds are of processor time, on one thread that waits for nothing. The subnets are those of
the paper's Table ii and our two beside them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.timing import Row, median_seconds, side_by_side
from nversion.core.randomness import forked_randomness
from nversion.data import Canonical, Condition, Dataset, open_dataset
from nversion.models import Preprocessing
from nversion.predictions import Inference, RenderedBatch, as_float
from nversion.predictions import run as run_inference
from nversion.supernet.elastic import Elasticity, ElasticNetwork, Statistics, Subnet, extract
from nversion.supernet.nas.table_ii import TABLE_II, named_in_table_ii
from nversion.training.small_networks import resnet50 as small_resnet50

BATCH, SIZE, NUM_SWITCHES = 16, 64, 50
NUM_IMAGES, CANONICAL_SIZE, FILE_WIDTH, FILE_HEIGHT = 16, 224, 500, 375
MEBIBYTE = 2**20
PREPROCESSING = Preprocessing(CANONICAL_SIZE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

Calibrated = tuple[Subnet, Statistics]


def run(repeats: int = 7) -> list[Row]:
    """ResNet50 for switching, memory and forward; the small one of the recipes for evaluation."""
    from torchvision.models import resnet50

    supernet, subnets = _supernet(resnet50, SIZE)
    return [
        *switching_rows(supernet, subnets, repeats),
        memory_row(supernet, subnets, repeats),
        *forward_rows(supernet, subnets, repeats),
        evaluation_row(max(3, repeats // 2)),
    ]


def _supernet(make: Callable[..., nn.Module], size: int) -> tuple[ElasticNetwork, dict[str, Calibrated]]:
    """A supernet of random weights and its subnets."""
    with forked_randomness(0):
        supernet = ElasticNetwork(make(num_classes=43), Elasticity()).eval()
    chosen = {name: named_in_table_ii(supernet.space, name) for name in TABLE_II}
    return supernet, {name: _calibrated(supernet, subnet, size) for name, subnet in chosen.items()}


def _calibrated(supernet: ElasticNetwork, subnet: Subnet, size: int) -> Calibrated:
    images_N3HW = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return subnet, supernet.collect_statistics(subnet, [images_N3HW])


# Switching


def switching_rows(supernet: ElasticNetwork, subnets: dict[str, Calibrated], repeats: int) -> list[Row]:
    """From one subnet to another and back, half of it, against a copy of the other."""
    space = supernet.space
    largest, smallest = (_calibrated(supernet, end, SIZE) for end in (space.largest, space.smallest))
    rows = []
    for name, first, second in (
        ("switch to the next subnet: one block's inner channels", subnets["nB_1"], subnets["nB_2"]),
        ("switch from the largest to the smallest subnet", largest, smallest),
    ):
        changed, settings = _changed(supernet, first[0], second[0])
        copy = partial(extract, supernet, *second, share=False)
        ours_s, copy_s = side_by_side(
            partial(_there_and_back, supernet, first, second), copy, repeats, time.process_time
        )
        rows.append(
            Row(
                name=name,
                ours_s=ours_s / (2 * NUM_SWITCHES),
                baseline_s=copy_s,
                baseline="the subnet copied out (extract)",
                note=f"{changed} of {settings} convolutions and blocks that can be set are; no weight moves, "
                f"the copy moves {_distinct_bytes([copy()]) / MEBIBYTE:.0f} MiB",
            )
        )
    return rows


def _there_and_back(supernet: ElasticNetwork, first: Calibrated, second: Calibrated) -> None:
    for _ in range(NUM_SWITCHES):
        supernet.activate(*second)
        supernet.activate(*first)


def _changed(supernet: ElasticNetwork, first: Subnet, second: Subnet) -> tuple[int, int]:
    """How many convolutions and blocks have another setting in the second subnet, and how many have one."""
    settings = []
    for subnet in (first, second):
        supernet.activate(subnet)
        modules = [vars(module) for module in supernet.modules()]
        settings.append([own[key] for own in modules for key in ("active_out", "skipped") if key in own])
    return sum(one != other for one, other in zip(*settings, strict=True)), len(settings[0])


# Memory


def memory_row(supernet: ElasticNetwork, subnets: dict[str, Calibrated], repeats: int) -> Row:
    """Making 11 subnets as views and as copies, and the bytes that each way holds."""

    def made(share: bool) -> list[nn.Module]:
        return [extract(supernet, *subnet, share=share) for subnet in subnets.values()]

    views_s, copies_s = side_by_side(lambda: made(True), lambda: made(False), repeats, time.process_time)
    views = _distinct_bytes([supernet, *made(True)])
    alone = _distinct_bytes([supernet])
    copies = _distinct_bytes(made(False))
    return Row(
        name=f"{len(subnets)} subnets made",
        ours_s=views_s,
        baseline_s=copies_s,
        baseline="a copy of each",
        note=(
            f"memory {views / MEBIBYTE:.1f} MiB with the supernet's {alone / MEBIBYTE:.1f}, copies "
            f"{copies / MEBIBYTE:.0f} MiB: {copies / views:.3g}×; limit: the supernet and "
            f"{(views - alone) / len(subnets) / 1024:.0f} KiB of statistics each"
        ),
    )


def _distinct_bytes(modules: Iterable[nn.Module]) -> int:
    """Bytes of all parameters and buffers, each storage once."""
    storages = {}
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


# Forward


def forward_rows(supernet: ElasticNetwork, subnets: dict[str, Calibrated], repeats: int) -> list[Row]:
    """One subnet's logits three ways."""
    subnet, statistics = subnets["wB_1c"]
    images_N3HW = torch.randn(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    copy = extract(supernet, subnet, statistics, share=False)
    view = extract(supernet, subnet, statistics, share=True)
    supernet.activate(subnet, statistics)
    cost = supernet.cost(subnet, SIZE)
    logits = [_logits(network, images_N3HW) for network in (supernet, view, copy)]
    assert torch.equal(logits[0], logits[1]), "active and view read the same weights"
    torch.testing.assert_close(logits[0], logits[2])
    rows = []
    for name, network in (("active in the supernet", supernet), ("as a view", view)):
        ours_s, copy_s = side_by_side(
            partial(_logits, network, images_N3HW),
            partial(_logits, copy, images_N3HW),
            repeats,
            time.process_time,
        )
        rows.append(
            Row(
                name=f"forward of a subnet {name}",
                ours_s=ours_s,
                baseline_s=copy_s,
                baseline="the subnet copied out",
                note=(
                    f"{BATCH} images of {SIZE}×{SIZE}, {BATCH * cost.macs / 1e9:.1f} billion MACs each way; "
                    f"limit: slices of {4 * cost.num_parameters / MEBIBYTE:.0f} MiB of weights read once"
                ),
            )
        )
    return rows


@torch.inference_mode()
def _logits(network: nn.Module, images_N3HW: Tensor) -> Tensor:
    logits_NC: Tensor = network(images_N3HW)
    return logits_NC


# Evaluation


class _Networks:
    """A consumer that runs networks on every batch and keeps the sum of their logits."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.networks = networks
        self.sums = [0.0] * len(networks)

    def needs(self, condition: Condition, batch: int) -> bool:
        return True

    def consume(self, rendered: RenderedBatch) -> None:
        images_N3HW = as_float(rendered.images_N3HW, Inference())
        for place, network in enumerate(self.networks):
            self.sums[place] += float(_logits(network, PREPROCESSING(images_N3HW)).sum())


def evaluation_row(repeats: int) -> Row:
    """All subnets on images that are decoded and corrupted once, against a pass for each."""
    supernet, subnets = _supernet(small_resnet50, CANONICAL_SIZE)
    networks = [extract(supernet, *subnet, share=True) for subnet in subnets.values()]
    with tempfile.TemporaryDirectory() as folder:
        dataset = _images(Path(folder))

        def shared() -> list[float]:
            return _evaluate(dataset, networks)

        def separate() -> list[float]:
            return [total for network in networks for total in _evaluate(dataset, [network])]

        assert shared() == separate(), "the same images either way"
        shared_s, separate_s = side_by_side(shared, separate, repeats, time.process_time)
        images_s = median_seconds(lambda: _evaluate(dataset, []), repeats, time.process_time)
    by_sum = (len(networks) * images_s + shared_s - images_s) / shared_s
    return Row(
        name=f"{len(networks)} subnets on {NUM_IMAGES} images under lines",
        ours_s=shared_s,
        baseline_s=separate_s,
        baseline="a pass over the images for each",
        note=(
            f"files of {FILE_WIDTH}×{FILE_HEIGHT}, {CANONICAL_SIZE} pixels, ResNet50 of an eighth of the "
            f"channels; decoding and corrupting {images_s * 1e3:.0f} ms a pass, the networks "
            f"{(shared_s - images_s) * 1e3:.0f}: {by_sum:.2f}× by their sum, {len(networks)}× were they free"
        ),
    )


def _evaluate(dataset: Dataset, networks: Sequence[nn.Module]) -> list[float]:
    consumer = _Networks(networks)
    run_inference(
        dataset,
        Canonical(CANONICAL_SIZE),
        [Condition(dataset.name, "lines", 2.0)],
        [consumer],
        batch_size=NUM_IMAGES,
        device=torch.device("cpu"),
        num_threads=1,
    )
    return consumer.sums


def _images(folder: Path) -> Dataset:
    """JPEG files of smooth noise: they compress and decode like pictures."""
    rng = np.random.default_rng(0)
    lines = ["file,label"]
    for number in range(NUM_IMAGES):
        small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        small.resize((FILE_WIDTH, FILE_HEIGHT), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
        lines.append(f"{number}.jpg,{number % 43}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return open_dataset(
        {"source": "folder", "path": str(folder), "name": "noise", "label_space": "gtsrb", "num_classes": 43}
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in run():
        print(f"{row.name}: {row.ours_s:.6f} s against {row.baseline_s:.4f} s ({row.baseline})")
        print(f"  ratio {row.ratio:.3g}; {row.note}")
