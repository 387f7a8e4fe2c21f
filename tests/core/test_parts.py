"""An array of parts is whole, resumable and suspicious."""

import json

import numpy as np
import pytest

from nversion.core import PartedArray, UserError

BOUNDS = [(0, 2), (2, 4), (4, 5)]
ROWS = np.arange(15, dtype=np.float32).reshape(5, 3)


def array(folder, what=None, made_with=None):
    return PartedArray(
        folder / "a", what or {"x": 1}, made_with or {"torch": "2"}, BOUNDS, (3,), "float32"
    ).open()


def fill(parted, parts=(0, 1, 2)):
    for part in parts:
        start, stop = BOUNDS[part]
        parted.write(part, ROWS[start:stop], note=part)


def contents(folder):
    return {p.name: p.read_bytes() for p in (folder / "a").iterdir()}


def test_all_parts_join_to_the_rows_and_the_sum_of_notes(tmp_path):
    parted = array(tmp_path)
    fill(parted)
    parted.finish()
    assert np.array_equal(parted.read(), ROWS)
    assert parted.note == 3
    assert sorted(contents(tmp_path)) == ["array.npy", "manifest.json"]


def test_interrupted_and_resumed_ends_in_the_bytes_of_one_go(tmp_path):
    one_go = array(tmp_path / "one")
    fill(one_go)
    one_go.finish()
    fill(array(tmp_path / "two"), parts=[2])
    resumed = array(tmp_path / "two")
    assert resumed.missing() == [0, 1]
    fill(resumed, parts=[1, 0])
    resumed.finish()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_array_is_read_only(tmp_path):
    parted = array(tmp_path)
    fill(parted)
    parted.finish()
    with pytest.raises(ValueError, match="read-only"):
        parted.read()[0, 0] = 1


