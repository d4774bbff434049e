"""The demo cases as proper DICOM files: two radiograph pairs, a CT pair and a three-point series, under 6 MB together.

    python -m finetune.synthesis.demo assets/demo

Everything is synthetic and says so in StudyDescription, SeriesDescription and ImageComments. The same code
writes the same pixels; identifiers are derived from the case's name, so they never change.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from finetune.synthesis import acquire, paint, phantom, thorax
from finetune.synthesis.cases import CASES, Case, Visit
from finetune.synthesis.truth import changes, overall

COMMENT = "Synthetic image computed from a parametric phantom. Not a patient."
ROOT = "1.2.826.0.1.3680043.10.1561."
FILM_WIDTH = 800
CT_SIZE = 256
CT_TOP, CT_SLICES = -14.0, 22
STORAGE = {"DX": DigitalXRayImageStorageForPresentation, "CR": ComputedRadiographyImageStorage, "CT": CTImageStorage}


def uid(*parts: str) -> str:
    """A UID that depends on `parts` alone."""
    return str(generate_uid(prefix=ROOT, entropy_srcs=["interval", "demo", *parts]))


def film(case: Case, visit: Visit) -> NDArray[np.uint16]:
    """Radiograph of one visit, (H, FILM_WIDTH) uint16 with 12 bits, bright bone."""
    scene = phantom.render(case.phantom, FILM_WIDTH, sharp=True)
    board = paint.canvas(scene, (case.painting,))
    image = acquire.acquired(paint.paint(board, visit.truth.findings), visit.look, *scene.film.shape)
    image = phantom.stamp(image, "L", 0.925, 0.045, 0.045)
    image = phantom.stamp(image, "SYNTHETIC", 0.015, 0.972, 0.018, level=0.8)
    return np.round(image * 1023).astype(np.uint16) * 4


def _file(case: Case, visit: Visit, number: int) -> FileDataset:
    key = (case.name, visit.date)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = STORAGE[case.modality]
    meta.MediaStorageSOPInstanceUID = uid(*key, str(number))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("implementation")
    meta.ImplementationVersionName = "INTERVAL"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(*key), uid(*key, "series")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = visit.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = visit.time
    ds.PatientName, ds.PatientID = f"SYNTHETIC^{case.patient}", case.patient
    ds.PatientSex, ds.PatientBirthDate, ds.PatientAge = case.sex, f"{case.birth_year}0101", f"{case.age:03d}Y"
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "", visit.date[4:], ""
    ds.StudyDescription = ds.SeriesDescription = case.description
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.Modality, ds.BodyPartExamined = case.modality, "CHEST"
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "Interval", "Parametric phantom", "1"
    ds.ImageComments, ds.BurnedInAnnotation = COMMENT, "NO"
    ds.PatientIdentityRemoved, ds.LossyImageCompression = "YES", "00"
    ds.DeidentificationMethod = "Generated; there is no patient"
    return ds


def _pixels(ds: FileDataset, pixels: NDArray[np.uint16] | NDArray[np.int16], bits: int) -> None:
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.compress(JPEG2000Lossless, pixels, generate_instance_uid=False)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def radiograph(case: Case, visit: Visit) -> FileDataset:
    """One radiograph as a DX (for presentation) or CR object, PS3.3 A.26 and A.2."""
    ds = _file(case, visit, 1)
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ViewPosition, ds.PatientOrientation, ds.ImageLaterality = "PA", ["L", "F"], "U"
    ds.ImagerPixelSpacing = ds.PixelSpacing = [0.45, 0.45]
    ds.WindowCenter, ds.WindowWidth, ds.WindowCenterWidthExplanation = 2046, 4092, "FULL"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape, ds.KVP = "IDENTITY", 120
    if case.modality == "DX":
        ds.PresentationIntentType, ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "FOR PRESENTATION", "LOG", -1
        ds.DetectorType, ds.PositionerType = "DIRECT", "NONE"
        ds.AnatomicRegionSequence = Sequence([_code("51185008", "SCT", "Chest")])
        ds.ViewCodeSequence = Sequence([_code("399348003", "SCT", "Postero-anterior")])
        ds.AcquisitionContextSequence = Sequence([])
    _pixels(ds, film(case, visit), 12)
    return ds


def ct(case: Case, visit: Visit) -> list[FileDataset]:
    """One CT study, a series of axial slices from the apex down, PS3.3 A.3."""
    positions = [CT_TOP - visit.shift - visit.spacing * i for i in range(CT_SLICES)]
    slices = thorax.volume(case.phantom, positions, visit.thickness, visit.nodule, CT_SIZE, noise=12.0, acquisition=int(visit.date))
    step = thorax.FIELD_OF_VIEW / CT_SIZE
    corner = -(CT_SIZE - 1) / 2 * step
    made = []
    for number, (z, pixels) in enumerate(zip(positions, slices, strict=True), start=1):
        ds = _file(case, visit, number)
        ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(case.name, visit.date, "frame"), ""
        ds.PatientPosition, ds.ImageOrientationPatient = "HFS", [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [f"{corner:.4f}", f"{corner + 14:.4f}", f"{z:.2f}"]
        ds.SliceLocation, ds.SliceThickness, ds.SpacingBetweenSlices = f"{z:.2f}", visit.thickness, visit.spacing
        ds.PixelSpacing = [f"{step:.6f}", f"{step:.6f}"]
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
        ds.WindowCenter, ds.WindowWidth = [-600, 40], [1500, 400]
        ds.WindowCenterWidthExplanation = ["LUNG", "MEDIASTINUM"]
        ds.KVP, ds.ConvolutionKernel, ds.AcquisitionNumber = 120, "PHANTOM", 1
        _pixels(ds, (pixels + 1024).astype(np.uint16), 12)
        made.append(ds)
    return made


def _summary(case: Case) -> dict[str, object]:
    visits = [
        {
            "folder": f"{case.name}/{visit.date}",
            "date": f"{visit.date[:4]}-{visit.date[4:6]}-{visit.date[6:]}",
            "findings": [{"name": f.name, "side": f.side, "zone": f.zone, "severity": f.severity} for f in visit.truth.findings],
        }
        for visit in case.visits
    ]
    steps = [
        {"overall": overall(before.truth, after.truth), "changes": dict(changes(before.truth, after.truth))}
        for before, after in zip(case.visits, case.visits[1:], strict=False)
    ]
    head = {"name": case.name, "title": case.title, "patient": case.patient, "teaching": case.teaching}
    return {**head, "ability": case.ability, "question": case.question, "synthetic": True, "visits": visits, "steps": steps}


def write(out: Path) -> list[Path]:
    """Write every demo case under `out` as ``case/date/*.dcm`` with ``cases.yaml``; returns the DICOM files."""
    written = []
    for case in CASES:
        for visit in case.visits:
            folder = out / case.name / visit.date
            folder.mkdir(parents=True, exist_ok=True)
            datasets = ct(case, visit) if case.modality == "CT" else [radiograph(case, visit)]
            for number, ds in enumerate(datasets, start=1):
                path = folder / f"{case.modality.lower()}{number:03d}.dcm"
                ds.save_as(path, enforce_file_format=True)
                written.append(path)
    text = yaml.safe_dump([_summary(case) for case in CASES], sort_keys=False, allow_unicode=True, width=120)
    (out / "cases.yaml").write_text(f"# Written by finetune/synthesis/demo.py. Every image is synthetic.\n{text}")
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
