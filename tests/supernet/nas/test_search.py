"""The search finds what enumeration finds, goes on after a kill, and never evaluates a candidate twice."""

import itertools
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from nversion.core import UserError
from nversion.core.randomness import forked_randomness
from nversion.data import Canonical, open_dataset
from nversion.models import Preprocessing
from nversion.models.stated import Stated
from nversion.supernet.elastic import Elasticity, ElasticNetwork, extract
from nversion.supernet.files import SupernetFile
from nversion.supernet.nas.candidates import Answers, Candidate, evaluate
from nversion.supernet.nas.evaluator import Recalibration, SubnetEvaluator, evaluator_of
from nversion.supernet.nas.nsga import Evolution, non_dominated
from nversion.supernet.nas.search import search
from nversion.supernet.nas.spec import SearchTable
from nversion.training.images import open_images

CPU = torch.device("cpu")
CANONICAL = Canonical(size=16, mode="squash")
PREPROCESSING = Preprocessing(16, mean=(0.5,) * 3, std=(0.25,) * 3)


def small_supernet(images, width: list[float], expansion: list[float]) -> SupernetFile:
    with forked_randomness(0):
        shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16))
        network = ElasticNetwork(
            nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                BasicBlock(8, 8),
                BasicBlock(8, 16, 2, shortcut),
                BasicBlock(16, 16),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(16, 10),
            ),
            Elasticity(width_multipliers=width, expansion_multipliers=expansion),
        )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)
    for step in range(40):
        order = rng.integers(len(images.labels_N), size=64)
        for pixels, labels in images.batches(order, 64, ()):
            network.activate(network.space.largest if step % 2 else network.space.sample(rng))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(PREPROCESSING(pixels)), labels).backward()
            optimizer.step()
    network.activate(network.space.largest)
    network.eval().requires_grad_(False)
    stated = Stated(arch="timm:resnet18", preprocessing=PREPROCESSING.to_dict(), label_space="digits")
    return SupernetFile(Path("small.safetensors"), network, PREPROCESSING, stated, "small")


@pytest.fixture(scope="module")
def training():
    return open_images(open_dataset({"source": "digits", "split": "train"}), CANONICAL, None, CPU, 0)


@pytest.fixture(scope="module")
def recalibration(training) -> Recalibration:
    return Recalibration(training, 64, 32, CPU)


@pytest.fixture(scope="module")
def supernet(training) -> SupernetFile:
    return small_supernet(training, [1.0, 0.5], [1.0, 0.75, 0.5])


@pytest.fixture(scope="module")
def eight(training) -> SupernetFile:
    return small_supernet(training, [1.0, 0.5], [1.0])


def table_of(**settings: object) -> SearchTable:
    return SearchTable.model_validate(
        {"population": 10, "evaluations": 40, "count": 120, "corruptions": {"lines": 2.0}} | settings
    )


def examine(table: SearchTable) -> SubnetEvaluator:
    return evaluator_of(table, open_dataset({"source": "digits", "split": "test"}), CANONICAL, 60, CPU)


@pytest.fixture(scope="module")
def evaluator() -> SubnetEvaluator:
    return examine(table_of())


def enumerated(supernet: SupernetFile, evaluator: SubnetEvaluator, recalibration: Recalibration):
    """Logits and MACs of every subnet, from extracted plain networks."""
    network, found = supernet.network, {}
    for subnet in network.space:
        own = None
        if subnet != network.space.largest:
            own = recalibration.statistics(network, subnet, PREPROCESSING)
        plain = extract(network, subnet, own).eval()
        found[subnet] = (
            evaluator.logits(plain, PREPROCESSING).double(),
            network.cost(subnet, 16).macs,
        )
    network.activate(network.space.largest)
    return found


def front_of(points: list[tuple[float, ...]]) -> set[int]:
    """Points that no other beats, each to be minimised, by looking at all pairs."""
    return {
        i
        for i, own in enumerate(points)
        if not any(all(a <= b for a, b in zip(o, own, strict=True)) and o != own for o in points)
    }


class KilledError(Exception):
    pass


class Mortal(SubnetEvaluator):
    """An evaluator that dies after some runs."""

    def __init__(self, evaluator: SubnetEvaluator, lives: int) -> None:
        vars(self).update(vars(evaluator))
        self.lives = lives

    def logits(self, supernet, preprocessing):
        if self.lives == 0:
            raise KilledError
        self.lives -= 1
        return super().logits(supernet, preprocessing)


