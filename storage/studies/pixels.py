"""The pixel pipeline, once: stored value -> modality units -> VOI -> MONOCHROME1 -> padding -> display.

The viewer and every model are fed from `display`; nothing else in the project turns stored values into grey.
Decoded frames are remembered (192 MB), so that an import's check and the first look at an image decode once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from errors import StudyError
from storage.studies import dicomfile, dicompixels, images, nifti, voi
from storage.studies.boundary import typed
from storage.studies.budget import Budget
from storage.studies.cache import Cache
from storage.studies.dicomfile import Header, PixelFormat, header, pixel_format
from storage.studies.model import Frame, Series, Window
from storage.studies.voi import Mapping

_arrays: Cache[NDArray[np.generic]] = Cache(limit=192 << 20)
_formats: Cache[PixelFormat] = Cache(limit=1024)
_tables: Cache[NDArray[np.uint8]] = Cache(limit=8 << 20)
_budget = Budget()

CT_PRESETS = (
    Window(40, 400, "Soft tissue"),
    Window(-600, 1500, "Lung"),
    Window(40, 350, "Mediastinum"),
    Window(400, 1800, "Bone"),
    Window(40, 80, "Brain"),
)


@dataclass(frozen=True, eq=False)
class Raw:
    """Decoded values of a frame, colour or not, with what turns them into grey."""

    values: NDArray[np.generic]
    mapping: Mapping
    rgb: NDArray[np.uint8] | None = None


def use(budget: Budget) -> None:
    """Set the limits under which pixels are decoded on demand (the site's settings)."""
    global _budget
    _budget = budget


def header_of(frame: Frame) -> tuple[Header, PixelFormat]:
    """Header and checked pixel module of a DICOM frame, remembered; nothing is decoded. Raises `StudyError`."""
    opened = header(frame.source.path, frame.source.sha256, _budget)
    shape = _formats.get(frame.source.sha256)
    if shape is None:
        shape = pixel_format(opened, _budget)
        _formats.put(frame.source.sha256, shape, 1)
    return opened, shape


def _decode(frame: Frame) -> NDArray[np.generic]:
    if frame.source.kind == "dicom":
        opened, shape = header_of(frame)
        return dicompixels.decode(opened, shape, frame.index)
    if frame.source.kind == "nifti":
        return nifti.decode(frame.source.path, frame.source.sha256, frame.index, _budget)
    return images.decode(frame.source.path, frame.index, _budget)


def stored(frame: Frame) -> NDArray[np.generic]:
    """Values as the file stores them, (H, W), or (H, W, 3) RGB for colour; palette indices stay indices.

    The array is shared and read-only. Raises `StudyError`.
    """
    found = _arrays.get(frame.key)
    if found is None:
        with typed(frame.source.path.name):
            found = _decode(frame)
        found.setflags(write=False)
        _arrays.put(frame.key, found, found.nbytes)
    return found


def forget() -> None:
    """Remember nothing that was decoded: something was erased."""
    for memory in (_arrays, _formats, _tables):
        memory.clear()
    dicomfile.forget()


def check(opened: Header, shape: PixelFormat) -> NDArray[np.generic]:
    """Decode the first frame of a file that is being imported. Raises `StudyError`."""
    with typed(opened.path.name):
        return dicompixels.decode(opened, shape, 0)


def remember(digest: str, array: NDArray[np.generic]) -> None:
    """Keep the first frame of the file with this hash for the first look at it."""
    array.setflags(write=False)
    _arrays.put(f"{digest}:0", array, array.nbytes)


def raw_of(frame: Frame) -> Raw:
    """Decoded values of a frame and their mapping. Raises `StudyError`."""
    values = stored(frame)
    with typed(frame.source.path.name):
        if frame.source.kind == "dicom":
            opened, shape = header_of(frame)
            mapping = dicompixels.mapping(opened, shape, frame.index)
            if shape.photometric == "PALETTE COLOR":
                return Raw(values, mapping, dicompixels.palette(opened, values))
            if values.ndim == 3:
                return Raw(values, mapping, dicompixels.colour(values, shape.stored))
            return Raw(values, mapping)
        if values.ndim == 3:
            return Raw(values, Mapping(), np.asarray(values, dtype=np.uint8))
        if frame.source.kind == "nifti":
            return Raw(values, nifti.mapping(frame.source.path, frame.source.sha256, _budget))
        plain = values.dtype == np.uint8
        return Raw(values, Mapping(identity=Window(127.5, 255.0, "as stored", "LINEAR_EXACT") if plain else None))


def modality(frame: Frame) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Values in the modality's units, (H, W) float32, or (H, W, 3) uint8 RGB for colour. Raises `StudyError`."""
    raw = raw_of(frame)
    if raw.rgb is not None:
        return raw.rgb
    return raw.mapping.modality(raw.values).astype(np.float32)


def display(frame: Frame, window: Window | None = None) -> NDArray[np.uint8]:
    """Pixels to look at, (H, W) or (H, W, 3) uint8. Raises `StudyError`.

    `window` None takes the file's own VOI LUT or first window, else the first of `windows(frame)`. To keep the
    slices of a series alike, pass `windows(series)[0]`.
    """
    raw = raw_of(frame)
    if raw.rgb is not None:
        return raw.rgb
    if raw.mapping.voi_lut is None and (window is None or window.function == "LUT"):
        window = _default(frame, raw)
    dtype = raw.values.dtype
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return voi.grey(raw.values, raw.mapping, window)
    key = f"{frame.key}{frame.instance_uid}{dtype}{window}"
    table = _tables.get(key)
    if table is None:
        table = voi.table(dtype, raw.mapping, window)
        _tables.put(key, table, table.nbytes)
    return voi.apply(table, raw.values)


def _default(frame: Frame, raw: Raw) -> Window | None:
    if frame.windows:
        return frame.windows[0]
    if raw.mapping.identity is not None:
        return None
    return CT_PRESETS[0] if frame.units == "HU" else _measured(raw)[0]


def _measured(raw: Raw) -> tuple[Window, Window]:
    """Percentile and full windows of a frame's values, padding and non-numbers left out; sampled, so a few ms."""
    step = max(1, int((raw.values.size / 250_000) ** 0.5))
    sample = raw.values[::step, ::step]
    padded = raw.mapping.padded(sample)
    units = raw.mapping.modality(sample if padded is None else sample[~padded])
    units = units[np.isfinite(units)]
    if units.size == 0:
        return Window(0.5, 1.0, "1-99 percentile"), Window(0.5, 1.0, "full range")
    low, high = np.percentile(units, (1, 99))
    least, most = float(units.min()), float(units.max())
    if high <= low:
        low, high = least, most
    return voi.span(float(low), float(high), "1-99 percentile"), voi.span(least, most, "full range")


def speaking(series: Series) -> tuple[Frame, Raw]:
    """The frame that speaks for a series: the middle one, or the first when the middle one is damaged."""
    middle = series.frames[len(series.frames) // 2]
    try:
        return middle, raw_of(middle)
    except StudyError:
        return series.frames[0], raw_of(series.frames[0])


def windows(item: Series | Frame) -> tuple[Window, ...]:
    """Windows worth offering: the file's own, then presets for the modality; the first is the one `display` uses.

    Colour has none. For a series its middle frame speaks. Reads that frame's pixels. Raises `StudyError`.
    """
    if isinstance(item, Series):
        if not item.frames:
            return ()
        frame, raw = speaking(item)
    else:
        frame, raw = item, raw_of(item)
    is_ct = frame.units == "HU"
    if raw.rgb is not None:
        return ()
    own = tuple(
        window if window.name else replace(window, name="as filed" if index == 0 else f"as filed {index + 1}")
        for index, window in enumerate(frame.windows)
    )
    measured = _measured(raw)
    identity = () if raw.mapping.identity is None else (raw.mapping.identity,)
    presets = (*CT_PRESETS, measured[1]) if is_ct else measured
    return (*own, *identity, *presets) if own or not is_ct else (*presets, *identity)
