"""Every table of evidence against loops over the stored logits, image by image."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.metrics import log_loss

from nversion.core.study_files import read_table
from nversion.data import read_costs
from nversion.diversity import STRATA, attribution_metric
from nversion.ensembles import Ensembles
from nversion.evaluation.halves import halves
from nversion.evaluation.hazards import MIN_IMAGES
from nversion.evaluation.measure import AttributedGrams, measure_condition
from nversion.study.spec import EnsemblesTable
from nversion.study.stored import open_stored

FAMILIES = {"a": "CNN", "bb": "ViT", "ccc": "CNN", "dddd": "ViT"}
GROUPS = {"calm": [0], "danger": [1, 2]}
SUSPECT_SHARE = 0.7
BOTH = ["d/clean", "d/lines-1"]


def run_rich(small, folder):
    """A study with everything asked for: further labels, groups, costs, lineage, two methods, suspects."""
    small.write_inputs(folder, num_images=24)
    further = [f"{i:03d}.png,{(i + 1) % 3}" for i in range(0, 24, 4)]
    (folder / "accepted.csv").write_text("\n".join(["sample_id,labels", *further]) + "\n")
    (folder / "groups.toml").write_text("".join(f"{name} = {classes}\n" for name, classes in GROUPS.items()))
    (folder / "costs.csv").write_text("label,taken,cost\n1,0,10\n0,2,0.5\n")
    data, (pool,) = small.content()["data"]["d"], small.content()["models"]
    small.run(
        folder,
        data={"d": {**data, "accepted": "accepted.csv"}},
        models=[{**pool, "families": FAMILIES, "teacher": {"a": "elder", "bb": "elder"}}],
        attribution={
            "methods": ["saliency", "input_x_gradient"],
            "targets": ["predicted"],
            "normalise": ["none"],
            "images": None,
        },
        reliability={"suspect_share": SUSPECT_SHARE},
        hazards={"groups": "groups.toml", "costs": "costs.csv"},
    )
    return folder / "out"


@dataclass(frozen=True)
class Seen:
    """A finished study: its folder, and what its models said."""

    folder: object
    names: tuple
    logits: dict  # of each condition, float64 (M, N, C)
    labels_N: np.ndarray
    accepted: list  # the set of right labels of each image
    blocks_N: np.ndarray
    ids: list

    def rows(self, table, **where):
        """Rows of a table, at least one."""
        rows = read_table(self.folder, table).filter(**where).rows(named=True)
        assert rows
        return rows

    def members(self, row):
        return [self.names.index(name) for name in row["ensemble"].split(" + ")]

    def right_MN(self, condition):
        predicted_MN = self.logits[condition].argmax(-1)
        return np.array([[c in ok for c, ok in zip(row, self.accepted, strict=True)] for row in predicted_MN])

    def votes(self, row, n):
        """How many members of a row's ensemble name each class on image n."""
        return Counter(self.logits[row["condition"]][self.members(row), n].argmax(-1).tolist())

    def chance_N(self, row, rule):
        """With which probability a row's ensemble is right on each image."""
        if rule == "average":
            winner_N = self.mean_NC(row).argmax(-1)
            return np.array([float(c in ok) for c, ok in zip(winner_N, self.accepted, strict=True)])
        chances = []
        for n, ok in enumerate(self.accepted):
            votes = self.votes(row, n)
            tied = [c for c in votes if votes[c] == max(votes.values())]
            chances.append(sum(c in ok for c in tied) / len(tied))
        return np.array(chances)

    def mean_NC(self, row):
        return self.logits[row["condition"]][self.members(row)].mean(0)

    def suspect_N(self):
        ids = set(read_table(self.folder, "suspects")["sample_id"])
        return np.array([i in ids for i in self.ids])


def see(folder):
    study = open_stored(folder)
    views = study.predictions
    view = views["d/clean"]
    labels = read_table(folder, "labels")
    return Seen(
        folder,
        study.model_names,
        {name: np.stack([np.asarray(x, np.float64) for x in v.logits]) for name, v in views.items()},
        view.labels_N,
        [{row["label"], *row["accepted"]} for row in labels.iter_rows(named=True)],
        view.blocks_N,
        labels["sample_id"].to_list(),
    )


@pytest.fixture(scope="module")
def rich(small, tmp_path_factory):
    return see(run_rich(small, tmp_path_factory.mktemp("rich")))


