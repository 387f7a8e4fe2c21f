"""Studies with seeded slips, opened and planned in a folder that has their inputs; the long run of it.

`python tests/mutated_studies.py --count 1000 --seed 0`: exit code 1 where one ends in anything but a plan or
one sentence, or takes longer than `--seconds`.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def module_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def planned(folder: Path) -> Any:
    """A function that plans a study, given as plain data, whose inputs lie in `folder`."""
    from nversion.study import make_plan, open_study, parse_spec

    def plan(content: dict[str, Any]) -> object:
        return make_plan(open_study(parse_spec(content, "study.toml"), folder / "out", folder))

    return plan


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def too_long(number: int, frame: object) -> None:
        raise AssertionError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60, help="that one plan may take")
    given = parser.parse_args()
    mutations = module_of(HERE / "mutations.py")
    small = module_of(HERE / "study" / "small_study.py")
    counts: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = small.write_inputs(Path(name), num_images=8)
        document = small.content()
        for what, mutant in mutations.mutations_of(document, given.seed, given.count):
            started = time.monotonic()
            try:
                with within(given.seconds):
                    counts[mutations.outcome(planned(folder), mutant, what)] += 1
            except AssertionError as error:
                counts["failed"] += 1
                print(f"  {str(error)[:400]}", flush=True)
            slowest = max(slowest, time.monotonic() - started)
    print(f"{dict(counts)}, the slowest {slowest:.1f} s")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
