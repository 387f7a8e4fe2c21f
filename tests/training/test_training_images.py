"""Images from disk: their pixels follow from the sample and its keys alone."""

import numpy as np
import pytest
import torch

from nversion.data import Canonical, open_dataset
from nversion.training.images import FromDisk, InMemory, open_images
from nversion.training.recipe import AugmentTable

KEYS = (0, "shared", 3)
AUGMENT = AugmentTable(max_shift=2)


@pytest.fixture
def digits(tmp_path):
    return open_dataset({"source": "digits", "split": "test", "count": 12}, tmp_path)


def from_disk(dataset, settings=AUGMENT, workers=0):
    canonical = Canonical(size=24, mode="squash")
    return FromDisk(dataset, canonical, settings, torch.device("cpu"), workers)


def by_sample(source, order, batch_size, keys=KEYS):
    """Pixels of each sample, whatever its batch."""
    batches = [images for images, _ in source.batches(np.array(order), batch_size, keys)]
    return dict(zip(order, torch.cat(batches), strict=True))


def equal(first, second):
    return all(torch.equal(first[i], second[i]) for i in first)


def test_a_sample_does_not_depend_on_its_batch_or_neighbours(digits):
    one = by_sample(from_disk(digits), [0, 1, 2, 3, 4, 5], 6)
    assert equal(one, by_sample(from_disk(digits), [5, 3, 0, 1, 4, 2], 2))
    assert not equal(one, by_sample(from_disk(digits), [0, 1, 2, 3, 4, 5], 6, (0, "shared", 4)))


@pytest.mark.slow
def test_two_workers_make_the_same_pixels_as_none(digits):
    order = [7, 2, 5, 0, 11]
    assert equal(by_sample(from_disk(digits), order, 2), by_sample(from_disk(digits, workers=2), order, 2))


def test_labels_belong_to_their_images_and_a_resumed_epoch_has_the_same_batches(digits):
    source, order = from_disk(digits), np.array([7, 2, 5, 0, 11])
    whole = list(source.batches(order, 2, KEYS))
    resumed = list(source.batches(order, 2, KEYS, first=1))
    assert torch.equal(torch.cat([labels for _, labels in whole]), torch.tensor(digits.labels_N[order]))
    for (a, b), (c, d) in zip(whole[1:], resumed, strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)


def test_without_augmentation_disk_and_memory_are_equal(digits):
    canonical, order = Canonical(size=24, mode="squash"), [3, 1, 4]
    memory = open_images(digits, canonical, None, torch.device("cpu"), 0)
    assert isinstance(memory, InMemory)
    assert equal(by_sample(memory, order, 2), by_sample(from_disk(digits, None), order, 2))


def test_sets_that_are_too_large_for_memory_come_from_disk(digits, monkeypatch):
    from nversion.training import images

    monkeypatch.setattr(images, "BYTES_IN_MEMORY", 12 * 3 * 24 * 24 - 1)
    source = open_images(digits, Canonical(size=24, mode="squash"), None, torch.device("cpu"), 0)
    assert isinstance(source, FromDisk)
