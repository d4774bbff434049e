"""Small real DICOM files for tests: a data set around an array, written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SOP = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4", "DX": "1.2.840.10008.5.1.4.1.1.1.1"}


def dataset(array: NDArray[Any], syntax: str = ExplicitVRLittleEndian, modality: str = "CT", **changes: object) -> Dataset:
    """A data set of one image: `array` is (H, W) or (H, W, 3), or with a leading frame axis when NumberOfFrames is given.

    Every change sets an attribute by keyword; None removes it.
    """
    many = "NumberOfFrames" in changes
    shape = array.shape[1:] if many else array.shape
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = SOP.get(modality, "1.2.840.10008.5.1.4.1.1.7")
    made.SOPInstanceUID = "1.2.826.0.1.3680043.10.1.1.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.826.0.1.3680043.10.1", "1.2.826.0.1.3680043.10.1.1"
    made.StudyDate, made.StudyTime, made.Modality = "20240131", "101500", modality
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = "MRN-0042", "Doe^Jane", "19600229", "F"
    made.SeriesNumber, made.InstanceNumber = 1, 1
    made.Rows, made.Columns = shape[0], shape[1]
    made.SamplesPerPixel = 3 if len(shape) == 3 else 1
    made.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
    if len(shape) == 3:
        made.PlanarConfiguration = 0
    bits = 8 * array.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(array.dtype.kind == "i")
    for keyword, value in changes.items():
        if value is None:
            if keyword in made:
                delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    raw = np.ascontiguousarray(array.astype(array.dtype.newbyteorder(">")) if syntax == ExplicitVRBigEndian else array).tobytes()
    made.PixelData = raw + b"\0" * (len(raw) % 2)
    made["PixelData"].VR = "OB" if bits == 8 else "OW"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    return made


def write(made: Dataset, path: Path, preamble: bytes | None = b"\0" * 128) -> Path:
    """Write a data set as it is, right or wrong, in the encoding its transfer syntax names."""
    syntax = made.file_meta.TransferSyntaxUID
    made.file_meta.MediaStorageSOPClassUID = made.get("SOPClassUID", "1.2.3")
    made.file_meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID", "1.2.3")
    made.preamble = preamble
    made.save_as(
        path,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=False,
        force_encoding=True,
        overwrite=True,
    )
    return path


def ct(path: Path, array: NDArray[Any] | None = None, **changes: object) -> Path:
    """Write one small CT slice (8 x 6 by default)."""
    values = np.arange(48, dtype=np.int16).reshape(6, 8) if array is None else array
    return write(dataset(values, modality="CT", **changes), path)
