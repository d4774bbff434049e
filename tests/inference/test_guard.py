"""The prior guard's words: what a report of one image may say, and what needs a second one."""

from __future__ import annotations

import pytest

from inference.guard import claims, denials, no_opposite


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
        ("The lungs are clear. No new consolidation.", "new"),
        ("Stable position of the endotracheal tube.", "Stable"),
        ("The effusion is now larger.", "is now larger"),
        ("The opacity is slightly smaller.", "is slightly smaller"),
        ("The nodule is gone.", "is gone"),
        ("The previously seen nodule is not visible.", "previously seen"),
        ("Newly placed right central line.", "Newly"),
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
        "A hemodynamically stable patient.",
        "Stable vital signs.",
        "Clinical condition worsening.",
        "The patient has worsening dyspnea.",
        "New-onset heart failure is possible.",
        "There is no comparison available.",
        "A prior study is not available.",
        "Unable to compare with a prior study.",
        "No change can be assessed.",
        "Comparison with prior studies is recommended.",
        "As compared to the left, the right base is denser.",
        "The left hemidiaphragm is higher compared with the right.",
        "The right lung is better aerated than the left.",
        "The heart is larger than normal.",
        "No acute change is seen.",
    ],
)
def test_words_about_one_image_or_of_having_only_one_are_none(answer: str) -> None:
    assert claims(answer) == ()


def test_a_sentence_that_declines_does_not_excuse_the_next() -> None:
    assert [claim.text for claim in claims("No prior study is available. The effusion has improved.")] == ["improved"]


@pytest.mark.parametrize(
    "answer",
    [
        "I only see one image.",
        "I can only see a single image.",
        "Only a single radiograph was provided.",
        "I have only been given one image.",
        "There is just one image.",
        "A prior study is not available.",
        "The previous image is unavailable.",
        "No earlier study was provided.",
        "No priors are available.",
        "No previous imaging for comparison.",
        "There is no comparison available.",
        "Without a prior for comparison, I cannot tell.",
        "There is no prior.",
        "There is no second image.",
    ],
)
def test_what_denies_an_image_that_was_shown(answer: str) -> None:
    assert denials(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Only one image shows a nodule.",
        "The nodule is visible on only one image.",
        "I see only one image with disease.",
        "There is only one image that shows it.",
        "No prior study was as abnormal.",
        "There is no prior fracture.",
        "No prior surgery.",
        "There is no comparison between the two lungs.",
        "No comparison, given the rotation.",
        "No comparison given the different projection.",
        "The previous study is not rotated.",
        "The prior image shows no effusion.",
        "If no prior study is available, none can be compared.",
        "A prior CT is not available.",
    ],
)
def test_one_image_of_several_and_a_prior_that_lacks_a_finding_deny_none(answer: str) -> None:
    assert denials(answer) == ()


@pytest.mark.parametrize(
    ("question", "what"),
    [
        ("Is the line in place?", "a device"),
        ("Has the PICC line moved?", "a device"),
        ("Are the pacemaker leads intact?", "a device"),
        ("Do the lines end in the right atrium?", "a device"),
        ("Has the pleural line moved?", ""),
        ("Are Kerley B lines new?", ""),
        ("Is this in line with progression?", ""),
        ("Which finding leads to this change?", ""),
        ("Is the midline shift worse than at baseline?", ""),
        ("Is the improvement as expected?", ""),
        ("Has it worsened in 6 months?", ""),
        ("What is expected in a year?", "a forecast"),
    ],
)
def test_lines_of_the_lung_and_expectations_of_a_change_seen_keep_their_opposite(question: str, what: str) -> None:
    """ "Has it worsened in 6 months?" and "Has the pleural line moved?" were spared the exchange of the images."""
    assert no_opposite(question) == what
