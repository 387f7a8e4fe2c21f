"""Cores and memory are asked for in a way that works on every system."""

import os

import pytest

from nversion.core import memory_bytes, usable_cores


@pytest.fixture
def bare_system(monkeypatch):
    """A system such as Windows: neither `sched_getaffinity` nor `sysconf`."""
    for name in ("sched_getaffinity", "sysconf"):
        monkeypatch.delattr(os, name, raising=False)


def test_cores_are_at_least_one_and_at_most_the_machines():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_containers_share_of_time_bounds_the_cores(tmp_path):
    quota = tmp_path / "cpu.max"
    quota.write_text("50000 100000")
    assert usable_cores(quota) == 1


def test_cores_are_counted_where_affinity_cannot_be_asked_for(bare_system, tmp_path):
    assert usable_cores(tmp_path / "none") == os.cpu_count()


def test_memory_is_unknown_where_it_cannot_be_asked_for(bare_system):
    assert memory_bytes() is None


def test_doctor_runs_on_a_bare_system(bare_system):
    from nversion.cli.doctor import findings

    rows = {row["what"]: row["value"] for row in findings()}
    assert rows["memory"] == "unknown" and int(rows["cpu cores"]) >= 1
