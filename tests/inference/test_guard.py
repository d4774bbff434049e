"""The prior guard's words: what a report of one image may say, and what needs a second one."""

from __future__ import annotations

import pytest

from inference.guard import claims


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("The effusion is worse.", "worse"),
        ("The right consolidation is larger; overall worse.", "is larger"),
        ("The left pleural effusion is resolved; overall improved.", "resolved"),
        ("There is a new opacity in the right base.", "new"),
        ("The nodule has increased in size.", "has increased"),
        ("The effusions have decreased.", "have decreased"),
        ("Interval development of oedema.", "Interval development"),
        ("No progression.", "progression"),
        ("Unchanged compared with the prior study.", "Unchanged"),
    ],
)
def test_words_of_change_are_claims(answer: str, words: str) -> None:
    """An answer about one film that said "is worse" passed: the guard knew the words of reports only, not those that models use."""
    assert claims(answer)[0].text == words
    assert answer[claims(answer)[0].start : claims(answer)[0].end] == words


@pytest.mark.parametrize(
    "answer",
    [
        "Cannot tell: there is only one image.",
        "There is no prior study to compare with.",
        "No comparison is available, so change cannot be assessed.",
        "Bilateral opacities, worse on the right.",
        "The right lung is smaller than the left.",
        "The heart is enlarged and the interstitial markings are increased.",
        "A newborn with clear lungs.",
    ],
)
def test_words_about_one_image_or_of_having_only_one_are_none(answer: str) -> None:
    assert claims(answer) == ()


def test_a_sentence_that_declines_does_not_excuse_the_next() -> None:
    assert [claim.text for claim in claims("No prior study is available. The effusion has improved.")] == ["improved"]
