"""From a parsed DICOM header to study, series and frame values: identity, dates, geometry, windows, and what was odd."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydicom.dataset import Dataset

from storage.studies import geometry, vocabulary
from storage.studies.dicomfile import Header, PixelFormat, number, numbers, text
from storage.studies.model import Frame, Series, Source, Study, Window

PROJECTION = ("CR", "DX", "RG", "PX", "MG", "IO", "XA", "RF")
_LOSSY: tuple[str, ...] = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
)
_LOSSY += ("1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112")
_LATERALITY = {"L": "L", "R": "R", "B": "B", "LEFT": "L", "RIGHT": "R", "BOTH": "B", "U": ""}


@dataclass(frozen=True)
class Loaded:
    """One file's frames with the study and series they say they belong to; `order` sorts files without geometry."""

    study: Study
    series: Series
    frames: tuple[Frame, ...]
    order: tuple[float, ...] = ()


def moment(day: str, time: str = "") -> datetime | None:
    """A DICOM date with an optional time (`20240131`, `2024.01.31`, `131502.25`); None when it is not one."""
    digits = re.sub(r"[-./]", "", day.strip())[:8]
    if not re.fullmatch(r"\d{8}", digits) or not "1850" <= digits[:4] <= "2200":
        return None
    clock = re.sub(r":", "", time.strip())
    match = re.match(r"(\d{2})(\d{2})?(\d{2})?", clock)
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    try:
        return datetime(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) + timedelta(
            hours=min(hour, 23), minutes=min(minute, 59), seconds=min(second, 59)
        )
    except ValueError:
        return None


def made_up(dataset: Dataset, *keywords: str) -> str:
    """A UID for files that lack one, the same for files that agree in `keywords`."""
    digest = hashlib.sha256("\0".join(text(dataset, keyword) for keyword in keywords).encode()).hexdigest()
    return f"2.25.{int(digest[:32], 16)}"


def _when(dataset: Dataset, *kinds: str) -> datetime | None:
    for kind in kinds:
        if kind.endswith("DateTime"):
            value = text(dataset, kind)
            found = moment(value[:8], value[8:14])
        else:
            found = moment(text(dataset, f"{kind}Date"), text(dataset, f"{kind}Time"))
        if found is not None:
            return found
    return None


def describe(opened: Header, shape: PixelFormat, source: Source) -> Loaded:
    """All frames of one DICOM image file. Raises nothing of its own; odd values become warnings."""
    dataset = opened.dataset
    series_warnings: list[str] = []
    notices = (*opened.layout.notices, *shape.notices)
    frames = tuple(_frame(opened, shape, source, index, notices) for index in range(shape.frames))
    study = _study(dataset)
    series = _series(dataset, frames, series_warnings)
    instance = number(dataset, "InstanceNumber")
    when = series.acquired or study.acquired
    order = (instance if instance is not None else 1e9, when.timestamp() if when else 0.0)
    return Loaded(study, series, frames, order)


def _study(dataset: Dataset) -> Study:
    warnings = []
    acquired = _when(dataset, "Study", "Acquisition", "AcquisitionDateTime", "Series", "Content")
    if acquired is None:
        said = text(dataset, "StudyDate")
        warnings.append("the study date cannot be read" if said else "the study has no date")
    birth = moment(text(dataset, "PatientBirthDate"))
    return Study(
        uid=text(dataset, "StudyInstanceUID", 64) or made_up(dataset, "PatientID", "StudyDate", "StudyTime", "StudyID"),
        patient_id=text(dataset, "PatientID", 64),
        patient_name=text(dataset, "PatientName", 128).replace("^", " ").strip(),
        patient_sex=text(dataset, "PatientSex", 16),
        patient_birth_year=birth.year if birth else None,
        acquired=acquired,
        description=text(dataset, "StudyDescription", 64),
        accession=text(dataset, "AccessionNumber", 64),
        warnings=tuple(warnings),
    )


