"""What is imported is listed, opens exactly as it was read, is kept once, and is seen by those who may see it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import event

from errors import StoreError, StudyTooLarge
from settings import Settings
from storage import studies
from storage.store import Store
from storage.studies import pixels, relate
from storage.studies.model import FileOutcome, Frame, Series, Source, Study
from storage.views import PatientSummary, User
from tests.dicoms import dataset, write
from tests.storage import values

Value = TypeVar("Value", Study, Series, Frame)


def outcomes(files: tuple[FileOutcome, ...]) -> list[str]:
    return [file.outcome for file in files]


def stored(frames: tuple[Frame, ...], store: Store) -> tuple[Frame, ...]:
    """The same frames with their files in the store."""
    return tuple(replace(frame, source=replace(frame.source, path=store._content.path(frame.source.sha256))) for frame in frames)


def test_a_study_opens_exactly_as_it_was_read(store: Store, reader: User, sources: Iterator[Source]) -> None:
    """Geometry, windows and warnings come back bit for bit, so no header is read twice."""
    slices = tuple(values.frame(next(sources), location=place / 3, lossy=place == 1) for place in range(4))
    volume = values.series(
        slices, acquired=datetime(2021, 5, 4, 10, 31, 2, 250000), warnings=("1 slice seems to be missing",), laterality="L"
    )
    cine = next(sources)
    clip = values.series(
        tuple(values.frame(cine, index, spacing=None, position=None, orientation=None, windows=()) for index in range(3)),
        "2.25.11",
        number=None,
    )
    study = values.study(volume, clip, accession="A1", patient_name="")
    report = values.put(store, reader, study)

    (identifier,) = report.study_ids
    opened = store.study(identifier, reader)

    assert opened == replace(study, series=tuple(replace(one, frames=stored(one.frames, store)) for one in study.series))
    assert all(frame.source.path.read_bytes().startswith(b"pixels") for one in opened.series for frame in one.frames)
    (patient,) = store.patients(reader)
    first, second = patient.studies[0].series
    assert store.series(first.id, reader) == (replace(opened, series=opened.series[:1]), opened.series[0])
    asked = store.several([second.id, first.id, second.id], reader)
    assert [found for _, found in asked] == [opened.series[1], opened.series[0], opened.series[1]], "in the order asked for, also twice"
    with pytest.raises(StoreError, match="series 999 was not found"):
        store.several([first.id, 999], reader)
    assert (report.patients, report.studies, report.series, report.instances) == (1, 1, 2, 5)


def test_the_list_names_what_there_is_in_order(store: Store, reader: User, sources: Iterator[Source]) -> None:
    def one(uid: str, number: int | None, modality: str = "CT") -> Series:
        return values.series((values.frame(next(sources)),), uid, number=number, modality=modality, view="PA", laterality="R")

    late = values.study(one("2.25.3", None), one("2.25.4", 10), one("2.25.5", 9, "CR"), uid="2.25.30", acquired=datetime(2022, 1, 1))
    early = values.study(one("2.25.6", 1), uid="2.25.31", acquired=datetime(2020, 1, 1))
    dateless = values.study(one("2.25.7", 1), uid="2.25.32", acquired=None)
    other = values.study(one("2.25.8", 1), uid="2.25.33", patient="P-0002", patient_sex="M", description="SYNTHETIC chest pair")
    values.put(store, reader, late, early, dateless)
    values.put(store, reader, other)

    second, first = store.patients(reader)

    assert (first.pseudonym, first.sex, first.birth_year) == ("P-0001", "F", 1950)
    assert [study.uid for study in first.studies] == ["2.25.31", "2.25.30", "2.25.32"]
    assert [series.number for series in first.studies[1].series] == [9, 10, None]
    assert first.studies[1].modalities == ("CR", "CT")
    assert [study.synthetic for patient in (first, second) for study in patient.studies] == [False, False, False, True]
    described = first.studies[1].series[0]
    assert (described.view, described.laterality, described.body_part, described.frames) == ("PA", "R", "CHEST", 1)


def test_the_same_files_again_add_nothing_and_say_so(store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]) -> None:
    study = store.study(pair.studies[0].id, reader)
    before = store.check()
    again = values.put(store, reader, study)
    assert outcomes(again.files) == ["duplicate"] * 3
    assert all("already in the store" in file.reason for file in again.files)
    assert (again.study_ids, again.instances, again.series, again.studies, again.patients) == ((pair.studies[0].id,), 3, 1, 1, 1)
    after = store.check()
    assert (after.files, after.counts["instances"], after.counts["series"]) == (
        before.files,
        before.counts["instances"],
        before.counts["series"],
    )
    assert store.study(pair.studies[0].id, reader) == study


def test_a_series_that_arrives_in_two_uploads_is_one_in_geometric_order(store: Store, reader: User, sources: Iterator[Source]) -> None:
    slices = [values.frame(next(sources), location=float(place)) for place in range(40)]
    random.Random(3).shuffle(slices)
    for part in (slices[:13], slices[10:31], slices[30:]):
        ordered = tuple(sorted(part, key=lambda frame: frame.location or 0.0))
        report = values.put(store, reader, values.study(values.series(ordered)))
    assert outcomes(report.files).count("duplicate") == 1
    (series,) = store.study(report.study_ids[0], reader).series
    assert [frame.location for frame in series.frames] == [float(place) for place in range(40)]
    (patient,) = store.patients(reader)
    assert patient.studies[0].series[0].frames == 40


def test_a_scout_uploaded_before_its_volume_is_not_stacked_into_it(store: Store, reader: User, sources: Iterator[Source]) -> None:
    """Reading gives the series' identifier to the largest part of an upload; uploaded alone, that is the scout."""
    scout = values.frame(next(sources), rows=9, columns=3, location=None)
    volume = tuple(values.frame(next(sources), location=float(place)) for place in range(3))
    values.put(store, reader, values.study(values.series((scout,), plane="coronal")))
    values.put(store, reader, values.study(values.series(volume), values.series((scout,), "2.25.10.77")))
    report = values.put(store, reader, values.study(values.series((values.frame(next(sources), location=9.0),))))
    series = store.study(report.study_ids[0], reader).series
    assert sorted(len(one.frames) for one in series) == [1, 4]
    assert all(len({(frame.rows, frame.columns) for frame in one.frames}) == 1 for one in series)


