"""Honest selection: what has a say, what has none, and that the numbers are plain counts."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from nversion.core import UserError, generator
from nversion.data import Condition
from nversion.ensembles import CREDITS
from nversion.evaluation.halves import HALVES, Counts, halves, jackknife_interval
from nversion.evaluation.stored import StoredStudy
from nversion.predictions import ConditionPredictions, block_of_each_sample
from nversion.reliability import proportion_interval
from nversion.selection.contenders import Request, choose, homogeneous_ensembles
from nversion.selection.front import FRONT, pareto_front
from nversion.selection.select import PARTS, SELECTION, can_hold_out, select_in, split_conditions
from nversion.selection.splits import stability
from nversion.study import Silent
from nversion.study.spec import EnsemblesTable
from nversion.study.stored import align

CONDITIONS = tuple(
    Condition("val", name, None if name is None else 1.0)
    for name in (None, "plasma_noise", "checkerboard_cutout", "water_drop", "lines")
)
SEEN = ("val/clean", "val/plasma_noise-1", "val/checkerboard_cutout-1")
NUM_SAMPLES, NUM_MODELS, NUM_CLASSES = 90, 5, 4


def held_out(num_samples=NUM_SAMPLES, seed=0):
    """Mask of the held-out images of `study_of`, bool (N,)."""
    blocks_N = block_of_each_sample([str(i) for i in range(num_samples)], 10)
    return halves("val", torch.from_numpy(blocks_N), seed).numpy()


def study_of(
    logits,
    labels_N,
    sizes=(2, 3),
    params=(50, 10, 40, 20, 30),
    conditions=CONDITIONS,
    accepted=None,
    sample=None,
    **known,
):
    """A stored study from logits_MNC by name of the condition."""
    ids = [str(i) for i in range(len(labels_N))]
    names = tuple("abcdefgh"[: len(params)])
    predictions = {
        c.name: ConditionPredictions(
            c.name,
            names,
            tuple(logits[c.name]),
            np.arange(len(labels_N)),
            labels_N,
            block_of_each_sample(ids, 10),
            accepted or {},
        )
        for c in conditions
    }
    params_M = np.array(params)
    asked = EnsemblesTable(sizes=list(sizes), num_blocks=10, sample=sample)
    return StoredStudy("test", "0", asked, conditions, names, params_M, 7 * params_M, predictions, **known)


@pytest.fixture
def labels_N():
    return np.random.default_rng(0).integers(NUM_CLASSES, size=NUM_SAMPLES)


@pytest.fixture
def logits(labels_N):
    """Mediocre models that differ by condition."""
    rng = np.random.default_rng(1)
    found = {}
    for condition in CONDITIONS:
        logits_MNC = rng.normal(size=(NUM_MODELS, NUM_SAMPLES, NUM_CLASSES)).astype(np.float32)
        logits_MNC[:, np.arange(NUM_SAMPLES), labels_N] += rng.uniform(0.3, 1.5, (NUM_MODELS, 1))
        found[condition.name] = logits_MNC
    return found


def top1(logits_MNC, labels_N, members, keep_N):
    """The oracle: mean logits, argmax, share of right ones."""
    return (logits_MNC[list(members)].mean(0).argmax(-1) == labels_N)[keep_N].mean()


def chosen(selection):
    return selection.row("chosen", "selection", "seen", "worst")["ensemble"]


def best_ensemble(selection):
    """The chosen one, or the one that the rule takes among ensembles where a single model is as good."""
    role = "best_ensemble" if selection.chosen_is_single else "chosen"
    return selection.row(role, "selection", "seen", "worst")["ensemble"]


def test_models_that_are_sure_where_the_other_fails_are_found(logits, labels_N):
    even_N = np.arange(NUM_SAMPLES) % 2 == 0
    for logits_MNC in logits.values():
        for model, good_N in ((1, even_N), (3, ~even_N)):
            logits_MNC[model] = 0
            logits_MNC[model, good_N, labels_N[good_N]] = 9
            logits_MNC[model, ~good_N, (labels_N[~good_N] + 1) % NUM_CLASSES] = 1
    selection = select_in(study_of(logits, labels_N, sizes=[2]), Request(), Silent())
    assert chosen(selection) == "b + d"
    assert all(selection.row("chosen", *part, "worst")["top1"] == 1 for part in PARTS)
    assert selection.regret_seen == selection.regret_unseen == 0


@pytest.mark.parametrize("criterion", ["worst", "mean"])
def test_choice_and_every_number_equal_brute_force(logits, labels_N, criterion):
    selection = select_in(study_of(logits, labels_N), Request(criterion=criterion, seed=3), Silent())
    held_out_N = held_out(seed=3)
    kept = {"selection": ~held_out_N, "held_out": held_out_N}
    parts = {"seen": SEEN, "unseen": [c.name for c in CONDITIONS if c.name not in SEEN]}
    reduce = {"worst": np.min, "mean": np.mean}
    every = [m for size in (2, 3) for m in itertools.combinations(range(NUM_MODELS), size)]

    def best(contenders, half, scope):
        by_worth = [
            reduce[criterion]([top1(logits[name], labels_N, m, kept[half]) for name in parts[scope]])
            for m in contenders
        ]
        return contenders[int(np.argmax(by_worth))], sorted(by_worth)[-1] - sorted(by_worth)[-2]

    members, lead = best(every, "selection", "seen")
    assert lead > 1e-9  # of these numbers; so that ties have no part in this test
    assert chosen(selection) == " + ".join("abcde"[i] for i in members)
    model = selection.row("best_single_model", "selection", "seen", criterion)["ensemble"]
    singles = [(m,) for m in range(NUM_MODELS)]
    assert model == "abcde"[best(singles, "selection", "seen")[0][0]]
    for row in selection.table.iter_rows(named=True):
        names = parts[row["scope"]] if row["condition"] is None else [row["condition"]]
        groups = [["abcde".index(m) for m in row["members"]]] if row["members"] else []
        groups = groups or [m for m in every if len(m) == row["size"]]
        each = [
            np.mean([top1(logits[name], labels_N, m, kept[row["half"]]) for m in groups]) for name in names
        ]
        assert row["top1"] == pytest.approx(reduce.get(row["statistic"], np.mean)(each), abs=1e-12)
        assert row["n"] == NUM_SAMPLES // 2
        if row["role"] == "best_in_hindsight" and row["statistic"] == criterion:
            expected = max(
                reduce[criterion]([top1(logits[name], labels_N, m, kept[row["half"]]) for name in names])
                for m in every
            )
            assert row["top1"] == pytest.approx(expected, abs=1e-12)


def test_held_out_images_and_unseen_conditions_have_no_say(logits, labels_N):
    held_out_N = held_out()
    before = select_in(study_of(logits, labels_N), Request(), Silent())
    rng = np.random.default_rng(5)
    for name, logits_MNC in logits.items():
        changed_N = held_out_N if name in SEEN else np.ones(NUM_SAMPLES, bool)
        logits_MNC[:, changed_N] = rng.normal(size=(NUM_MODELS, int(changed_N.sum()), NUM_CLASSES))
    after = select_in(study_of(logits, labels_N), Request(), Silent())
    assert before.table.filter(half="selection").equals(after.table.filter(half="selection"))
    assert not before.table.filter(half="held_out").equals(after.table.filter(half="held_out"))


def test_selection_images_have_a_say(logits, labels_N):
    chosen_on_N = np.flatnonzero(~held_out())
    for pair in ([0, 4], [1, 2]):
        for name in SEEN:
            wrong_NC = 20 * np.eye(NUM_CLASSES)[(labels_N[chosen_on_N] + 1) % NUM_CLASSES]
            logits[name][:, chosen_on_N] = wrong_NC
            for model in pair:  # right together, overruled by anyone else
                logits[name][model, chosen_on_N] = 9 * np.eye(NUM_CLASSES)[labels_N[chosen_on_N]]
        selection = select_in(study_of(logits, labels_N, sizes=[2]), Request(), Silent())
        assert best_ensemble(selection) == " + ".join("abcde"[m] for m in pair)


def test_a_seed_is_a_choice_and_another_seed_another_half(logits, labels_N):
    once, again, other = (
        select_in(study_of(logits, labels_N), Request(seed=seed), Silent()).table for seed in (4, 4, 5)
    )
    assert once.equals(again)
    assert not once.equals(other)


def test_halves_are_halves_and_do_not_depend_on_the_condition():
    blocks_N = torch.arange(101) % 10
    held_out_N = halves("val", blocks_N, seed=0)
    assert held_out_N.sum() in (50, 51) and len(blocks_N[held_out_N].unique()) == 5
    assert (halves("val", blocks_N, seed=0) == held_out_N).all()
    assert (halves("train", blocks_N, seed=0) != held_out_N).any()


def test_members_and_single_models_keep_to_the_budget(logits, labels_N):
    for logits_MNC in logits.values():  # a, the largest, is by far the best
        logits_MNC[0, np.arange(NUM_SAMPLES), labels_N] += 20
    free = select_in(study_of(logits, labels_N), Request(), Silent())
    assert "a" in free.row("chosen", "selection", "seen", "worst")["members"]
    bound = select_in(study_of(logits, labels_N), Request(max_params=49, max_macs=7 * 45), Silent())
    row = bound.row("chosen", "selection", "seen", "worst")
    assert row["params"] <= 45
    assert row["macs"] == 7 * row["params"]
    assert bound.row("best_single_model", "selection", "seen", "worst")["ensemble"] != "a"
    # Of the pairs with at most 45: b+d 30, b+e 40; no three members have less than 60.
    assert bound.candidates == 2


def test_of_equals_the_better_other_criterion_then_fewer_parameters_then_the_first():
    top1_TX = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.6, 0.7, 0.7, 0.7]])
    assert choose(top1_TX, "worst", np.array([1, 9, 3, 3])) == 2


def test_the_interval_of_one_condition_is_wilsons(logits, labels_N):
    table = select_in(study_of(logits, labels_N), Request(), Silent()).table
    row = table.filter(role="chosen", half="held_out", condition="val/lines-1").row(0, named=True)
    low, high = proportion_interval(round(row["top1"] * row["n"]), row["n"])
    assert (row["top1_low"], row["top1_high"]) == (low, high)


def test_the_paired_interval_of_single_images_is_that_of_the_mean_difference():
    rng = np.random.default_rng(2)
    right_XN = rng.random((2, 40)) < np.array([[0.8], [0.6]])
    counts = [
        Counts(
            "val",
            torch.tensor(right_XN[x]).double().view(40, 1) * CREDITS,
            torch.ones(40),
            torch.zeros(40).bool(),
        )
        for x in (0, 1)
    ]
    value, (low, high) = jackknife_interval(lambda x: x.mean(0)[0] - x.mean(0)[1], [counts], 0)
    difference_N = right_XN[0].astype(float) - right_XN[1]
    reach = 2.0226909 * difference_N.std(ddof=1) / np.sqrt(40)  # Student's 97.5 % point of 39 degrees
    assert value == pytest.approx(difference_N.mean())
    assert (low, high) == pytest.approx((value - reach, value + reach), abs=1e-6)


def test_contenders_that_no_image_tells_apart_have_no_interval():
    right_BX = torch.full((10, 1), float(CREDITS), dtype=torch.float64)
    same = Counts("d", right_BX, torch.full((10,), 3.0, dtype=torch.float64), torch.arange(10) < 5)
    value, (low, high) = jackknife_interval(lambda x: x.mean(0)[0] - x.mean(0)[1], [[same, same]], 0)
    assert value == 0.0
    assert np.isnan([low, high]).all()


def test_variances_of_two_data_sets_add():
    right = torch.tensor([1.0, 0, 1, 1, 0, 1, 1, 1]).double() * CREDITS
    rows = [[Counts(name, right.view(8, 1), torch.ones(8), torch.zeros(8).bool())] for name in ("a", "b")]
    _, one = jackknife_interval(lambda x: x.mean(0)[0], rows[:1], 0)
    _, both = jackknife_interval(lambda x: x.mean(0)[0], rows, 0)
    assert both.high - both.low == pytest.approx((one.high - one.low) / np.sqrt(2))


def test_the_difference_is_told_for_the_chosen_on_the_held_out_half_only(logits, labels_N):
    table = select_in(study_of(logits, labels_N), Request(), Silent()).table
    told = table.filter(table["difference"].is_not_null())
    assert set(told["role"]) == {"chosen"} and set(told["half"]) == {"held_out"}
    assert (told["difference_low"] <= told["difference"]).all()
    single = table.filter(role="best_single_model", half="held_out")
    assert np.allclose(told["top1"] - single["top1"], told["difference"])


def test_optimism_is_the_drop_beyond_that_of_the_average_ensemble(logits, labels_N):
    selection = select_in(study_of(logits, labels_N), Request(), Silent())

    def drop(role):
        return np.subtract(*(selection.row(role, half, "seen", "worst")["top1"] for half in HALVES))

    assert selection.drop == pytest.approx(drop("chosen"))
    assert selection.optimism == pytest.approx(drop("chosen") - drop("average_ensemble"))
    assert selection.regret_seen >= 0 and selection.regret_unseen >= 0


def test_the_columns_are_the_documented_ones(logits, labels_N):
    table = select_in(study_of(logits, labels_N), Request(consensus="vote"), Silent()).table
    assert dict(table.schema) == SELECTION
    # 5 roles (no architectures are known) in 3 parts, less hindsight in the first; 2 sums each, and
    # conditions 3, 3 and 2.
    assert table.height == 4 * (2 + 3) + 5 * (2 + 3) + 5 * (2 + 2)


def test_the_later_half_of_the_corruptions_is_unseen_by_default():
    seen, unseen = split_conditions(CONDITIONS, ())
    assert seen == SEEN
    assert unseen == ("val/water_drop-1", "val/lines-1")


@pytest.mark.parametrize("pattern", ["lines", "lines-*", "val/li*"])
def test_patterns_match_names_with_and_without_the_data_set_and_corruptions(pattern):
    assert split_conditions(CONDITIONS, [pattern])[1] == ("val/lines-1",)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(consensus="averge"), "a known consensus rule, found 'averge'; did you mean 'average'"),
        (Request(criterion="wurst"), "a known criterion, found 'wurst'; did you mean 'worst'"),
        (Request(unseen=("linse",)), "--unseen 'linse'; did you mean 'lines'"),
        (Request(unseen=("*",)), "conditions to choose on and others to hold out, found all 5 held out"),
        (Request(size=4), "a size of this study: 2, 3, found --size 4"),
        (Request(max_params=29), "the budget of 29 parameters, found none: the smallest has 30 parameters"),
        (Request(size=3, max_macs=1), "the budget of 1 MACs, found none: .* the quickest takes 420 MACs"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(logits, labels_N, request_, message):
    with pytest.raises(UserError, match=message):
        select_in(study_of(logits, labels_N), request_, Silent())


def test_one_condition_leaves_none_to_hold_out():
    with pytest.raises(UserError, match=r"at least 2 conditions, .* found val/clean"):
        split_conditions(CONDITIONS[:1], ())


def test_three_images_are_too_few(logits, labels_N):
    few = {name: logits_MNC[:, :3] for name, logits_MNC in logits.items()}
    with pytest.raises(UserError, match="at least 4 blocks of images of 'val', two for each half, found 3"):
        select_in(study_of(few, labels_N[:3]), Request(), Silent())


def test_a_run_chooses_only_where_both_sides_have_enough(logits, labels_N):
    def enough(num_images, conditions=CONDITIONS, blocks=None):
        few = {c.name: logits["val/clean"][:, :num_images] for c in conditions}
        study = study_of(few, labels_N[:num_images], conditions=conditions)
        if blocks is not None:
            for view in study.predictions.values():
                view.blocks_N[:] = blocks
        return can_hold_out(study, Request())

    assert enough(8) and not enough(7)
    assert enough(8, CONDITIONS[:2]) and not enough(8, CONDITIONS[:1])
    assert not enough(8, CONDITIONS[1:2]) and not enough(20, (CONDITIONS[0], Condition("far")))
    assert not enough(8, blocks=np.arange(8) % 3) and enough(8, blocks=np.arange(8) % 4)


def test_two_data_sets_are_halved_each_and_counted_together(logits, labels_N):
    conditions = tuple(dataclasses.replace(c, dataset=d) for d in ("val", "far") for c in CONDITIONS[:3])
    both = {c.name: logits[dataclasses.replace(c, dataset="val").name] for c in conditions}
    study = study_of(both, labels_N, conditions=conditions)
    selection = select_in(study, Request(unseen=("far/*",)), Silent())
    assert selection.row("chosen", "held_out", "unseen", "mean")["n"] == NUM_SAMPLES // 2
    mixed = select_in(study, Request(unseen=("plasma_noise",)), Silent())
    assert mixed.row("chosen", "held_out", "unseen", "mean")["n"] == NUM_SAMPLES


def test_a_sample_that_one_condition_lacks_is_left_out_of_all():
    readable, lacking = np.zeros((3, 2), np.float32), np.array([[0, 0], [np.nan, np.nan], [0, 0]], np.float32)
    arrays = {("clean", "a"): readable, ("lines", "a"): lacking}
    views = align(arrays, ["clean", "lines"], ["a"], ["x", "y", "z"], np.array([0, 1, 1]), num_blocks=2)
    assert [view.rows_N.tolist() for view in views.values()] == [[0, 2], [0, 2]]
    assert views["clean"].labels_N.tolist() == [0, 1]


def test_a_single_model_that_no_ensemble_beats_is_chosen_and_the_verdict_says_so(logits, labels_N):
    for logits_MNC in logits.values():  # b is right always, and others drown it out
        logits_MNC[1] = np.eye(NUM_CLASSES)[labels_N]
        logits_MNC[[0, 2, 3, 4]] *= 20
    selection = select_in(study_of(logits, labels_N), Request(), Silent())
    assert selection.verdict == "a single model, b, is chosen: no ensemble was better on the choosing half"
    row = selection.row("chosen", "held_out", "seen", "worst")
    assert (row["members"], row["consensus"], row["difference"]) == (["b"], None, 0.0)
    assert np.isnan([row["difference_low"], row["difference_high"]]).all()
    ensemble = selection.row("best_ensemble", "held_out", "seen", "worst")
    assert ensemble["size"] > 1 and ensemble["difference"] < 0
    assert ensemble["difference"] == pytest.approx(ensemble["top1"] - row["top1"])
    assert selection.row("average_ensemble", "held_out", "seen", "worst")["size"] == ensemble["size"]
    assert set(selection.splits["ensemble"]) == {"b"} and set(selection.splits["gain_held_out"]) == {0.0}


def test_every_split_is_that_of_brute_force_on_blocks(logits, labels_N):
    study = study_of(logits, labels_N)
    selection = select_in(study, Request(splits=12), Silent())
    blocks_N = study.predictions["val/clean"].blocks_N
    every = [m for size in (1, 2, 3) for m in itertools.combinations(range(NUM_MODELS), size)]
    params = (50, 10, 40, 20, 30)
    unseen = [c.name for c in CONDITIONS if c.name not in SEEN]
    assert selection.splits["split"].to_list() == list(range(12))
    for row in selection.splits.iter_rows(named=True):
        order = generator("halves of blocks", "val", 10, row["split"]).permutation(np.arange(10))
        chose_N = np.isin(blocks_N, order[:5])

        def rank(m, chose_N=chose_N):
            of = [top1(logits[name], labels_N, m, chose_N) for name in SEEN]
            return round(min(of), 9), round(np.mean(of), 9), -sum(params[i] for i in m)

        best, single = max(every, key=rank), max(every[:NUM_MODELS], key=rank)
        assert row["members"] == ["abcde"[i] for i in best]
        assert row["best_single_model"] == "abcde"[single[0]]
        for column, keep_N, names in (
            ("gain_chosen", chose_N, SEEN),
            ("gain_held_out", ~chose_N, SEEN),
            ("gain_unseen", ~chose_N, unseen),
        ):
            a, b = (worst(logits, labels_N, m, keep_N, names) for m in (best, single))
            assert row[column] == pytest.approx(a - b, abs=1e-9)


def test_splits_add_up_to_their_summary(logits, labels_N):
    table = select_in(study_of(logits, labels_N), Request(splits=40), Silent()).splits
    found = stability(table)
    assert found.num_splits == sum(count for *_, count in found.chosen) == 40
    assert [count for *_, count in found.chosen] == sorted((c for *_, c in found.chosen), reverse=True)
    assert found.gain == pytest.approx(np.median(table["gain_held_out"]))
    assert found.above == (table["gain_held_out"] > 0).mean()
    assert np.isnan(stability(table.head(0)).gain)


def test_a_choice_need_not_be_repeated(logits, labels_N):
    assert select_in(study_of(logits, labels_N), Request(splits=0), Silent()).splits.is_empty()


def worst(logits, labels_N, members, keep_N, conditions):
    return min(top1(logits[name], labels_N, members, keep_N) for name in conditions)


def test_the_front_is_that_of_brute_force_and_told_by_the_other_half(logits, labels_N):
    front = select_in(study_of(logits, labels_N), Request(), Silent()).front
    held_out_N = held_out()
    params = (50, 10, 40, 20, 30)
    every = [m for size in (1, 2, 3) for m in itertools.combinations(range(NUM_MODELS), size)]
    cost = {m: sum(params[i] for i in m) for m in every}
    worth = {m: worst(logits, labels_N, m, ~held_out_N, SEEN) for m in every}
    on_front = [
        m
        for m in every
        if not any(
            cost[o] <= cost[m] and worth[o] >= worth[m] and (cost[o], worth[o]) != (cost[m], worth[m])
            for o in every
        )
    ]
    # Of contenders equal in both the front names one.
    assert set(zip(front["params"], front["chosen_top1"].round(9), strict=True)) == {
        (cost[m], round(worth[m], 9)) for m in on_front
    }
    assert front["params"].is_sorted() and front["chosen_top1"].is_sorted()
    assert len(set(front["params"])) == front.height > 2
    unseen = [c.name for c in CONDITIONS if c.name not in SEEN]
    for row in front.iter_rows(named=True):
        members = ["abcde".index(name) for name in row["members"]]
        assert row["top1"] == pytest.approx(worst(logits, labels_N, members, held_out_N, SEEN))
        assert row["unseen_top1"] == pytest.approx(worst(logits, labels_N, members, held_out_N, unseen))
        assert row["top1_low"] < row["top1"] < row["top1_high"]
        assert row["unseen_low"] < row["unseen_top1"] < row["unseen_high"]
        assert row["is_single"] == (row["size"] == 1) == (row["consensus"] is None)
        assert row["macs"] == 7 * row["params"]


def test_the_chosen_ensemble_is_on_the_front_unless_a_cheaper_one_is_as_good(logits, labels_N):
    selection = select_in(study_of(logits, labels_N), Request(), Silent())
    row = selection.row("chosen", "selection", "seen", "worst")
    assert selection.front["chosen_top1"].max() >= row["top1"] - 1e-9
    on_front = selection.front.filter(params=row["params"])
    assert on_front.is_empty() or on_front["chosen_top1"][0] == pytest.approx(row["top1"])


def test_held_out_images_have_no_say_in_the_front(logits, labels_N):
    before = select_in(study_of(logits, labels_N), Request(), Silent()).front
    held_out_N = held_out()
    for name, logits_MNC in logits.items():
        logits_MNC[:, held_out_N if name in SEEN else slice(None)] *= -1
    after = select_in(study_of(logits, labels_N), Request(), Silent()).front
    columns = ["ensemble", "params", "chosen_top1"]
    assert before.select(columns).equals(after.select(columns))
    assert not before["top1"].equals(after["top1"])


def test_the_front_keeps_to_the_budget_and_to_its_documented_columns(logits, labels_N):
    front = select_in(study_of(logits, labels_N), Request(max_params=45), Silent()).front
    assert dict(front.schema) == FRONT
    assert front["params"].max() <= 45


def test_the_fronts_cost_can_be_macs(logits, labels_N):
    study = dataclasses.replace(study_of(logits, labels_N), macs_M=np.array([1, 5, 2, 4, 3]))
    front = select_in(study, Request(cost="macs"), Silent()).front
    assert front["macs"].is_sorted() and front["ensemble"][0] == "a"
    assert not select_in(study, Request(), Silent()).front.equals(front)


def test_of_equal_points_of_the_front_the_better_by_the_other_criterion_stands_there():
    top1_TX = torch.tensor([[0.5, 0.5, 0.5], [0.6, 0.7, 0.9]])
    assert pareto_front(top1_TX, np.array([3, 3, 4]), "worst") == [1]
    assert pareto_front(top1_TX, np.array([3, 3, 4]), "mean") == [1, 2]


KINDS = {"architectures": ("r", "v", "r", "v", "r"), "trainings": ("s",) * 5}


def roles(selection):
    return set(selection.table["role"])


def test_one_architectures_seeds_stand_beside_the_choice(logits, labels_N):
    for logits_MNC in logits.values():  # b is by far the best model, and d its other seed
        logits_MNC[1, np.arange(NUM_SAMPLES), labels_N] += 3
    selection = select_in(study_of(logits, labels_N, sizes=[2], **KINDS), Request(), Silent())
    assert selection.row("best_single_model", "selection", "seen", "worst")["ensemble"] == "b"
    row = selection.row("homogeneous", "held_out", "unseen", "worst")
    assert row["members"] == ["b", "d"]
    assert row["difference"] is None
    held_out_N = held_out()
    unseen = [c.name for c in CONDITIONS if c.name not in SEEN]
    assert row["top1"] == pytest.approx(worst(logits, labels_N, [1, 3], held_out_N, unseen))


def test_of_the_seeds_the_best_on_the_choosing_half_are_taken(logits, labels_N):
    for logits_MNC in logits.values():  # a is the best; with c or e
        logits_MNC[0, np.arange(NUM_SAMPLES), labels_N] += 3
    selection = select_in(study_of(logits, labels_N, sizes=[2], **KINDS), Request(), Silent())
    keep_N = ~held_out()
    best = max(([0, 2], [0, 4], [2, 4]), key=lambda m: worst(logits, labels_N, m, keep_N, SEEN))
    row = selection.row("homogeneous", "selection", "seen", "worst")
    assert row["members"] == ["abcde"[i] for i in best]


def test_where_the_best_model_has_too_few_seeds_another_architecture_stands_there(logits, labels_N):
    for logits_MNC in logits.values():
        logits_MNC[1, np.arange(NUM_SAMPLES), labels_N] += 3
    selection = select_in(study_of(logits, labels_N, sizes=[3], **KINDS), Request(), Silent())
    assert selection.row("homogeneous", "held_out", "seen", "worst")["members"] == ["a", "c", "e"]


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"architectures": ("",) * 5, "trainings": ("s",) * 5},
        {"architectures": ("r", "r", "v", "v", ""), "trainings": ("s", "d", "s", "d", "s")},
    ],
)
def test_without_seeds_of_one_architecture_and_training_there_is_no_such_row(logits, labels_N, known):
    selection = select_in(study_of(logits, labels_N, **known), Request(), Silent())
    assert "homogeneous" not in roles(selection)
    assert "same_cost_model" in roles(selection)


def test_seeds_that_a_sample_of_ensembles_left_out_are_evaluated_but_not_chosen(logits, labels_N):
    for logits_MNC in logits.values():
        logits_MNC[[1, 3], np.arange(NUM_SAMPLES)[:, None], labels_N[:, None]] += 9
    found = {}
    for seed in range(20):
        study = study_of(logits, labels_N, sizes=[2], sample=2, **KINDS)
        study = dataclasses.replace(study, asked=study.asked.model_copy(update={"seed": seed}))
        drawn = study.ensembles()[0].members_EK.tolist()
        extra = homogeneous_ensembles(study, Request(), study.ensembles())
        assert not [row for family in extra for row in family.members_EK.tolist() if row in drawn]
        found[[1, 3] in drawn] = study
    assert set(found) == {True, False}
    found = {drawn: select_in(study, Request(), Silent()) for drawn, study in found.items()}
    assert found[False].candidates == 2
    assert found[False].row("homogeneous", "held_out", "seen", "worst")["ensemble"] == "b + d"
    assert best_ensemble(found[False]) != "b + d"
    assert best_ensemble(found[True]) == "b + d"


def test_the_model_of_the_same_cost_has_the_nearest_macs(logits, labels_N):
    for logits_MNC in logits.values():  # b and d, 10 + 20 parameters; e alone has 30
        logits_MNC[[1, 3], np.arange(NUM_SAMPLES)[:, None], labels_N[:, None]] += 9
    selection = select_in(study_of(logits, labels_N, sizes=[2]), Request(), Silent())
    assert best_ensemble(selection) == "b + d"
    row = selection.row("same_cost_model", "held_out", "unseen", "worst")
    assert (row["ensemble"], row["size"], row["consensus"], row["macs"]) == ("e", 1, None, 210)
    held_out_N = held_out()
    unseen = [c.name for c in CONDITIONS if c.name not in SEEN]
    assert row["top1"] == pytest.approx(worst(logits, labels_N, [4], held_out_N, unseen))


def test_further_accepted_labels_are_right_for_models_and_ensembles(logits, labels_N):
    accepted = {i: ((int(labels_N[i]) + 1) % NUM_CLASSES,) for i in range(0, NUM_SAMPLES, 3)}
    selection = select_in(study_of(logits, labels_N, accepted=accepted), Request(), Silent())
    held_out_N = held_out()
    for row in selection.table.filter(half="held_out", condition="val/lines-1").iter_rows(named=True):
        if row["members"]:
            members = ["abcde".index(name) for name in row["members"]]
            predicted_N = logits["val/lines-1"][members].mean(0).argmax(-1)
            right_N = [p in (labels_N[i], *accepted.get(i, ())) for i, p in enumerate(predicted_N)]
            assert row["top1"] == pytest.approx(np.array(right_N)[held_out_N].mean())


def test_an_unknown_cost_is_one_sentence(logits, labels_N):
    with pytest.raises(UserError, match="a known cost, found 'mac'; did you mean 'macs'"):
        select_in(study_of(logits, labels_N), Request(cost="mac"), Silent())