def test_front_of_subnets_is_that_of_all_subnets(supernet, evaluator, recalibration, tmp_path: Path) -> None:
    everything = enumerated(supernet, evaluator, recalibration)
    points = {}
    for subnet, (logits, macs) in everything.items():
        accuracy = (logits.argmax(-1) == evaluator.labels_N).double().mean().item()
        points[(subnet,)] = (-round(accuracy, 12), macs)
    expected = {list(points)[i] for i in front_of(list(points.values()))}
    assert (len(points), len(expected) > 8) == (144, True)

    part = search(supernet, table_of(evaluations=100, population=20), evaluator, recalibration, tmp_path)
    assert len({one.members for one in part.front} & expected) >= 0.8 * len(expected)
    whole = search(supernet, table_of(evaluations=144, population=20), evaluator, recalibration, tmp_path)
    assert (whole.num_evaluated, whole.num_computed) == (144, 44)
    assert {one.members for one in whole.front} == expected
    assert {one.members: (-one.accuracy, one.macs) for one in whole.front} == {
        members: points[members] for members in expected
    }


def test_front_of_pairs_is_that_of_all_pairs(eight, evaluator, recalibration, tmp_path: Path) -> None:
    everything = enumerated(eight, evaluator, recalibration)
    pairs = list(itertools.combinations(everything, 2))
    assert (len(everything), len(pairs)) == (8, 28)
    points = []
    for first, second in pairs:
        logits = (everything[first][0] + everything[second][0]) / 2
        accuracy = (logits.argmax(-1) == evaluator.labels_N).double().mean().item()
        points.append((-round(accuracy, 12), everything[first][1] + everything[second][1]))
    result = search(eight, table_of(size=2, evaluations=28), evaluator, recalibration, tmp_path)
    assert (result.num_evaluated, result.num_computed) == (28, 8)
    found = {frozenset(one.members) for one in result.front}
    assert found == {frozenset(pairs[i]) for i in front_of(points)}


@pytest.mark.parametrize("size", [1, 2])
def test_accepted_labels_count_for_subnets_and_ensembles(eight, recalibration, tmp_path: Path, size) -> None:
    digits = open_dataset({"source": "digits", "split": "test"}).subset(60, 0)
    lenient = digits.accepting({row: range(10) for row in range(30)})  # half of the images count in any case
    table = table_of(count=None, size=size, evaluations=10)
    found = {}
    for dataset in (digits, lenient):
        judge = evaluator_of(table, dataset, CANONICAL, 60, CPU)
        result = search(eight, table, judge, recalibration, tmp_path / judge.fingerprint)
        frame = pl.read_parquet(result.table)
        found[dataset] = dict(zip(frame["members"].list.join("|"), frame["accuracy"], strict=True))
    shared = found[digits].keys() & found[lenient].keys()
    assert shared
    assert all(found[lenient][name] >= max(0.5, found[digits][name]) for name in shared)


def test_small_space_is_evaluated_whole_and_once(eight, evaluator, recalibration, tmp_path: Path) -> None:
    result = search(eight, table_of(size=2, evaluations=1000), evaluator, recalibration, tmp_path)
    members = pl.read_parquet(result.table)["members"].to_list()
    assert result.num_evaluated == len({tuple(row) for row in members}) == 28
    assert all(len(set(row)) == 2 for row in members)


def test_killed_search_ends_with_the_same_table(supernet, evaluator, recalibration, tmp_path: Path) -> None:
    table = table_of(size=2, objectives=["accuracy", "improvement", "macs"])
    whole = search(supernet, table, evaluator, recalibration, tmp_path / "whole")
    with pytest.raises(KilledError):
        search(supernet, table, Mortal(evaluator, 25), recalibration, tmp_path / "killed")
    resumed = search(supernet, table, evaluator, recalibration, tmp_path / "killed")
    assert resumed.num_computed == whole.num_computed - 25
    assert resumed.table.read_bytes() == whole.table.read_bytes()


def test_finished_search_runs_no_subnet_again(supernet, evaluator, recalibration, tmp_path: Path) -> None:
    first = search(supernet, table_of(), evaluator, recalibration, tmp_path)
    before = first.table.read_bytes()
    again = search(supernet, table_of(), Mortal(evaluator, 0), recalibration, tmp_path)
    assert (again.num_computed, again.table.read_bytes()) == (0, before)


