"""Questions that fit what is loaded, and what a draft takes of a model's context."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from inference import prompts
from inference.budget import Budget, budget
from inference.engine import Turn
from inference.gguf import GgufEngine
from inference.suggest import FINDINGS, TEMPLATES, Loaded, kind, offered, scope, suggestions, unknown
from tests.fakes import FakeEngine
from tests.inference import tiny

FILM = FINDINGS["chest radiograph"]


def test_questions_speak_of_what_this_kind_of_image_can_show() -> None:
    film = Loaded(2, findings=FILM)
    assert "Is the pleural effusion progressing from the prior to the current study?" in suggestions(TEMPLATES["temporal"], film)
    brain = Loaded(2, findings=FINDINGS["brain"])
    told = suggestions(TEMPLATES["comparison"], brain)
    assert "Is there an enhancing lesion in only one of the images?" in told
    assert not any("effusion" in text or "{" in text for text in (*told, *suggestions(TEMPLATES["temporal"], brain)))
    assert not any("{" in text for text in suggestions(TEMPLATES["temporal"], Loaded(2))), "of an unknown kind no finding is named"


def test_marks_and_time_points_are_spoken_of_where_there_are_some() -> None:
    assert not any("region" in text or "time points" in text for text in suggestions(TEMPLATES["temporal"], Loaded(2, findings=FILM)))
    told = suggestions(TEMPLATES["temporal"], Loaded(4, findings=FILM, marks=("A", "B")))
    assert told[:3] == ("What changed since the prior?", "Has region A changed since the prior?", "Has region B changed since the prior?")
    assert "How did the disease run over the 4 time points?" in told


def test_of_one_image_nothing_is_compared_and_of_views_nothing_has_changed() -> None:
    alone = suggestions(offered("temporal", Loaded(1, marks=("A",))), Loaded(1, marks=("A",)))
    assert alone[0] == "What is at region A?"
    assert not any("prior" in text or "changed" in text for text in alone)
    views = Loaded(2, "views", FILM)
    assert suggestions(offered("temporal", views), views) == suggestions(TEMPLATES["comparison"], views)


@pytest.mark.parametrize(
    ("modality", "part", "description", "found"),
    [
        ("DX", "CHEST", "", "chest radiograph"),
        ("CT", "CHEST", "", "chest CT"),
        ("MG", "BREAST", "", "mammogram"),
        ("MR", "", "T1 post contrast BRAIN", "brain"),
        ("CR", "HAND", "", "bone"),
        ("OT", "", "", ""),
        ("DX", "CHEST", "AP portable, head of bed 30", "chest radiograph"),
        ("CT", "CHEST", "arms overhead", "chest CT"),
        ("DX", "", "Chest AP head_of_bed", "chest radiograph"),
        ("CR", "", "Forehead marker", ""),
        ("CT", "", "head first supine", ""),
        ("CT", "", "Thorax, arms above head", "chest CT"),
        ("CT", "", "CT_HEAD_5MM", "brain"),
        ("CT", "HEADNECK", "", "brain"),
        ("CT", "", "INTRACRANIAL CTA", "brain"),
        ("CR", "HEAD", "chest on request", "brain"),
        ("CT", "UNKNOWN", "lung 1.0", "chest CT"),
        ("CT", "NECKCHEST", "", "chest CT"),
        ("CR", "CSPINE", "", "bone"),
        ("CR", "", "C-spine lateral", "bone"),
        ("CR", "", "HANDS BOTH", "bone"),
        ("MR", "", "hip, femoral head", "bone"),
        ("MR", "", "hippocampus", ""),
        ("MR", "", "shoulder in abduction", "bone"),
        ("CT", "", "ABD/PELVIS", "abdomen"),
        ("US", "", "head of pancreas", "abdomen"),
    ],
)
def test_the_kind_of_image_is_told_from_its_header(modality: str, part: str, description: str, found: str) -> None:
    """A head of bed or arms overhead once made a chest film one of the brain."""
    assert kind(modality, part, description) == found


def test_findings_are_scored_that_the_images_can_show() -> None:
    assert scope(["chest radiograph", ""]) == scope([""]) == prompts.FINDINGS
    assert scope(["", "brain"]) == FINDINGS["brain"]


def test_a_place_nobody_fills_is_named() -> None:
    assert unknown("Is the {organ} of {mark} larger?") == ("organ",)
    assert [unknown(text) for texts in TEMPLATES.values() for text in texts] == [()] * sum(map(len, TEMPLATES.values()))


def test_an_engine_that_cannot_count_is_reckoned_and_it_is_said() -> None:
    found = budget(FakeEngine(), tiny.pair("What changed since the prior?"))
    assert not found.exact
    assert (found.images, found.earlier, found.whole) == (128, 0, 4096)
    assert 20 < found.words < 80
    assert found.fits


def test_a_model_that_loads_is_not_waited_for_and_counts_before_its_first_question(tiny_model: Path) -> None:
    engine = GgufEngine(tiny_model, threads=1)
    child = engine.pid
    os.kill(child, signal.SIGSTOP)
    try:
        assert not budget(engine, tiny.pair()).exact
    finally:
        os.kill(child, signal.SIGCONT)
    end = time.monotonic() + 60
    while not budget(engine, tiny.pair()).exact:
        assert time.monotonic() < end, "it has loaded by now"
    assert engine.timings.prompt_tokens == 0
    engine.close()
    assert not engine.counts()


def test_what_fills_the_context_does_not_fit() -> None:
    assert Budget(1000, 100, 100, 160, 1360, True).fits
    assert not Budget(1000, 100, 101, 160, 1360, True).fits


def test_gguf_counts_what_it_will_read(gguf: GgufEngine) -> None:
    """Counted on grey pictures, and the same as what the question then takes."""
    gguf.load()
    request = tiny.pair("What changed?", history=(Turn("And before?", "Nothing."),))
    found = budget(gguf, request)
    whole, alone = len(gguf.token_ids(request)), len(gguf.token_ids(replace(request, history=())))
    assert (found.exact, found.images + found.words + found.earlier) == (True, whole)
    assert found.earlier == whole - alone > 0
