"""What it takes to know classifiers: their fingerprints, and their logits on the image that guards them.

Run as `python -m benchmarks.identity --zoo FILE`, FILE holding ZOO and build(name). One thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import torch

from nversion.models import Preprocessing, fingerprint_of
from nversion.models.probe import guard_of, probe_images, quietly


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identity", description=__doc__)
    parser.add_argument("--zoo", type=Path, required=True, help="real classifiers: ZOO and build(name)")
    spec = importlib.util.spec_from_file_location("zoo", parser.parse_args().zoo)
    assert spec is not None and spec.loader is not None, "a file that ends in .py has a loader"
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    torch.set_num_threads(1)
    built = [(module, Preprocessing(**facts)) for module, facts in map(zoo.build, zoo.ZOO)]
    num_bytes = sum(t.numel() * t.element_size() for module, _ in built for t in module.state_dict().values())
    with torch.inference_mode():
        built[0][0](torch.zeros(1, 3, 224, 224))  # whatever is set up once
    start = time.process_time()
    for module, preprocessing in built:
        fingerprint_of(module, preprocessing)
    fingerprints = time.process_time() - start
    start = time.process_time()
    for module, preprocessing in built:
        with quietly(module), torch.inference_mode():
            guard_of(module(preprocessing(probe_images(1, preprocessing.input_size))))
    guards = time.process_time() - start
    print(f"{len(built)} classifiers, {num_bytes / 1e6:.0f} MB of weights")
    print(f"fingerprints {fingerprints:.2f} s, logits of one image {guards:.2f} s")


if __name__ == "__main__":
    main()
