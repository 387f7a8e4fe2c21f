"""The variants of CIFAR-10-C: registered by one decorator, picklable, otherwise the corruption they vary."""

import pickle

import pytest

from nversion.corruptions import CORRUPTIONS, IMAGENET_C, IMAGENET_C_EXTRA, create

PUBLISHED = sorted([*IMAGENET_C_EXTRA, *(name for names in IMAGENET_C.values() for name in names)])


def test_every_corruption_of_imagenet_c_has_a_variant_of_cifar_10_c():
    found = sorted(name.removesuffix("_cifar") for name in CORRUPTIONS if name.endswith("_cifar"))
    assert found == PUBLISHED and len(found) == 19


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_variant_differs_in_its_table_alone_and_survives_pickling(name):
    kind, variant = CORRUPTIONS[name], CORRUPTIONS[f"{name}_cifar"]
    assert issubclass(variant, kind) and variant.parameters is kind.parameters
    assert len(variant.table) == len(kind.table) == 5 and variant.table != kind.table
    one = create(f"{name}_cifar", 3)
    assert pickle.loads(pickle.dumps(one)) == one and one.name == f"{name}_cifar"
