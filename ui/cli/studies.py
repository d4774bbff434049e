"""`import`: studies into the store, with the fate of every file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from errors import StudyUnreadable
from ui.cli.common import DataDir, Json, begin

OUTCOMES = ("imported", "duplicate", "skipped", "refused")


def import_studies(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, folders or zip archives: DICOM, NIfTI, PNG, JPEG, TIFF.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Bring studies into the store, de-identified; exit 2 when nothing could be used."""
    from storage.store import Store
    from storage.views import LOCAL

    settings, out = begin(context, data_dir, as_json)
    with Store(settings) as store:
        report = store.import_paths(paths, store.user(LOCAL), shared=True)
    for file in report.files:
        out.say(f"{file.outcome:10} {file.path}" + (f": {file.reason}" if file.reason else ""))
    counted = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in OUTCOMES)
    out.say(f"{report.patients} patients, {report.studies} studies, {report.series} series, {report.instances} instances; {counted}")
    for warning in report.warnings:
        out.note(warning)
    out.result(
        {
            "patients": report.patients,
            "studies": report.studies,
            "series": report.series,
            "instances": report.instances,
            "files": [{"path": file.path, "outcome": file.outcome, "reason": file.reason} for file in report.files],
            "warnings": list(report.warnings),
        }
    )
    if not report.instances:
        raise nothing_usable([file.reason for file in report.files if file.reason], paths)


def nothing_usable(reasons: list[str], paths: list[Path]) -> StudyUnreadable:
    """The sentence for an import that brought nothing: the first reason, and how many more there are."""
    names = ", ".join(str(path) for path in paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    if not reasons:
        return StudyUnreadable("holds no image that can be read; give DICOM, NIfTI, PNG, JPEG or TIFF files", names)
    more = f" (and {len(reasons) - 1} more files like it)" if len(reasons) > 1 else ""
    return StudyUnreadable(reasons[0] + more, names)
