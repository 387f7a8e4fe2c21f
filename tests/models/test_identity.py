"""Whatever can change a logit changes the fingerprint; whatever cannot leaves it as it was."""

import array
import functools
import io
import subprocess
import sys
import types
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from nversion.models import Preprocessing, fingerprint_of, load_classifier

PREPARE = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
HALF = {"input_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3}


def small(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)
        ).eval()


def with_attribute(value):
    module = small()
    module.held = value
    return module


def hidden_tensor(k):
    return with_attribute({"deep": [(torch.full((3000,), float(k)),)]})


def many_objects_deep(k):
    value = k
    for _ in range(150):
        value = [value]
    return with_attribute(value)


def non_persistent(k):
    module = small()
    module.register_buffer("table", torch.full((3,), float(k)), persistent=False)
    return module


def hooked(k):
    module = small()
    module[2].register_forward_hook(functools.partial(lambda by, _m, _i, output: output * by, k))
    return module


def replaced_forward(k):
    module = small()
    before = module.forward
    module.forward = lambda images: before(images) + k
    return module


def class_of_a_closure(k):
    class Scaled(nn.Module):
        def forward(self, images):
            return images * k

    return Scaled()


def one_of_two_functions(k):
    first, second = (lambda x: x + 1), (lambda x: x + 2)
    return with_attribute(second if k else first)


@dataclass
class Facts:
    scale: float


def slotted(k):
    class Slotted:
        __slots__ = ("scale",)

    value = Slotted()
    value.scale = k
    return with_attribute(value)


def dynamically_quantised(k):
    return torch.ao.quantization.quantize_dynamic(small(k), {nn.Linear}, dtype=torch.qint8)


def loaded_script(k):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(small(k)), buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def exported(k):
    images = torch.rand(2, 3, 8, 8)
    return torch.export.export(small(k), (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},)).module()


def weight_normalised(k):
    module = small()
    torch.nn.utils.parametrizations.weight_norm(module[4])
    module[4].parametrizations.weight.original0.data += k
    return module


def sparse(k):
    return with_attribute(torch.eye(50).mul(k + 1).to_sparse())


def ordered(k):
    parts = [("first", nn.Flatten(1, 2)), ("second", nn.Flatten(2, 3))]
    return nn.Sequential(OrderedDict(parts[::-1] if k else parts))


def function_attribute(k):
    def scaled(images):
        return images * scaled.by

    scaled.by = k
    return with_attribute(scaled)


def privately_slotted(k):
    class _Slotted:
        __slots__ = ("__scale",)

        def __init__(self):
            self.__scale = k

    return with_attribute(_Slotted())


