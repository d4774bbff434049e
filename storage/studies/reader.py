"""From paths to studies: every file, folder, archive and DICOMDIR of an upload becomes frames or one clear sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from storage.studies.budget import Budget
from storage.studies.deidentify import Deidentifier
from storage.studies.model import Reading

Progress = Callable[[int, int], None]


def read(
    paths: Sequence[Path],
    budget: Budget | None = None,
    names: Mapping[Path, str] | None = None,
    *,
    deidentifier: Deidentifier | None = None,
    workspace: Path | None = None,
    progress: Progress | None = None,
) -> Reading:
    """Read DICOM, NIfTI, PNG, JPEG and TIFF files, folders, zip archives and DICOMDIRs into studies.

    Never raises for a bad file: it is `refused` or `skipped` with one sentence in `Reading.files` and the rest
    goes on. `names` maps a path to what the user calls it. With a `deidentifier`, each accepted file is rewritten
    without identity into its folder and the frames' sources are those new files. `workspace` is where archives
    are unpacked (default: a temporary folder that lives as long as the process). `progress(done, total)`.
    """
    raise NotImplementedError