@pytest.fixture(scope="module", params=["plain", "rich"])
def study(request, finished):
    """The small study, and the one with everything asked for."""
    return see(finished) if request.param == "plain" else request.getfixturevalue("rich")


def exact(failures, n):
    """The Clopper-Pearson interval, by SciPy."""
    return pytest.approx(tuple(stats.binomtest(failures, n).proportion_ci(0.95, "exact")), abs=1e-9)


def near(value, tolerance=1e-9):
    return pytest.approx(value, rel=tolerance, abs=tolerance, nan_ok=True)


# Ensembles against their best member.


@pytest.mark.parametrize("rule", ["average", "vote"])
def test_a_comparison_counts_the_images_that_only_one_of_the_two_gets_right(study, rule):
    rows = study.rows("comparisons", consensus=rule)
    assert {row["condition"] for row in rows} == set(BOTH)
    for row in rows:
        alone_KN = study.right_MN(row["condition"])[study.members(row)]
        best = int(alone_KN.sum(1).argmax())
        chance_N = study.chance_N(row, rule)
        only_ensemble, only_member = (
            (chance_N * ~alone_KN[best]).sum(),
            ((1 - chance_N) * alone_KN[best]).sum(),
        )
        assert row["best_member"] == row["ensemble"].split(" + ")[best]
        assert row["only_ensemble"] == near(only_ensemble)
        assert row["only_member"] == near(only_member)
        assert row["difference"] == near((only_ensemble - only_member) / row["n"])
        assert row["difference"] == near(chance_N.mean() - alone_KN[best].mean())
        assert row["low_corrected"] < row["low"] < row["difference"] < row["high"] < row["high_corrected"]
        if rule == "average":
            told = round(only_ensemble + only_member)
            p_value = stats.binomtest(round(only_ensemble), told).pvalue if told else 1.0
            assert row["p_value"] == near(p_value)


def test_p_values_are_corrected_for_all_ensembles_of_a_size_rule_and_condition(study):
    frame = read_table(study.folder, "comparisons")
    for _, group in frame.group_by("size", "consensus", "condition"):
        assert group["num_compared"].unique().to_list() == [len(group)]
        p_values, corrected, highest = sorted(group["p_value"]), [], 0.0
        for i, p_value in enumerate(p_values):
            highest = max(highest, min(1.0, (len(p_values) - i) * p_value))
            corrected.append(highest)
        assert sorted(group["p_corrected"]) == near(corrected)


# The ten best against the best single model, and what the images can show.


@pytest.mark.parametrize("rule", ["average", "vote"])
def test_gains_are_over_the_most_accurate_model_of_the_pool(study, rule):
    for row in study.rows("gains", consensus=rule):
        right_MN = study.right_MN(row["condition"])
        best = int(right_MN.sum(1).argmax())
        chance_N = study.chance_N(row, rule)
        assert row["best_model"] == study.names[best]
        assert row["only_ensemble"] == near((chance_N * ~right_MN[best]).sum())
        assert row["only_model"] == near(((1 - chance_N) * right_MN[best]).sum())
        assert row["difference"] == near(chance_N.mean() - right_MN[best].mean())
        assert row["low_corrected"] < row["low"] < row["difference"] < row["high"] < row["high_corrected"]


def test_gains_list_the_ten_most_accurate_ensembles_from_the_best(study):
    ensembles = read_table(study.folder, "ensembles")
    for keys, group in read_table(study.folder, "gains").group_by("size", "consensus", "condition"):
        where = dict(zip(("size", "consensus", "condition"), keys, strict=True))
        all_top1 = ensembles.filter(**where).sort("top1", descending=True, maintain_order=True)
        assert group["ensemble"].to_list() == all_top1["ensemble"].to_list()[:10]
        assert group["num_compared"].unique().to_list() == [all_top1.height]


def test_power_is_of_the_median_share_of_images_that_tell_an_ensemble_from_its_best_member(study):
    z = stats.norm.ppf(0.975) * 1.0, stats.norm.ppf(0.8)
    for row in study.rows("power"):
        where = {key: row[key] for key in ("size", "consensus", "condition")}
        compared = read_table(study.folder, "comparisons").filter(**where)
        apart = (compared["only_ensemble"] + compared["only_member"]) / compared["n"]
        assert row["discordant"] == near(float(np.median(apart.to_numpy())))
        gain, psi = row["smallest_gain"], max(row["discordant"], row["smallest_gain"])
        assert row["n"] == near((z[0] * psi**0.5 + z[1] * (psi - gain**2) ** 0.5) ** 2 / gain**2, 1e-6)
        assert row["smallest_gain_corrected"] >= gain
        psi = max(row["discordant"], 0.01)
        needed = (z[0] * psi**0.5 + z[1] * (psi - 0.01**2) ** 0.5) ** 2 / 0.01**2
        assert row["images_for_a_point"] == near(needed, 1e-6)


