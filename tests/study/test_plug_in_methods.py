"""Grams of a third party's attribution method belong to the code that made them."""

import importlib.util
import sys

import pytest

from nversion.attribution import METHODS

PLUG_IN = """
def first_channel(classifier, images_N3HW, targets_N, *, absolute):
    return images_N3HW * 1.0
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Writes the file of an attribution method and registers its function anew."""

    def write(source):
        path = tmp_path / "some_method.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("some_method", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "some_method", module)
        spec.loader.exec_module(module)
        monkeypatch.setitem(METHODS._entries, "first_channel", module.first_channel)

    return write


def test_an_edited_method_of_a_third_party_is_computed_anew(small, inputs, plug_in):
    changes = {"attribution": {"methods": ["first_channel"]}, "report": {"maps": 0}}
    plug_in(PLUG_IN)
    assert small.run(inputs, **changes).maps_missing > 0
    assert small.run(inputs, **changes).maps_missing == 0
    plug_in(PLUG_IN.replace("* 1.0", "* 2.0"))
    again = small.run(inputs, **changes)
    assert again.maps_missing == again.maps_total
    assert again.batches_missing == 0
