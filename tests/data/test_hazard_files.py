"""Groups of classes and costs of mistakes: every form that a file may have, and every fault of it."""

import numpy as np
import pytest

from nversion.core import LabelSpace, UserError
from nversion.data import read_costs, read_groups

SIGNS = LabelSpace("signs", 4, ("stop", "yield", "road work", "limit 50"))
UNNAMED = LabelSpace("signs", 4)


@pytest.fixture
def write(tmp_path):
    def write_lines(name, *lines):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / name

    return write_lines


@pytest.fixture
def groups(write):
    return read_groups(write("g.csv", "class,group", "stop,priority", "yield,priority", "3,speed"), SIGNS)


# --- groups


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("g.csv", ["class,group", "stop,priority", "3,speed", "yield,priority"]),
        ("g.toml", ['priority = ["stop", 1]', 'speed = ["limit 50"]']),
        ("g.csv", ["group,class", "priority, 0", " priority ,yield", "speed,limit 50", "speed,3"]),
    ],
)
def test_groups_name_some_classes(write, name, lines):
    groups = read_groups(write(name, *lines), SIGNS)
    assert groups.names == ("priority", "speed")
    assert groups.group_C.tolist() == [0, 0, -1, 1]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("g.csv", ["class,group", "stopp,a"], r"in line 2 of .*g\.csv, found 'stopp'; did you mean 'stop'"),
        (
            "g.csv",
            ["class,group", "stop,a", "4,a"],
            r"in line 3 of .*g\.csv, found '4'; write an index from 0",
        ),
        (
            "g.csv",
            ["class,group", "stop,a", "0,b"],
            r"each class in one group of .*, found '0' in 'a' and, in line 3 of .*g\.csv, in 'b'; take it",
        ),
        ("g.csv", ["class,group", "stop,"], r"expected a group in line 2 of .*g\.csv, found none; take the"),
        (
            "g.csv",
            ["label,group", "stop,a"],
            r"the columns 'class' and 'group' in .*, found 'label', 'group'",
        ),
        ("g.csv", ["class,group"], r"expected groups of classes in .*g\.csv, found none"),
        ("g.toml", ["a = 1 2"], r"expected TOML in .*g\.toml, found .*line 1"),
        ("g.toml", ['a = "stop"'], r"a list of classes for the group 'a' of .*g\.toml, found 'stop'"),
        ("g.toml", ["a = [true]"], r"a list of classes for the group 'a' of .*g\.toml, found \[True\]"),
        ("g.toml", ['a = ["halt"]'], r"in the group 'a' of .*g\.toml, found 'halt'; write the name or the"),
        ("g.json", ["{}"], r"expected groups in a \.csv or \.toml file, found g\.json"),
    ],
)
def test_a_faulty_file_of_groups_is_told(write, name, lines, message):
    with pytest.raises(UserError, match=message):
        read_groups(write(name, *lines), SIGNS)


@pytest.mark.parametrize("name", ["none.csv", "none.toml"])
def test_missing_files_are_told(tmp_path, name):
    for read in (read_groups, read_costs):
        with pytest.raises(UserError, match=rf"expected the file .*{name}, found no such file"):
            read(tmp_path / name, SIGNS)


# --- costs


def test_pairs_cost_what_they_say_and_other_mistakes_one(write):
    cost_CC = read_costs(write("c.csv", "label,taken,cost", "stop,limit 50,20", "3,0,0.5", "1,1,0"), SIGNS)
    assert cost_CC.tolist() == [[0, 1, 1, 20], [1, 0, 1, 1], [1, 1, 0, 1], [0.5, 1, 1, 0]]


def test_costs_of_groups_hold_for_all_their_classes_in_one_direction(write, groups):
    rows = ["group_a,group_b,cost", "priority,speed,10", "priority,priority,2"]
    cost_CC = read_costs(write("c.csv", *rows), SIGNS, groups)
    assert cost_CC.tolist() == [[0, 2, 1, 10], [2, 0, 1, 10], [1, 1, 0, 1], [1, 1, 1, 0]]


def test_a_matrix_may_list_the_classes_in_any_order(write):
    lines = ["label,limit 50,stop,yield,2", "yield,1,2,0,3", "stop,9,0,4,5", "2,6,7,8,0", "limit 50,0,1,1,1"]
    cost_CC = read_costs(write("c.csv", *lines), SIGNS)
    assert cost_CC.tolist() == [[0, 4, 5, 9], [2, 0, 3, 1], [7, 8, 0, 6], [1, 1, 1, 0]]


