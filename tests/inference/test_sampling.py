"""The next word: the likeliest, or a draw that a seed repeats."""

from __future__ import annotations

import numpy as np
import pytest

from inference.sampling import BLOCK, pick


@pytest.mark.parametrize("words", [7, BLOCK, BLOCK + 1, 1000])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_draw_is_the_one_that_a_running_sum_over_all_words_gives(words: int, temperature: float) -> None:
    """Added up in blocks for speed; the same seed still means the same word."""
    shares = np.random.default_rng(words).dirichlet(np.ones(words))
    logprobs = np.log(shares).astype(np.float32)
    ours, plain = np.random.default_rng(5), np.random.default_rng(5)
    tempered = (shares ** (1 / temperature)).cumsum()
    drawn = [pick(logprobs, temperature, ours) for _ in range(500)]
    expected = [int(tempered.searchsorted(plain.random() * tempered[-1], side="right")) for _ in range(500)]
    assert np.mean(np.equal(drawn, expected)) > 0.995


def test_what_cannot_come_is_not_drawn_and_without_temperature_the_likeliest_comes() -> None:
    logprobs = np.array([-np.inf, 0.0, -np.inf], np.float32)
    assert {pick(logprobs, 2.0, np.random.default_rng(seed)) for seed in range(50)} == {1}
    assert pick(np.array([-3.0, -0.1, -2.0], np.float32), 0.0, np.random.default_rng(0)) == 1
