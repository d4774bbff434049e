"""A draft report as a DICOM Structured Report (PS3.16 TID 2000), for an archive to keep beside the images it is of.

Enhanced SR by highdicom: unverified, partial, preliminary, observed by a device that is the model itself. The report belongs to the
study of the current image and references every image; what provenance has no code for is a comment, one name and value each.
"""

from __future__ import annotations

import io
import uuid
import warnings
from collections.abc import Sequence
from importlib import metadata

import highdicom as hd
import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContainerContentItem,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    ObservationContext,
    ObserverContext,
    TextContentItem,
)
from highdicom.sr.enum import RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from errors import InputError
from inference.report import MARK, NOTICE, Report, Source, provenance
from storage.studies import Frame

MOST_TEXT = 16_000
"""Characters of one text item; archives are known to cut longer ones."""
_TITLE = CodedConcept("18748-4", "LN", "Diagnostic Imaging Report")
_HEADINGS = (
    ("findings", codes.DCM.Findings, codes.DCM.Finding),
    ("comparison", codes.DCM.PriorProcedureDescriptions, codes.DCM.ProcedureDescription),
    ("impression", codes.DCM.Impressions, codes.DCM.Impression),
)
_CONTAINS = RelationshipTypeValues.CONTAINS


def structured(report: Report, frames: Sequence[Frame], current: int) -> bytes:
    """The report as a DICOM file; `frames` are its images in declared order, `current` the one whose study it belongs to.

    Raises `InputError` when the images are of more than one patient; that they are DICOM was asked before (`reporting.refusal`).
    """
    evidence = _evidence(frames, current)
    if len({str(one.get("PatientID", "")) for one in evidence}) > 1:
        raise InputError("the images are of more than one patient and a structured report is of one; export it as text or PDF")
    version = metadata.version("highdicom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # private tags and odd names of the images it is made beside
        made = EnhancedSR(
            evidence=evidence,
            content=_content(report, frames)[0],
            series_instance_uid=hd.UID(),
            series_number=9100,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="Interval",
            is_complete=False,
            is_final=False,
            is_verified=False,
            series_description=f"{MARK}{', edited' if report.edited else ''} (research)",  # at most 64 characters
            manufacturer_model_name="Interval",
            software_versions=f"highdicom {version}",
        )
    made.SpecificCharacterSet = "ISO_IR 192"
    out = io.BytesIO()
    made.save_as(out)
    return out.getvalue()


def _evidence(frames: Sequence[Frame], current: int) -> list[Dataset]:
    """Headers of the files, that of the current image first because patient and study are taken from it; each file once."""
    order = [frames[current], *(frame for number, frame in enumerate(frames) if number != current)]
    paths = list(dict.fromkeys(frame.source.path for frame in order))
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    for one in found:
        for name in ("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber"):
            if name not in one:  # type 2: present, empty where it is unknown
                setattr(one, name, None)
    return found


def _content(report: Report, frames: Sequence[Frame]) -> hd.sr.ContentSequence:
    root = ContainerContentItem(name=_TITLE, template_id="2000")
    items: list[Dataset] = [*LanguageOfContentItemAndDescendants(CodedConcept("en", "RFC5646", "English"))]
    for source in report.sources[-1:] or (Source(0, "", "", "", model="Interval"),):
        items += [*_observer(source)]
    items.append(_text(codes.DCM.Comment, f"{report.mark}. {NOTICE}"))
    for name, heading, concept in _HEADINGS:
        items.append(_section(heading, concept, getattr(report.words, name), report if name == "findings" else None, frames))
    items += [_text(codes.DCM.Comment, caution) for caution in report.cautions]
    items += [_text(codes.DCM.Comment, f"{name}: {value}") for rows in provenance(report) for name, value in rows]
    root.ContentSequence = hd.sr.ContentSequence(items)
    return hd.sr.ContentSequence([root], is_root=True)


def _observer(source: Source) -> ObservationContext:
    """The model as the observing device (TID 1004), named by a UID made of its digest."""
    known = uuid.uuid5(uuid.NAMESPACE_OID, source.model_digest + source.adapter_digest)
    device = DeviceObserverIdentifyingAttributes(
        uid=UID(f"2.25.{known.int}"), name="Interval", manufacturer_name="Interval", model_name=source.model or "none"
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _section(
    heading: CodedConcept, concept: CodedConcept, words: str, report: Report | None, frames: Sequence[Frame]
) -> ContainerContentItem:
    """A heading with one text item for each line; under the findings also what made them and the images."""
    section = ContainerContentItem(name=heading, relationship_type=_CONTAINS)
    items: list[Dataset] = []
    if report is not None:
        for source in report.sources:
            parts = (("engine", source.engine), ("model SHA-256", source.model_digest), ("adapter SHA-256", source.adapter_digest))
            given = [f"{name} {value}" for name, value in parts if value]
            items += [*AlgorithmIdentification(source.model or "none", (source.model_digest or "none")[:16], given or None)]
    items += [_text(concept, line) for line in words.splitlines() if line.strip()] or [_text(concept, "Nothing is stated.")]
    if report is not None:
        items += [_image(frame) for frame in frames]
    section.ContentSequence = hd.sr.ContentSequence(items)
    return section


def _image(frame: Frame) -> ImageContentItem:
    header = pydicom.dcmread(frame.source.path, specific_tags=["SOPClassUID", "SOPInstanceUID", "NumberOfFrames"])
    number = frame.index + 1 if int(header.get("NumberOfFrames") or 1) > 1 else None
    return ImageContentItem(codes.DCM.SourceImage, header.SOPClassUID, header.SOPInstanceUID, number, relationship_type=_CONTAINS)


def _text(concept: CodedConcept, words: str) -> TextContentItem:
    return TextContentItem(name=concept, value=words[:MOST_TEXT], relationship_type=_CONTAINS)
