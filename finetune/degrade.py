"""What films meet on their way to a reader, in five severities each: noise, blur, exposure, rotation, crop, JPEG, text, a lost prior.

    worn = degrade("noise", film, 3, np.random.default_rng(7))

One generator's draws do not depend on the severity: a higher one is more of the same, so that a curve over severities compares
like with like. Severity 1 is seen every day, 5 is a film one would send back.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from errors import TuneError

Film = NDArray[np.uint8]
"""(H, W)."""
SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE = 256
"""Side in pixels for which widths in pixels are meant."""
WORDS = ("PORTABLE", "SUPINE 04:30", "R", "AP ERECT", "ICU 12", "L", "kV 90 mAs 2", "SEMI-ERECT", "BED 7", "COPY", "2 of 3")
"""What is burned in: marks of the examination, nothing that speaks of disease or change."""

# Amount at severities 1..5, in its unit.
AMOUNTS: Mapping[str, tuple[float, ...]] = {
    "noise": (4, 8, 14, 22, 32),
    "blur": (0.6, 1.0, 1.6, 2.4, 3.6),
    "exposure": (0.10, 0.20, 0.32, 0.46, 0.62),
    "rotation": (2, 4, 7, 11, 16),
    "crop": (0.03, 0.06, 0.10, 0.15, 0.21),
    "JPEG": (60, 35, 20, 12, 6),
    "burned-in text": (1, 2, 4, 7, 11),
    "missing prior": (0.2, 0.4, 0.6, 0.8, 1.0),
}
UNITS: Mapping[str, str] = {
    "noise": "grey levels",
    "blur": f"pixels of {REFERENCE}",
    "exposure": "log gamma",
    "rotation": "degrees",
    "crop": "share of each side",
    "JPEG": "quality",
    "burned-in text": "marks",
    "missing prior": "share of rows lost",
}
MISSING = "missing prior"
DEGRADATIONS = tuple(AMOUNTS)


def degrade(kind: str, film: Film, severity: int, rng: np.random.Generator) -> Film:
    """`film` (H, W) uint8 as `kind` leaves it at `severity` 1..5, same shape. Raises `TuneError` for one we do not have."""
    if kind not in AMOUNTS or severity not in SEVERITIES:
        raise TuneError(f"there is no degradation {kind} of severity {severity}; known are {', '.join(AMOUNTS)}, severities 1 to 5")
    return _MAKERS[kind](film, AMOUNTS[kind][severity - 1], rng)


def _whole(grey: NDArray[np.floating]) -> Film:
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def _noise(film: Film, amount: float, rng: np.random.Generator) -> Film:
    return _whole(film + amount * rng.standard_normal(film.shape))


def _blur(film: Film, amount: float, _rng: np.random.Generator) -> Film:
    return _whole(ndimage.gaussian_filter(film.astype(np.float64), amount * max(film.shape) / REFERENCE))


def _exposure(film: Film, amount: float, rng: np.random.Generator) -> Film:
    """A tone curve and a narrower range, as another exposure or window gives."""
    sign = 1 if rng.random() < 0.5 else -1
    curved = (film / 255.0) ** np.exp(sign * amount)
    return _whole(255 * (0.5 + (curved - 0.5) * (1 - amount / 4)))


def _rotation(film: Film, amount: float, rng: np.random.Generator) -> Film:
    sign = 1 if rng.random() < 0.5 else -1
    return _whole(ndimage.rotate(film.astype(np.float64), sign * amount, reshape=False, order=1))


def _crop(film: Film, amount: float, rng: np.random.Generator) -> Film:
    """Cut `amount` of each side away, not quite centred, and enlarge what is left."""
    height, width = film.shape
    cut_y, cut_x = 2 * amount * height, 2 * amount * width
    top, left = cut_y * rng.uniform(0.3, 0.7), cut_x * rng.uniform(0.3, 0.7)
    box = (left, top, left + width - cut_x, top + height - cut_y)
    return np.asarray(Image.fromarray(film).resize((width, height), Image.Resampling.BILINEAR, box=box), dtype=np.uint8)


def _jpeg(film: Film, amount: float, _rng: np.random.Generator) -> Film:
    kept = io.BytesIO()
    Image.fromarray(film).save(kept, "JPEG", quality=int(amount))
    with Image.open(kept) as opened:
        return np.asarray(opened.convert("L"), dtype=np.uint8)


def _text(film: Film, amount: float, rng: np.random.Generator) -> Film:
    """White marks on black plates; the first lie at the edge, later ones anywhere, on the lungs too."""
    image = Image.fromarray(film)
    pen = ImageDraw.Draw(image)
    height, width = film.shape
    font = ImageFont.load_default(max(8, height // 18))
    for number, word in enumerate(np.array(WORDS)[rng.permutation(len(WORDS))][: int(amount)]):
        across, down = rng.random(2)
        if number < 2:
            down = 0.0 if down < 0.5 else 1.0
        _, _, wide, high = pen.textbbox((0, 0), str(word), font=font)
        left, top = across * max(0, width - wide), down * max(0, height - high)
        pen.rectangle((left, top, left + wide, top + high), fill=0)
        pen.text((left, top), str(word), fill=255, font=font)
    return np.asarray(image, dtype=np.uint8)


def _missing(film: Film, amount: float, _rng: np.random.Generator) -> Film:
    """The lower rows black, as after a transfer that broke off; at the highest severity all of them."""
    worn = film.copy()
    worn[round((1 - amount) * len(film)) :] = 0
    return worn


_MAKERS: Mapping[str, Callable[[Film, float, np.random.Generator], Film]] = {
    "noise": _noise,
    "blur": _blur,
    "exposure": _exposure,
    "rotation": _rotation,
    "crop": _crop,
    "JPEG": _jpeg,
    "burned-in text": _text,
    MISSING: _missing,
}
