"""Documents with seeded slips and damage; a reader makes of them a `UserError` or a result, nothing else.

In a test: `mutations` is a fixture that gives this module, so

    for what, mutant in mutations.mutations_of(document, seed=0, count=200):
        mutations.outcome(read, mutant, what)  # "read" or "refused"; any other end is an AssertionError

The long run over all recipes: `python tests/mutations.py --count 2000`.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nversion.core import UserError

Document = dict[str, Any]


def nested(depth: int, value: Any = 0) -> Any:
    """`value` inside so many lists."""
    for _ in range(depth):
        value = [value]
    return value


VALUES: dict[str, Callable[[], Any]] = {
    "0": lambda: 0,
    "1": lambda: 1,
    "-1": lambda: -1,
    "2^31": lambda: 2**31,
    "10^9": lambda: 10**9,
    "2^63 - 1": lambda: 2**63 - 1,
    "-2^63": lambda: -(2**63),
    "a fraction": lambda: 0.3,
    "a negative fraction": lambda: -0.5,
    "1e308": lambda: 1e308,
    "1e-320": lambda: 1e-320,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "true": lambda: True,
    "false": lambda: False,
    "an empty text": lambda: "",
    "a blank": lambda: " ",
    "a text": lambda: "x",
    "a path": lambda: "/no/such/file",
    "a relative path": lambda: "../../no/such",
    "the home of nobody": lambda: "~no-such-user/x",
    "a home": lambda: "~",
    "two colons": lambda: "a:b:c",
    "a colon": lambda: ":",
    "a long text": lambda: "x" * 5000,
    "control characters": lambda: "a\x1b[31m\n\tb",
    "a date": lambda: datetime.date(2020, 1, 2),
    "an empty list": list,
    "a list of a number": lambda: [1],
    "a list of a text": lambda: ["x"],
    "a list of an empty table": lambda: [{}],
    "an empty table": dict,
    "a table": lambda: {"a": 1},
    "a table of a table": lambda: {"a": {"name": "b"}},
    "a list of lists": lambda: [[1, 2], ["a"]],
    "a nested list": lambda: nested(40),
}
"""What a value may be replaced by: TOML has all of them; JSON all but the date, and null as well."""


def mutations_of(
    document: Document, seed: int, count: int, *, nulls: bool = False
) -> Iterator[tuple[str, Document]]:
    """`count` copies of a document, each with one to three changes, and what the changes are.

    Args:
        document: of TOML or JSON, parsed; it stays as it is.
        seed: of the choices; equal arguments give equal mutants.
        count: mutants.
        nulls: whether a value may become None: JSON's null, which TOML does not have.
    """
    rng = random.Random(f"mutations {seed}")
    for number in range(count):
        mutant = copy.deepcopy(document)
        said = [_change(mutant, rng, nulls) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        yield f"seed {seed}, mutant {number}: {'; '.join(said)}", mutant


def outcome(read: Callable[[Any], object], mutant: Any, what: str = "") -> str:
    """ "read" or "refused".

    Raises:
        AssertionError: the reader ends in something other than a result or a `UserError`, or in one of
            several lines or without a next step.
    """
    try:
        read(mutant)
    except UserError as error:
        if "\n" in str(error) or not error.next_step.strip():
            raise AssertionError(f"{what}: no sentence with a next step: {error}") from error
        return "refused"
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return "read"


def flipped(content: bytes, bit: int) -> bytes:
    """The bytes with one bit turned over."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def damaged_texts(text: str, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """TOML files as damage makes them: cut, with flipped bits, nested beyond reason, of too many digits."""
    content = text.encode()
    yield "nothing", b""
    yield "a null byte", content + b"\0"
    yield "no UTF-8", content + b"\xff\xfe"
    yield "a nested list", content + b"\nnested = " + b"[" * 20_000 + b"]" * 20_000 + b"\n"
    yield "a nested key", content + b"\n[" + b".".join([b"a"] * 3000) + b"]\n"
    yield "too many digits", content + b"\ndigits = " + b"9" * 5000 + b"\n"
    yield "a null in a text", content + b'\nnull = "a\\u0000b"\n'
    rng = random.Random(f"texts {seed}")
    for _ in range(count):
        if rng.random() < 0.3:
            at = rng.randrange(len(content))
            yield f"cut after {at} bytes", content[:at]
        else:
            bit = rng.randrange(8 * len(content))
            yield f"bit {bit} flipped", flipped(content, bit)


def _places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in children:
        yield (*at, key)
        yield from _places(value, (*at, key))


def _change(document: Document, rng: random.Random, nulls: bool) -> str:
    places = list(_places(document))
    if not places:
        document["x"] = 1
        return "a key 'x' added"
    *above, key = rng.choice(places)
    holder: Any = document
    for step in above:
        holder = holder[step]
    where = ".".join(map(str, (*above, key)))
    kind = rng.choice(("remove", "replace", "replace", "replace", "rename", "wrap", "repeat", "add", "lift"))
    if kind == "remove":
        del holder[key]
        return f"{where} removed"
    if kind == "rename" and isinstance(holder, dict):
        name = rng.choice((f"{key}s", str(key)[:-1], "", "a.b", "x\0", "name", "ä" * 200))
        holder[name] = holder.pop(key)
        return f"{where} renamed to {name!r}"
    if kind == "wrap":
        holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, {"name": holder[key]}))
        return f"{where} wrapped as {type(holder[key]).__name__}"
    if kind == "repeat" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
        return f"{where} repeated"
    if kind == "add" and isinstance(holder[key], dict):
        holder[key]["x"] = VALUES[name := rng.choice(list(VALUES))]()
        return f"{where}.x added, {name}"
    if kind == "lift":
        document[str(key)] = copy.deepcopy(holder[key])
        return f"{where} copied to the top"
    if nulls and rng.random() < 0.1:
        holder[key] = None
        return f"{where} = null"
    name = rng.choice(list(VALUES))
    holder[key] = VALUES[name]()
    return f"{where} = {name}"


def readers(root: Path) -> Iterator[tuple[str, Callable[[Document], object], Document]]:
    """Every file of tables in `recipes/` and the study template, with the function that reads its tables."""
    from nversion.study.spec import parse_spec
    from nversion.supernet.nas.spec import parse_spec as parse_supernet
    from nversion.training.recipe import parse_recipe

    for path in sorted((root / "recipes").glob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if "train" in content and "supernet" not in content:
            yield path.name, lambda mutant: parse_recipe(mutant, "recipe.toml"), content
        elif "supernet" in content:
            yield path.name, lambda mutant: parse_supernet(mutant, "spec.toml"), content
        elif "study" in content:
            yield path.name, lambda mutant: parse_spec(mutant, "study.toml"), content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="mutants of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a file's name")
    given = parser.parse_args()
    failures = 0
    for name, read, document in readers(Path(__file__).parents[1]):
        if given.only not in name:
            continue
        counts: Counter[str] = Counter()
        for what, mutant in mutations_of(document, given.seed, given.count):
            try:
                counts[outcome(read, mutant, what)] += 1
            except AssertionError as error:
                counts["failed"] += 1
                print(f"  {name}: {str(error)[:300]}")
        print(f"{name}: {json.dumps(counts)}")
        failures += counts["failed"]
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
