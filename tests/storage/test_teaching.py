"""Blind reads: kept once, for good, each learner's own, and scored by hand-computed cases."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from errors import InputError, StoreHeld
from settings import Settings
from storage.store import Store
from storage.teaching import MISSES, Miss, scored
from storage.views import User

TRUE = {"consolidation": "worse", "pleural effusion": "new", "nodule": "stable", "cardiomegaly": "improved", "atelectasis": "stable"}


@pytest.mark.parametrize(
    ("said", "right", "left", "kinds"),
    [
        ({}, 5, 0, []),
        ({"pleural effusion": "stable"}, 4, 0, [MISSES[0]]),
        ({"nodule": "new", "cardiomegaly": "worse", "pleural effusion": "resolved"}, 2, 0, [MISSES[0], MISSES[1], MISSES[2]]),
        ({"pleural effusion": "worse", "cardiomegaly": "resolved"}, 3, 0, [MISSES[3], MISSES[3]]),
        ({"consolidation": "uncertain", "atelectasis": "uncertain"}, 3, 2, []),
        (dict.fromkeys(TRUE, "uncertain"), 0, 5, []),
    ],
)
def test_a_reading_is_held_against_the_reference_word_by_word(said: Mapping[str, str], right: int, left: int, kinds: list[str]) -> None:
    found = scored({**TRUE, **said}, TRUE)
    assert (found.right, found.open, found.total, [miss.kind for miss in found.missed]) == (right, left, 5, kinds)


def test_a_missed_worsening_is_named_with_both_words() -> None:
    said = {**TRUE, "nodule": "worse", "pleural effusion": "stable"}
    assert scored(said, TRUE).missed[0] == Miss("missed worsening", "pleural effusion", "stable", "new")


def test_a_reading_is_kept_once_and_is_the_learners_own(store: Store, reader: User, settings: Settings) -> None:
    said = {**TRUE, "nodule": "worse"}
    store.commit_blind(reader, "one", said, TRUE)
    with pytest.raises(StoreHeld, match="made once"):
        store.commit_blind(reader, "one", TRUE, TRUE)
    other = store.user("another browser")
    store.commit_blind(other, "one", TRUE, TRUE)
    store.commit_blind(reader, "two", TRUE, TRUE)
    with Store(settings) as again:
        assert [(read.key, read.score.right) for read in again.blind_reads(reader)] == [("two", 5), ("one", 4)]
        assert [read.cells for read in again.blind_reads(other)] == [TRUE]
    assert store.check().problems == ()


def test_a_reading_says_a_word_of_every_finding(store: Store, reader: User) -> None:
    with pytest.raises(InputError, match="one word of each finding"):
        store.commit_blind(reader, "one", {"nodule": "new"}, TRUE)
    assert store.blind_reads(reader) == ()