def test_a_matrix_needs_no_names_of_classes(write):
    lines = [",0,1,2,3", "0,0,1,2,3", "1,4,0,5,6", "2,7,8,0,9", "3,1,2,3,0"]
    cost_CC = read_costs(write("c.csv", *lines), UNNAMED)
    assert np.array_equal(cost_CC, [[0, 1, 2, 3], [4, 0, 5, 6], [7, 8, 0, 9], [1, 2, 3, 0]])


PAIRS = "label,taken,cost"
MATRIX = ["label,0,1,2,3", "0,0,1,1,1", "1,1,0,1,1", "2,1,1,0,1", "3,1,1,1,0"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([PAIRS, "stop,jield,3"], r"in line 2 of .*c\.csv, found 'jield'; did you mean 'yield'\?"),
        ([PAIRS, "0,1,-2"], r"expected a finite cost of 0 or more in line 2 of .*c\.csv, found '-2'"),
        ([PAIRS, "0,1,2", "0,2,inf"], r"finite cost of 0 or more in line 3 of .*c\.csv, found 'inf'"),
        ([PAIRS, "0,1,nan"], r"finite cost of 0 or more in line 2 of .*, found 'nan'"),
        ([PAIRS, "0,1,dear"], r"finite cost of 0 or more in line 2 of .*, found 'dear'; write a number"),
        ([PAIRS, "stop,1,2", "0,yield,2"], r"found '0' taken for 'yield' again in line 3 of .*c\.csv"),
        ([PAIRS, "0,0,1"], r"a cost of 0 for taking '0' for itself in line 2 of .*c\.csv, found 1; write 0"),
        ([PAIRS, "0,1"], r"expected 3 fields in line 2 of .*c\.csv, found 2"),
        (
            ["label,take,costs", "0,1,2"],
            r"expected the columns label,taken,cost or group_a,group_b,cost in .*c\.csv, or a column for "
            r"each of the 4 classes after the first, found label,take,costs; correct the first line",
        ),
        (["a,b,c,d,e,f,g"], r"found a,b,c,d,\.\.\. \(7 columns\)"),
        ([], r"c\.csv, or a column for each of the 4 classes after the first, found an empty file"),
        (
            ["group_a,group_b,cost", "a,b,2"],
            r"expected the groups that .*c\.csv names, found none; add `groups",
        ),
        (MATRIX[:4], r"expected a line for each of the 4 classes in .*c\.csv, found none for 'limit 50'"),
        ([*MATRIX, "3,1,1,1,0"], r"found the class '3' again in line 6 of .*c\.csv"),
        (["label,0,1,2,2", *MATRIX[1:]], r"found the class '2' again in line 1 of .*c\.csv"),
        ([*MATRIX[:4], "3,1,1,1,7"], r"cost of 0 for taking '3' for itself in line 5 of .*c\.csv, found 7"),
        ([*MATRIX[:4], "3,1,1,,0"], r"finite cost of 0 or more in line 5 of .*c\.csv, found ''"),
    ],
)
def test_a_faulty_file_of_costs_is_told(write, lines, message):
    with pytest.raises(UserError, match=message):
        read_costs(write("c.csv", *lines), SIGNS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "priority,sped,2",
            r"expected a group of classes in line 2 of .*c\.csv, found 'sped'; did you mean 'sp",
        ),
        ("priority,speed,x", r"finite cost of 0 or more in line 2 of .*c\.csv, found 'x'"),
    ],
)
def test_a_faulty_cost_of_groups_is_told(write, groups, row, message):
    with pytest.raises(UserError, match=message):
        read_costs(write("c.csv", "group_a,group_b,cost", row), SIGNS, groups)


def test_a_cost_of_groups_is_told_once(write, groups):
    rows = ["group_a,group_b,cost", "priority,speed,2", "speed,priority,2", "priority,speed,3"]
    with pytest.raises(UserError, match=r"'priority' taken for 'speed' again in line 4 of .*c\.csv"):
        read_costs(write("c.csv", *rows), SIGNS, groups)


def test_other_bytes_than_text_are_told(tmp_path):
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"expected UTF-8 text in .*c\.csv, found other bytes"):
        read_costs(tmp_path / "c.csv", SIGNS)