def test_the_two_sides_of_one_mammography_series_stay_two(store: Store, reader: User, sources: Iterator[Source]) -> None:
    """Reading splits one identifier by side; merged again in the store, left would be shown as right."""

    def one(side: str, uid: str) -> Series:
        return values.series((values.frame(next(sources)),), uid, modality="MG", view="CC", laterality=side)

    values.put(store, reader, values.study(one("R", "2.25.10"), one("L", "2.25.10.77")))
    report = values.put(store, reader, values.study(one("L", "2.25.10"), one("R", "2.25.10.78")))
    series = store.study(report.study_ids[0], reader).series
    assert sorted((part.laterality, len(part.frames)) for part in series) == [("L", 2), ("R", 2)]
    assert len({part.uid for part in series}) == 2


def test_an_instance_rewritten_elsewhere_does_not_double_its_series(store: Store, reader: User, sources: Iterator[Source]) -> None:
    first, second = (
        values.frame(next(sources), location=1.0, instance_uid="2.25.5"),
        values.frame(next(sources), location=1.0, instance_uid="2.25.5"),
    )
    other = values.frame(next(sources), location=2.0, instance_uid="2.25.5")
    values.put(store, reader, values.study(values.series((first,))))
    report = values.put(store, reader, values.study(values.series((second, other))))
    assert outcomes(report.files) == ["duplicate", "imported"], "another place is another image, whatever its identifier says"
    assert "the first one is kept" in report.files[0].reason
    (series,) = store.study(report.study_ids[0], reader).series
    assert [frame.source.sha256 for frame in series.frames] == [first.source.sha256, other.source.sha256]


def test_frames_of_two_files_may_alternate(store: Store, reader: User, sources: Iterator[Source]) -> None:
    one, two = islice(sources, 2)
    frames = tuple(
        values.frame(source, index, location=float(2 * index + shift)) for index in range(3) for shift, source in ((0, one), (1, two))
    )
    report = values.put(store, reader, values.study(values.series(frames)))
    (series,) = store.study(report.study_ids[0], reader).series
    assert [frame.location for frame in series.frames] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_two_browsers_never_see_each_others_studies_but_share_the_file(store: Store, sources: Iterator[Source]) -> None:
    alice, bob = store.user("cookie a"), store.user("cookie b")
    study = values.study(values.series((values.frame(next(sources)),)))
    mine = values.put(store, alice, study)
    assert store.patients(bob) == ()
    theirs = values.put(store, bob, study)
    assert outcomes(theirs.files) == ["imported"], "that another reader has it is not told"
    assert mine.study_ids != theirs.study_ids
    assert store.check().files == 1
    for reader, other in ((alice, theirs), (bob, mine)):
        (patient,) = store.patients(reader)
        assert [one.own for one in patient.studies] == [True]
        with pytest.raises(StoreError, match="was not found"):
            store.study(other.study_ids[0], reader)
    (patient,) = store.patients(alice)
    with pytest.raises(StoreError, match="was not found"):
        store.series(patient.studies[0].series[0].id, bob)


def test_a_shared_study_is_seen_by_all_and_owned_by_one(store: Store, reader: User, sources: Iterator[Source]) -> None:
    study = values.study(values.series((values.frame(next(sources)),)))
    values.put(store, reader, study)
    guest = store.user("cookie")
    assert store.patients(guest) == ()
    report = values.put(store, reader, study, shared=True)
    (patient,) = store.patients(guest)
    assert [(one.own, one.shared) for one in patient.studies] == [(False, True)]
    assert store.study(report.study_ids[0], guest).patient_id == "P-0001"
    values.put(store, reader, study)
    assert store.patients(guest) == (patient,), "importing again does not take back what is shared"


