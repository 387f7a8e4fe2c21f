#!/bin/bash
# polars 2.1.0: division by a literal multiplies by its inverse; division by an equal column of values divides.
#
# Expected: x / n is the quotient rounded once (IEEE 754), as Python and NumPy give it, and depends on the values of n.
# Found: with n a literal, or a column made of one by `with_columns`, 80 of 1000 quotients are off in the last digit; in an
# equal frame that was made of values they are not: `equals` is true, and the results differ.
# Exit 0: as described; 1: the behaviour changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import random
import sys
from importlib.metadata import version

import numpy as np
import polars as pl

print("polars", version("polars"), "numpy", version("numpy"))
random.seed(0)
right = [float(random.randint(0, 541)) for _ in range(1000)]
quotients = np.array(right) / 541
counts = pl.DataFrame({"x": right})
of_literal = counts.with_columns(n=pl.lit(541))
of_values = pl.DataFrame({"x": right, "n": [541] * 1000}, schema=of_literal.schema)
share = pl.col("x") / pl.col("n")


def differ(values):
    return int((values.to_numpy() != quotients).sum())


found = {
    "divided by a literal": differ(counts.select(pl.col("x") / 541)["x"]),
    "by a column made of a literal": differ(of_literal.select(share)["x"]),
    "by an equal column made of values": differ(of_values.select(share)["x"]),
}
print("frames equal:", of_literal.equals(of_values))
for what, count in found.items():
    print(f"{what}: {count} of 1000 quotients are not NumPy's")
as_described = of_literal.equals(of_values) and list(found.values()) == [80, 80, 0]
print("as described" if as_described else "the behaviour changed")
sys.exit(not as_described)
PYTHON