def test_a_part_that_was_altered_is_set_aside_and_computed_again(tmp_path):
    fill(array(tmp_path), parts=[0, 1])
    victim = next((tmp_path / "a").glob("part-000001-*"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    again = array(tmp_path)
    assert again.missing() == [1, 2]
    assert again.set_aside == [f"{victim}.set-aside-0"]


def test_a_truncated_part_is_set_aside(tmp_path):
    fill(array(tmp_path), parts=[0])
    victim = next((tmp_path / "a").glob("part-000000-*"))
    victim.write_bytes(victim.read_bytes()[:-4])
    assert array(tmp_path).missing() == [0, 1, 2]


def part(folder, index):
    return next((folder / "a").glob(f"part-{index:06d}-*.npy"))


def test_parts_whose_files_were_swapped_are_set_aside(tmp_path):
    parted = array(tmp_path)
    for index in (0, 1):
        parted.write(index, ROWS[2 * index : 2 * index + 2])
    first, second = part(tmp_path, 0), part(tmp_path, 1)
    digest_of = {path: path.stem.rpartition("-")[2] for path in (first, second)}
    first.rename(tmp_path / "a" / "moved")
    second.rename(first.with_name(f"part-000000-0-{digest_of[second]}.npy"))
    (tmp_path / "a" / "moved").rename(second.with_name(f"part-000001-0-{digest_of[first]}.npy"))
    again = array(tmp_path)
    assert again.missing() == [0, 1, 2]
    assert len(again.set_aside) == 2


def test_a_part_of_another_array_is_set_aside(tmp_path):
    fill(array(tmp_path / "x", what={"x": 1}), parts=[0])
    fill(array(tmp_path / "y", what={"x": 2}), parts=[1])
    copied = part(tmp_path / "x", 0)
    (tmp_path / "y" / "a" / copied.name).write_bytes(copied.read_bytes())
    again = array(tmp_path / "y", what={"x": 2})
    assert again.missing() == [0, 2]
    assert [name.rpartition("/")[2] for name in again.set_aside] == [f"{copied.name}.set-aside-0"]


@pytest.mark.parametrize("accepted", ["written", "opened"])
def test_a_part_that_is_altered_before_the_join_stops_the_run_and_is_computed_again(tmp_path, accepted):
    parted = array(tmp_path)
    fill(parted)
    if accepted == "opened":
        parted = array(tmp_path)
    victim = part(tmp_path, 1)
    victim.write_bytes(part(tmp_path, 0).read_bytes())
    with pytest.raises(
        UserError, match=rf"{victim}, found other bytes, set aside as .*{victim.name}.set-aside-0; run again"
    ):
        parted.finish()
    assert not parted.complete
    assert parted.missing() == [1]
    assert not (tmp_path / "a" / "array.npy").exists()
    again = array(tmp_path)
    assert again.missing() == [1]
    fill(again, parts=[1])
    again.finish()
    assert np.array_equal(again.read(), ROWS)


def test_a_part_that_is_gone_before_the_join_stops_the_run(tmp_path):
    parted = array(tmp_path)
    fill(parted)
    part(tmp_path, 2).unlink()
    with pytest.raises(UserError, match="found no such file; run again: only that part is computed again"):
        parted.finish()
    assert array(tmp_path).missing() == [2]


def test_an_array_that_was_altered_is_set_aside_whole(tmp_path):
    parted = array(tmp_path)
    fill(parted)
    parted.finish()
    path = tmp_path / "a" / "array.npy"
    content = bytearray(path.read_bytes())
    content[-2] ^= 64
    path.write_bytes(content)
    again = array(tmp_path)
    assert again.missing() == [0, 1, 2]
    assert again.set_aside == [str(tmp_path / "a.set-aside-0")]


@pytest.mark.parametrize("change", [{"what": {"x": 2}}, {"made_with": {"torch": "9"}}, {"complete": None}])
def test_a_manifest_altered_by_hand_is_never_trusted(tmp_path, change):
    parted = array(tmp_path)
    fill(parted)
    parted.finish()
    path = tmp_path / "a" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    again = array(tmp_path)
    assert again.missing() == [0, 1, 2]
    assert len(again.set_aside) == 1


def test_a_manifest_that_is_no_json_is_set_aside(tmp_path):
    fill(array(tmp_path))
    (tmp_path / "a" / "manifest.json").write_text("{")
    assert len(array(tmp_path).set_aside) == 1


def test_an_unfinished_array_of_another_make_is_started_again(tmp_path):
    fill(array(tmp_path), parts=[0])
    assert array(tmp_path, made_with={"torch": "3"}).missing() == [0, 1, 2]


def test_looking_at_an_array_of_another_make_deletes_nothing(tmp_path):
    fill(array(tmp_path), parts=[0])
    before = contents(tmp_path)
    other = array(tmp_path, made_with={"torch": "3"})
    assert contents(tmp_path) == before
    fill(other)
    other.finish()
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["made_with"] == {"torch": "3"}
    assert np.array_equal(other.read(), ROWS)


def test_a_finished_array_of_another_make_is_kept(tmp_path):
    parted = array(tmp_path)
    fill(parted)
    parted.finish()
    assert array(tmp_path, made_with={"torch": "3"}).missing() == []


def test_a_kill_between_join_and_manifest_loses_nothing(tmp_path):
    parted = array(tmp_path)
    fill(parted)
    (tmp_path / "a" / "array.npy").write_bytes(b"half")
    again = array(tmp_path)
    again.finish()
    assert np.array_equal(again.read(), ROWS)


def test_a_start_that_was_killed_before_its_manifest_is_no_tampering(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".manifest.json.x1.tmp").write_text("{")
    parted = array(tmp_path)
    fill(parted)
    parted.finish()
    assert parted.set_aside == []
    assert np.array_equal(array(tmp_path).read(), ROWS)


def test_empty_parts_are_never_missing(tmp_path):
    parted = PartedArray(tmp_path / "b", {"x": 1}, {}, [(0, 0), (0, 2), (2, 2)], (1,), "float64").open()
    assert parted.missing() == [1]


def test_what_was_made_under_another_guard_is_set_aside(tmp_path):
    def array(guard):
        return PartedArray(tmp_path / "a", {"x": 1}, {}, [(0, 2)], (), "float64", [guard])

    first = array([3.0, -1.0]).open()
    first.write(0, np.zeros(2))
    first.finish()
    assert array([3.0001, -1.0]).open().complete  # rounding on another machine
    other = array([3.0, -0.9]).open()
    assert other.missing() == [0] and len(other.set_aside) == 1
