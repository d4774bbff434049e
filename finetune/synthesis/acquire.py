"""What differs between two films when nothing differs in the patient: pose, zoom, exposure, blur, noise, markers, wires.

Each end is acquired separately. `strength` 1 is weak to moderate on purpose: strong differences hid the lesions in an early
trial (docs/log.md), so training starts here and may raise it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from finetune.synthesis.scene import Floats, low_pass

MARKS = ("R", "L", "AP", "PA", "SUPINE", "ERECT", "PORTABLE")


@dataclass(frozen=True)
class Acquisition:
    """One exposure: geometry in degrees and shares of the film, tone in display units.

    `heart` widens the mediastinum as a beam from the front does; `kernel` sharpens (below 0: softens), `window` is the share of
    an automatic window taken over, `local` the share of broad brightness evened out, `bowl` how much brighter the rim is than
    the middle, `borders` the collimated shares left, top, right, bottom, `quality` of JPEG, 0 without.
    """

    rotation: float = 0.0
    zoom: float = 1.0
    stretch: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    gradient: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    noise: float = 0.0
    marks: tuple[tuple[str, float, float, float], ...] = ()
    wires: int = 0
    heart: float = 0.0
    kernel: float = 0.0
    window: float = 0.0
    local: float = 0.0
    bowl: float = 0.0
    borders: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    quality: int = 0
    seed: int = 0


def draw(rng: np.random.Generator, strength: float = 1.0) -> Acquisition:
    """A random exposure; `strength` 0 gives the film as it is."""
    n = rng.standard_normal(14) * strength
    marks = []
    if rng.random() < 0.35 * min(1.0, strength):
        corner = rng.random() < 0.5
        text = str(rng.choice(MARKS))
        marks.append((text, float(rng.uniform(0.02, 0.10) if corner else rng.uniform(0.82, 0.9)), float(rng.uniform(0.02, 0.12)), 0.05))
    return Acquisition(
        rotation=2.2 * n[0],
        zoom=float(np.exp(0.03 * n[1] + 0.02 * strength)),
        stretch=float(np.exp(0.02 * n[2])),
        shift=(0.018 * n[3], 0.018 * n[4]),
        gamma=float(np.exp(0.20 * n[5])),
        contrast=float(np.exp(0.10 * n[6])),
        brightness=0.04 * n[7],
        gradient=(0.05 * n[8], 0.05 * n[9]),
        blur=float(rng.uniform(0, 0.7) * strength),
        noise=float(rng.uniform(0.003, 0.016) * strength),
        marks=tuple(marks),
        wires=int(rng.random() < 0.12 * strength) * int(rng.integers(1, 4)),
        heart=0.035 * n[10],
        kernel=float(np.clip(0.25 * strength + 0.35 * n[11], -0.4, 1.2)) if strength else 0.0,
        window=float(rng.uniform(0.2, 1.0) * min(1.0, strength)),
        local=float(rng.uniform(-0.1, 0.55) * min(1.0, strength)),
        bowl=0.06 * n[12],
        borders=_collimation(rng, strength),
        quality=int(rng.integers(35, 90)) if rng.random() < 0.3 * min(1.0, strength) else 0,
        seed=int(rng.integers(2**31)),
    )


def _collimation(rng: np.random.Generator, strength: float) -> tuple[float, float, float, float]:
    """Shares of the film under the shutters: left, top, right, bottom; mostly none."""
    shares = rng.uniform(0, 0.05, 4) * (rng.random(4) < 0.6) * strength
    if rng.random() >= 0.25 * min(1.0, strength):
        return (0.0, 0.0, 0.0, 0.0)
    left, top, right, bottom = (float(share) for share in shares)
    return left, top, right, bottom


def _warp(film: Floats, a: Acquisition, height: int, width: int) -> Floats:
    """Rotate, zoom and shift about the centre into (height, width) float32; outside is black."""
    rows, columns = film.shape
    angle = np.deg2rad(a.rotation)
    sx, sy = columns / width / a.zoom * a.stretch, rows / height / a.zoom / a.stretch
    cos, sin = np.cos(angle), np.sin(angle)
    m = (cos * sx, sin * sy, -sin * sx, cos * sy)
    cx, cy = columns * (0.5 + a.shift[0]), rows * (0.5 + a.shift[1])
    data = (m[0], m[1], cx - m[0] * width / 2 - m[1] * height / 2, m[2], m[3], cy - m[2] * width / 2 - m[3] * height / 2)
    image = Image.fromarray(film).transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32)


def _widen(image: Floats, heart: float) -> Floats:
    """Columns (H, W) spread from the middle by `heart` and squeezed further out."""
    width = image.shape[1]
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    at = np.clip((x * (1 - heart * np.exp(-((x / 0.22) ** 2))) + 0.5) * width - 0.5, 0, width - 1.001)
    first = at.astype(np.int32)
    share = (at - first).astype(np.float32)
    return np.asarray(image[:, first] * (1 - share) + image[:, first + 1] * share, dtype=np.float32)


def _processed(image: Floats, a: Acquisition) -> Floats:
    """What a vendor's processing does to (H, W): edges raised, an automatic window, broad brightness evened out."""
    width = image.shape[1]
    if a.kernel:
        edges = image - low_pass(image, max(2, width // 75))
        edges *= np.float32(a.kernel)
        image = np.add(image, edges, out=edges)
    if a.window:
        middle = image[image.shape[0] // 8 : -image.shape[0] // 8 : 3, width // 8 : -width // 8 : 3]
        low, high = (float(value) for value in np.percentile(middle, (2, 97)))
        fitted = image - np.float32(low)
        fitted *= np.float32(0.80 / max(high - low, 0.2))
        fitted += np.float32(0.08)
        fitted *= np.float32(a.window)
        image = np.float32(1 - a.window) * image
        image += fitted
    if a.local:
        broad = low_pass(image, max(4, width // 7))
        evened = broad - np.float32(broad.mean())
        evened *= np.float32(a.local)
        image = np.subtract(image, evened, out=evened)
    return np.asarray(image, dtype=np.float32)


def _field(a: Acquisition, height: int, width: int) -> NDArray[np.floating]:
    """Slope and bowl of the field's brightness, broadcast to (height, width)."""
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :]
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    tilt = a.gradient[0] * x + a.gradient[1] * y
    return tilt + np.float32(4 * a.bowl) * (x**2 + y**2 - np.float32(1 / 6)) if a.bowl else tilt


def _shutters(image: Floats, a: Acquisition) -> Floats:
    height, width = image.shape
    left, top, right, bottom = a.borders
    out = np.zeros_like(image)
    inside = slice(round(top * height), height - round(bottom * height)), slice(round(left * width), width - round(right * width))
    out[inside] = image[inside]
    return out


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    kept = io.BytesIO()
    Image.fromarray(image).save(kept, "JPEG", quality=quality)
    with Image.open(kept) as opened:
        return np.asarray(opened, dtype=np.uint8)


@lru_cache(maxsize=16)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _overlay(a: Acquisition, height: int, width: int, rng: np.random.Generator) -> Floats:
    """Lead markers and monitoring wires (height, width) in 0..1."""
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    for text, x, y, size in a.marks:
        pen.text((x * width, y * height), text, fill=240, font=_font(max(8, size * width)))
    for _ in range(a.wires):
        t = np.linspace(0, 1, 24)
        knots = rng.uniform(0.05, 0.95, (4, 2))
        curve = sum(
            b[:, None] * k for b, k in zip(((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3), knots, strict=True)
        ) * np.array([width, height])
        pen.line([tuple(p) for p in np.asarray(curve)], fill=int(rng.uniform(60, 150)), width=1 + (width > 400))
    return np.asarray(canvas, dtype=np.float32) * np.float32(1 / 255)


def acquired(film: Floats, a: Acquisition, height: int, width: int) -> Floats:
    """Film in 0..1 -> (height, width) float32 in 0..1 as acquired."""
    rng = np.random.default_rng(a.seed)
    image: Floats = _warp(film, a, height, width)
    if a.heart:
        image = _widen(image, a.heart)
    if a.blur > 0.25:
        image = ndimage.gaussian_filter(image, a.blur, truncate=2.5)
    image = _processed(image, a)
    if a.gamma != 1:
        image = np.clip(image, 0, 1)
        np.power(image, np.float32(a.gamma), out=image)
    image = image - np.float32(0.5)
    image *= np.float32(a.contrast)
    image += np.float32(0.5 + a.brightness)
    np.add(image, _field(a, height, width), out=image, casting="same_kind")
    if a.marks or a.wires:
        image = np.maximum(image, 0) + _overlay(a, height, width, rng) * (1 - np.clip(image, 0, 1))
    if a.noise:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        grain *= np.float32(a.noise)
        image += grain
    if any(a.borders):
        image = _shutters(image, a)
    return np.clip(image, 0, 1, out=image)


def located(where: Floats, a: Acquisition, cells: int) -> NDArray[np.uint8]:
    """A map (H, W) in 0..1 of the film -> (cells, cells) uint8: its share of each cell of the square that `expose` gives."""
    rows, columns = where.shape
    fine = cells * 4
    height, width = max(1, round(rows * fine / max(rows, columns))), max(1, round(columns * fine / max(rows, columns)))
    image = _warp(where, a, height, width)
    if a.heart:
        image = _widen(image, a.heart)
    out = np.zeros((fine, fine), dtype=np.float32)
    top, left = (fine - height) // 2, (fine - width) // 2
    out[top : top + height, left : left + width] = image
    return np.asarray(out.reshape(cells, 4, cells, 4).mean((1, 3)) * 255 + 0.5, dtype=np.uint8)


def expose(film: Floats, a: Acquisition, size: int) -> NDArray[np.uint8]:
    """Film (H, W) in 0..1 -> (size, size) uint8 as acquired, padded with black to a square as the model sees it."""
    rows, columns = film.shape
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    image = acquired(film, a, height, width)
    out = np.zeros((size, size), dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    film8 = (image * 255 + 0.5).astype(np.uint8)
    out[top : top + height, left : left + width] = _compressed(film8, a.quality) if a.quality else film8
    return out
