"""A study says how many hidden files its data sets have left out."""

from nversion.data import open_dataset
from nversion.study import Silent, say_hidden


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_hidden_files_are_said_where_there_are_any():
    digits, heard = open_dataset({"source": "digits"}), Heard()
    say_hidden([digits], heard)
    assert heard.lines == []
    digits.hidden = 3
    say_hidden([digits], heard)
    assert heard.lines == [
        "Left out of digits-test: 3 hidden files (.ipynb_checkpoints, ._name, __MACOSX and the like)"
    ]
