"""Without a terminal a long command writes a line a minute."""

import time
from types import SimpleNamespace

from nversion.cli.console import ConsoleReporter, Minutes, Work
from nversion.cli.train import TrainingDisplay


def wait_for(capsys, text):
    """What was written to the stream of errors until `text` stands in it."""
    err = ""
    for _ in range(500):
        err += capsys.readouterr().err
        if text in err:
            return err
        time.sleep(0.01)
    raise AssertionError(err)


def test_a_line_tells_the_share_and_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(Minutes, "EVERY_S", 0.02)
    with ConsoleReporter() as reporter:
        reporter.start("Models on d", 4)
        reporter.advance()
        err = wait_for(capsys, "left\n")
    assert err.splitlines()[-1] == "Models on d: 25% (1 of 4), about 0 s left"


def test_nothing_is_written_before_a_minute(capsys):
    with ConsoleReporter() as reporter:
        reporter.start("Models on d", 4)
        reporter.advance()
    assert capsys.readouterr().err == ""


def test_work_without_a_finished_step_tells_how_long_it_has_taken():
    assert Work("Models", 10, since=5.0).line(now=605.0) == "Models: 10 min so far"


def test_a_training_tells_where_it_is(capsys, monkeypatch):
    monkeypatch.setattr(Minutes, "EVERY_S", 0.02)
    progress = SimpleNamespace(
        stage=0,
        epoch=1,
        epochs=3,
        step=5,
        num_steps=9,
        terms={"loss": 0.5},
        accuracy=[0.25],
        images_per_second=10.0,
        seconds_left=90.0,
    )
    with TrainingDisplay() as display:
        display.on("balanced")(7, progress)
        err = wait_for(capsys, "left\n")
    assert err.splitlines()[-1] == (
        "balanced seed 7  stage 1  epoch 2/3  step 5/9  loss 0.5000  right 25.0%  10 images/s  1.5 min left"
    )