MAKERS = {
    "array of the standard library": lambda k: with_attribute(array.array("d", [k])),
    "bytes that can change": lambda k: with_attribute(bytearray([k])),
    "method of a list": lambda k: with_attribute([k].index),
    "default of a mapping": lambda k: with_attribute(defaultdict(functools.partial(int, k))),
    "masked array": lambda k: with_attribute(np.ma.array([1.0, 2.0], mask=[k, 0])),
    "plain attribute": with_attribute,
    "list of modules": lambda k: with_attribute([small(k)]),
    "dataclass": lambda k: with_attribute(Facts(k)),
    "namespace": lambda k: with_attribute(types.SimpleNamespace(scale=k)),
    "array": lambda k: with_attribute(np.full(3000, k)),
    "set": lambda k: with_attribute({"a", "b", f"c{k}"}),
    "partial": lambda k: with_attribute(functools.partial(torch.roll, shifts=k)),
    "bound method": lambda k: with_attribute(Facts(k).__eq__),
    "training mode of a part": lambda k: small().train(bool(k)),
    "scripted": loaded_script,
    "traced": lambda k: torch.jit.trace(small(k), torch.rand(1, 3, 8, 8)),
    "frozen script": lambda k: torch.jit.freeze(torch.jit.script(small(k))),
    "compiled": lambda k: torch.compile(small(k), backend="eager"),
    **{
        make.__name__: make
        for make in (
            *(hidden_tensor, many_objects_deep, non_persistent, hooked, replaced_forward, slotted, sparse),
            *(class_of_a_closure, one_of_two_functions, dynamically_quantised, exported, weight_normalised),
            *(ordered, function_attribute, privately_slotted),
        )
    },
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", MAKERS)
def test_one_other_value_wherever_it_hides_is_another_classifier(kind):
    one, again, other = (fingerprint_of(MAKERS[kind](k), PREPARE) for k in (0, 0, 1))
    assert one == again != other


def test_a_method_exchanged_in_a_class_of_a_library_is_seen(monkeypatch):
    before = fingerprint_of(small(), PREPARE)
    monkeypatch.setattr(nn.ReLU, "forward", lambda _, images: images.sigmoid())
    assert fingerprint_of(small(), PREPARE) != before


def test_memory_format_gradients_and_a_warm_device_change_nothing():
    module = small()
    before = fingerprint_of(module, PREPARE)
    module.to(memory_format=torch.channels_last).requires_grad_(False)
    assert fingerprint_of(module, PREPARE) == before


PROCESS = """
import torch
from nversion.models import Preprocessing, fingerprint_of
torch.manual_seed(0)
network = torch.nn.TransformerEncoderLayer(8, 2, activation=torch.nn.functional.gelu).eval()
network.kinds = {"one", "two", "three"}
print(fingerprint_of(network, Preprocessing(8, (0.5,) * 3, (0.5,) * 3)))
"""


def test_processes_agree_whatever_the_order_of_their_sets(capsys):
    command = [sys.executable, "-c", PROCESS]
    env = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    other = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    with torch.random.fork_rng(devices=[]):
        exec(PROCESS, {})
    assert capsys.readouterr().out == other


# --- code and arguments of python: sources

CODE = """
from torch import nn
from parts.blocks import head

class Shifted(nn.Module):
    def __init__(self, shift):
        super().__init__()
        self.net, self.shift = head(), shift
    def forward(self, x): return self.net(x).roll(self.shift, 1)

def build(shift=0): return Shifted(shift)
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "blocks.py").write_text(
        "from torch import nn\nfrom .sizes import WIDTH\n"
        "def head(): return nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, 5))\n"
    )
    (tmp_path / "parts" / "sizes.py").write_text("WIDTH = 192\n")
    (tmp_path / "nets.py").write_text(CODE)
    (tmp_path / "unrelated.py").write_text("")
    return tmp_path


def print_of(base, **spec):
    spec = {"source": "python:nets.py:build", "label_space": "five", "preprocessing": HALF} | spec
    return load_classifier(spec, base).fingerprint


def test_arguments_of_a_builder_are_part_of_the_identity(code):
    assert print_of(code) != print_of(code, args={"shift": 3})
    assert print_of(code, args={"shift": 3}) == print_of(code, args={"shift": 3})


@pytest.mark.parametrize("file", ["nets.py", "parts/__init__.py", "parts/blocks.py", "parts/sizes.py"])
def test_every_file_that_a_builder_imports_from_its_folder_counts(code, file):
    before = print_of(code)
    path = code / file
    path.write_text(path.read_text() + "# edited\n")
    assert print_of(code) != before


def test_files_that_are_not_imported_do_not_count(code):
    before = print_of(code)
    (code / "unrelated.py").write_text("WIDTH = 3\n")
    assert print_of(code) == before


def test_moving_the_folder_changes_nothing(code):
    before = print_of(code)
    assert print_of(code.rename(code.with_name("elsewhere"))) == before


def test_two_folders_with_helpers_of_one_name_each_get_their_own(tmp_path):
    for number in (2, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a_helper.py").write_text(f"CLASSES = {number}\n")
        (folder / "net.py").write_text(
            "from torch import nn\nfrom a_helper import CLASSES\n"
            "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES))\n"
        )
    specs = [
        {"source": f"python:{n}/net.py:build", "label_space": "x", "preprocessing": HALF} for n in (2, 3)
    ]
    found = [load_classifier(spec, tmp_path).card.label_space.num_classes for spec in specs]
    assert found == [2, 3]
