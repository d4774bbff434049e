"""Files on the disk to rows and back: DICOM and PNG written here, through the real reader and de-identification."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from errors import StoreError
from settings import Settings, load
from storage.store import Store
from storage.studies import display, modality, relate
from storage.views import User

NAME, NUMBER = "Mustermann^Erika", "HOSP-4711"


def pixels(seed: int) -> NDArray[np.uint16]:
    """(40, 32) stored values of twelve bits."""
    return np.random.default_rng(seed).integers(0, 4096, (40, 32), dtype=np.uint16)


def radiograph(path: Path, seed: int, day: str, patient: str = NUMBER, **more: object) -> Path:
    """A chest radiograph of a named patient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"1.2.3.{seed}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.4.{day}{patient[-4:]}", f"1.2.5.{day}{patient[-4:]}"
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = NAME, patient, "F", "19500302"
    ds.StudyDate, ds.StudyTime, ds.StudyDescription, ds.Modality, ds.SeriesNumber = day, "101500", "Chest", "CR", 1
    ds.ViewPosition, ds.BodyPartExamined, ds.InstanceNumber = "PA", "CHEST", seed
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 40, 32, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = [0.5, 0.25], 2, -100
    ds.PixelData = pixels(seed).tobytes()
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def prior(tmp_path: Path) -> Path:
    return radiograph(tmp_path / "prior.dcm", 1, "20240110")


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return radiograph(tmp_path / "current.dcm", 2, "20240124")


def lines(report_files: tuple[object, ...], tmp_path: Path) -> dict[str, str]:
    return {str(file.path).removeprefix(f"{tmp_path}/"): file.outcome for file in report_files}  # type: ignore[attr-defined]


def test_a_pair_is_one_patient_with_two_dated_studies_and_its_own_pixels(
    store: Store, reader: User, current: Path, prior: Path, tmp_path: Path
) -> None:
    report = store.import_paths([current, prior], reader)
    assert lines(report.files, tmp_path) == {"current.dcm": "imported", "prior.dcm": "imported"}
    assert (report.patients, report.studies, report.series, report.instances) == (1, 2, 2, 2)
    (patient,) = store.patients(reader)
    first, second = (store.series(study.series[0].id, reader) for study in patient.studies)
    for (_, series), seed in ((first, 1), (second, 2)):
        assert np.array_equal(modality(series.frames[0]), pixels(seed).astype(np.float32) * 2 - 100)
        assert display(series.frames[0]).shape == (40, 32)
        assert (series.frames[0].spacing, series.view, series.body_part) == ((0.5, 0.25), "PA", "CHEST")
    relation = relate(first, second)
    assert (relation.relationship, relation.roles, relation.interval_days) == ("temporal", ("prior", "current"), 14.0)


def test_nothing_kept_says_who_it_was(store: Store, reader: User, prior: Path, current: Path) -> None:
    store.import_paths([prior, current], reader)
    store.start_session(reader, "Case", [])
    store.close()
    (patient,) = store.patients(reader)
    assert patient.pseudonym.startswith("P-")
    assert patient.studies[0].acquired is not None
    assert patient.studies[0].acquired.strftime("%Y%m%d") != "20240110"
    secrets = (b"Mustermann", b"Erika", NUMBER.encode(), b"20240110", b"20240124", b"1.2.4.20240110", b"19500302")
    kept = {path: path.read_bytes() for path in store.settings.data_dir.rglob("*") if path.is_file()}
    assert [(path.name, secret) for path, body in kept.items() for secret in secrets if secret in body] == []


def test_the_same_patient_is_recognised_in_a_later_import(store: Store, reader: User, prior: Path, current: Path) -> None:
    store.import_paths([prior], reader)
    store.import_paths([current], reader)
    (patient,) = store.patients(reader)
    assert len(patient.studies) == 2
    first, second = (study.acquired for study in patient.studies)
    assert first is not None
    assert second is not None
    assert (second - first).days == 14


