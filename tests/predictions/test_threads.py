"""The threads of torch: asked for, or the cores that the process may use."""

import os

import pytest
import torch

from nversion.core import usable_cores
from nversion.predictions import torch_threads


def test_threads_are_as_asked_and_given_back():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_without_a_wish_threads_are_no_more_than_the_cores(monkeypatch):
    monkeypatch.setattr("nversion.predictions.threads.usable_cores", lambda: 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch_threads(None):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 4), (None, 4)]
)
def test_a_containers_share_of_time_counts(tmp_path, monkeypatch, text, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == cores
