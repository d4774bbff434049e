"""What is measured on: a 10 MB radiograph pair, and small pairs for questions; made here, the same every time."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from inference.engine import Image
from inference.pixels import image


def film(seed: int, rows: int = 2500, columns: int = 2048) -> NDArray[np.uint16]:
    """(rows, columns) uint16, 12 bits: a smooth chest-like field with grain, so that codecs have real work."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    lungs = sum(np.exp(-(((x - centre) / 0.16) ** 2 + ((y - 0.5) / 0.3) ** 2)) for centre in (0.3, 0.7))
    field = 2600 - 1700 * lungs + 250 * np.sin(18 * y + seed) * np.exp(-(((x - 0.5) / 0.4) ** 2))
    grain: NDArray[np.uint16] = np.clip(field + rng.normal(0, 18, field.shape), 0, 4095).astype(np.uint16)
    return grain


@functools.cache
def _grain() -> NDArray[np.uint16]:
    return film(0) // 2


def radiograph(path: Path, seed: int, date: str, syntax: str = ExplicitVRLittleEndian) -> Path:
    """A 2500 x 2048 DX file of one patient; compressed when `syntax` is."""
    pixels = np.roll(_grain(), 16 * seed, axis=0) + np.uint16(seed)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.PatientName, made.StudyDate = "bench", "Bench^Mark", date
    made.Modality, made.BodyPartExamined, made.ViewPosition = "DX", "CHEST", "PA"
    made.Rows, made.Columns, made.SamplesPerPixel = *pixels.shape, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.WindowCenter, made.WindowWidth = 2048, 4096
    made.PixelData = pixels.tobytes()
    if syntax != ExplicitVRLittleEndian:
        made.compress(syntax, generate_instance_uid=False)
    made.save_as(path, enforce_file_format=True)
    return path


def small_pair(seed: int) -> tuple[Image, Image]:
    """Prior and current for a question, 1000 x 820, unlike every other seed's, so that nothing about them is kept."""
    first, second = ((film(2 * seed + change, 1000, 820) >> 4).astype(np.uint8) for change in (0, 1))
    return image(first, "prior", ""), image(second, "current", "14 days later")
