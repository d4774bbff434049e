"""From a kept question to what an engine is asked: its images in the kept windows, and the turns it was asked after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from inference.engine import Image, Options, Request, Turn
from inference.images import frame_image
from inference.suggest import kind, scope
from storage.store import Store
from storage.studies import Series
from storage.views import AnswerRecord, AskedMark, Slot, TurnView, User
from ui.rendering import Kept, tag, window_of

REMEMBERED = 8
"""Earlier questions about the same images that a new one is asked after."""
_shown: Kept[Image] = Kept(96 << 20, lambda image: int(image.pixels.nbytes))
"""Images of the last questions, so that the next one about them renders and hashes nothing again."""


def image(store: Store, user: User, slot: Slot, marks: Sequence[AskedMark] = ()) -> Image:
    """The slot's frame as the model is shown it, the marks on this image drawn into it. Raises `StoreError`, `StudyError`."""
    return _image(store.series(slot.series_id, user)[1], slot, marks)


def images(store: Store, user: User, turn: TurnView) -> tuple[Image, ...]:
    """The images of a kept turn as the model is shown them. Raises `StoreError`, `StudyError`."""
    series = store.several([slot.series_id for slot in turn.slots], user)
    return tuple(_image(one, slot, turn.marks_on(number)) for number, ((_, one), slot) in enumerate(zip(series, turn.slots, strict=True)))


def _image(series: Series, slot: Slot, marks: Sequence[AskedMark]) -> Image:
    frame, window = series.frames[slot.frame], window_of(slot.window)
    key = f"{tag(frame, window, 0)}|{tuple(marks)!r}"
    kept = _shown.get(key)
    if kept is None:
        kept = frame_image(frame, window=window, marks=marks)
        _shown.put(key, kept)
    return replace(kept, role=slot.role, when=slot.when)


def remembered(earlier: tuple[TurnView, ...], turn: TurnView, until: datetime | None = None) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """Earlier questions about the same images in the same order with their last whole answer, and what was left out.

    `until` leaves out answers made later, so that an answer can be made again after what it was made after.
    """
    same = [one for one in earlier if _places(one.slots) == _places(turn.slots)]
    turns = [Turn(one.question, text) for one in same if (text := _last_answer(one, until))]
    left_out = len(turns) - REMEMBERED
    told = (f"Only the last {REMEMBERED} questions of this session were remembered.",) if left_out > 0 else ()
    return tuple(turns[-REMEMBERED:]), told


def findings(store: Store, user: User, turn: TurnView) -> tuple[str, ...]:
    """What can be asked of the turn's images finding by finding, told from their headers. Raises `StoreError`."""
    shown = store.several([slot.series_id for slot in turn.slots], user)
    return scope([kind(one.modality, one.body_part, one.description) for _, one in shown])


def of_turn(store: Store, user: User, turn: TurnView, history: tuple[Turn, ...], options: Options) -> Request:
    """The request of a kept turn."""
    return Request(
        images=images(store, user, turn),
        question=turn.question,
        ability=turn.ability,
        relationship=turn.relationship,
        history=history,
        options=options,
        clinical=turn.clinical.labelled,
    )


def of_record(store: Store, user: User, earlier: tuple[TurnView, ...], turn: TurnView, record: AnswerRecord) -> Request:
    """The request a kept answer was made by, as far as the store still has it: options, seed, and what was answered when it began."""
    kept = record.options
    options = Options(int(cast(int, kept.get("max_tokens", 160))), float(cast(float, kept.get("temperature", 0.0))), record.seed)
    began = record.created and record.created - timedelta(seconds=record.timings.get("total_s", 0.0))
    return of_turn(store, user, turn, remembered(earlier, turn, began)[0], options)


def _places(slots: tuple[Slot, ...]) -> list[tuple[int, int]]:
    return [(slot.series_id, slot.frame) for slot in slots]


def _last_answer(turn: TurnView, until: datetime | None) -> str:
    made = (version for version in reversed(turn.versions) if version.state == "complete" and (until is None or version.created <= until))
    return next((version.text for version in made), "")