def test_longer_search_goes_on_from_a_shorter_one(supernet, evaluator, recalibration, tmp_path: Path) -> None:
    short = search(supernet, table_of(evaluations=20), evaluator, recalibration, tmp_path)
    rows = pl.read_parquet(short.table)
    longer = search(supernet, table_of(evaluations=50), evaluator, recalibration, tmp_path)
    assert (short.num_computed, longer.num_computed) == (20, 30)
    assert pl.read_parquet(longer.table)["members"][:20].to_list() == rows["members"].to_list()


def test_seed_determines_the_search_and_global_state_stays(
    supernet, evaluator, recalibration, tmp_path: Path
) -> None:
    tables = []
    for name, global_seed in (("a", 1), ("b", 2)):
        np.random.seed(global_seed)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        tables.append(
            search(supernet, table_of(), evaluator, recalibration, tmp_path / name).table.read_bytes()
        )
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert tables[0] == tables[1]
    other = search(supernet, table_of(seed=1), evaluator, recalibration, tmp_path / "other")
    assert other.table.read_bytes() != tables[0]


def test_no_subnet_above_max_macs_is_evaluated(supernet, evaluator, recalibration, tmp_path: Path) -> None:
    all_macs = sorted(supernet.network.cost(subnet, 16).macs for subnet in supernet.network.space)
    most = all_macs[len(all_macs) // 6]
    for size, evaluations in ((1, 20), (2, 30)):
        table = table_of(size=size, max_macs=most, evaluations=evaluations)
        result = search(supernet, table, evaluator, recalibration, tmp_path / str(size))
        members = pl.read_parquet(result.table)["members"].explode()
        used = [supernet.network.cost(supernet.network.space.parse(name), 16).macs for name in members]
        assert result.num_evaluated == evaluations
        assert max(used) <= most


def test_supernet_stays_as_it_was(eight, evaluator, recalibration, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in eight.network.state_dict().items()}
    search(eight, table_of(evaluations=10), evaluator, recalibration, tmp_path)
    assert eight.network.subnet == eight.network.space.largest
    assert all(torch.equal(value, before[name]) for name, value in eight.network.state_dict().items())


def test_table_holds_what_the_front_says(supernet, evaluator, recalibration, tmp_path: Path) -> None:
    table = table_of(size=3, objectives=["accuracy", "disagreement", "macs"])
    result = search(supernet, table, evaluator, recalibration, tmp_path)
    rows = pl.read_parquet(result.table)
    assert rows.columns == [
        *("generation", "members", "accuracy", *evaluator.conditions, "improvement", "disagreement"),
        *("macs", "parameters", "on_front", "chosen"),
    ]
    on_front = rows.filter("on_front").sort("macs", "accuracy", descending=[False, True])
    assert on_front["members"].to_list() == [one.notations for one in result.front]
    values = rows.select(-pl.col("accuracy"), -pl.col("disagreement"), "macs").rows()
    assert set(np.flatnonzero(rows["on_front"]).tolist()) == front_of(values)
    mean = rows.select(pl.mean_horizontal(evaluator.conditions)).to_series().round(12)
    assert (mean - rows["accuracy"]).abs().max() < 1e-11
    assert rows["generation"].to_list() == [g for g in (1, 2, 3, 4) for _ in range(10)]


def test_reference_chooses_the_cheapest_near_it(eight, evaluator, recalibration, tmp_path: Path) -> None:
    first = search(eight, table_of(), evaluator, recalibration, tmp_path)
    assert (first.chosen, first.because) == (None, None)
    rows = pl.read_parquet(first.table)
    accuracy = 100 * rows["accuracy"].max()
    near = search(eight, table_of(ref_acc=accuracy, acc_delta=60), evaluator, recalibration, tmp_path)
    expected = rows.filter(100 * pl.col("accuracy") > accuracy - 60).sort("macs")["members"][0].to_list()
    assert expected != rows.sort("accuracy")["members"][-1].to_list(), "the two rules cannot be told apart"
    assert (near.chosen.notations, near.because, near.num_computed) == (expected, "near_reference", 0)
    assert pl.read_parquet(near.table).filter("chosen")["members"].to_list() == [expected]
    none = search(eight, table_of(ref_acc=100, acc_delta=0), evaluator, recalibration, tmp_path)
    assert (none.chosen.members, none.because) == ((eight.network.space.largest,), "largest")


class Given:
    """Answers that were thought up: two conditions, four images of class 0, two classes."""

    def __init__(self, margins) -> None:
        self.margins = margins  # of class 0 over class 1, by subnet: (2, 4)

    def right_of(self, logits_DNC):
        return logits_DNC.argmax(-1) == 0

    def logits_DNC(self, subnet):
        own_DN = torch.tensor(self.margins[subnet])
        return torch.stack([own_DN, torch.zeros_like(own_DN)], -1)

    def right_DN(self, subnet):
        return torch.tensor(self.margins[subnet]) > 0

    def cost(self, subnet):
        from nversion.supernet.elastic import Cost

        return Cost({"a": 3, "b": 4}[subnet], {"a": 30, "b": 40}[subnet])


def test_values_of_a_pair_are_those_by_hand() -> None:
    margins = {
        "a": [[1.0, 1.0, -1.0, -1.0], [5.0, -1.0, -1.0, 5.0]],
        "b": [[3.0, -0.5, 2.0, -1.0], [-1.0, 5.0, -1.0, -6.0]],
    }
    found = evaluate(["b", "a"], Given(margins), generation=4)
    # Sums: [4, .5, 1, -2] and [4, 4, -2, -1]: 3/4 and 2/4 right; alone a 2/4, 2/4 and b 2/4, 1/4.
    assert found == Candidate(
        members=("a", "b"),
        generation=4,
        accuracy_by_condition=(0.75, 0.5),
        accuracy=0.625,
        improvement=(0.25 + 0.0) / 2,
        disagreement=(2 / 4 + 3 / 4) / 2,
        macs=70,
        num_parameters=7,
    )


def test_evolution_finds_the_front_of_a_space_that_it_cannot_enumerate() -> None:
    sizes = [4] * 12  # 16.8 million vectors; the front: all zeros but a run of threes at the end
    evolution = Evolution(sizes, 40, 2, lambda vector: tuple(vector.tolist()), seed=0)
    weights = 2.0 ** np.arange(12)
    found = []
    for _ in range(60):
        asked = np.array(evolution.ask(40))
        found.append(np.stack([(asked * weights).sum(1), ((3 - asked) * weights[::-1]).sum(1)], 1))
        evolution.tell(found[-1], np.zeros(40))
    values = np.concatenate(found)
    assert len(values) == 2400
    best = values[non_dominated(values)]
    # Choosing three where 2^i < 2^(11 − i), else zero, minimises the sum of both.
    ideal = 3 * 2 * (2**6 - 1)
    assert best.sum(1).min() <= 1.1 * ideal
    assert best[:, 0].min() < 100
    assert best[:, 1].min() < 100


def test_evolution_turns_to_what_breaks_no_constraint() -> None:
    def share_sound(told: bool) -> float:
        evolution = Evolution([4] * 10, 20, 1, lambda vector: tuple(vector.tolist()), seed=0)
        for _ in range(15):
            asked = np.array(evolution.ask(20))
            excess = np.maximum(asked.sum(1) - 8.0, 0.0)
            evolution.tell(-asked.sum(1, keepdims=True).astype(float), excess * told)
        return float((excess == 0).mean())

    assert share_sound(told=True) > 0.2
    assert share_sound(told=False) < 0.05


def test_evolution_asks_for_nothing_twice_and_ends() -> None:
    evolution = Evolution([3, 3], 4, 1, lambda vector: tuple(sorted(vector.tolist())), seed=0)
    found = []
    while asked := evolution.ask(4):
        found += [tuple(sorted(vector.tolist())) for vector in asked]
        evolution.tell(np.array([[float(vector.sum())] for vector in asked]), np.zeros(len(asked)))
    assert sorted(found) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]


