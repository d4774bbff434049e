"""Who it was leaves at the door: PS3.15 Basic Profile with Modified Dates on DICOM, no metadata on anything else.

The same patient imported twice gets the same pseudonym and the same date shift, because both are keyed hashes of
the patient identifier under the site's salt; so intervals between studies survive, and nothing links back
without the salt. A file that names nobody gets no pseudonym, which would make two studies of its patient strangers,
and the one date shift of all such files, so that their order survives. The same original always becomes the same
bytes, so the content store keeps one copy.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from storage.studies import profile, strip, vocabulary
from storage.studies.boundary import typed
from storage.studies.budget import Budget
from storage.studies.dicomfile import Header, open_header, pixel_format, refuse_non_images, text
from storage.studies.model import Kind, Source

METHOD = ("PS3.15 Basic Profile", "Modified dates, one shift per patient", "Clean descriptors by word list", "Interval")
_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113105", "Clean Descriptors Option"),
)
_IMPLEMENTATION = "2.25.163474903925730283473112706938311473953"
_CHUNK = 1 << 20
_WORDS = """
ANON ANONYMOUS ANONYMIZED ANONYMISED ANONYM ANONYMOUSPATIENT ANONPATIENT DEIDENTIFIED UNKNOWN UNNAMED NONAME NOID NONE NULL N/A
PATIENT REMOVED UNDEFINED
"""
_NOBODY = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Deidentified:
    """A rewritten file: where it is, its SHA-256, the patient's pseudonym and the shift of all its dates in days (negative)."""

    path: Path
    kind: Kind
    sha256: str
    pseudonym: str = ""
    shift_days: int = 0
    notices: tuple[str, ...] = ()


class Deidentifier:
    """De-identifies with one site `salt`: the same patient always gets the same pseudonym and the same date shift.

    New files go to `out_dir` under the name of their SHA-256. The same original gives the same bytes every time.
    """

    def __init__(self, salt: bytes, out_dir: Path, budget: Budget | None = None) -> None:
        if len(salt) < 16:
            raise ValueError("the salt of a site is at least 16 random bytes")
        self.salt = salt
        self.out_dir = out_dir
        self.budget = budget or Budget()

    def _keyed(self, purpose: str, value: str) -> int:
        return int.from_bytes(hmac.digest(self.salt, f"{purpose}\0{value}".encode(), "sha256")[:16], "big")

    def pseudonym(self, patient_id: str) -> str:
        """Pseudonym of a patient identifier, `P-` and twelve hexadecimal digits; '' for nobody's."""
        return "" if not patient_id else f"P-{self._keyed('patient', patient_id) % (1 << 48):012X}"

    def shift_days(self, patient_id: str) -> int:
        """Days (negative, one to ten years) that are added to every date of this patient; '' stands for all who are not named."""
        return -(366 + self._keyed("dates", patient_id) % 3286)

    def uid(self, original: str) -> str:
        """The UID that stands for `original` everywhere (PS3.5 B.2)."""
        return f"2.25.{self._keyed('uid', original)}"

    def dicom(self, opened: Header) -> tuple[Header, Source]:
        """Rewrite one opened DICOM file (its data set is changed in place); pixels are copied byte for byte, and nothing behind them."""
        assert opened.layout.pixels is not None
        length = opened.layout.pixels[1] - opened.layout.pixels[0]
        if not opened.layout.encapsulated:
            length = pixel_format(opened, self.budget).native_bytes
        patient = identity(opened.dataset)
        pseudonym = self.pseudonym(patient)
        profile.clean(opened.dataset, profile.Plan(self.shift_days(patient), self.uid))
        _record(opened.dataset, pseudonym)
        syntax, implicit, little = _target(opened)
        head, meta_end = _head(opened.dataset, syntax, implicit, little)
        mark = _pixel_mark(opened, implicit, little, length)
        path, digest = self._store(_copy(opened, head + mark, little, length), ".dcm")
        start = len(head) + len(mark)
        layout = replace(
            opened.layout, syntax=syntax, implicit=implicit, little=little, meta=(132, meta_end), header=(meta_end, len(head)),
            pixels=(start, start + length + length % 2), inflated=None,
        )  # fmt: skip
        return replace(opened, path=path, layout=layout, deidentified=True), Source(path, "dicom", digest)

    def picture(self, source: Source, name: str) -> tuple[Source, str]:
        """Rewrite a PNG, JPEG, TIFF or NIfTI file without its metadata; returns it and what is left of its name."""
        if source.kind == "nifti":
            path, digest = self._store(strip.nifti(source.path, self.budget), ".nii")
        else:
            chunks, suffix = strip.picture(source.path, self.budget)
            path, digest = self._store(chunks, suffix)
        kept = vocabulary.clean(name) or f"{source.kind} {digest[:6]}"
        return Source(path, source.kind, digest), kept

    def _store(self, chunks: Iterable[bytes], suffix: str) -> tuple[Path, str]:
        """Write under the name of the content's SHA-256; an equal file that is there already is kept."""
        self.out_dir.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(dir=self.out_dir, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                for chunk in chunks:
                    digest.update(chunk)
                    out.write(chunk)
            path = self.out_dir / f"{digest.hexdigest()}{suffix}"
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return path, digest.hexdigest()


def deidentify(path: Path, salt: bytes, out_dir: Path, budget: Budget | None = None) -> Deidentified:
    """De-identify one file into `out_dir`. Raises `StudyError` when it cannot be read."""
    budget = budget or Budget()
    worker = Deidentifier(salt, out_dir, budget)
    with typed(path.name):
        with path.open("rb") as file:
            head = file.read(544)
        kind = strip.kind_of(path, head)
        if kind != "dicom":
            source, _ = worker.picture(Source(path, kind, ""), path.stem)
            return Deidentified(source.path, kind, source.sha256)
        opened = open_header(path, budget)
        refuse_non_images(opened)
        pixel_format(opened, budget)
        patient = identity(opened.dataset)
        _, source = worker.dicom(opened)
        return Deidentified(source.path, kind, source.sha256, worker.pseudonym(patient), worker.shift_days(patient))


def identity(dataset: Dataset) -> str:
    """What tells this patient from others: the identifier with its issuer, else name and birth date; '' when nobody is named."""
    patient, issuer = text(dataset, "PatientID", 64), text(dataset, "IssuerOfPatientID", 64)
    if not _nobody(patient):
        return f"id\0{patient}" + (f"\0{issuer}" if issuer else "")
    name = text(dataset, "PatientName")
    return "" if _nobody(name) else f"name\0{name}\0{text(dataset, 'PatientBirthDate')}"


def _nobody(value: str) -> bool:
    """Whether a name or identifier is empty or one of the words and fillers other de-identifiers leave (`ANONYMOUS`, `0000`, `XXX`)."""
    word = re.sub(r"[\s^_.\-]", "", value).upper()
    return word in _NOBODY or not word.strip("0") or not word.strip("X") or not word.strip("?*")


def _record(dataset: Dataset, pseudonym: str) -> None:
    """Write who it now is and what was done (PS3.3 C.7.1.1, C.12.1)."""
    for keyword, value in (("PatientName", pseudonym), ("PatientID", pseudonym), ("PatientBirthDate", ""), ("PatientSex", "")):
        if keyword in dataset:
            delattr(dataset, keyword)
        setattr(dataset, keyword, value)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = list(METHOD)
    dataset.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in _CODES])
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _target(opened: Header) -> tuple[str, bool, bool]:
    """(transfer syntax, implicit, little endian) to write: as it was, except that deflated is inflated and lies are corrected."""
    layout = opened.layout
    if layout.encapsulated:
        return layout.syntax, False, True
    if layout.implicit:
        return str(ImplicitVRLittleEndian), True, True
    return str(ExplicitVRLittleEndian if layout.little else ExplicitVRBigEndian), False, layout.little


