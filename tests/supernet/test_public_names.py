"""The names of the package load when they are used, and only what they need."""

import subprocess
import sys

import pytest

from nversion import supernet


@pytest.mark.parametrize("name", supernet.__all__)
def test_every_name_of_the_catalogue_is_there(name):
    assert getattr(supernet, name).__module__.startswith("nversion.supernet.")


def test_elastic_networks_load_no_training():
    code = (
        "import sys, nversion.supernet as s; s.ElasticNetwork; sys.exit('nversion.training' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
