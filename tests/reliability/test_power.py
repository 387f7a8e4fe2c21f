"""The smallest gain that images can show: against the exact power of the test, and its own inverse."""

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.reliability import images_to_show_gain, smallest_gain


def exact_power(n, discordant, gain, level=0.05):
    """Of McNemar's test by the normal distribution: enumerated over the counts of discordant images."""
    z = stats.norm.ppf(1 - level / 2)
    in_favour = (discordant + gain) / (2 * discordant)
    total = 0.0
    for apart in range(1, n + 1):
        chance = stats.binom.pmf(apart, n, discordant)
        if chance < 1e-12:
            continue
        b = np.arange(apart + 1)
        rejects = np.abs(2 * b - apart) >= z * np.sqrt(apart)
        total += chance * stats.binom.pmf(b, apart, in_favour)[rejects].sum()
    return total


@pytest.mark.parametrize(("n", "discordant"), [(901, 0.04), (400, 0.25), (3000, 0.02)])
def test_the_smallest_gain_is_found_four_times_in_five(n, discordant):
    gain = smallest_gain(torch.tensor(discordant), n).item()
    assert exact_power(n, discordant, gain) == pytest.approx(0.8, abs=0.025)


def test_a_corrected_level_asks_for_more():
    gain = smallest_gain(torch.tensor(0.1), 2000, confidence=1 - 0.05 / 560).item()
    assert exact_power(2000, 0.1, gain, level=0.05 / 560) == pytest.approx(0.8, abs=0.015)


def test_images_and_gain_are_inverse():
    gain_E = torch.tensor([0.004, 0.01, 0.05], dtype=torch.float64)
    discordant_E = torch.tensor([0.02, 0.1, 0.06], dtype=torch.float64)
    n_E = images_to_show_gain(gain_E, discordant_E)
    torch.testing.assert_close(smallest_gain(discordant_E, n_E), gain_E, rtol=1e-9, atol=0)


def test_connors_formula_by_hand():
    # ψ = 0.4, δ = 0.1: (1.959964·√0.4 + 0.841621·√0.39)² / 0.01
    expected = (1.959963984540054 * 0.4**0.5 + 0.8416212335729143 * 0.39**0.5) ** 2 / 0.01
    assert images_to_show_gain(torch.tensor(0.1), torch.tensor(0.4)).item() == pytest.approx(expected, 1e-6)


def test_where_nothing_tells_two_apart_the_gain_itself_must():
    # ψ = δ: every image that tells the two apart is in favour.
    gain = smallest_gain(torch.tensor(0.0), 901).item()
    assert images_to_show_gain(torch.tensor(gain), torch.tensor(gain)).item() == pytest.approx(901)


def test_too_few_images_show_no_gain_at_all():
    assert smallest_gain(torch.tensor([0.5, torch.nan]), 2).isnan().tolist() == [True, True]


def test_a_power_of_one_is_refused():
    with pytest.raises(UserError, match="a power between 0 and 1, found 1"):
        smallest_gain(torch.tensor(0.1), 100, power=1)
