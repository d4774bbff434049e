"""How long an answer still takes, told from how long the same model's last answers took on this machine.

pace = after(pace, answer.timings)
left(pace, Stage("encoding", 1, 2))          # seconds until the whole answer is there, None while nothing is known
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine import Stage, Timings


@dataclass(frozen=True)
class Pace:
    """Seconds: for one image that is new, to read a question, to write an answer."""

    image: float = 0.0
    reading: float = 0.0
    writing: float = 0.0


def after(before: Pace | None, timings: Timings) -> Pace:
    """The pace once one more answer was whole: half the last one, half what went before; images only where some were new."""
    writing = max(0.0, timings.total_s - timings.first_token_s)
    image = timings.encode_s / timings.images_encoded if timings.images_encoded else (before.image if before else 0.0)
    if before is None:
        return Pace(image, timings.prefill_s, writing)
    return Pace(
        (before.image + image) / 2 if before.image else image,
        (before.reading + timings.prefill_s) / 2,
        (before.writing + writing) / 2,
    )


def left(pace: Pace | None, stage: Stage) -> float | None:
    """Seconds until the whole answer is there, from the beginning of this stage; None where it cannot be told."""
    if pace is None or stage.name not in ("encoding", "reading", "writing"):
        return None
    images = (stage.total - stage.done + 1) * pace.image if stage.name == "encoding" else 0.0
    return images + (pace.reading if stage.name != "writing" else 0.0) + pace.writing
