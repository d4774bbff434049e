"""NIfTI-1 and NIfTI-2 volumes as axial frames in LPS coordinates, the way DICOM would hold them.

The volume is turned to the nearest RAS axes (nibabel), then each slice is shown as radiology shows it: the
patient's right on the left of the picture, anterior on top.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from errors import StudyTooLarge, StudyUnreadable, StudyUnsupported
from storage.studies import geometry
from storage.studies.budget import Budget
from storage.studies.cache import Cache
from storage.studies.images import uid
from storage.studies.model import Frame, Series, Source, Study, Window
from storage.studies.voi import Mapping


@dataclass(frozen=True, eq=False)
class _Volume:
    """Values in RAS order (X, Y, Z), their affine to RAS mm, and how they scale."""

    values: NDArray[np.generic]
    affine: NDArray[np.float64]
    mapping: Mapping
    notices: tuple[str, ...]
    windows: tuple[Window, ...]


_volumes: Cache[_Volume] = Cache(limit=384 << 20)
_BOMB_FROM, _BOMB_RATIO = 128 << 20, 200


def is_nifti(head: bytes) -> bool:
    """Whether a file's first 348 bytes (inflated) are a NIfTI header."""
    if len(head) < 348:
        return False
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def head_of(path: Path) -> bytes:
    """First 544 bytes, inflated when the file is gzipped; b'' when it cannot be inflated."""
    with path.open("rb") as file:
        head = file.read(544)
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with gzip.open(path) as file:
            return file.read(544)
    except (OSError, EOFError, ValueError):
        return b""


def _load(path: Path, digest: str, budget: Budget) -> _Volume:
    found = _volumes.get(digest)
    if found is not None:
        return found
    budget.check_bytes(path.stat().st_size)
    header = _header(path)
    notices: list[str] = []
    if int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0:
        notices.append("states no orientation; left and right are a guess")
    shape = tuple(int(side) for side in header.get_data_shape())
    if len(shape) == 4 and shape[3] > 1:
        notices.append(f"has {shape[3]} volumes; only the first was taken")
    raw = _first_volume(path, header, shape, budget)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        notices.append("its orientation matrix cannot be used; left and right are a guess")
        affine = np.eye(4)
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(_plain(raw), affine))
    values = np.asarray(turned.dataobj)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        notices.append("holds values that are not numbers; they are shown black")
    volume = _Volume(values, np.asarray(turned.affine), _scale(header), tuple(notices), _windows(header))
    _volumes.put(digest, volume, values.nbytes)
    return volume


def _header(path: Path) -> nibabel.Nifti1Header:
    """The header of a single-file NIfTI-1 or NIfTI-2. Raises `StudyUnsupported` for half of a pair."""
    head = head_of(path)
    if head[344:347] == b"ni1" or head[4:7] == b"ni2":
        raise StudyUnsupported("is half of an .hdr/.img pair; convert it to one .nii file")
    if head[4:7] == b"n+2":
        return nibabel.Nifti2Header(head[:540], check=False)
    return nibabel.Nifti1Header(head[:348], check=False)


def data_start(header: nibabel.Nifti1Header) -> int:
    """Where the values start: behind the header and its extension mark (352 or 544), also when the file says 0 or what cannot be."""
    least = int(header.sizeof_hdr) + 4
    said = float(header["vox_offset"])
    return int(said) if least <= said <= 1 << 26 else least


def check(path: Path, budget: Budget) -> tuple[int, int]:
    """Where the values of all volumes start and how many bytes they are said to be, checked before anything is inflated.

    Raises `StudyError`.
    """
    header = _header(path)
    shape = tuple(int(side) for side in header.get_data_shape())
    first = _claimed(path, header, shape, budget)
    return data_start(header), first * (shape[3] if len(shape) == 4 else 1)


def _claimed(path: Path, header: nibabel.Nifti1Header, shape: tuple[int, ...], budget: Budget) -> int:
    """Bytes of the first volume, after checking dimensions, type, size and ratio."""
    if not 2 <= len(shape) <= 4:
        raise StudyUnsupported(f"has {len(shape)} dimensions {shape}; only volumes of 3 (or the first of 4) are read; split it first")
    columns, rows, slices, volumes = (*shape, 1, 1)[:4]
    budget.check_pixels(rows, columns, slices, volumes)
    kind = header.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf" or kind.itemsize > 8:
        raise StudyUnsupported(f"holds values of type {kind.name}, not plain numbers; convert it first")
    need = rows * columns * slices * int(kind.itemsize)
    size = path.stat().st_size
    if need > budget.inflated or (need > _BOMB_FROM and need > _BOMB_RATIO * size):
        raise StudyTooLarge(f"unpacks {size >> 10:,} kB to {need >> 20:,} MB, over the limit; raise max_upload_mb if it is real")
    return need


