"""Comparing two exams as a radiologist does: linked in mm, measured and paired, marked, laid over each other, saved."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.browser.stacks import CURRENT, PRIOR, two_exams

pytestmark = pytest.mark.browser


@pytest.fixture
def films(room: Room, tmp_path: Path) -> Comparing:
    """Two radiographs of one patient, two weeks apart."""
    room.upload(pair(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    return found


@pytest.fixture
def stacks(room: Room, tmp_path: Path) -> Comparing:
    """Two CT exams of other frames of reference, thickness and direction."""
    room.upload(two_exams(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    return found


def test_matched_slices_are_followed_in_mm_to_within_half_a_slice(stacks: Comparing) -> None:
    """Nothing is linked before the reader says which slices match; from then on every step lands on the same anatomy."""
    expect(stacks.link_state).to_contain_text("Scroll not linked: another frame of reference")
    stacks.to_slice(1, 49)
    stacks.to_slice(2, 13)
    assert PRIOR.anatomy(48) == CURRENT.anatomy(12) == 0
    stacks.match.click()
    expect(stacks.link_state).to_contain_text("by the matched slices, in mm")
    for slice_number in (53, 61, 64, 30, 10, 97):
        stacks.to_slice(1, slice_number)
        wanted = PRIOR.anatomy(slice_number - 1)
        nearest = min(range(CURRENT.count), key=lambda index: abs(CURRENT.anatomy(index) - wanted))
        stacks.expect_slice(2, nearest + 1)
        assert abs(CURRENT.anatomy(nearest) - wanted) <= abs(CURRENT.step) / 2
    stacks.to_slice(2, 20)
    stacks.expect_slice(1, 49 + round((CURRENT.anatomy(19) - 0) / PRIOR.step))
