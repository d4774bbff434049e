"""The demo cases that come with Interval, in every store from its first start, for all to see."""

from __future__ import annotations

import logging
from pathlib import Path

from storage.store import Store
from storage.views import LOCAL

log = logging.getLogger(__name__)

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo"


def ensure_demo(store: Store, folder: Path = DEMO) -> int:
    """Import the demo cases as shared studies unless they are there; returns how many studies were new.

    Importing is idempotent, so a store that lost one gets it back, and one that has all is left alone.
    """
    if not folder.is_dir():
        log.warning("demo cases: %s is missing from this installation", folder)
        return 0
    local = store.user(LOCAL)
    known = sum(len(patient.studies) for patient in store.patients(local) if any(study.synthetic for study in patient.studies))
    wanted = len({path.parent for path in folder.rglob("*.dcm")})
    if known and known >= wanted:
        return 0
    report = store.import_paths([folder], local, shared=True)
    log.info("demo cases: %d studies, %d files new", report.studies, report.count("imported"))
    return report.studies if report.count("imported") else 0
