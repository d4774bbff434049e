"""Every decoder against every row of the truth table that it supports; and through the whole of reading."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels import get_decoder

from storage import studies
from storage.studies import decoders
from storage.studies.boundary import quiet
from tests.references import ENCODERS, REFERENCES, UNSIGNED_ONLY, Reference, generated

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