def test_studies_that_name_nobody_are_not_taken_for_one_patient(store: Store, reader: User, sources: Iterator[Source]) -> None:
    studies = [values.study(values.series((values.frame(next(sources)),)), uid=f"2.25.{number}", patient="") for number in (1, 2)]
    values.put(store, reader, *studies)
    assert len(store.patients(reader)) == 2
    assert store.study(1, reader).patient_id == ""


def test_two_anonymised_files_brought_together_are_prior_and_current(store: Store, reader: User, tmp_path: Path) -> None:
    """They may well be of one patient: the reader is asked to check, not kept from comparing."""
    for day in ("20200301", "20200315"):
        made = dataset(np.zeros((4, 4), np.uint16), modality="DX", PatientID="ANONYMOUS", PatientName="", StudyDate=day)
        made.StudyInstanceUID = made.SeriesInstanceUID = made.SOPInstanceUID = f"1.2.3.{day}"
        write(made, tmp_path / f"{day}.dcm")
    store.import_paths(sorted(tmp_path.glob("*.dcm")), reader)
    first, second = (store.series(patient.studies[0].series[0].id, reader) for patient in store.patients(reader))
    found = relate(first, second)
    assert (sorted(found.roles), found.interval_days, found.blocking) == (["current", "prior"], 14.0, False)
    assert "Not every image names its patient: check that they are of one." in found.warnings


def test_a_file_that_cannot_be_kept_is_refused_and_the_rest_goes_on(
    store: Store, reader: User, sources: Iterator[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, gone, changed = (values.frame(source, location=float(place)) for place, source in enumerate(islice(sources, 3)))
    gone.source.path.unlink()
    changed.source.path.write_bytes(b"other")
    report = values.put(store, reader, values.study(values.series((good, gone, changed))))
    assert outcomes(report.files) == ["imported", "refused", "refused"]
    assert "no such file" in report.files[1].reason
    assert "changed while it was being imported" in report.files[2].reason
    (series,) = store.study(report.study_ids[0], reader).series
    assert len(series.frames) == 1
    assert store.check().problems == ()
    assert list(store._content.root.glob(".incoming-*")) == []


def test_importing_again_heals_a_file_the_disk_has_spoilt(store: Store, reader: User, sources: Iterator[Source]) -> None:
    study = values.study(values.series((values.frame(next(sources)),)))
    values.put(store, reader, study)
    (kept,) = (path for path in store._content.root.rglob("*") if path.is_file())
    kept.write_bytes(b"rot")
    assert not store.check().ok
    values.put(store, reader, study)
    assert store.check().ok


def test_a_large_series_is_opened_with_a_few_queries(store: Store, reader: User, tmp_path: Path, sources: Iterator[Source]) -> None:
    slices = tuple(values.frame(source, location=float(place)) for place, source in enumerate(islice(sources, 700)))
    report = values.put(store, reader, values.study(values.series(slices)))
    statements: list[str] = []
    event.listen(store._database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert len(store.study(report.study_ids[0], reader).series[0].frames) == 700
    assert len([text for text in statements if text.startswith("SELECT")]) <= 3 + 2
    statements.clear()
    store.patients(reader)
    assert len([text for text in statements if text.startswith("SELECT")]) == 2
    assert not any("frames" in text.split("FROM")[0] for text in statements)


def filled(value: Value) -> Value:
    """`value` with every plain field that is still at its default set to something else."""
    others: dict[type, object] = {str: "kept", bool: True, int: 7, tuple: ("kept",)}
    plain = {item.name: others[type(item.default)] for item in fields(value) if type(item.default) in others and item.name != "plane"}
    return replace(value, **{name: other for name, other in plain.items() if name not in {"series", "frames", "windows"}})


def test_a_field_added_to_the_values_later_is_kept_too(store: Store, reader: User, sources: Iterator[Source]) -> None:
    frame = filled(values.frame(next(sources)))
    study = filled(values.study(filled(values.series((frame,)))))
    report = values.put(store, reader, study)
    kept = stored((frame,), store)
    assert store.study(report.study_ids[0], reader) == replace(study, series=(replace(study.series[0], frames=kept),))


def test_a_sites_limits_hold_after_reading_too(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decoded on demand, and what is rewritten on its way in, is measured by the same limits as the upload."""
    monkeypatch.setattr(pixels, "_budget", pixels._budget)
    Image.fromarray(np.full((1100, 1000), 77, np.uint8)).save(tmp_path / "large.png")
    (study,) = studies.read([tmp_path / "large.png"]).studies
    with Store(settings.model_copy(update={"max_megapixels": 1})) as store:
        with pytest.raises(StudyTooLarge, match="1 megapixels"):
            studies.display(study.series[0].frames[0])
        worker = store._deidentifier(tmp_path)
        assert worker is not None
        assert worker.budget.pixels == 1_000_000