def _series(dataset: Dataset, frames: tuple[Frame, ...], warnings: list[str]) -> Series:
    found = number(dataset, "SeriesNumber")
    modality = text(dataset, "Modality", 16).upper()
    if not modality:
        modality = "OT"
        warnings.append("the modality is not stated")
    side = text(dataset, "ImageLaterality") or text(dataset, "Laterality") or _nested_side(dataset)
    return Series(
        uid=text(dataset, "SeriesInstanceUID", 64) or made_up(dataset, "PatientID", "StudyDate", "Modality", "SeriesNumber"),
        modality=modality,
        number=int(found) if found is not None else None,
        description=text(dataset, "SeriesDescription", 64) or text(dataset, "ProtocolName", 64),
        body_part=text(dataset, "BodyPartExamined", 64).upper(),
        laterality=_LATERALITY.get(side.upper(), ""),
        view=_view(dataset),
        plane=geometry.plane(frames[0].orientation),
        acquired=_when(dataset, "AcquisitionDateTime", "Acquisition", "Content", "Series", "Study"),
        warnings=tuple(warnings),
    )


def _nested_side(dataset: Dataset) -> str:
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    anatomy = first(shared, "FrameAnatomySequence")
    return text(anatomy, "FrameLaterality") if anatomy is not None else ""


def _view(dataset: Dataset) -> str:
    """View Position, else View Code, as far as they are a projection's name: both can be typed by hand."""
    code = first(dataset, "ViewCodeSequence") or Dataset()
    said = (text(dataset, "ViewPosition", 16), text(code, "CodeValue", 16), text(code, "CodeMeaning", 64))
    return next((found for words in said if (found := vocabulary.view(words))), "")


