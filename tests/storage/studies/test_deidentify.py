"""Nobody can be told from what is stored, and everything a comparison needs is still there."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from storage import studies
from storage.studies import Deidentifier, deidentify, vocabulary
from storage.studies.profile import shifted
from tests.dicoms import dataset, write
from tests.references import ENCODERS, generated

SALT = bytes(range(32))
ARRAY = np.arange(64, dtype=np.uint16).reshape(8, 8)
PLANTED = ("Zyxwvutsson", "ZX-99817", "Quellenhof", "1957-11-23", "19571123", "Dr Abracadabra", "555-0199")


def planted(path: Path, number: int = 0, **changes: object) -> Path:
    """A file with identity in every kind of place: names, free text, nested items, private blocks, overlays, odd VRs."""
    made = dataset(ARRAY, SOPInstanceUID=f"1.2.826.0.1.99.{number}", StudyInstanceUID="1.2.826.0.1.99", **changes)
    made.PatientName, made.PatientID, made.PatientBirthDate = "Zyxwvutsson^Eva", "ZX-99817", "19571123"
    made.OtherPatientNames, made.PatientAddress, made.PatientTelephoneNumbers = "Zyxwvutsson^E", "Quellenhof 3", "555-0199"
    made.InstitutionName, made.ReferringPhysicianName, made.OperatorsName = "Quellenhof Clinic", "Dr Abracadabra", "Dr Abracadabra"
    made.StudyDescription, made.SeriesDescription = "CT chest of Zyxwvutsson", "Thorax 5mm, Quellenhof"
    made.ImageComments, made.AdditionalPatientHistory = "born 1957-11-23", "Zyxwvutsson has a cough"
    made.AccessionNumber, made.StudyID, made.StationName = "ZX-99817-A", "ZX-99817", "Quellenhof1"
    made.DeviceSerialNumber, made.PatientComments = "ZX-99817", "call 555-0199"
    made.AcquisitionDate, made.ContentDate, made.AcquisitionDateTime = "20240131", "20240201", "20240131101500.25+0100"
    made.FrameOfReferenceUID = "1.2.826.0.1.99.7"
    inner = Dataset()
    inner.PatientName, inner.PatientID, inner.ReferencedSOPInstanceUID = "Zyxwvutsson^Eva", "ZX-99817", "1.2.826.0.1.99.0"
    inner.ReferencedSOPClassUID = made.SOPClassUID
    inner.add_new(0x00091010, "LO", "Zyxwvutsson")
    deeper = Dataset()
    deeper.TextValue, deeper.PersonName, deeper.Date = "Zyxwvutsson", "Zyxwvutsson^Eva", "20240131"
    inner.ContentSequence = Sequence([deeper])
    made.ReferencedImageSequence = Sequence([inner])
    made.RequestAttributesSequence = Sequence([inner])
    made.add_new(0x00090010, "LO", "ACME 1.0")
    made.add_new(0x00091001, "LO", "Zyxwvutsson")
    made.add_new(0x00091002, "SQ", Sequence([inner]))
    made.add_new(0x60000022, "LO", "Zyxwvutsson")
    made.add_new(0x60003000, "OW", b"Zyxwvutsson!")
    made.add_new(0x00204000, "LT", "Zyxwvutsson came walking")
    return write(made, path, preamble=b"MZ" + b"Zyxwvutsson".ljust(126, b"\0"))


def cleaned(path: Path, out: Path) -> tuple[bytes, Dataset]:
    done = deidentify(path, SALT, out)
    return done.path.read_bytes(), pydicom.dcmread(done.path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_nothing_planted_survives_anywhere_in_the_file(tmp_path: Path, syntax: str) -> None:
    data, _ = cleaned(planted(tmp_path / "a.dcm", syntax=syntax), tmp_path / "out")
    assert [word for word in PLANTED if word.encode() in data] == []
    assert b"1.2.826.0.1.99" not in data


@pytest.mark.parametrize(("charset", "name"), [("ISO_IR 192", "Müller^Jürgen"), ("ISO_IR 100", "Müller^Jürgen"), ("GB18030", "王^小东")])
def test_names_in_other_character_sets_go_too(tmp_path: Path, charset: str, name: str) -> None:
    made = dataset(ARRAY, SpecificCharacterSet=charset)
    made.PatientName = name
    data, after = cleaned(write(made, tmp_path / "a.dcm"), tmp_path / "out")
    assert name.split("^")[0].encode(pydicom.charset.python_encoding.get(charset, "utf8")) not in data
    assert str(after.PatientName).startswith("P-")


def test_what_was_done_is_recorded_and_the_preamble_is_empty(tmp_path: Path) -> None:
    data, after = cleaned(planted(tmp_path / "a.dcm"), tmp_path / "out")
    assert data[:128] == bytes(128)
    assert after.PatientIdentityRemoved == "YES"
    assert "Basic Profile" in after.DeidentificationMethod[0]
    assert [item.CodeValue for item in after.DeidentificationMethodCodeSequence] == ["113100", "113107", "113105"]
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    assert after.PatientBirthDate == ""
    assert after.PatientName == after.PatientID


def test_intervals_and_clinical_attributes_survive(tmp_path: Path) -> None:
    path = planted(
        tmp_path / "a.dcm", PixelSpacing=[0.5, 0.5], WindowCenter=40, WindowWidth=400, BodyPartExamined="CHEST", ViewPosition="PA"
    )
    _, after = cleaned(path, tmp_path / "out")
    moved = datetime.strptime(after.StudyDate, "%Y%m%d") - datetime(2024, 1, 31)
    assert 366 <= -moved.days <= 366 + 3285
    assert after.AcquisitionDate == after.StudyDate
    assert datetime.strptime(after.ContentDate, "%Y%m%d") - datetime.strptime(after.StudyDate, "%Y%m%d") == datetime(2024, 2, 1) - datetime(
        2024, 1, 31
    )
    assert after.AcquisitionDateTime == after.StudyDate + "101500.25+0100"
    assert after.StudyTime == "101500"
    assert after.ReferencedImageSequence[0].ReferencedSOPClassUID == after.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert (list(after.PixelSpacing), after.WindowCenter, after.BodyPartExamined, after.ViewPosition) == ([0.5, 0.5], 40, "CHEST", "PA")
    assert (after.StudyDescription, after.SeriesDescription) == ("CT chest of", "Thorax 5mm")


def test_same_patient_later_gets_the_same_pseudonym_and_shift_and_references_hold(tmp_path: Path) -> None:
    _, first = cleaned(planted(tmp_path / "a.dcm", 0), tmp_path / "out")
    _, second = cleaned(planted(tmp_path / "b.dcm", 5, StudyDate="20240214"), tmp_path / "out")
    assert first.PatientID == second.PatientID
    assert (datetime.strptime(second.StudyDate, "%Y%m%d") - datetime.strptime(first.StudyDate, "%Y%m%d")).days == 14
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert second.ReferencedImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    other = Deidentifier(b"another salt, 32 bytes in length", tmp_path)
    assert other.pseudonym("ZX-99817") != first.PatientID


@pytest.mark.parametrize(
    ("number", "name"), [(None, None), ("", ""), ("ANONYMOUS", "anon"), ("0", "Anonymous^Patient"), ("0000", "XXX"), ("UNKNOWN", None)]
)
def test_files_that_name_nobody_stay_nameless_and_keep_their_order(tmp_path: Path, number: str | None, name: str | None) -> None:
    """A pseudonym for each study would make two anonymised images of one patient strangers, and shuffle them in time."""
    for day in ("20200301", "20200315"):
        made = dataset(ARRAY, modality="DX", PatientID=number, PatientName=name, StudyDate=day, StudyInstanceUID=f"1.2.3.{day}")
        made.SOPInstanceUID = made.SeriesInstanceUID = f"1.2.4.{day}"
        write(made, tmp_path / f"{day}.dcm")
    found = studies.read([tmp_path], deidentifier=Deidentifier(SALT, tmp_path / "out")).studies
    assert [one.patient_id for one in found] == ["", ""]
    relation = studies.relate(*((one, one.series[0]) for one in found))
    assert (relation.roles, relation.interval_days, relation.blocking) == (("prior", "current"), 14.0, False)
    assert any("names its patient" in warning for warning in relation.warnings)


def test_the_same_number_of_two_issuers_is_two_patients(tmp_path: Path) -> None:
    _, first = cleaned(planted(tmp_path / "a.dcm", IssuerOfPatientID="North"), tmp_path / "out")
    _, second = cleaned(planted(tmp_path / "b.dcm", IssuerOfPatientID="South"), tmp_path / "out")
    assert first.PatientID != second.PatientID


def test_elements_that_no_dictionary_knows_go_at_any_depth(tmp_path: Path) -> None:
    made, inner = dataset(ARRAY), Dataset()
    for number, vr in enumerate(("LO", "SH", "CS", "AE", "AS", "OB", "OW")):
        value = b"Zyxwvuts" if vr[0] == "O" else "Zyxwvuts"
        made.add_new(0x00189F00 + number, vr, value)
        inner.add_new(0x00189F00 + number, vr, value)
    inner.ReferencedSOPClassUID = made.SOPClassUID
    made.ReferencedImageSequence = Sequence([inner])
    data, after = cleaned(write(made, tmp_path / "a.dcm"), tmp_path / "out")
    assert b"Zyxwvuts" not in data
    assert after.ReferencedImageSequence[0].ReferencedSOPClassUID == made.SOPClassUID


def test_a_sequence_too_long_to_be_parsed_goes(tmp_path: Path) -> None:
    """pydicom leaves a sequence of unknown representation and 64 kB or more as bytes; they were kept, names and all."""
    made = dataset(ARRAY)
    made.add_new(0x00081140, "UN", b"Zyxwvuts" * 10_000)
    data, _ = cleaned(write(made, tmp_path / "a.dcm"), tmp_path / "out")
    assert b"Zyxwvuts" not in data


def test_importing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = planted(tmp_path / "a.dcm")
    first = deidentify(path, SALT, tmp_path / "one")
    second = deidentify(path, SALT, tmp_path / "two")
    assert first.sha256 == second.sha256 == hashlib.sha256(second.path.read_bytes()).hexdigest()
    assert second.path.name == f"{second.sha256}.dcm"


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", *ENCODERS])
def test_pixels_are_untouched(tmp_path: Path, syntax: str) -> None:
    path, array = generated(tmp_path, syntax, 12, False)
    reading = studies.read([path], deidentifier=Deidentifier(SALT, tmp_path / "out"))
    frame = reading.studies[0].series[0].frames[0]
    assert frame.source.path.parent == tmp_path / "out"
    assert np.array_equal(studies.stored(frame), array)


def test_reading_with_a_deidentifier_shows_no_identity(tmp_path: Path) -> None:
    reading = studies.read([planted(tmp_path / "a.dcm")], deidentifier=Deidentifier(SALT, tmp_path / "out"))
    assert not [word for word in PLANTED if word in repr(reading.studies)]
    assert reading.studies[0].patient_id.startswith("P-")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("20240131", "20240101"), ("2024.01.31", "20240101"), ("20240131101500+0100", "20240101101500+0100"), ("2024", ""), ("unknown", "")],
)
def test_dates_move_and_what_is_no_date_goes(value: str, expected: str) -> None:
    assert shifted(value, -30) == expected


def test_descriptions_keep_only_words_that_name_nobody() -> None:
    assert vocabulary.clean("CT CHEST 1.25mm Dr. Smith 19571123") == "CT CHEST 1.25mm"
    assert vocabulary.clean("Smith, John") == ""


def _metadata(folder: Path) -> list[Path]:
    array = np.arange(64, dtype=np.uint8).reshape(8, 8)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", "Zyxwvutsson")
    Image.fromarray(array).save(folder / "Zyxwvutsson.png", pnginfo=notes)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Zyxwvutsson", 6
    Image.fromarray(np.tile(array, (2, 4))).save(folder / "Zyxwvutsson.jpg", exif=exif, comment=b"Zyxwvutsson", quality=95)
    Image.fromarray(array).save(folder / "Zyxwvutsson.tif", description="Zyxwvutsson")
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = b"Zyxwvutsson", b"Zyxwvutsson.txt", b"Zyxwvutsson"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Zyxwvutsson"))
    nibabel.save(image, folder / "Zyxwvutsson.nii.gz")
    return sorted(folder.glob("Zyx*"))


def test_pictures_and_volumes_lose_their_notes_and_keep_their_pixels(tmp_path: Path) -> None:
    for path in _metadata(tmp_path):
        plain = studies.read([path]).studies[0].series[0]
        reading = studies.read([path], deidentifier=Deidentifier(SALT, tmp_path / "out"))
        assert reading.files[0].outcome == "imported", reading.files
        kept = reading.studies[0].series[0]
        assert b"Zyxwvutsson" not in kept.frames[0].source.path.read_bytes()
        assert "Zyxwvutsson" not in repr(reading.studies)
        assert len(kept.frames) == len(plain.frames)
        for before, after in zip(plain.frames, kept.frames, strict=True):
            assert np.array_equal(studies.stored(before), studies.stored(after))
            assert (before.spacing, before.position) == (after.spacing, after.position)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nothing_behind_the_voxels_of_a_volume_is_kept(tmp_path: Path, kind: type[nibabel.Nifti1Image]) -> None:
    image = kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    if kind is nibabel.Nifti2Image:
        data[525:536] = b"Zyxwvutsson"
    (tmp_path / "a.nii").write_bytes(bytes(data) + b"Zyxwvutsson")
    done = deidentify(tmp_path / "a.nii", SALT, tmp_path / "out").path
    assert b"Zyxwvutsson" not in done.read_bytes()
    assert done.stat().st_size == len(data)
    assert np.array_equal(np.asarray(nibabel.load(done).dataobj), np.asarray(image.dataobj))


@pytest.mark.parametrize("array", [ARRAY, np.arange(63, dtype=np.uint8).reshape(7, 9)])
def test_nothing_behind_the_pixels_of_an_image_is_kept(tmp_path: Path, array: np.ndarray) -> None:
    made = dataset(array)
    made.PixelData += b"Zyxwvutsson!"
    reading = studies.read([write(made, tmp_path / "a.dcm")], deidentifier=Deidentifier(SALT, tmp_path / "out"))
    frame = reading.studies[0].series[0].frames[0]
    assert b"Zyxwvutsson" not in frame.source.path.read_bytes()
    assert np.array_equal(studies.stored(frame), array)
    assert np.array_equal(pydicom.dcmread(frame.source.path).pixel_array, array)


def test_a_short_salt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Deidentifier(b"short", tmp_path)
