"""What reviewers let through, as the store gives it, without a store: two images of one patient and a model's answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from inference import pixels
from inference.engine import Image
from storage.reviewed import Reviewed, ReviewedImage
from storage.views import Clinical, Slot


def shown(number: int, role: str = "", when: str = "") -> Image:
    """A picture of its own."""
    return pixels.image(np.full((20, 24), number % 250, np.uint8), role, when)


def render(item: Reviewed) -> Sequence[Image]:
    """Its images as the model was shown them: their numbers are the slots' series."""
    return [shown(image.slot.series_id, image.slot.role, image.slot.when) for image in item.images]


def reviewed(number: int, **changes: Any) -> Reviewed:
    """Item `number`, of a patient of its own: the model said the effusion is stable."""
    slots = (Slot(2 * number, role="prior"), Slot(2 * number + 1, role="current", when="14 days later"))
    images = [ReviewedImage(slot, shown(slot.series_id).sha256, "f", "1.2", "1.2.3", "DX", f"patient-{number}") for slot in slots]
    given: dict[str, Any] = {
        "item": number, "feedback": 100 + number, "session": number, "turn": number, "version": number, "images": tuple(images),
        "question": "What changed since the prior?", "ability": "temporal", "relationship": "temporal", "marks": (), "clinical": Clinical(),
        "answer": "The effusion is unchanged.", "model": "bundled", "model_sha256": "m", "adapter_sha256": "", "verdict": "disagree",
        "codes": ("change-missed",), "severity": "major", "corrected_answer": "The effusion has increased.", "cells": {}, "mark": None,
        "preferred_over": None, "rejected_answer": "", "reader": 7, "reviewers": (8,), "adjudicator": None,
        "created": datetime(2026, 11, 1, tzinfo=UTC), "progression": {"pleural effusion": {"stable": 0.9, "worse": 0.1}},
        "checks": {"overall": {"stable": 0.8, "worse": 0.2}},
    }  # fmt: skip
    return Reviewed(**{**given, **changes})