def first(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """First item of a sequence, None when there is none."""
    if dataset is None:
        return None
    try:
        value = dataset.get(keyword)
        return value[0] if value is not None and len(value) and isinstance(value[0], Dataset) else None
    except Exception:
        return None


class Groups:
    """Functional groups of one frame (PS3.3 C.7.6.16): per-frame wins over shared, both over the data set itself."""

    def __init__(self, dataset: Dataset, index: int) -> None:
        self._top = dataset
        try:
            items = dataset.get("PerFrameFunctionalGroupsSequence") or ()
            self._own = items[index] if index < len(items) else None
        except Exception:
            self._own = None
        self._shared = first(dataset, "SharedFunctionalGroupsSequence")

    def of(self, group: str) -> Dataset:
        """The data set that holds the attributes of functional group `group` for this frame."""
        return first(self._own, group) or first(self._shared, group) or self._top


def _frame(opened: Header, shape: PixelFormat, source: Source, index: int, notices: tuple[str, ...]) -> Frame:
    dataset = opened.dataset
    groups = Groups(dataset, index)
    warnings = list(notices)
    spacing = _spacing(dataset, groups, warnings)
    orientation = geometry.orientation_of(numbers(groups.of("PlaneOrientationSequence"), "ImageOrientationPatient"))
    position = geometry.vector_of(numbers(groups.of("PlanePositionSequence"), "ImagePositionPatient"))
    place = geometry.location(position, orientation)
    if place is None:
        place = number(dataset, "SliceLocation") if shape.frames == 1 else None
    problem = rescale(dataset, groups)[2]
    if problem:
        warnings.append(problem)
    lossy = text(dataset, "LossyImageCompression") == "01" or opened.layout.syntax in _LOSSY
    if lossy:
        warnings.append("lossy compressed")
    if text(dataset, "BurnedInAnnotation") == "YES":
        warnings.append("says that text is burned into its pixels; check that no identity is in the picture")
    return Frame(
        source=source, index=index, rows=shape.rows, columns=shape.columns,
        samples=3 if shape.photometric == "PALETTE COLOR" else shape.samples,
        units="" if problem else _units(dataset, groups), spacing=spacing, position=position, orientation=orientation, location=place,
        windows=voi_windows(groups.of("FrameVOILUTSequence"), warnings), instance_uid=text(dataset, "SOPInstanceUID", 64),
        frame_of_reference=text(dataset, "FrameOfReferenceUID", 64), lossy=lossy, warnings=tuple(dict.fromkeys(warnings)),
    )  # fmt: skip


def _spacing(dataset: Dataset, groups: Groups, warnings: list[str]) -> tuple[float, float] | None:
    """(row, column) in mm: in the patient, else at the detector, else of an ultrasound region."""
    exact = numbers(groups.of("PixelMeasuresSequence"), "PixelSpacing")
    if len(exact) == 2 and min(exact) > 0:
        return exact[0], exact[1]
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        detector = numbers(dataset, keyword)
        if len(detector) == 2 and min(detector) > 0:
            warnings.append("spacing is at the detector, not in the patient")
            return detector[0], detector[1]
    region = first(dataset, "SequenceOfUltrasoundRegions")
    if region is not None and number(region, "PhysicalUnitsXDirection") == 3 and len(dataset["SequenceOfUltrasoundRegions"].value) == 1:
        across, down = number(region, "PhysicalDeltaX"), number(region, "PhysicalDeltaY")
        if across and down:
            return abs(down) * 10, abs(across) * 10
    warnings.append("no pixel spacing: measurements are in pixels")
    return None


def rescale(dataset: Dataset, groups: Groups) -> tuple[float, float, str]:
    """Rescale slope and intercept, and why their result has no units ('' when it has).

    Real-world values stand in for an absent rescale; 1 and 0 for one that is absent or cannot be used.
    """
    holder = groups.of("PixelValueTransformationSequence")
    if "RescaleSlope" in holder or "RescaleIntercept" in holder:
        slope, intercept = number(holder, "RescaleSlope"), number(holder, "RescaleIntercept")
        if slope is None or slope == 0 or abs(slope) > 1e12 or intercept is None or abs(intercept) > 1e12:
            return 1.0, 0.0, "its rescale slope or intercept cannot be used; stored values are shown, without units"
        return slope, intercept, ""
    world = first(groups.of("RealWorldValueMappingSequence"), "RealWorldValueMappingSequence") or groups.of("RealWorldValueMappingSequence")
    slope, intercept = number(world, "RealWorldValueSlope"), number(world, "RealWorldValueIntercept")
    if slope and intercept is not None and abs(slope) < 1e12 and abs(intercept) < 1e12:
        return slope, intercept, ""
    if text(dataset, "Modality", 16) == "CT" and first(dataset, "ModalityLUTSequence") is None:
        return 1.0, 0.0, "states no rescale to Hounsfield units; stored values are shown, without units"
    return 1.0, 0.0, ""


def _units(dataset: Dataset, groups: Groups) -> str:
    said = text(groups.of("PixelValueTransformationSequence"), "RescaleType", 16)
    if said and said != "US":
        return said
    lut = first(dataset, "ModalityLUTSequence")
    if lut is not None:
        return text(lut, "ModalityLUTType", 16).replace("US", "")
    modality = text(dataset, "Modality", 16)
    if modality == "CT":
        return "HU"
    return text(dataset, "Units", 16) if modality in ("PT", "NM") else ""


_FUNCTIONS: dict[str, Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]] = {"LINEAR_EXACT": "LINEAR_EXACT", "SIGMOID": "SIGMOID"}


def voi_windows(dataset: Dataset, warnings: list[str]) -> tuple[Window, ...]:
    """The file's windows (PS3.3 C.11.2); unusable ones become a warning."""
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    function = _FUNCTIONS.get(text(dataset, "VOILUTFunction").upper(), "LINEAR")
    least = 1.0 if function == "LINEAR" else 0.0
    try:
        names = dataset.get("WindowCenterWidthExplanation") or ()
        names = [names] if isinstance(names, str) else [part for part in names if isinstance(part, str)]
    except Exception:
        names = []
    found = []
    for index, (center, width) in enumerate(zip(centers, widths, strict=False)):
        if width >= least and width > 0 and abs(center) < 1e12 and width < 1e12:
            found.append(Window(center, width, names[index][:32].strip() if index < len(names) else "", function))
    stated = any(keyword in dataset for keyword in ("WindowCenter", "WindowWidth"))
    if stated and (len(found) < max(len(centers), len(widths)) or not found):
        warnings.append(
            "a window of the file cannot be used; the full range is shown instead" if not found else "one window cannot be used"
        )
    return tuple(dict.fromkeys(found))
