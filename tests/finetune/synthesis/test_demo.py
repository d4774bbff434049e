"""The demo cases: they read as studies, carry no person, show their truth, and are what the code would write again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml

from finetune.synthesis import demo, thorax, truth
from finetune.synthesis.cases import CASES
from storage import studies

DEMO = Path(__file__).resolve().parents[3] / "assets" / "demo"
FILES = sorted(DEMO.rglob("*.dcm"))


def radiograph(case: int, visit: int) -> pydicom.Dataset:
    chosen = CASES[case]
    return pydicom.dcmread(next((DEMO / chosen.name / chosen.visits[visit].date).glob("*.dcm")))


def test_the_cases_fit_in_six_megabytes() -> None:
    assert len(FILES) == 7 + 2 * demo.CT_SLICES
    assert sum(path.stat().st_size for path in FILES) < 6_000_000


def test_every_file_says_that_it_is_synthetic_and_names_nobody() -> None:
    uids = set()
    for path in FILES:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        assert "SYNTHETIC" in ds.StudyDescription
        assert ds.ImageComments == demo.COMMENT
        assert str(ds.PatientName).startswith("SYNTHETIC^SYN-")
        assert (ds.BurnedInAnnotation, ds.LossyImageCompression) == ("NO", "00")
        uids.add(ds.SOPInstanceUID)
    assert len(uids) == len(FILES)


def test_the_cases_read_as_nine_studies_in_time_order() -> None:
    reading = studies.read([DEMO])
    assert {outcome.outcome for outcome in reading.files if outcome.path.endswith(".dcm")} == {"imported"}
    assert len(reading.studies) == 9
    assert all(not study.warnings and not series.warnings for study in reading.studies for series in study.series)
    patient = sorted((study for study in reading.studies if study.patient_id == "SYN-0001"), key=lambda study: str(study.acquired))
    relation = studies.relate((patient[1], patient[1].series[0]), (patient[0], patient[0].series[0]))
    assert relation.roles == ("current", "prior")
    ct = next(study for study in reading.studies if study.modalities == ("CT",)).series[0]
    assert (ct.plane, len(ct.frames), ct.frames[0].units) == ("axial", demo.CT_SLICES, "HU")
    assert studies.modality(ct.frames[10]).min() < -900


@pytest.mark.parametrize("visit", [0, 1])
def test_a_radiograph_is_written_again_with_the_same_pixels(visit: int) -> None:
    """Compared after decoding: another build of the compressor or the font may move a byte, never the picture."""
    kept = radiograph(0, visit)
    again = demo.film(CASES[0], CASES[0].visits[visit])
    assert again.shape == kept.pixel_array.shape
    difference = np.abs(again.astype(int) - kept.pixel_array)
    assert (difference > 8).mean() < 0.001


def test_a_ct_slice_is_written_again_with_the_same_voxels() -> None:
    case = CASES[2]
    visit = case.visits[0]
    kept = pydicom.dcmread(DEMO / case.name / visit.date / "ct001.dcm")
    again = thorax.volume(
        case.phantom,
        [float(kept.ImagePositionPatient[2])],
        visit.thickness,
        visit.nodule,
        demo.CT_SIZE,
        noise=12.0,
        acquisition=int(visit.date),
    )
    difference = np.abs(again[0].astype(int) + 1024 - kept.pixel_array)
    assert (difference > 1).mean() < 0.001


def test_the_right_lung_is_whiter_after_the_pneumonia_grew() -> None:
    before, after = (radiograph(0, visit).pixel_array[250:600, 120:330].mean() for visit in (0, 1))
    assert after > before + 200


def test_the_left_base_is_darker_after_drainage() -> None:
    before, after = (radiograph(1, visit).pixel_array[430:600, 560:700].mean() for visit in (0, 1))
    assert after < before - 200


def test_the_ct_nodule_grows_in_the_volume() -> None:
    solid = []
    for visit in CASES[2].visits:
        slices = [pydicom.dcmread(path) for path in sorted((DEMO / CASES[2].name / visit.date).glob("*.dcm"))]
        assert visit.nodule is not None
        nearest = min(slices, key=lambda ds: abs(float(ds.ImagePositionPatient[2]) - visit.nodule.centre[2]))
        step = float(nearest.PixelSpacing[0])
        column = round((visit.nodule.centre[0] - float(nearest.ImagePositionPatient[0])) / step)
        row = round((visit.nodule.centre[1] - float(nearest.ImagePositionPatient[1])) / step)
        around = nearest.pixel_array[row - 9 : row + 10, column - 9 : column + 10].astype(float) - 1024
        solid.append((around > -400).sum() * step**2)
    assert solid[1] > 1.5 * solid[0] > 0


def test_the_summary_beside_the_cases_is_their_truth() -> None:
    summary = yaml.safe_load((DEMO / "cases.yaml").read_text())
    assert [row["name"] for row in summary] == [case.name for case in CASES]
    for row, case in zip(summary, CASES, strict=True):
        assert all((DEMO / visit["folder"]).is_dir() for visit in row["visits"])
        assert row["steps"][0]["overall"] == truth.overall(case.visits[0].truth, case.visits[1].truth)
    course = [step["overall"] for step in summary[3]["steps"]]
    assert course == ["worse", "improved"]
