"""Single bits of a study's tables and manifest turned over: whoever reads such a file names it.

`python tests/study/flip_tables.py FOLDER --count 50` copies the finished study in FOLDER and turns `count`
bits of every table over, one at a time.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from nversion.core import UserError
from nversion.report import read_study
from nversion.study.stored import open_stored

READERS = {
    read_study: None,  # everything
    open_stored: {"labels", "models", "conditions", "manifest"},  # what `select` and `compare` open
}


def outcomes(folder: Path, count: int, seed: int = 0) -> Counter[str]:
    """How often a flip was named by who reads the file, in other words, or READ; then all is whole."""
    found: Counter[str] = Counter()
    rng = random.Random(seed)
    for path in [*sorted((folder / "tables").glob("*.parquet")), folder / "manifest.json"]:
        whole = path.read_bytes()
        for _ in range(count):
            damaged = bytearray(whole)
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            for reader, read in READERS.items():
                if read is None or path.stem in read:
                    try:
                        reader(folder)
                        found["READ"] += 1
                    except UserError as error:
                        found["named" if path.name in str(error) else "in other words"] += 1
        path.write_bytes(whole)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(arguments.folder, Path(place) / "study"))
        print(dict(outcomes(copy, arguments.count)))