def _first_volume(path: Path, header: nibabel.Nifti1Header, shape: tuple[int, ...], budget: Budget) -> NDArray[np.generic]:
    """Stored values of the first volume (X, Y, Z), after checking what the header claims; nothing else is inflated."""
    need, kind = _claimed(path, header, shape, budget), header.get_data_dtype()
    columns, rows, slices = (*shape, 1)[:3]
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as stream:
        stream.read(data_start(header))
        values = stream.read(need)
    if len(values) < need:
        raise StudyUnreadable(f"is truncated: {len(values):,} of {need:,} bytes of values are there; export or copy it again")
    return np.frombuffer(values, dtype=kind).reshape((columns, rows, slices), order="F")


def _scale(header: nibabel.Nifti1Header) -> Mapping:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0 or not np.isfinite(intercept):
        return Mapping()
    return Mapping(slope, intercept)


def _windows(header: nibabel.Nifti1Header) -> tuple[Window, ...]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return (Window((low + high) / 2, high - low, "as filed", "LINEAR_EXACT"),) if np.isfinite([low, high]).all() and high > low else ()


def _plain(raw: NDArray[np.generic]) -> NDArray[np.generic]:
    native = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "f" or native.dtype.itemsize == 8:
        return native.astype(np.float32, copy=False)
    return native


def describe(path: Path, source: Source, budget: Budget, name: str) -> tuple[Study, Series]:
    """Axial frames from feet to head with spacing, position and orientation. Raises `StudyError`."""
    volume = _load(path, source.sha256, budget)
    columns, rows, slices = volume.values.shape
    right, back = volume.affine[:3, 0], volume.affine[:3, 1]
    spacing = (round(float(np.linalg.norm(back)), 6), round(float(np.linalg.norm(right)), 6))
    orientation = geometry.orientation_of((*_lps(-right / np.linalg.norm(right)), *_lps(-back / np.linalg.norm(back))))
    ct = (
        volume.values.dtype.kind == "i"
        and float(volume.values[:, :, slices // 2].min()) * volume.mapping.slope + volume.mapping.intercept <= -900
    )
    modality = "CT" if ct else "MR"
    warnings = (*volume.notices, f"modality {modality} was guessed from the values", "no patient and no date in the file")
    frames = []
    for index in range(slices):
        corner = volume.affine @ np.array([columns - 1, rows - 1, index, 1.0])
        position = geometry.vector_of(_lps(corner[:3]))
        frames.append(
            Frame(
                source, index, rows, columns, units="HU" if ct else "", spacing=spacing, position=position, orientation=orientation,
                location=geometry.location(position, orientation), windows=volume.windows,
                instance_uid=uid(source.sha256, 2 + index), frame_of_reference=uid(source.sha256, 1), warnings=volume.notices,
            )
        )  # fmt: skip
    series = Series(
        uid(source.sha256, 1), modality, description=name, plane=geometry.plane(orientation), frames=tuple(frames), warnings=warnings
    )
    return Study(uid(source.sha256, 0), patient_id="", description=name, warnings=("the study has no date",)), series


def _lps(ras: NDArray[np.float64]) -> tuple[float, float, float]:
    """RAS mm -> LPS mm (0.0 rather than -0.0)."""
    return -float(ras[0]) + 0.0, -float(ras[1]) + 0.0, float(ras[2])


def decode(path: Path, digest: str, index: int, budget: Budget) -> NDArray[np.generic]:
    """Axial slice `index` as stored, (H, W): rows run from anterior to posterior, columns from right to left."""
    volume = _load(path, digest, budget)
    return np.ascontiguousarray(volume.values[::-1, ::-1, index].T)


def mapping(path: Path, digest: str, budget: Budget) -> Mapping:
    """How the volume's stored values scale."""
    return _load(path, digest, budget).mapping
