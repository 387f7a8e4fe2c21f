"""Third-party code is known by its bytes, nversion's own by its version."""

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from nversion.attribution import METHODS
from nversion.core import code_fingerprint
from nversion.core.imports import source_files, source_fingerprint
from nversion.corruptions import CORRUPTIONS

PLUG_IN = """
class Base:
    def pixels(self): return 1
class Derived(Base):
    pass
def method(images): return images * 2
"""


def module_of(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Writes the source of a plug-in and imports it."""

    def write(source, name="some_plug_in"):
        monkeypatch.setitem(sys.modules, name, None)  # restored when the test ends
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        return module_of(path, name)

    return write


def test_what_nversion_defines_has_no_fingerprint_of_its_code():
    things = [CORRUPTIONS["lines"], CORRUPTIONS["plasma_noise"], METHODS["saliency"]]
    assert [code_fingerprint(thing) for thing in things] == ["", "", ""]


@pytest.mark.parametrize("name", ["Derived", "method"])
def test_an_edit_of_the_file_is_other_code(plug_in, name):
    before = code_fingerprint(getattr(plug_in(PLUG_IN), name))
    assert code_fingerprint(getattr(plug_in(PLUG_IN), name)) == before
    assert code_fingerprint(getattr(plug_in(PLUG_IN + "# a note\n"), name)) != before


def test_an_edit_of_a_base_class_in_another_file_is_other_code(plug_in):
    derived = "from plug_in_base import Base\nclass Derived(Base): pass\n"
    plug_in(PLUG_IN, "plug_in_base")
    before = code_fingerprint(plug_in(derived).Derived)
    plug_in(PLUG_IN.replace("return 1", "return 2"), "plug_in_base")
    assert code_fingerprint(plug_in(derived).Derived) != before


def test_a_partial_is_the_function_that_it_calls(plug_in):
    method = plug_in(PLUG_IN).method
    assert code_fingerprint(functools.partial(method)) == code_fingerprint(method)


def from_standard_input(source):
    program = source + "\nfrom nversion.core import code_fingerprint\nprint(code_fingerprint(Thing))\n"
    command = [sys.executable, "-"]
    return subprocess.run(command, input=program, text=True, capture_output=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "edited", ["def pixels(self): return self.x + 2", "def pixels(self): return {'a', 'c'}", "x = 4"]
)
def test_without_a_file_the_bytecode_tells_an_edit(edited):
    before = "class Thing:\n    x = 3\n    def pixels(self): return {'a', 'b'}\n"
    assert from_standard_input("\n\n" + before) == from_standard_input(before)
    assert from_standard_input(before + f"    {edited}\n") != from_standard_input(before)


def test_an_edit_of_what_the_file_imports_from_beside_it_is_other_code(plug_in, tmp_path):
    (tmp_path / "texture_of_it.py").write_text("GRAIN = 1\n")
    source = "def method(images):\n    from texture_of_it import GRAIN\n    return images * GRAIN\n"
    before = code_fingerprint(plug_in(source).method)
    (tmp_path / "texture_of_it.py").write_text("GRAIN = 2\n")
    assert code_fingerprint(plug_in(source).method) != before


def test_values_of_a_closure_and_of_a_partial_are_code(plug_in):
    made = plug_in("def make(k):\n    def method(images): return images * k\n    return method\n").make
    assert code_fingerprint(made(1)) == code_fingerprint(made(1)) != code_fingerprint(made(2))
    assert code_fingerprint(functools.partial(made, k=1)) != code_fingerprint(functools.partial(made, k=2))


def test_an_installed_package_is_known_by_its_version_not_by_all_that_it_imports():
    assert len(source_fingerprint(Path(pytest.__file__))) == 32
    assert source_files(Path(__file__)) == [Path(__file__)]
