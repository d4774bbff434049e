"""Small DICOM files for the page's tests: real objects, plain pictures whose pixels a test can recognise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

Pixels = NDArray[np.uint16]


def plain(value: int, rows: int = 96, columns: int = 80) -> Pixels:
    """A flat picture with a bright frame, (rows, columns) uint16 of 12 bits."""
    pixels = np.full((rows, columns), value, dtype=np.uint16)
    pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:] = 4095, 4095, 4095, 4095
    pixels[2:4, 2:-2] = 0
    return pixels


def radiograph(
    path: Path,
    pixels: Pixels,
    *,
    patient: str = "4711",
    name: str = "Doe^Jane",
    date: str = "20240102",
    description: str = "Chest PA",
    study: str = "",
) -> Path:
    """A digital radiograph (12 bit, MONOCHROME2) at `path`; the same patient and `study` give the same study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    uid = generate_uid(entropy_srcs=[patient, study or date])
    data.StudyInstanceUID, data.SeriesInstanceUID = uid, f"{uid}.1"
    data.PatientID, data.PatientName, data.PatientSex, data.PatientBirthDate = patient, name, "F", "19600101"
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = date
    data.StudyTime = data.SeriesTime = "101500"
    data.Modality, data.StudyDescription, data.SeriesDescription = "DX", "Chest", description
    data.SeriesNumber, data.InstanceNumber, data.BodyPartExamined, data.ViewPosition = 1, 1, "CHEST", "PA"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 2048, 4096
    data.ImagerPixelSpacing = [0.4, 0.4]
    data.PixelData = np.ascontiguousarray(pixels).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def pair(
    folder: Path, *, patient: str = "4711", name: str = "Doe^Jane", days: tuple[str, str] = ("20240102", "20240116")
) -> tuple[Path, Path]:
    """A darker prior and a brighter current radiograph of one patient, two weeks apart."""
    prior = radiograph(folder / "prior.dcm", plain(900), patient=patient, name=name, date=days[0])
    current = radiograph(folder / "current.dcm", plain(2600), patient=patient, name=name, date=days[1])
    return prior, current
