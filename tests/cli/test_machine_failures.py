"""What the machine refuses is one sentence: full disks and outputs, limits, closed pipes, signals."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nversion.cli.ending import end_well
from nversion.core.machine import machine_error

PROGRAM = [sys.executable, "-c", "from nversion.cli import main; main()"]


def start(*arguments, stdout=subprocess.PIPE, limit=None, cwd=None, **environment):
    """Run `nversion ARGUMENTS` under a limit (resource, value): exit code, output, errors."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        preexec_fn=limit and (lambda: resource.setrlimit(limit[0], (limit[1], limit[1]))),
        check=False,
    )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


FULL_OUTPUT = (
    "error: expected an output that takes what is printed, found 'No space left on device'; send the output "
    "elsewhere and run again: what is finished is kept\n"
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["study", "new", "study.toml"]])
def test_a_full_output_is_told(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        assert start(*arguments, stdout=full, cwd=tmp_path) == (2, "", FULL_OUTPUT)


def test_a_full_output_loses_no_file(tmp_path):
    with Path("/dev/full").open("w") as full:
        start("study", "new", "study.toml", stdout=full, cwd=tmp_path)
    assert (tmp_path / "study.toml").read_text().endswith('storage = "float16"\n')


def test_a_reader_that_goes_away_ends_a_command_without_a_word():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        assert start("--help", stdout=closed) == (1, "", "")


def test_an_output_of_ascii_takes_escapes(tmp_path):
    code, out, err = start("study", "new", "größe.toml", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "Next: edit it, then: nversion study plan gr\\xf6\\xdfe.toml"


def test_a_limit_on_files_is_told_and_leaves_nothing(tmp_path):
    code, _, err = start("study", "new", "study.toml", limit=(resource.RLIMIT_FSIZE, 10), cwd=tmp_path)
    assert (code, err) == (
        2,
        "error: expected to write study.toml, found a limit on the size of files; raise it (ulimit -f "
        "unlimited) and run again: what is finished is kept, the run resumes\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_memory_is_told():
    code, out, err = start("corruptions", "ls", limit=(resource.RLIMIT_AS, 400 << 20))
    assert (code, out) == (2, "")
    assert err.startswith("error: expected enough memory, found ") and err.count("\n") == 1


def test_a_working_folder_that_is_gone_is_told(tmp_path):
    (tmp_path / "gone").mkdir()
    program = "import os, sys; os.rmdir(os.getcwd()); from nversion.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor"],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: expected a working folder, found one that was removed; change to another folder\n",
    )


def test_a_name_of_255_bytes_can_be_written(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("study", "new", "é" * 125 + ".toml")[0] == 0
    code, _, err = call("study", "new", "x" * 256)
    assert code == 2 and err.endswith("found 'File name too long'; use a shorter name\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_command_with_its_exit_code(name, capsys):
    number = getattr(signal, name)
    with pytest.raises(SystemExit) as end:
        end_well(lambda: os.kill(os.getpid(), number), debug=False)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == "interrupted: what is finished is kept; run the same command to go on\n"


def test_what_a_signal_breaks_on_its_way_is_the_signals(capsys):
    def command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise OSError("a worker was killed") from None

    with pytest.raises(SystemExit) as end:
        end_well(command, debug=False)
    assert end.value.code == 128 + signal.SIGTERM


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as end:
            end_well(lambda: os.kill(os.getpid(), signal.SIGHUP), debug=False)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not end.value.code


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "x", "f"), "room on the disk of f, found a full disk; free some space"),
        (ValueError("Writing: No space left on device (os error 28)"), "found a full disk; free some space"),
        (RuntimeError("PytorchStreamWriter failed writing file"), "found a full disk; free some space"),
        (OSError(errno.EMFILE, "x", "f"), "expected to open f, found the limit on open files reached; raise"),
        (MemoryError(), "expected enough memory, found MemoryError; close other programs"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: ..."),
            "expected enough memory, found Runt",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
            "expected enough memory, found Runtime",
        ),
        (RuntimeError("can't start new thread"), "expected enough memory, found RuntimeError: can't start"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), "expected f to be .* found 'Permission"),
        (OSError(errno.EROFS, "Read-only", b"f"), "expected f to be .*; name a folder on a disk that can be"),
        (UnicodeEncodeError("ascii", "bü", 1, 2, "x"), r"written as ascii, found 'b\\xfc'; set PYTHONUTF8=1"),
        (UnicodeEncodeError("utf-8", "b\udc80", 1, 2, "x"), "; rename it to a name that is UTF-8"),
    ],
)
def test_an_error_of_the_machine_has_a_sentence(error, sentence):
    with pytest.raises(ValueError, match=sentence):
        raise machine_error(error)


def test_an_error_of_the_program_has_none():
    assert machine_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert machine_error(OSError("no errno")) is None
