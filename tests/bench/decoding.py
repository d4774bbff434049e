"""Decoding, against the best decoder that is installed: what choosing one backend per transfer syntax costs or gains."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian

from storage.studies import Budget, dicomfile, dicompixels
from storage.studies.decoders import choose
from tests.bench.figures import Figure, seconds
from tests.bench.subjects import film
from tests.dicoms import dataset, write
from tests.references import ENCODERS

TIMES, MOST, PATIENCE = 15, 200, 2.0
"""Rounds of each comparison: at least, at most, and the seconds after which the least is enough."""
HOPELESS = 3
"""A peer this many times slower than the best after as many rounds is timed no more."""
SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "JPEG baseline": UID("1.2.840.10008.1.2.4.50"),
    "JPEG lossless": UID("1.2.840.10008.1.2.4.70"),
    "JPEG-LS": UID("1.2.840.10008.1.2.4.80"),
    "JPEG 2000": UID("1.2.840.10008.1.2.4.90"),
    "HTJ2K": UID("1.2.840.10008.1.2.4.201"),
    "RLE": UID("1.2.840.10008.1.2.5"),
}
SHAPES = {"radiograph": (2500, 2048), "CT": (512, 512)}


def file_of(path: Path, syntax: UID, rows: int, columns: int) -> Path:
    """A DICOM file of a film with grain in this transfer syntax; baseline JPEG in 8 bits, everything else in 16 with 12 stored."""
    values = film(3, rows, columns)
    array: NDArray[np.generic] = (values >> 4).astype(np.uint8) if syntax.endswith(".4.50") else values
    bits = {} if array.dtype == np.uint8 else {"BitsStored": 12, "HighBit": 11}
    made = dataset(array, modality="DX", **bits)
    if syntax != ExplicitVRLittleEndian:
        encode = ENCODERS.get(syntax, lambda grey: bytes(imagecodecs.jpeg8_encode(grey, level=90)))
        made.PixelData = encapsulate([encode(array)])
        made["PixelData"].is_undefined_length = True
        made.file_meta.TransferSyntaxUID = syntax
    return write(made, path)


def peers(path: Path, syntax: UID) -> dict[str, Callable[[], object]]:
    """Every other way to the same values that is installed here, by name."""
    made = pydicom.dcmread(path)
    decoder = get_decoder(syntax)
    if syntax == ExplicitVRLittleEndian:
        return {"pydicom": lambda: pixel_array(path, index=0)}
    ours = choose(syntax).plugin
    names = [name for name in decoder.available_plugins if name not in (ours, "pydicom")]
    return {name: (lambda name=name: decoder.as_array(made, index=0, decoding_plugin=name)) for name in names}  # type: ignore[misc]


def regret() -> list[Figure]:
    """Our decode over the fastest installed one, ours among them, per syntax and kind; 1.0 is the best there is.

    Both sides take turns and the least of each counts: what other programs do to the machine only ever adds time.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, (rows, columns) in SHAPES.items():
            ratios = {name: _one(Path(folder) / f"{name}-{kind}.dcm", syntax, rows, columns) for name, syntax in SYNTAXES.items()}
            worst = max(ratios, key=lambda name: ratios[name])
            how = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
            found.append(Figure(f"decoder regret, {kind}", ratios[worst], "x", 1.05, f"worst of seven syntaxes ({worst}): {how}"))
    return found


def _one(path: Path, syntax: UID, rows: int, columns: int) -> float:
    file_of(path, syntax, rows, columns)
    opened = dicomfile.open_header(path, Budget())
    shape = dicomfile.pixel_format(opened, Budget())
    ways: dict[str, Callable[[], object]] = {"ours": lambda: dicompixels.decode(opened, shape, 0), **peers(path, syntax)}
    for way in ways.values():
        way()
    least = dict.fromkeys(ways, math.inf)
    began, rounds = time.perf_counter(), 0
    while rounds < TIMES or (rounds < MOST and time.perf_counter() - began < PATIENCE):
        for name in list(ways)[:: 1 if rounds % 2 else -1]:  # each before and after each other one
            least[name] = min(least[name], seconds(ways[name]))
        rounds += 1
        if rounds == HOPELESS:
            best = min(least.values())
            ways = {name: way for name, way in ways.items() if name == "ours" or least[name] < HOPELESS * best}
    return least["ours"] / min(least.values())