# Voters.


def test_a_voter_is_right_or_stops_or_is_silently_wrong(study):
    for row in study.rows("votes"):
        needed = row["size"] if row["voter"] == "unanimous" else row["size"] // 2 + 1
        outcomes = Counter()
        for n, ok in enumerate(study.accepted):
            ((top, count),) = study.votes(row, n).most_common(1)
            outcomes["stop" if count < needed else "right" if top in ok else "wrong"] += 1
        assert row["n"] == len(study.labels_N)
        found = [row["right"], row["safe_stop"], row["silent_wrong"]]
        assert sum(found) == near(1)
        assert found == near([outcomes[name] / row["n"] for name in ("right", "stop", "wrong")])
        assert (row["silent_wrong_low"], row["silent_wrong_high"]) == exact(outcomes["wrong"], row["n"])


def test_agreement_trades_risk_for_coverage_as_counted(study):
    for row in study.rows("agreement"):
        wrong_N = 1 - study.chance_N(row, "vote")
        accepted_N = [max(study.votes(row, n).values()) >= row["agreeing"] for n in range(row["n"])]
        assert row["accepted"] == sum(accepted_N)
        assert row["coverage"] == near(sum(accepted_N) / row["n"])
        assert row["risk"] == near(wrong_N[accepted_N].mean() if any(accepted_N) else math.nan)
        assert row["risk_low"] <= row["risk"] <= row["risk_high"] or not any(accepted_N)


# Failing together.


def subset_N(study, row):
    return ~study.suspect_N() if row["subset"] == "without_suspects" else np.ones(len(study.labels_N), bool)


