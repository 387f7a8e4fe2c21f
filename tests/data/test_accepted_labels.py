"""Further labels that count as right: how they are written, and that nothing changes without them."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from nversion.core import LabelSpace, UserError
from nversion.data import open_dataset
from nversion.data.arrays import Arrays
from nversion.data.classes import class_of

PETS = LabelSpace("pets", 4, ("cat", "dog", "guinea pig", "hen"))


def pets(num_samples=4):
    images_NHW3 = np.arange(num_samples * 12, dtype=np.uint8).reshape(num_samples, 2, 2, 3)
    return Arrays(
        "pets", PETS, [f"s{i}" for i in range(num_samples)], np.arange(num_samples) % 4, images_NHW3
    )


@pytest.fixture
def npz(tmp_path):
    """Settings of the same data set in a file, and a function that writes its accepted labels."""
    whole = pets()
    np.savez(
        tmp_path / "pets.npz", x=whole.images_NHW3, y=whole.labels_N, class_names=np.array(PETS.class_names)
    )

    @dataclass
    class Opened:
        def __call__(self, *rows, header="sample_id,labels", **settings):
            (tmp_path / "accepted.csv").write_text("\n".join([header, *rows]) + "\n")
            spec = {"source": "npz", "path": "pets.npz", "label_space": "pets", "accepted": "accepted.csv"}
            return open_dataset(spec | settings, tmp_path)

    return Opened()


@pytest.mark.parametrize(
    ("field", "further"),
    [
        ("1", (1,)),
        ("dog", (1,)),
        ("1 3", (1, 3)),
        ("dog;guinea pig", (1, 2)),
        ("guinea pig", (2,)),  # a name as a whole is no list of two words
        ("hen dog 2", (1, 2, 3)),
        ("dog; dog;", (1,)),
        ("0;dog", (1,)),  # its own label need not be repeated
    ],
)
def test_labels_are_written_by_name_or_index(npz, field, further):
    assert npz(f"x/000000,{field}").accepted == {0: further}


@pytest.mark.parametrize("rows", [(), ("x/000001,",), ("x/000001,dog",)])
def test_a_sample_has_its_own_label_alone_unless_the_file_says_more(npz, rows):
    assert npz(*rows).accepted == {}


def test_the_fingerprint_is_the_old_one_without_further_labels(npz):
    without = pets().fingerprint
    assert without == "41f0a609346344f6d6c633cd5be5171f"  # of the release before there were accepted labels
    assert pets().accepting({0: [0]}).fingerprint == without
    assert pets().accepting({0: [1]}).fingerprint != without
    assert pets().accepting({0: [1]}).fingerprint != pets().accepting({1: [0]}).fingerprint


def test_accepting_leaves_the_data_set_as_it_was():
    whole = pets()
    before = whole.fingerprint
    more = whole.accepting({3: [1, 0]})
    assert more.accepted == {3: (0, 1)}
    assert (whole.accepted, whole.fingerprint) == ({}, before)
    assert np.array_equal(more.decode(3), whole.decode(3))
    assert pickle.loads(pickle.dumps(more)).accepted == {3: (0, 1)}


def test_a_part_keeps_the_labels_of_its_samples(npz):
    part = npz("x/000000,3", "x/000001,3", "x/000002,3", count=2)
    assert len(part) == 2
    assert part.accepted == {row: (3,) for row in range(2) if part.labels_N[row] != 3}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_setting_belongs_to_every_source(split, tmp_path):
    sample_id = open_dataset({"source": "digits", "split": split}).sample_ids[5]
    (tmp_path / "accepted.csv").write_text(f"sample_id,labels\n{sample_id},1;7\n")
    digits = open_dataset({"source": "digits", "split": split, "accepted": "accepted.csv"}, tmp_path)
    assert digits.accepted == {5: tuple(sorted({1, 7} - {int(digits.labels_N[5])}))}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["s/1,dog"], r"expected a sample of the data set in line 2 of .*accepted.csv, found 's/1'"),
        (["x/00000,dog"], r"found 'x/00000'; did you mean 'x/00000\d'"),
        (
            ["x/000000,1", "x/000001,doge"],
            r"expected a class of the label space 'pets' in line 3 of .*accepted.csv, found 'doge'; "
            r"did you mean 'dog'\?",
        ),
        (["x/000000,4"], r"found '4'; write an index from 0 to 3, or a name"),
        (["x/000000,-1"], r"found '-1'; write the name or the 0-based index of a class"),
        (
            ["x/000000,1", "x/000000,2"],
            r"expected each sample once in .*accepted.csv, found 'x/000000' again in line 3; write all its "
            r'labels into one line, separated by ";"',
        ),
        (["x/000000,1,2"], r"expected 2 fields in line 2 of .*accepted.csv, found more"),
    ],
)
def test_a_faulty_line_is_named(npz, rows, message):
    with pytest.raises(UserError, match=message):
        npz(*rows)


def test_both_columns_are_asked_for(npz):
    with pytest.raises(
        UserError, match=r"the columns 'sample_id' and 'labels' in .*, found 'file', 'labels'"
    ):
        npz("x/000000,1", header="file,labels")


def test_a_missing_file_is_told(npz):
    with pytest.raises(UserError, match=r"expected the file .*none\.csv, found no such file"):
        npz(accepted="none.csv")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({4: [0]}, "expected rows 0 to 3 of the data set 'pets', found row 4"),
        ({0: [4]}, "found label 4 in the accepted labels of 's0'"),
    ],
)
def test_rows_and_labels_that_do_not_exist_are_refused(labels, message):
    with pytest.raises(UserError, match=message):
        pets().accepting(labels)


def test_a_name_of_two_classes_is_ambiguous():
    cranes = LabelSpace("birds", 3, ("crane", "hen", "crane"))
    assert class_of("2", cranes, "a test") == 2
    with pytest.raises(UserError, match="found 'crane'; several classes have this name: write the index"):
        class_of("crane", cranes, "line 2 of a.csv")