def test_a_site_may_keep_identities(settings: Settings, prior: Path) -> None:
    with Store(load(data_dir=settings.data_dir, keep_identity=True)) as store:
        reader = store.user("local")
        report = store.import_paths([prior], reader)
        (patient,) = store.patients(reader)
        study = store.study(report.study_ids[0], reader)
        assert (patient.pseudonym, study.patient_name, study.uid) == (NUMBER, "Mustermann Erika", "1.2.4.202401104711")
        assert study.series[0].frames[0].source.path.read_bytes() == prior.read_bytes()
        assert prior.exists()


def test_every_file_of_an_upload_has_its_line(store: Store, reader: User, prior: Path, tmp_path: Path) -> None:
    folder = tmp_path / "upload"
    radiograph(folder / "a.dcm", 3, "20240110")
    (folder / "copy of a.dcm").write_bytes((folder / "a.dcm").read_bytes())
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "letter.dcm").write_text("Dear colleague")
    (folder / "cut.dcm").write_bytes((folder / "a.dcm").read_bytes()[:900])
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(folder / "film.png")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(radiograph(tmp_path / "z.dcm", 5, "20240110"), "inside/z.dcm")
    report = store.import_paths([folder], reader, names={folder: "upload"})
    assert {file.path: file.outcome for file in report.files} == {
        "upload/a.dcm": "imported",
        "upload/copy of a.dcm": "duplicate",
        "upload/cut.dcm": "refused",
        "upload/empty.dcm": "refused",
        "upload/film.png": "imported",
        "upload/letter.dcm": "refused",
        "upload/more.zip/inside/z.dcm": "imported",
    }
    assert all(file.reason for file in report.files if file.outcome != "imported")
    assert (report.studies, report.instances, store.check().problems) == (2, 3, ())
    again = store.import_paths([folder], reader, names={folder: "upload"})
    assert {file.outcome for file in again.files} == {"duplicate", "refused"}
    assert again.study_ids == report.study_ids
    assert store.check().files == 3


def test_a_picture_without_a_patient_opens_like_any_other(store: Store, reader: User, tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "film.png")
    report = store.import_paths([tmp_path / "film.png"], reader)
    study = store.study(report.study_ids[0], reader)
    assert (study.patient_id, study.series[0].modality) == ("", "OT")
    assert np.array_equal(modality(study.series[0].frames[0]), grey.astype(np.float32))


def test_synthetic_images_are_marked(store: Store, reader: User, tmp_path: Path, prior: Path) -> None:
    demo = radiograph(tmp_path / "demo.dcm", 9, "20240110", patient="DEMO-0001", StudyDescription="SYNTHETIC chest radiograph")
    store.import_paths([prior, demo], reader, shared=True)
    marked = [(study.synthetic, study.shared) for patient in store.patients(store.user("guest")) for study in patient.studies]
    assert sorted(marked) == [(False, True), (True, True)]


def _lost(salt: Path) -> None:
    salt.unlink()


def _other(salt: Path) -> None:
    salt.write_bytes(b"another store's salt, 32 bytes...")


@pytest.mark.parametrize("spoil", [_lost, _other])
def test_without_its_salt_a_store_imports_nothing_under_a_wrong_pseudonym(
    store: Store, reader: User, prior: Path, current: Path, spoil: Callable[[Path], None]
) -> None:
    store.import_paths([prior], reader)
    spoil(store.settings.data_dir / "salt")
    with pytest.raises(StoreError, match=r"known patient would get another pseudonym; restore"):
        store.import_paths([current], reader)
    assert len(store.patients(reader)[0].studies) == 1, "what is there stays readable"


def test_progress_counts_up_to_all_files(store: Store, reader: User, prior: Path, current: Path) -> None:
    seen: list[tuple[int, int]] = []
    store.import_paths([prior, current], reader, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)


@pytest.mark.data
@pytest.mark.slow
def test_real_studies_open_from_the_store_as_they_are(store: Store, reader: User, test_data: Path) -> None:
    folder = test_data / "ct_prior_current"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    report = store.import_paths([folder], reader)
    assert sorted(file.path for file in report.files) == [str(path) for path in files]
    assert report.instances == report.count("imported") > 0
    assert store.check().problems == ()
    for number in report.study_ids:
        for series in store.study(number, reader).series:
            assert all(display(frame).shape[:2] == (frame.rows, frame.columns) for frame in series.frames[:2])
    assert all(len(patient.studies) == 2 for patient in store.patients(reader)), "each patient has a prior and a current study"