def test_joint_failures_are_those_counted_image_by_image(study):
    rows = study.rows("joint_failures")
    for row in rows:
        kept_N = subset_N(study, row)
        fails_Kn = ~study.right_MN(row["condition"])[study.members(row)][:, kept_N]
        n, size, rates_K = kept_N.sum(), row["size"], fails_Kn.mean(1)
        independent = np.zeros(size + 1)
        for outcome in product([0, 1], repeat=size):
            chances = [rate if fails else 1 - rate for fails, rate in zip(outcome, rates_K, strict=True)]
            independent[sum(outcome)] += math.prod(chances)
        failing_n = fails_Kn.sum(0)
        assert row["n"] == n
        assert row["all_fail"] == near((failing_n == size).mean())
        assert (row["all_fail_low"], row["all_fail_high"]) == exact(int((failing_n == size).sum()), int(n))
        assert row["all_fail_independent"] == near(independent[size])
        assert row["majority_fail"] == near((failing_n > size / 2).mean())
        assert row["majority_fail_independent"] == near(independent[size // 2 + 1 :].sum())
        assert row["vote_fail"] == near(1 - study.chance_N(row, "vote")[kept_N].mean())
        identical = []
        for i in np.flatnonzero(kept_N):
            wrong = [count for c, count in study.votes(row, i).items() if c not in study.accepted[i]]
            identical.append(max(wrong, default=0) >= max(2, size / 2))
        assert row["identical_wrong"] == near(np.mean(identical))


def test_beta_is_the_chance_that_a_second_member_fails_where_one_does(study):
    for row in study.rows("joint_failures"):
        kept_N = subset_N(study, row)
        fails_Kn = ~study.right_MN(row["condition"])[study.members(row)][:, kept_N]
        blocks_n = study.blocks_N[kept_N]

        def beta(fails_Kn):
            pairs = [(fails_Kn[i] & fails_Kn[k]).mean() for i, k in combinations(range(len(fails_Kn)), 2)]
            return np.mean(pairs) / fails_Kn.mean()

        rates_K = fails_Kn.mean(1)
        by_chance = np.mean([p * q for p, q in combinations(rates_K, 2)]) / rates_K.mean()
        assert row["beta"] == near(beta(fails_Kn))
        assert row["beta_independent"] == near(by_chance)
        if row["subset"] == "all":  # then all blocks are equally large
            without = np.array([beta(fails_Kn[:, blocks_n != block]) for block in range(4)])
            assert row["beta_stderr"] == near(math.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum()))


def test_numbers_without_suspects_stand_beside_those_of_all_images(rich, finished):
    assert set(read_table(rich.folder, "joint_failures")["subset"]) == {"all", "without_suspects"}
    assert set(read_table(rich.folder, "methodologies")["subset"]) == {"all", "without_suspects"}
    assert set(read_table(finished, "joint_failures")["subset"]) == {"all"}


def test_suspects_are_the_images_on_which_nearly_all_models_fail_alike(rich):
    predicted_MN, right_MN = rich.logits["d/clean"].argmax(-1), rich.right_MN("d/clean")
    expected = {}
    for n, sample_id in enumerate(rich.ids):
        wrong = Counter(predicted_MN[~right_MN[:, n], n].tolist())
        if wrong.total() >= SUSPECT_SHARE * 4 and max(wrong.values()) >= 2:
            expected[sample_id] = (wrong.total(), max(wrong.values()) / 4)
    rows = rich.rows("suspects")
    assert {row["sample_id"]: (row["num_wrong"], row["agreed_share"]) for row in rows} == expected
    assert 0 < len(rows) < 24
    assert {row["condition"] for row in rows} == {"d/clean"}
    assert (rich.folder / "figures" / "suspects.png").is_file()


# The design-diversity model.


def both_fail(fails_MN, first, second):
    """How often two models fail together, in the mean over all pairs of different models."""
    return np.mean([(fails_MN[i] & fails_MN[k]).mean() for i in first for k in second if i != k])


def test_two_families_fail_together_as_their_cross_pairs_do(rich):
    of_family = {
        family: [m for m, name in enumerate(rich.names) if FAMILIES[name] == family]
        for family in ("CNN", "ViT")
    }
    rows = rich.rows("methodologies", grouping="family", quantity="joint_failure")
    assert len(rows) == 2 * 2 * 3  # conditions, subsets, {CNN, ViT, both}
    for row in rows:
        fails_Mn = ~rich.right_MN(row["condition"])[:, subset_N(rich, row)]
        a, b = of_family[row["methodology_a"]], of_family[row["methodology_b"]]
        assert (row["m_a"], row["m_b"]) == (2, 2)
        assert row["value"] == near(both_fail(fails_Mn, a, b))
        assert row["low"] <= row["value"] <= row["high"]


def test_joint_failure_of_families_is_the_mean_double_fault_of_the_pairs_table(rich):
    for condition in BOTH:
        pairs = rich.rows("pairs", condition=condition, metric="double_fault")
        cross = [p["value"] for p in pairs if FAMILIES[p["model_a"]] != FAMILIES[p["model_b"]]]
        (row,) = (
            row
            for row in rich.rows(
                "methodologies",
                condition=condition,
                subset="all",
                grouping="family",
                quantity="joint_failure",
            )
            if row["methodology_a"] != row["methodology_b"]
        )
        assert row["value"] == near(np.mean(cross))


def test_covariance_is_joint_failure_less_what_different_images_would_give(rich):
    for row in rich.rows("methodologies", grouping="family", quantity="covariance"):
        if row["methodology_a"] == row["methodology_b"]:
            continue
        fails_Mn = ~rich.right_MN(row["condition"])[:, subset_N(rich, row)]
        families = [FAMILIES[name] for name in rich.names]
        a_n, b_n = (fails_Mn[np.equal(families, family)].mean(0) for family in ("CNN", "ViT"))
        assert row["value"] == near(np.cov(a_n, b_n)[0, 1])


def test_failures_predicted_from_half_of_the_images_are_observed_on_the_other(study):
    rows = study.rows("predicted_failures", predicted_from="half of the images")
    assert len(rows) == 2 * 2 * (6 + 4)  # systems, conditions, ensembles
    other_N = halves("d", torch.from_numpy(study.blocks_N), seed=0).numpy()
    for row in rows:
        fails_KN = ~study.right_MN(row["condition"])[study.members(row)]
        needed = row["size"] if row["system"] == "all_fail" else row["size"] // 2 + 1
        failed_N = fails_KN.sum(0) >= needed
        assert row["n"] == other_N.sum()
        assert row["predicted"] == near(failed_N[~other_N].mean())
        assert row["observed"] == near(failed_N[other_N].mean())
        interval = (row["observed_low"], row["observed_high"])
        assert interval == exact(int(failed_N[other_N].sum()), int(other_N.sum()))
        if row["system"] == "all_fail":
            assert row["independent"] == near(fails_KN[:, ~other_N].mean(1).prod())


def test_failures_predicted_from_other_models_are_those_of_the_others_of_their_families(rich):
    other = {"a": "ccc", "ccc": "a", "bb": "dddd", "dddd": "bb"}
    rows = rich.rows("predicted_failures", grouping="family", size=2, system="all_fail")
    assert len(rows) == 2 * 6
    for row in rows:
        fails_MN = ~rich.right_MN(row["condition"])
        names = row["ensemble"].split(" + ")
        assert row["observed"] == near(fails_MN[rich.members(row)].all(0).mean())
        if FAMILIES[names[0]] == FAMILIES[names[1]]:
            assert math.isnan(row["predicted"])
            family = FAMILIES[names[0]]
            assert row["note"] == f"not predicted: needs 2 other models of {family}, has 0"
        else:
            others = [rich.names.index(other[name]) for name in names]
            assert row["predicted"] == near(fails_MN[others].all(0).mean())
            assert row["independent"] == near(fails_MN[others].mean(1).prod())


def test_models_that_share_a_teacher_are_told_so(rich, finished):
    assert read_table(rich.folder, "lineage").rows() == [("a", "bb", "teacher", "elder")]
    for row in rich.rows("ensembles"):
        shared = {"a", "bb"} <= set(row["members"])
        assert row["shared_lineage"] == ("teacher: elder" if shared else "")
    assert set(read_table(finished, "ensembles")["shared_lineage"]) == {""}


# Probabilities, costs and robustness.


def test_calibration_is_that_of_the_softmax_of_the_mean_logits(study):
    for row in study.rows("calibration"):
        p_NC = special.softmax(study.mean_NC(row), axis=-1)
        truth_NC = np.eye(3)[study.labels_N]
        of_members = [
            log_loss(study.labels_N, special.softmax(logits_NC, axis=-1), labels=range(3))
            for logits_NC in study.logits[row["condition"]][study.members(row)]
        ]
        nll = log_loss(study.labels_N, p_NC, labels=range(3))
        assert row["nll"] == near(nll, 1e-5)
        assert row["brier"] == near(((p_NC - truth_NC) ** 2).sum(1).mean(), 1e-5)
        assert row["mean_member_nll"] == near(np.mean(of_members), 1e-5)
        assert row["ambiguity"] == near(np.mean(of_members) - nll, 1e-5)
        losses_N = -np.log(p_NC[np.arange(len(p_NC)), study.labels_N])
        means_B = np.array([losses_N[study.blocks_N != block].mean() for block in range(4)])
        stderr = math.sqrt(3 / 4 * ((means_B - means_B.mean()) ** 2).sum())
        assert row["nll_stderr"] == near(stderr, 1e-5)


def worst_by_hand(right_KN, strata_N, names):
    """Name, images and joint failures of the stratum where all members fail most often."""
    best = (-1.0, 0, None, 0)
    for s, name in enumerate(names):
        inside_N = strata_N == s
        if inside_N.sum() >= MIN_IMAGES:
            failures = int((~right_KN[:, inside_N]).all(0).sum())
            best = max(best, (failures / inside_N.sum(), inside_N.sum(), name, failures), key=lambda b: b[:2])
    return best[2], best[1], best[3]


def test_hazards_name_the_class_and_the_group_where_all_members_fail_most_often(rich):
    group_C = np.array([0, 1, 1])
    rows = rich.rows("hazards")
    assert {row["kind"] for row in rows} == {"class", "group"}
    for row in rows:
        right_KN = rich.right_MN(row["condition"])[rich.members(row)]
        strata_N = rich.labels_N if row["kind"] == "class" else group_C[rich.labels_N]
        names = ["0", "1", "2"] if row["kind"] == "class" else list(GROUPS)
        name, n, failures = worst_by_hand(right_KN, strata_N, names)
        assert (row["name"], row["n"]) == (name, n)
        assert row["joint_failure"] == near(failures / n)
        assert (row["low"], row["high"]) == exact(failures, int(n))
        assert row["failure"] == near(1 - rich.chance_N(row, "average").mean())


def test_expected_cost_is_the_mean_cost_of_what_the_average_takes(rich, finished):
    space = SimpleNamespace(num_classes=3, class_names=None)
    cost_CC = read_costs(rich.folder.parent / "costs.csv", space)
    assert cost_CC.tolist() == [[0, 1, 0.5], [10, 0, 1], [1, 1, 0]]
    for row in rich.rows("hazards"):
        taken_N = rich.mean_NC(row).argmax(-1)
        assert row["expected_cost"] == near(cost_CC[rich.labels_N, taken_N].mean())
    assert read_table(finished, "hazards")["expected_cost"].is_nan().all()


def test_robustness_is_told_of_corrupted_conditions_only(study):
    rows = study.rows("robustness")
    assert [row["condition"] for row in rows] == ["d/lines-1"] * 4
    top1 = {(r["condition"], r["model"]): r["top1"] for r in study.rows("models")}
    for row in rows:
        assert row["n_models"] == 4
        assert row["clean_top1"] == top1["d/clean", row["model"]]
        assert row["top1"] == top1["d/lines-1", row["model"]]
        assert row["expected_top1"] + row["residual_points"] == near(row["top1"])
    groups = read_table(study.folder, "robustness_groups")
    assert set(groups["condition"]) == {"d/lines-1"}
    assert set(groups["kind"]) == {"family"}  # no card states a training


def test_the_expected_accuracy_lies_on_the_line_of_probits(study):
    rows, n = study.rows("robustness"), len(study.labels_N)

    def probit(top1):
        return stats.norm.ppf((round(top1 * n) + 0.5) / (n + 1))

    x_M, y_M = (np.array([probit(row[name]) for row in rows]) for name in ("clean_top1", "top1"))
    if np.ptp(x_M):
        line = stats.linregress(x_M, y_M)
        residual_M = y_M - line.slope * x_M - line.intercept
        assert [row["residual_probit"] for row in rows] == near(list(residual_M))


def test_a_study_without_corruptions_has_no_table_of_robustness(small, inputs):
    small.run(inputs, attribution=None, representation=None, conditions={"corruptions": {}})
    names = {path.stem for path in (inputs / "out" / "tables").iterdir()}
    assert {"joint_failures", "methodologies", "hazards"} <= names
    assert not names & {"robustness", "robustness_groups", "cka", "attribution_agreement", "maps"}


# Further labels.


@pytest.mark.parametrize("rule", ["average", "vote"])
def test_top1_is_the_share_of_images_whose_winner_is_an_accepted_label(rich, rule):
    gained = 0
    for row in rich.rows("ensembles", consensus=rule):
        assert row["top1"] == near(rich.chance_N(row, rule).mean())
        by_label = Seen(**{**vars(rich), "accepted": [{label} for label in rich.labels_N]})
        gained += row["top1"] > by_label.chance_N(row, rule).mean()
    assert gained


def test_a_models_top1_counts_further_labels_too(rich):
    for row in rich.rows("models"):
        right_N = rich.right_MN(row["condition"])[rich.names.index(row["model"])]
        assert row["top1"] == near(right_N.mean())


# Diversity.


def values(study, metric, **where):
    return {
        (row["condition"], row["ensemble"]): row["value"]
        for row in study.rows("diversity", metric=metric, **where)
    }


def test_metrics_of_ensembles_are_those_of_a_loop(study):
    entropy, kohavi_wolpert = values(study, "entropy"), values(study, "kohavi_wolpert")
    for row in study.rows("joint_failures", subset="all"):
        fails_KN = ~study.right_MN(row["condition"])[study.members(row)]
        size, failing_N = row["size"], fails_KN.sum(0)
        key = row["condition"], row["ensemble"]
        assert entropy[key] == near(np.minimum(failing_N, size - failing_N).mean() / (size // 2))
        assert kohavi_wolpert[key] == near(fails_KN.var(0).mean())


@pytest.mark.parametrize("size", [2, 3])
def test_kohavi_wolpert_variance_is_disagreement_on_another_scale(study, size):
    disagreement, variance = (values(study, name, size=size) for name in ("disagreement", "kohavi_wolpert"))
    assert variance == near({key: (size - 1) / (2 * size) * value for key, value in disagreement.items()})


def test_metrics_agree_with_the_tables_that_hold_the_same_number(study):
    beta = {(r["condition"], r["ensemble"]): r["beta"] for r in study.rows("joint_failures", subset="all")}
    ambiguity = {(r["condition"], r["ensemble"]): r["ambiguity"] for r in study.rows("calibration")}
    assert values(study, "generalised_diversity") == near({key: 1 - value for key, value in beta.items()})
    assert values(study, "ambiguity") == near(ambiguity)


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_strata_of_attribution_diversity_weighted_by_their_images_are_the_whole(rich, method):
    metric = f"attribution_{method}_predicted_none"
    whole = values(rich, metric)
    strata = {name: values(rich, f"{metric}_{name}") for name in ("all_right", "some_right", "none_right")}
    seen = Counter()
    for row in rich.rows("joint_failures", subset="all"):
        key, size = (row["condition"], row["ensemble"]), row["size"]
        right_N = rich.right_MN(row["condition"])[rich.members(row)].sum(0)
        count = {"all_right": (right_N == size).sum(), "none_right": (right_N == 0).sum()}
        count["some_right"] = row["n"] - sum(count.values())
        assert all(math.isnan(strata[name][key]) == (count[name] == 0) for name in strata)
        total = sum(count[name] * strata[name][key] for name in strata if count[name])
        assert whole[key] == near(total / row["n"])
        seen.update(name for name in strata if count[name])
    assert seen.keys() == strata.keys()


def test_the_similarity_of_two_models_is_the_mean_of_their_layers_of_one_depth(study):
    pairs = study.rows("pairs", metric="cka")
    assert len(pairs) == 6 * 2
    cka = read_table(study.folder, "cka")
    for pair in pairs:
        where = {name: pair[name] for name in ("condition", "model_a", "model_b")}
        layers = [
            cka.filter(**where, layer_a=layer, layer_b=layer)["value"].item() for layer in ("stem", "head")
        ]
        assert pair["value"] == near(np.mean(layers))
        assert cka.filter(**where, layer_a="map:saliency")["layer_b"].to_list() == ["map:saliency"]


def test_the_similarity_of_an_ensemble_is_the_mean_of_its_pairs(study):
    of_pair = {
        (p["condition"], p["model_a"], p["model_b"]): p["value"] for p in study.rows("pairs", metric="cka")
    }
    for (condition, ensemble), value in values(study, "cka").items():
        pairs = combinations(ensemble.split(" + "), 2)
        assert value == near(np.mean([of_pair[condition, a, b] for a, b in pairs]))
    correlations = study.rows("correlations", metric="cka", consensus="vote", statistic="spearman", size=2)
    assert [(c["diversity_condition"], c["accuracy_condition"]) for c in correlations] == [
        ("d/clean", "d/clean"), ("d/lines-1", "d/lines-1"), ("d/clean", "d/lines-1"),
    ]  # fmt: skip


def test_methods_agree_as_far_as_their_scores_of_pairs_correlate(rich):
    rows = rich.rows("attribution_agreement")
    assert [row["condition"] for row in rows] == BOTH
    for row in rows:
        kind = f"{row['target']}_{row['normalise']}"
        assert (row["method_a"], row["method_b"], kind) == ("saliency", "input_x_gradient", "predicted_none")
        a_P, b_P = (
            [
                pair["value"]
                for pair in rich.rows(
                    "pairs", condition=row["condition"], metric=f"attribution_{method}_{kind}"
                )
            ]
            for method in (row["method_a"], row["method_b"])
        )
        assert row["n_pairs"] == len(a_P) == 6
        assert row["pearson"] == near(stats.pearsonr(a_P, b_P).statistic)
        assert row["spearman"] == near(stats.spearmanr(a_P, b_P).statistic)


def test_the_manifest_tells_what_maps_cost(rich):
    manifest = json.loads((rich.folder / "manifest.json").read_text())
    assert manifest["attribution_passes"] == {"saliency": 1, "input_x_gradient": 1}


def test_maps_of_unreadable_images_alone_have_no_diversity(rich):
    view = open_stored(rich.folder).predictions["d/clean"]
    nothing = AttributedGrams(np.empty((0, 4, 4)), np.empty(0, np.int64), torch.empty(0, dtype=torch.int64))
    asked = EnsemblesTable(sizes=[2], consensus=["average"], diversity=[], num_blocks=4)
    kind = ("saliency", "label", "none")
    maps = attribution_metric(*kind)
    (size,) = measure_condition(view, [Ensembles.all_of(4, 2)], asked, {maps: nothing}).sizes
    assert set(size.diversity) == {attribution_metric(*kind, subset).name for subset in (None, *STRATA)}
    assert all(measured.full_E.isnan().all() for measured in size.diversity.values())
