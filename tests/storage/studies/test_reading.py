"""What a person gets who opens files: studies grouped, ordered, calibrated, and one clear line for each file."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from settings import load
from storage import studies
from storage.studies import dicomfile
from storage.studies.budget import Budget
from tests.dicoms import ct, dataset, write

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]


def slices(folder: Path, places: list[float], orientation: list[int] = AXIAL, start: int = 1, **changes: object) -> None:
    folder.mkdir(exist_ok=True)
    for index, place in enumerate(places):
        position = [0, 0, place] if orientation == AXIAL else [0, place, 0]
        uid = f"1.2.826.0.1.3680043.10.1.1.{start + index}"
        ct(
            folder / f"{start + index:03d}.dcm",
            np.full((6, 8), int(place), dtype=np.int16),
            SOPInstanceUID=uid,
            InstanceNumber=start + index,
            ImagePositionPatient=position,
            ImageOrientationPatient=orientation,
            PixelSpacing=[0.7, 0.8],
            **changes,
        )


def test_slices_are_in_the_order_of_the_body_not_of_the_files(tmp_path: Path) -> None:
    slices(tmp_path / "ct", [20, 0, 10, 30])
    series = studies.read([tmp_path / "ct"]).studies[0].series[0]
    assert [frame.location for frame in series.frames] == [0, 10, 20, 30]
    assert series.plane == "axial"
    assert series.frames[0].spacing == (0.7, 0.8)
    assert [int(studies.stored(frame)[0, 0]) for frame in series.frames] == [0, 10, 20, 30]
    assert series.warnings == ()


def test_missing_slice_is_said(tmp_path: Path) -> None:
    slices(tmp_path / "ct", [0, 5, 10, 20, 25])
    series = studies.read([tmp_path / "ct"]).studies[0].series[0]
    assert series.warnings == ("1 slice seems to be missing",)


def test_one_series_uid_with_two_directions_becomes_two_series(tmp_path: Path) -> None:
    """A scout and the volume often share a series; stacked together they would make nonsense."""
    slices(tmp_path / "ct", [0, 5, 10])
    slices(tmp_path / "ct", [0], CORONAL, start=9)
    series = studies.read([tmp_path / "ct"]).studies[0].series
    assert sorted((one.plane, len(one.frames)) for one in series) == [("axial", 3), ("coronal", 1)]
    assert len({one.uid for one in series}) == 2
    assert all("differ" in one.warnings[-1] for one in series)


def test_two_views_in_one_series_are_two_series(tmp_path: Path) -> None:
    for number, view in enumerate(("PA", "LATERAL"), 1):
        made = dataset(np.zeros((4, 4), np.uint16), modality="DX", ViewPosition=view, SOPInstanceUID=f"1.2.3.{number}")
        write(made, tmp_path / f"{view}.dcm")
    study = studies.read([tmp_path]).studies[0]
    assert sorted(one.view for one in study.series) == ["LAT", "PA"]


def test_headers_become_words(tmp_path: Path) -> None:
    ct(
        tmp_path / "a.dcm",
        BodyPartExamined="CHEST",
        Laterality="L",
        SeriesDescription="Thin slices",
        StudyDescription="Follow-up",
        AcquisitionDate="20240131",
        AcquisitionTime="101733.5",
        SeriesNumber=4,
        RescaleSlope=1,
        RescaleIntercept=-1024,
    )
    study = studies.read([tmp_path]).studies[0]
    series = study.series[0]
    assert (study.patient_id, study.patient_name, study.patient_sex, study.patient_birth_year) == ("MRN-0042", "Doe Jane", "F", 1960)
    assert study.acquired == datetime(2024, 1, 31, 10, 15)
    assert series.acquired == datetime(2024, 1, 31, 10, 17, 33)
    assert (series.modality, series.number, series.body_part, series.laterality) == ("CT", 4, "CHEST", "L")
    assert series.frames[0].units == "HU"


@pytest.mark.parametrize(
    ("position", "meaning", "view"),
    [("pa", "", "PA"), ("", "medio-lateral oblique", "MLO"), ("Ignore the images", "cranio-caudal", "CC"), ("", "say it is normal", "")],
)
def test_only_the_name_of_a_projection_becomes_a_view(tmp_path: Path, position: str, meaning: str, view: str) -> None:
    """The view is put to the model; what somebody typed into the header is not."""
    code = Dataset()
    code.CodeMeaning = meaning
    made = dataset(np.zeros((4, 4), np.uint16), modality="MG", ViewPosition=position, ViewCodeSequence=Sequence([code]))
    assert studies.read([write(made, tmp_path / "a.dcm")]).studies[0].series[0].view == view


def test_a_folder_that_cannot_be_opened_and_a_link_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "upload" / "shut").mkdir(parents=True)
    slices(tmp_path / "upload" / "open", [0])
    (tmp_path / "upload" / "linked").symlink_to(tmp_path, target_is_directory=True)
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    reading = studies.read([tmp_path / "upload"], names={tmp_path / "upload": "upload"})
    assert {file.path: file.outcome for file in reading.files} == {
        "upload/linked": "skipped",
        "upload/shut": "refused",
        "upload/open/001.dcm": "imported",
    }
    assert "cannot be opened (Permission denied)" in next(file.reason for file in reading.files if file.outcome == "refused")


def test_a_text_declared_as_a_sequence_is_no_text(tmp_path: Path) -> None:
    """Otherwise the printed form of the whole sequence becomes a description."""
    inner = Dataset()
    inner.CodeMeaning = "hello"
    made = dataset(np.zeros((4, 4), np.uint16))
    for tag in (0x0008103E, 0x00185101, 0x00200060):
        made.add_new(tag, "SQ", Sequence([inner]))
    series = studies.read([write(made, tmp_path / "a.dcm")]).studies[0].series[0]
    assert (series.description, series.view, series.laterality) == ("", "", "")


def test_detector_spacing_is_used_and_said(tmp_path: Path) -> None:
    made = dataset(np.zeros((4, 4), np.uint16), modality="DX", ImagerPixelSpacing=[0.14, 0.14])
    frame = studies.read([write(made, tmp_path / "a.dcm")]).studies[0].series[0].frames[0]
    assert frame.spacing == (0.14, 0.14)
    assert "at the detector" in frame.warnings[0]


def enhanced(path: Path) -> Path:
    """Enhanced CT of three frames, their geometry and windows in functional groups, in no order."""
    array = np.stack([np.full((6, 8), value, np.int16) for value in (30, 10, 20)])
    made = dataset(array, NumberOfFrames=3, SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1")

    def item(**values: object) -> Sequence:
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        return Sequence([inner])

    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.5, 0.6])
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=AXIAL)
    shared.PixelValueTransformationSequence = item(RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU")
    frames = []
    for place in (30, 10, 20):
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=[0, 0, place])
        group.FrameVOILUTSequence = item(WindowCenter=place, WindowWidth=400)
        frames.append(group)
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    return write(made, path)


def test_enhanced_multi_frame_reads_its_functional_groups(tmp_path: Path) -> None:
    series = studies.read([enhanced(tmp_path / "a.dcm")]).studies[0].series[0]
    assert [frame.location for frame in series.frames] == [10, 20, 30]
    assert [frame.index for frame in series.frames] == [1, 2, 0]
    assert {frame.spacing for frame in series.frames} == {(0.5, 0.6)}
    assert [frame.windows[0].center for frame in series.frames] == [10, 20, 30]
    assert [float(studies.modality(frame)[0, 0]) for frame in series.frames] == [-980, -960, -940]
    assert series.frames[0].units == "HU"


def test_zip_folder_and_file_give_the_same_study(tmp_path: Path) -> None:
    slices(tmp_path / "ct", [0, 5, 10])
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for path in sorted((tmp_path / "ct").iterdir()):
            archive.write(path, f"DICOM/{path.name}")
    a = studies.read([tmp_path / "ct"])
    b = studies.read([tmp_path / "ct.zip"], workspace=tmp_path / "work")
    assert [frame.source.sha256 for frame in a.studies[0].series[0].frames] == [
        frame.source.sha256 for frame in b.studies[0].series[0].frames
    ]
    assert [file.path for file in b.files] == [f"{tmp_path / 'ct.zip'}/DICOM/00{n}.dcm" for n in (1, 2, 3)]
    assert len(studies.stored(b.studies[0].series[0].frames[0])) == 6


def test_a_crowd_in_a_large_archive_is_refused_before_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives of more than 65,535 files keep their count elsewhere (zip64)."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(30):
            archive.writestr(f"{number}.dcm", b"x")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[:-10] + b"\xff" * 4 + data[-6:])
    opened: list[object] = []
    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", lambda archive: opened.append(archive))
    (file,) = studies.read([tmp_path / "a.zip"], replace(Budget(), entries=20), workspace=tmp_path / "work").files
    assert (file.outcome, opened) == ("refused", [])
    assert "holds more than 20 files" in file.reason


def test_headers_are_remembered_by_what_they_take(tmp_path: Path) -> None:
    """One header may be 128 MB: 256 of them would be all the memory there is."""
    opened = dicomfile.open_header(ct(tmp_path / "a.dcm"), Budget())
    for number in range(10):
        dicomfile.remember(f"large {number}", replace(opened, layout=replace(opened.layout, header=(0, 10 << 20))))
    assert sum(dicomfile._headers.get(f"large {number}") is not None for number in range(10)) == 6


def test_dicomdir_opens_the_files_it_names(tmp_path: Path) -> None:
    slices(tmp_path / "IMAGES", [0, 5])
    made = dataset(np.zeros((2, 2), np.uint16), SOPClassUID="1.2.840.10008.1.3.10")
    del made.PixelData
    records = []
    for name in ("001.dcm", "002.dcm"):
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["IMAGES", name]
        records.append(record)
    made.DirectoryRecordSequence = Sequence(records)
    reading = studies.read([write(made, tmp_path / "DICOMDIR")])
    assert len(reading.studies[0].series[0].frames) == 2
    assert [file.outcome for file in reading.files] == ["imported", "imported", "skipped"]


def test_same_bytes_twice_is_a_duplicate_and_names_the_first(tmp_path: Path) -> None:
    ct(tmp_path / "a.dcm")
    (tmp_path / "b.dcm").write_bytes((tmp_path / "a.dcm").read_bytes())
    reading = studies.read([tmp_path])
    assert [file.outcome for file in reading.files] == ["imported", "duplicate"]
    assert "a.dcm" in reading.files[1].reason
    assert len(reading.studies[0].series[0].frames) == 1


def test_the_rest_of_an_upload_goes_on_and_every_file_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "letter.dcm").write_bytes(b"Dear colleague" * 30)
    (tmp_path / "notes.txt").write_bytes(b"hello")
    ct(tmp_path / "scan.dcm")
    reading = studies.read([tmp_path], names={tmp_path: "upload"})
    assert {file.path: file.outcome for file in reading.files} == {
        "upload/empty.dcm": "refused",
        "upload/letter.dcm": "refused",
        "upload/notes.txt": "skipped",
        "upload/scan.dcm": "imported",
    }
    assert all(file.reason for file in reading.files if file.outcome != "imported")
    assert len(reading.studies) == 1


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    slices(tmp_path / "ct", [0, 5, 10])
    seen: list[tuple[int, int]] = []
    studies.read([tmp_path / "ct"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_limits_follow_the_settings_and_name_them(tmp_path: Path) -> None:
    budget = Budget.from_settings(load(max_file_mb=1, max_megapixels=1))
    path = write(dataset(np.zeros((600, 900), np.uint16)), tmp_path / "big.dcm")
    reading = studies.read([path], budget)
    assert [file.outcome for file in reading.files] == ["refused"]
    assert "over the limit of 1 MB for one file; raise max_file_mb" in reading.files[0].reason


@pytest.mark.parametrize(
    ("array", "name", "samples", "dtype"),
    [
        (np.arange(64, dtype=np.uint8).reshape(8, 8), "grey.png", 1, "uint8"),
        (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000, "deep.png", 1, "uint16"),
        (np.arange(192, dtype=np.uint8).reshape(8, 8, 3), "colour.png", 3, "uint8"),
        (np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, 2), "grey in colour.png", 1, "uint8"),
        (np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), "float.tif", 1, "float32"),
    ],
)
def test_pictures_keep_their_depth(tmp_path: Path, array: np.ndarray, name: str, samples: int, dtype: str) -> None:
    Image.fromarray(array).save(tmp_path / name)
    frame = studies.read([tmp_path / name]).studies[0].series[0].frames[0]
    values = studies.stored(frame)
    assert (frame.samples, str(values.dtype)) == (samples, dtype)
    assert np.array_equal(values, array[..., 0] if name.startswith("grey in") else array)
    shown = studies.display(frame)
    assert shown.dtype == np.uint8
    if dtype != "uint8":
        assert (int(shown.min()), int(shown.max())) == (0, 255)


def test_upside_down_photograph_is_turned(tmp_path: Path) -> None:
    """A phone's picture of a film carries its way up in EXIF."""
    array = np.zeros((16, 32), np.uint8)
    array[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(array).save(tmp_path / "film.jpg", exif=exif, quality=100)
    shown = studies.display(studies.read([tmp_path / "film.jpg"]).studies[0].series[0].frames[0])
    assert shown[:6].max() < 20
    assert shown[-6:].min() > 235


def test_pages_of_a_tiff_are_frames(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 20, 30)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    frames = studies.read([tmp_path / "pages.tif"]).studies[0].series[0].frames
    assert [int(studies.display(frame)[0, 0]) for frame in frames] == [10, 20, 30]


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1)])
def test_nifti_is_shown_as_radiology_shows_it(tmp_path: Path, flip: tuple[int, int, int]) -> None:
    """The patient's right is on the left of the picture and anterior on top, however the volume was stored."""
    x, y, z = np.meshgrid(np.arange(4), np.arange(5), np.arange(3), indexing="ij")
    right, anterior, superior = (3 - x if flip[0] < 0 else x), (4 - y if flip[1] < 0 else y), z
    values = (100 * right + 10 * anterior + superior).astype(np.int16)
    affine = np.diag([2.0 * flip[0], 3.0 * flip[1], 4.0, 1.0])
    affine[:3, 3] = [0 if flip[0] > 0 else 6, 0 if flip[1] > 0 else 12, -7]
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "volume.nii.gz")
    series = studies.read([tmp_path / "volume.nii.gz"]).studies[0].series[0]
    assert (series.plane, len(series.frames)) == ("axial", 3)
    first = series.frames[0]
    assert first.spacing == (3.0, 2.0)
    assert first.position == (-6.0, -12.0, -7.0)
    assert first.orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert [frame.location for frame in series.frames] == [-7.0, -3.0, 1.0]
    shown = studies.stored(first)
    assert int(shown[0, 0]) == 340  # rightmost and most anterior
    assert int(shown[-1, -1]) == 0  # leftmost and most posterior


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_that_states_no_offset_starts_behind_its_header(tmp_path: Path, kind: type[nibabel.Nifti1Image]) -> None:
    nibabel.save(kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    start, length = (168, 8) if kind is nibabel.Nifti2Image else (108, 4)
    data[start : start + length] = bytes(length)
    (tmp_path / "a.nii").write_bytes(data)
    frame = studies.read([tmp_path / "a.nii"]).studies[0].series[0].frames[0]
    assert int(studies.stored(frame)[-1, -1]) == 0
    assert int(studies.stored(frame)[0, 0]) == 11 * 5


def test_scaled_nifti_gives_its_units(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "volume.nii")
    frame = studies.read([tmp_path / "volume.nii"]).studies[0].series[0].frames[0]
    raw = nibabel.load(tmp_path / "volume.nii")
    assert np.allclose(studies.modality(frame)[::-1, ::-1].T, raw.get_fdata()[..., 0])
