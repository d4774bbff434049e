"""Real files of many makers: what pydicom decodes we decode to the same values, and everything else has its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from storage import studies
from storage.studies import Deidentifier, Frame
from storage.studies.boundary import quiet
from storage.studies.model import Reading

pytestmark = pytest.mark.data
NO_IMAGE = ("segmentation", "radiotherapy", "structured report", "DICOMDIR", "holds no picture")


def every_file(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def by_file(reading: Reading) -> dict[Path, list[Frame]]:
    found: dict[Path, list[Frame]] = {}
    for study in reading.studies:
        for series in study.series:
            for frame in series.frames:
                found.setdefault(frame.source.path, []).append(frame)
    return {path: sorted(frames, key=lambda frame: frame.index) for path, frames in found.items()}


def truth(path: Path) -> tuple[Dataset, NDArray[np.generic]] | None:
    """What pydicom decodes with its plugins; JPEG by Pillow, because IDCTs differ by one. None when it cannot."""
    quiet()
    try:
        made = pydicom.dcmread(path)
        syntax = made.file_meta.TransferSyntaxUID
        eight = syntax.endswith(".4.50") or (syntax.endswith(".4.51") and made.BitsStored == 8)
        return made, pixel_array(made, decoding_plugin="pillow" if eight else "")
    except Exception:
        return None


@pytest.fixture(scope="module")
def regular(request: pytest.FixtureRequest) -> Reading:
    from tests.conftest import data_folder

    folder = data_folder()
    assert folder is not None
    return studies.read([folder / "dicom" / "regular", folder / "ct_prior_current"])


def test_values_equal_pydicoms_wherever_it_decodes(regular: Reading) -> None:
    frames = by_file(regular)
    compared, problems = 0, []
    for file in regular.files:
        found = truth(Path(file.path))
        if found is None or file.outcome == "duplicate":
            continue
        made, array = found
        if file.outcome != "imported":
            if not any(word in file.reason for word in NO_IMAGE):
                problems.append(f"{file.path}: {file.reason}")
            continue
        ours = frames[Path(file.path)]
        for frame in {0: ours[0], 1: ours[len(ours) // 2], 2: ours[-1]}.values():
            expected = array[frame.index] if len(ours) > 1 or array.ndim > studies.stored(frame).ndim else array
            lossy = made.file_meta.TransferSyntaxUID.endswith(".4.51") and made.BitsStored > 8
            distance = np.abs(studies.stored(frame).astype(np.float64) - expected.astype(np.float64)).max()
            if distance > int(lossy):
                problems.append(f"{file.path}: differs by {distance}")
        compared += 1
    assert problems == []
    assert compared > 100


def test_every_refusal_and_omission_has_one_sentence(regular: Reading) -> None:
    unread = [file for file in regular.files if file.outcome in ("refused", "skipped", "duplicate")]
    assert unread
    assert all(file.reason and "\n" not in file.reason for file in unread)


def test_every_picture_displays_with_every_window_it_offers(regular: Reading) -> None:
    for study in regular.studies:
        for series in study.series:
            offered = studies.windows(series)
            frame = series.frames[0]
            for window in (None, *offered):
                assert studies.display(frame, window).shape[:2] == (frame.rows, frame.columns)


def test_priors_and_currents_are_recognised(test_data: Path) -> None:
    for folder in sorted((test_data / "ct_prior_current").iterdir()):
        reading = studies.read([folder])
        assert [len({study.patient_id for study in reading.studies}), len(reading.studies)] == [1, 2], folder
        axial = [(study, series) for study in reading.studies for series in study.series if series.plane == "axial"]
        found = studies.relate_many(axial[:2]) if len(axial) == 2 else studies.relate(axial[0], axial[-1])
        assert (found.relationship, found.roles) == ("temporal", ("prior", "current"))
        assert found.interval_days is not None
        assert found.interval_days > 0


@pytest.mark.parametrize("folder", ["mr_gbm", "mr_ms", "cxr_nih", "vqa_rad", "med_mim"])
def test_every_folder_of_the_data_is_read_to_its_end(test_data: Path, folder: str) -> None:
    files = every_file(test_data / folder)
    reading = studies.read([test_data / folder])
    assert len(reading.files) == len(files)
    for file in reading.files:
        picture = file.path.endswith((".png", ".jpg", ".nii.gz", ".nii", ".dcm"))
        assert file.outcome in (("imported", "duplicate") if picture else ("skipped",)), file


def test_every_folder_imports_without_identity(test_data: Path, tmp_path: Path) -> None:
    reading = studies.read([test_data / "ct_prior_current"], deidentifier=Deidentifier(bytes(range(32)), tmp_path))
    plain = studies.read([test_data / "ct_prior_current"])
    assert [file.outcome for file in reading.files] == [file.outcome for file in plain.files]
    names = {folder.name.encode() for folder in (test_data / "ct_prior_current").iterdir()}
    for path in tmp_path.iterdir():
        head = path.read_bytes()[:20000]
        assert not [name for name in names if name in head]
