"""Hostile pictures, volumes, archives and folders."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.dicoms import ct
from tests.hostile.case import case

GRADIENT = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def _save(folder: Path, name: str, picture: Image.Image, **options: object) -> Path:
    picture.save(folder / name, **options)
    return folder / name


@case("CMYK JPEG", "picture")
def cmyk(folder: Path) -> Path:
    return _save(folder, "image.jpg", Image.fromarray(GRADIENT).convert("CMYK"))


@case("animated PNG", "picture", "animated")
def animated(folder: Path) -> Path:
    frames = [Image.fromarray(np.roll(GRADIENT, shift, 1)) for shift in (0, 8, 16)]
    return _save(folder, "image.png", frames[0], save_all=True, append_images=frames[1:])


@case("16-bit PNG", "picture")
def deep_png(folder: Path) -> Path:
    return _save(folder, "image.png", Image.fromarray(GRADIENT.astype(np.uint16) * 257))


@case("PNG with a palette and transparency", "picture")
def palette_png(folder: Path) -> Path:
    return _save(folder, "image.png", Image.fromarray(GRADIENT).convert("P"), transparency=3)


@case("truncated PNG", "refused")
def short_png(folder: Path) -> Path:
    path = _save(folder, "whole.png", Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)))
    data = path.read_bytes()
    (folder / "image.png").write_bytes(data[: len(data) // 2])
    return folder / "image.png"


@case("truncated JPEG", "refused")
def short_jpeg(folder: Path) -> Path:
    path = _save(folder, "whole.jpg", Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)))
    data = path.read_bytes()
    (folder / "image.jpg").write_bytes(data[: len(data) // 2])
    return folder / "image.jpg"


def _png(width: int, height: int, body: bytes) -> bytes:
    def chunk(kind: bytes, value: bytes) -> bytes:
        return struct.pack(">L", len(value)) + kind + value + struct.pack(">L", zlib.crc32(kind + value))

    header = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@case("PNG bomb of 30,000 x 30,000", "refused")
def png_bomb(folder: Path) -> Path:
    (folder / "image.png").write_bytes(_png(30000, 30000, zlib.compress(bytes(1 << 24))))
    return folder / "image.png"


@case("PNG that claims 2^31 columns", "refused")
def png_wide(folder: Path) -> Path:
    (folder / "image.png").write_bytes(_png((1 << 31) - 1, (1 << 31) - 1, zlib.compress(b"")))
    return folder / "image.png"


@case("TIFF of three pages", "picture")
def pages(folder: Path) -> Path:
    frames = [Image.fromarray(np.roll(GRADIENT, shift, 1)) for shift in (0, 8, 16)]
    return _save(folder, "image.tif", frames[0], save_all=True, append_images=frames[1:])


@case("TIFF whose directory points at itself", "either")
def looped(folder: Path) -> Path:
    buffer = io.BytesIO()
    Image.fromarray(GRADIENT).save(buffer, format="TIFF")
    data = bytearray(buffer.getvalue())
    at = struct.unpack_from("<L", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<L", data, at + 2 + 12 * count, at)
    (folder / "image.tif").write_bytes(bytes(data))
    return folder / "image.tif"


@case("GIF", "skipped", "GIF")
def gif(folder: Path) -> Path:
    return _save(folder, "image.gif", Image.fromarray(GRADIENT))


def _nifti(folder: Path, values: np.ndarray, name: str = "volume.nii") -> Path:
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0])), folder / name)
    return folder / name


@case("NIfTI with NaN", "picture", "not numbers")
def nan(folder: Path) -> Path:
    values = np.linspace(0, 1, 4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    values[1, 2, 3], values[0, 0, 0] = np.nan, np.inf
    return _nifti(folder, values)


@case("NIfTI of nothing but NaN", "picture")
def all_nan(folder: Path) -> Path:
    return _nifti(folder, np.full((4, 5, 6), np.nan, dtype=np.float32))


@case("NIfTI of 5 dimensions", "refused", "5 dimensions")
def five(folder: Path) -> Path:
    return _nifti(folder, np.zeros((3, 3, 3, 2, 2), dtype=np.int16))


@case("NIfTI of 4 dimensions", "picture", "only the first")
def four(folder: Path) -> Path:
    return _nifti(folder, np.zeros((3, 4, 5, 2), dtype=np.int16))


@case("NIfTI of complex numbers", "refused", "complex")
def complex_values(folder: Path) -> Path:
    return _nifti(folder, np.zeros((3, 3, 3), dtype=np.complex64))


def _lying(folder: Path, sides: tuple[int, int, int]) -> bytes:
    data = bytearray(_nifti(folder, np.zeros((4, 4, 4), dtype=np.int16), "whole.nii").read_bytes())
    struct.pack_into("<3h", data, 42, *sides)
    return bytes(data)


@case("NIfTI that claims 32,000 x 32,000 x 2,000", "refused", "limit")
def giant(folder: Path) -> Path:
    (folder / "volume.nii").write_bytes(_lying(folder, (32000, 32000, 2000)))
    return folder / "volume.nii"


@case("NIfTI of negative size", "refused")
def negative(folder: Path) -> Path:
    (folder / "volume.nii").write_bytes(_lying(folder, (-4, 4, 4)))
    return folder / "volume.nii"


@case("truncated NIfTI", "refused", "truncated")
def short_nifti(folder: Path) -> Path:
    (folder / "volume.nii").write_bytes(_lying(folder, (400, 400, 40)))
    return folder / "volume.nii"


@case("truncated .nii.gz", "refused")
def short_gzip(folder: Path) -> Path:
    data = _nifti(folder, np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32), "whole.nii.gz").read_bytes()
    (folder / "volume.nii.gz").write_bytes(data[: len(data) // 2])
    return folder / "volume.nii.gz"


@case(".nii.gz bomb", "refused")
def gzip_bomb(folder: Path) -> Path:
    head = _lying(folder, (1000, 1000, 900))[:352]
    zeros = gzip.compress(bytes(1 << 24))
    (folder / "volume.nii.gz").write_bytes(gzip.compress(head) + zeros * 108)
    return folder / "volume.nii.gz"


@case("gzip that is no volume", "skipped")
def plain_gzip(folder: Path) -> Path:
    (folder / "notes.gz").write_bytes(gzip.compress(b"nothing to see" * 100))
    return folder / "notes.gz"


def _zip(folder: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(folder / "upload.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return folder / "upload.zip"


def _good(folder: Path) -> bytes:
    return ct(folder / "good.dcm").read_bytes()


@case("zip with ../ beside a good file", "picture", "leaves the archive")
def traversal(folder: Path) -> Path:
    return _zip(folder, ("../../escaped.dcm", _good(folder)), ("good.dcm", _good(folder)))


@case("zip with an absolute and a Windows path", "refused", "leaves the archive")
def absolute(folder: Path) -> Path:
    return _zip(folder, ("/tmp/escaped.dcm", _good(folder)), ("C:\\escaped.dcm", _good(folder)))


@case("zip with a link", "refused", "link")
def link(folder: Path) -> Path:
    info = zipfile.ZipInfo("passwd.dcm")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return _zip(folder, (info, b"/etc/passwd"))


@case("zip bomb", "refused", "times its size")
def zip_bomb(folder: Path) -> Path:
    return _zip(folder, ("image.dcm", bytes(80 << 20)))


@case("zip in a zip", "refused", "inside an archive")
def nested(folder: Path) -> Path:
    return _zip(folder, ("inner.zip", _zip(folder, ("a.txt", b"a")).read_bytes()))


@case("zip of 100,000 entries", "refused", "files")
def crowd(folder: Path) -> Path:
    name, count = b"%06d", 100_000
    local = b"".join(struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 6, 0) + name % index for index in range(count))
    central = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 36 * index) + name % index
        for index in range(count)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(central), len(local), 0)
    (folder / "upload.zip").write_bytes(local + central + end)
    return folder / "upload.zip"


@case("zip that lies about sizes", "either")
def lying_zip(folder: Path) -> Path:
    path = _zip(folder, ("good.dcm", _good(folder)))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, at + 24, 5)
    path.write_bytes(bytes(data))
    return path


@case("truncated zip", "refused")
def short_zip(folder: Path) -> Path:
    path = _zip(folder, ("good.dcm", _good(folder)))
    path.write_bytes(path.read_bytes()[:-30])
    return path


@case("encrypted zip", "refused", "encrypted")
def locked(folder: Path) -> Path:
    path = _zip(folder, ("good.dcm", _good(folder)))
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(bytes(data))
    return path


@case("empty zip", "refused", "without files")
def empty_zip(folder: Path) -> Path:
    return _zip(folder)


@case("no permission to read", "refused", "permissions", unprivileged=True)
def unreadable(folder: Path) -> Path:
    path = ct(folder / "image.dcm")
    path.chmod(0)
    return path


@case("a path that is not there", "refused", "not there")
def missing(folder: Path) -> Path:
    return folder / "nowhere.dcm"


@case("a folder of junk beside a good file", "picture")
def folder_of_junk(folder: Path) -> Path:
    inside = folder / "study"
    inside.mkdir()
    ct(inside / "good.dcm")
    (inside / ".DS_Store").write_bytes(b"x")
    (inside / "readme.txt").write_text("hello")
    (inside / "empty.dcm").write_bytes(b"")
    (inside / "out").symlink_to("/etc/passwd")
    (inside / "loop").symlink_to(inside)
    return inside


@case("an empty folder", "either")
def empty_folder(folder: Path) -> Path:
    (folder / "study").mkdir()
    return folder / "study"


@case("a named pipe", "refused", "regular file")
def pipe(folder: Path) -> Path:
    import os

    os.mkfifo(folder / "image.dcm")
    return folder / "image.dcm"
