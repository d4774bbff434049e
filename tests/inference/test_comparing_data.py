"""Comparing real examinations: six CT patients, five tumour volumes, and a chest patient with many time points."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from inference import align, level, scene
from settings import Settings
from storage.hanging import arrange, load
from storage.store import Store
from storage.studies import Series, linking, mixing, read
from tests.browser.samples import radiograph
from tests.conftest import data_folder

pytestmark = pytest.mark.data
ROOT = Path(__file__).resolve().parents[2]
RULES = load(ROOT / "assets" / "hanging.yaml")


def folders(name: str) -> list[Path]:
    """Sub-folders of the real data, [] without it (the tests are skipped by name then)."""
    folder = data_folder()
    return sorted(path for path in (folder / name).iterdir() if path.is_dir()) if folder else [Path("none")]


@pytest.mark.parametrize("folder", folders("ct_prior_current"), ids=lambda path: path.name)
def test_ct_patient_hangs_axial_beside_axial_and_registers(settings: Settings, folder: Path) -> None:
    with Store(settings) as store:
        reader = store.user("local")
        store.import_paths([folder], reader)
        (patient,) = store.patients(reader)
        found = arrange(patient, RULES)
        assert [place.time for place in found.places] == ["prior", "current"]
        assert {place.series.plane for place in found.places} == {"axial"}
        assert "plane (axial)" in found.reason
        items = [store.series(place.series.id, reader) for place in found.places]
    assert not [notice for notice in mixing.notices(items) if notice.blocking]
    prior, current = (series for _, series in items)
    fit = linking.planes(prior, current)
    assert (fit.compatible, fit.same_frame) == (True, False)
    pictures = [scene.picture(series.frames[0], calibrated=True, kind="CT") for series in (current, prior)]
    done = align.register(*pictures, "rigid")
    assert done.after.correlation > max(0.5, done.before.correlation - 0.01)
    _, laid = scene.laid_flat(prior.frames[0], current.frames[0], done.transform, calibrated=True)
    assert np.isfinite(laid).mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("folder", folders("mr_gbm"), ids=lambda path: path.name)
def test_level_of_a_tumour_is_found_in_the_other_scan(folder: Path) -> None:
    """The slice with most tumour before; after, the proposed slice must lie within a slice of where the brain itself says."""
    before, after, mask = (_series(folder / f"{name}.nii.gz") for name in ("Pre_Scan_T1", "Post_Scan_T1", "Pre_Mask"))
    extent = [float((scene.brightness(frame) > 0).sum()) for frame in mask.frames]
    tumour = int(np.argmax(extent))
    found = level.coarse(before, after, Event())
    proposed = level.match(before, tumour, after, lambda: found)
    assert proposed.frame is not None
    assert proposed.method in ("registration", "patient coordinates")
    assert proposed.sure in ("high", "moderate")
    shown = scene.brightness(before.frames[tumour])
    likes = [_alike(shown, scene.brightness(frame)) for frame in after.frames]
    assert likes[proposed.frame] > max(likes) - 0.15


def _series(path: Path) -> Series:
    return read([path]).studies[0].series[0]


def _alike(left: align.Array, right: align.Array) -> float:
    """Correlation of two slices at 64 x 64, unregistered."""
    small = [np.asarray(Image.fromarray(part).resize((64, 64))).ravel() for part in (left, right)]
    return float(np.corrcoef(*small)[0, 1]) if min(part.std() for part in small) > 0 else 0.0


def test_many_time_points_lie_at_their_true_distance(settings: Settings, test_data: Path, tmp_path: Path) -> None:
    """The patient with most films; the table's offsets are days before admission to each image, so later is smaller."""
    films: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (test_data / "cxr_hannover" / "data.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            films[row["patient_id"]].append(row)
    rows = sorted(max(films.values(), key=len), key=lambda row: -int(row["admission_offset"]))[:12]
    days = [-int(row["admission_offset"]) for row in rows]
    paths = []
    for row, day in zip(rows, days, strict=True):
        date = f"{datetime(2020, 3, 1) + timedelta(days=day):%Y%m%d}"
        with Image.open(test_data / "cxr_hannover" / "images" / f"{row['image_id']}.png") as film:
            values = np.asarray(film.convert("L").resize((256, 256))).astype(np.uint16) * 16
        paths.append(radiograph(tmp_path / f"{row['image_id']}.dcm", values, patient="hannover", date=date, study=row["image_id"]))
    with Store(settings) as store:
        reader = store.user("local")
        store.import_paths(paths, reader)
        (patient,) = store.patients(reader)
    assert len(patient.studies) == len(rows) > 5
    from ui.hanging import timeline_of

    found = arrange(patient, RULES)
    line = timeline_of(patient, found.current)
    assert [point.days for point in line.points] == [max(days) - day for day in sorted(days)]
    assert line.points[-1].words == "current"
    assert found.prior is not None
    assert found.reason.startswith("Prior")
