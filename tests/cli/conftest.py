"""A pair of small radiographs of one patient on disk, and the command line run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from inference.select import Selection
from tests.fakes import FakeEngine
from ui.cli import main


@dataclass
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of standard output, which `--json` makes one object."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


@dataclass
class Opened:
    """The fake engine, and with which model and engine it was asked for."""

    engine: FakeEngine
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)


Run = Callable[..., Ran]


def radiograph(path: Path, date: str, brightness: int, patient: str = "1234", modality: str = "DX") -> Path:
    """A 48 x 40 radiograph with a bright square whose brightness is given."""
    pixels = np.full((48, 40), 400, dtype=np.uint16)
    pixels[20:34, 8:18] = brightness
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.PatientID, image.PatientName, image.PatientSex = patient, "Doe^Jane", "F"
    image.StudyDate = image.AcquisitionDate = date
    image.Modality, image.BodyPartExamined, image.ViewPosition = modality, "CHEST", "PA"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.WindowCenter, image.WindowWidth = 1024, 2048
    image.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Prior and current radiograph of one patient, two weeks apart."""
    return radiograph(tmp_path / "in" / "a.dcm", "20210504", 900), radiograph(tmp_path / "in" / "b.dcm", "20210518", 1800)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A fake engine in place of the model."""
    fake = Opened(FakeEngine(["The opacity is worse."]))

    def open_engine(settings: object, model: str | None = None, engine: str | None = None) -> Selection:
        fake.asked.append((model, engine))
        return Selection(fake.engine, "A fake engine answers, for a test.")

    monkeypatch.setattr("inference.select.open_engine", open_engine)
    return fake


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command on a data directory of its own."""

    def go(*arguments: object, data: bool = True) -> Ran:
        where = ["--data-dir", str(tmp_path / "data")] if data else []
        code = main([*where, *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return go