def test_missing_pymoo_is_an_error(supernet, evaluator, recalibration, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pymoo.algorithms.moo.nsga2", None)
    with pytest.raises(
        UserError, match=r'expected the package pymoo for search .* pip install "nversion\[nas\]"'
    ):
        search(supernet, table_of(), evaluator, recalibration, tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_evaluations_of_another_search_are_refused(eight, evaluator, recalibration, tmp_path: Path) -> None:
    table = table_of(evaluations=10)
    search(eight, table, evaluator, recalibration, tmp_path)
    other_images = examine(table_of(corruptions={"lines": 3.0}))
    fewer = replace(recalibration, num_samples=32)
    for arguments, found in (
        ((replace(eight, fingerprint="other"), table, evaluator, recalibration), "another supernet"),
        ((eight, table, other_images, recalibration), "other images or conditions"),
        ((eight, table, evaluator, fewer), "batch norms recalibrated on other images"),
        (
            (eight, table_of(evaluations=10, seed=3), evaluator, recalibration),
            r"other settings of \[search\]",
        ),
    ):
        with pytest.raises(UserError, match=f"found those of {found}; give this search another folder"):
            search(*arguments, tmp_path)


def test_damaged_or_exchanged_answers_are_set_aside_and_computed_again(
    mutations, eight, evaluator, recalibration, tmp_path: Path
) -> None:
    table = table_of(evaluations=10, size=2)
    result = search(eight, table, evaluator, recalibration, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    first, second, *_ = sorted((tmp_path / "whole" / "answers").iterdir())
    rng = np.random.default_rng(0)
    damages = [
        mutations.flipped(first.read_bytes(), bit) for bit in rng.integers(0, 8 * first.stat().st_size, 8)
    ]
    for number, damaged in enumerate([*damages, second.read_bytes(), b""]):
        shutil.copytree(tmp_path / "whole", folder := tmp_path / f"damaged-{number}")
        path = folder / "answers" / first.name
        path.write_bytes(damaged)
        set_aside: list[str] = []
        again = search(eight, table, evaluator, recalibration, folder, set_aside=set_aside)
        assert set_aside == [f"{path}.set-aside-0"] and again.num_computed == 1
        Path(set_aside[0]).unlink()
        assert contents(folder) == whole and again.front == result.front


def test_a_damaged_claim_is_set_aside_and_what_was_answered_is_kept(
    mutations, eight, evaluator, recalibration, tmp_path: Path
) -> None:
    search(eight, table_of(evaluations=10), evaluator, recalibration, tmp_path)
    whole, claim = contents(tmp_path), tmp_path / "search.json"
    for damaged in (mutations.flipped(claim.read_bytes(), 300), b"[]", b"[" * 9999, b"null"):
        claim.write_bytes(damaged)
        set_aside: list[str] = []
        again = search(
            eight, table_of(evaluations=10), evaluator, recalibration, tmp_path, set_aside=set_aside
        )
        assert set_aside == [f"{claim}.set-aside-0"] and again.num_computed == 0
        Path(set_aside[0]).unlink()
        assert contents(tmp_path) == whole


def test_two_searches_of_one_seed_write_the_same_bytes(
    eight, evaluator, recalibration, tmp_path: Path
) -> None:
    for place in ("a", "b"):
        search(eight, table_of(evaluations=10, size=2), evaluator, recalibration, tmp_path / place)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) > 5


def test_impossible_searches_are_errors(eight, evaluator, recalibration, tmp_path: Path) -> None:
    for settings, message in (
        ({"max_macs": 1000}, r"at most 1,000 MACs a subnet, found a smallest subnet of \d+,\d+; raise"),
        ({"size": 9}, "a supernet of at least 9 subnets, the size of an ensemble, found 8"),
    ):
        with pytest.raises(UserError, match=message):
            search(eight, table_of(**settings), evaluator, recalibration, tmp_path)
    least = eight.network.cost(eight.network.space.smallest, 16).macs
    with pytest.raises(UserError, match="found none of 2 subnets, the smallest of which has"):
        search(eight, table_of(size=2, max_macs=least), evaluator, recalibration, tmp_path)
    classes = replace(eight, stated=eight.stated.model_copy(update={"label_space": "gtsrb"}))
    with pytest.raises(
        UserError, match="expected images with the supernet's classes, 'gtsrb', found 'digits'"
    ):
        search(classes, table_of(), evaluator, recalibration, tmp_path)


def test_logits_that_are_no_numbers_are_an_error(training, evaluator, recalibration, tmp_path: Path) -> None:
    broken = small_supernet(training, [1.0], [1.0])
    broken.network.network[-1].bias.fill_(torch.nan)
    answers = Answers(broken, evaluator, recalibration, tmp_path, "", False, [])
    with pytest.raises(UserError, match="expected finite logits from the subnet depth="):
        evaluate([broken.network.space.smallest], answers, 1)
    assert not list(tmp_path.iterdir())
