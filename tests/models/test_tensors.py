"""Our own .safetensors files: every flipped bit is noticed, and equal content is equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nversion.core import UserError
from nversion.models.tensors import read_tensors, write_tensors

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 4),
}
FACTS = {"subnet": "depth=1", "nested": {"b": [1, 2.5, None], "a": "é"}}


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    write_tensors(path := tmp_path / "a.safetensors", TENSORS, FACTS)
    tensors, facts = read_tensors(path)
    assert facts == FACTS and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], value) for key, value in TENSORS.items())


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    written = set()
    for number in range(20):
        write_tensors(path := tmp_path / f"{number}.safetensors", TENSORS, FACTS)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_every_flipped_bit_is_noticed(mutations, tmp_path: Path) -> None:
    write_tensors(path := tmp_path / "a.safetensors", TENSORS, FACTS)
    whole = path.read_bytes()
    unnoticed = []
    for bit in range(0, 8 * len(whole), 3):
        path.write_bytes(mutations.flipped(whole, bit))
        try:
            tensors, facts = read_tensors(path)
        except UserError as error:
            assert error.expected == f"the tensors and facts that were written to {path}"
        else:
            unnoticed.append(bit)
            assert facts == FACTS and all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)
    assert len(unnoticed) <= 1  # \\u00e9 and \\u00E9 are one letter


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100, np.uint64(10**15).tobytes() + b"{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="found other ones: the file is damaged"):
        read_tensors(path)