def _head(dataset: Dataset, syntax: str, implicit: bool, little: bool) -> tuple[bytes, int]:
    """Preamble of zeros, file meta group and data set as bytes; and where the data set starts."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = text(dataset, "SOPClassUID", 64)
    meta.MediaStorageSOPInstanceUID = text(dataset, "SOPInstanceUID", 64)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "INTERVAL"
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta, enforce_standard=False)
    start = buffer.tell()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, dataset)
    return buffer.getvalue(), start


def _pixel_mark(opened: Header, implicit: bool, little: bool, size: int) -> bytes:
    """Tag, VR and length of the pixel element."""
    layout = opened.layout
    order: Literal["little", "big"] = "little" if little else "big"
    element = {"FloatPixelData": 8, "DoubleFloatPixelData": 9}.get(layout.pixel_keyword, 0x10)
    tag = (0x7FE0).to_bytes(2, order) + element.to_bytes(2, order)
    vr = b"" if implicit else {8: b"OF", 9: b"OD"}.get(element, b"OB" if layout.encapsulated else layout.pixel_vr.encode()) + b"\0\0"
    length = 0xFFFFFFFF if layout.encapsulated else size + size % 2
    return tag + vr + length.to_bytes(4, order)


def _copy(opened: Header, head: bytes, little: bool, size: int) -> Iterator[bytes]:
    """The new file in chunks: its head, then `size` bytes of pixels as they were, made even."""
    yield head
    left = size
    with opened.pixels() as stream:
        while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if size % 2:
        yield b"\0"
    if opened.layout.encapsulated:
        yield b"\xfe\xff\xdd\xe0\0\0\0\0" if little else b"\xff\xfe\xe0\xdd\0\0\0\0"
