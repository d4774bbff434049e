"""Every decoder against every row of the truth table that it supports; and through the whole of reading."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from storage import studies
from storage.studies import decoders, dicomfile, dicompixels
from storage.studies.boundary import quiet
from tests.dicoms import dataset, write
from tests.references import ENCODERS, REFERENCES, UNSIGNED_ONLY, Reference, generated, ramp, run_lengths

Array = NDArray[np.generic]

# pydicom's own plugins that decode these syntaxes by other code than ours: a second witness where they are installed
WITNESSES = {
    "1.2.840.10008.1.2.4.50": ("pillow", "pillow"),
    "1.2.840.10008.1.2.4.80": ("pyjpegls", "pyjpegls"),
    "1.2.840.10008.1.2.4.81": ("pyjpegls", "pyjpegls"),
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.5": ("pydicom", "pydicom"),
}


def corners(array: NDArray[np.generic]) -> list[object]:
    height, width = array.shape[:2]
    return [array[at].tolist() for at in ((0, 0), (0, width - 1), (height // 2, width // 2), (height - 1, width - 1))]


def assert_close(found: list[object], row: Reference) -> None:
    assert np.abs(np.asarray(found, dtype=float) - np.asarray(row.corners, dtype=float)).max() <= row.tolerance


@pytest.mark.parametrize("row", REFERENCES, ids=lambda row: row.name)
def test_file_reads_as_the_table_says(row: Reference) -> None:
    reading = studies.read([row.path])
    assert [file.outcome for file in reading.files] == ["imported"], reading.files
    frames = reading.studies[0].series[0].frames
    assert len(frames) == row.frames
    array = studies.stored(frames[0])
    assert array.shape == row.shape
    assert str(array.dtype) == row.dtype
    assert_close(corners(array), row)
    assert frames[0].units == row.units
    assert frames[0].spacing == (None if row.spacing is None else pytest.approx(row.spacing, abs=1e-6))
    shown = studies.display(frames[0])
    assert shown.dtype == np.uint8
    assert shown.shape[:2] == row.shape[:2]


@pytest.mark.parametrize("row", [row for row in REFERENCES if row.syntax in WITNESSES], ids=lambda row: row.name)
def test_another_decoder_agrees(row: Reference) -> None:
    plugin, package = WITNESSES[row.syntax]
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    quiet()
    if plugin not in get_decoder(row.syntax).available_plugins:
        pytest.skip(f"{package} does not decode {row.syntax} here")
    array, _ = get_decoder(row.syntax).as_array(pydicom.dcmread(row.path), index=0, decoding_plugin=plugin)
    ours = studies.stored(studies.read([row.path]).studies[0].series[0].frames[0])
    assert_close(corners(array), row)
    assert np.array_equal(array, ours)


CASES = [
    (syntax, bits, signed)
    for syntax in (*(str(uid) for uid in decoders.NATIVE if not uid.is_deflated), *ENCODERS)
    for bits, signed in ((8, False), (12, False), (16, False), (16, True))
    if not (signed and syntax in UNSIGNED_ONLY)
]


@pytest.mark.parametrize(("syntax", "bits", "signed"), CASES)
def test_lossless_syntax_gives_back_every_value(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    path, array = generated(tmp_path, syntax, bits, signed)
    reading = studies.read([path])
    assert [file.outcome for file in reading.files] == ["imported"], reading.files
    assert np.array_equal(studies.stored(reading.studies[0].series[0].frames[0]), array)


@pytest.mark.parametrize("row", [row for row in REFERENCES if len(row.shape) == 2], ids=lambda row: row.name)
def test_grey_frame_is_what_pydicoms_own_runner_makes_of_it(row: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey frames go round the runner, which copies them; what it does to sign and spare bits must still be done."""
    opened = dicomfile.open_header(row.path, studies.Budget())
    shape = dicomfile.pixel_format(opened, studies.Budget())
    ours = dicompixels.decode(opened, shape, 0)
    monkeypatch.setattr(dicompixels, "_grey", lambda *_: None)
    monkeypatch.setattr(dicompixels, "_in_file", lambda *_: False)
    runners = dicompixels.decode(opened, shape, 0)
    assert ours.dtype == runners.dtype
    assert np.array_equal(ours, runners)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        ("1.2.840.10008.1.2.4.80", lambda low: imagecodecs.jpegls_encode(low)),
        (
            "1.2.840.10008.1.2.4.90",
            lambda low: imagecodecs.jpeg2k_encode(low, level=0, reversible=True, codecformat="j2k", bitspersample=12),
        ),
        ("1.2.840.10008.1.2.5", run_lengths),
    ],
)
def test_sign_that_the_codestream_does_not_know_is_put_back(tmp_path: Path, syntax: str, encode: Callable[[Array], bytes]) -> None:
    """Twelve signed bits written as twelve unsigned ones, as scanners do: -5 comes as 4091 and must read as -5."""
    values = np.clip(ramp(12, True).astype(np.int16), -2048, 2047)
    made = dataset(values, syntax=syntax, BitsStored=12, HighBit=11)
    made.PixelData = encapsulate([bytes(encode((values & 0xFFF).astype(np.uint16)))])
    made["PixelData"].is_undefined_length = True
    path = write(made, tmp_path / "signed.dcm")
    frame = studies.read([path]).studies[0].series[0].frames[0]
    assert np.array_equal(studies.stored(frame), values)


def test_every_syntax_of_the_table_is_in_the_truth_table() -> None:
    """A decoder nobody checks is a decoder nobody has."""
    checked = {row.syntax for row in REFERENCES} | set(ENCODERS)
    unchecked = set(decoders.supported()) - checked
    assert unchecked == {"1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"}  # lossy forms of checked ones
    for syntax in decoders.supported():
        choice = decoders.choose(str(syntax))
        assert choice.reason
        assert choice.plugin in choice.decoder.available_plugins or choice.decoder.is_native


def test_no_decoder_names_the_syntax_and_the_way_out() -> None:
    from errors import StudyUnsupported

    with pytest.raises(StudyUnsupported, match=r"MPEG-4.*1\.2\.840\.10008\.1\.2\.4\.102.*export it uncompressed"):
        decoders.choose("1.2.840.10008.1.2.4.102")
