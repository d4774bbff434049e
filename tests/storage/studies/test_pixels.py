"""What the reader sees is what the file says: rescale, windows, LUTs, polarity, padding, palette; and fast."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian

from storage import studies
from storage.studies import Frame, Window, voi
from storage.studies.voi import Mapping
from tests.dicoms import dataset, write

CT: dict[str, object] = {"RescaleSlope": 1, "RescaleIntercept": 0}
RAMP = np.arange(-1024, 3072, dtype=np.int16).reshape(64, 64)


def frame_of(path: Path, array: NDArray[np.generic] = RAMP, syntax: str = "1.2.840.10008.1.2.1", **changes: object) -> Frame:
    return studies.read([write(dataset(array, syntax=syntax, **changes), path / "a.dcm")]).studies[0].series[0].frames[0]


def pydicoms(path: Path) -> NDArray[np.uint8]:
    """The same file through pydicom's own functions, scaled to 8 bits."""
    import pydicom

    made = pydicom.dcmread(path / "a.dcm")
    values = apply_voi_lut(apply_modality_lut(made.pixel_array, made), made)
    top = (1 << made.BitsStored) - 1
    return np.floor(np.clip(np.asarray(values, float) / top, 0, 1) * 255 + 0.5).astype(np.uint8)


def test_rescale_gives_hounsfield_units(tmp_path: Path) -> None:
    values = studies.modality(frame_of(tmp_path, RescaleSlope="2.5", RescaleIntercept="-100.5"))
    assert values.dtype == np.float32
    assert np.allclose(values, RAMP * 2.5 - 100.5)


@pytest.mark.parametrize(
    "stated",
    [
        {"RescaleSlope": "0", "RescaleIntercept": "-1024"},
        {"RescaleSlope": "NaN", "RescaleIntercept": "-1024"},
        {"RescaleIntercept": "-1024"},
        {"RescaleSlope": "1"},
        {},
    ],
)
def test_a_ct_without_a_usable_rescale_is_not_called_hounsfield(tmp_path: Path, stated: dict[str, object]) -> None:
    frame = frame_of(tmp_path, **stated)
    assert frame.units == ""
    assert any("stored values are shown, without units" in warning for warning in frame.warnings)
    assert np.array_equal(studies.modality(frame), RAMP)
    assert [window.name for window in studies.windows(frame)] == ["1-99 percentile", "full range"]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        # PS3.3 C.11.2.1.2.1, note 2: c = 2048, w = 4096 maps 0 to black and 4095 to white; c = 2048, w = 1 is a threshold
        (Window(2048, 4096), {0: 0, 4095: 255, 2048: 128}),
        (Window(2048, 1), {2047: 0, 2048: 255}),
        (Window(0, 100), {-50: 0, 49: 255}),
        (Window(50, 100, function="LINEAR_EXACT"), {0: 0, 50: 128, 100: 255}),
        (Window(0, 100, function="SIGMOID"), {0: 128, -1000: 0, 1000: 255}),
    ],
)
def test_window_functions_of_the_standard(window: Window, expected: dict[int, int]) -> None:
    values = np.array([list(expected)], dtype=np.int32)
    assert voi.grey(values, Mapping(), window)[0].tolist() == list(expected.values())


def test_first_window_of_the_file_is_shown_and_all_are_offered(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, WindowCenter=[40, -600], WindowWidth=[400, 1500], WindowCenterWidthExplanation=["SOFT", "LUNG"], **CT)
    assert [window.name for window in frame.windows] == ["SOFT", "LUNG"]
    assert np.array_equal(studies.display(frame), studies.display(frame, Window(40, 400)))
    assert not np.array_equal(studies.display(frame), studies.display(frame, Window(-600, 1500)))
    assert [window.name for window in studies.windows(frame)][:4] == ["SOFT", "LUNG", "Soft tissue", "Lung"]


def test_ct_without_a_window_gets_presets_and_a_radiograph_its_range(tmp_path: Path) -> None:
    assert [window.name for window in studies.windows(frame_of(tmp_path, **CT))] == [
        "Soft tissue", "Lung", "Mediastinum", "Bone", "Brain", "full range",
    ]  # fmt: skip
    frame = frame_of(tmp_path, np.arange(4096, dtype=np.uint16).reshape(64, 64), modality="DX")
    names = [window.name for window in studies.windows(frame)]
    assert names == ["1-99 percentile", "full range"]
    assert np.array_equal(studies.display(frame), studies.display(frame, studies.windows(frame)[0]))


def test_voi_lut_of_the_file_is_applied_as_pydicom_does(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor = [256, 100, 12]
    item.LUTData = struct.pack("<256H", *((np.arange(256) ** 2 // 16).tolist()))
    frame = frame_of(tmp_path, np.arange(4096, dtype=np.uint16).reshape(64, 64), BitsStored=12, HighBit=11, VOILUTSequence=Sequence([item]))
    assert np.abs(studies.display(frame).astype(int) - pydicoms(tmp_path)).max() <= 1


def test_modality_lut_of_the_file_is_applied_as_pydicom_does(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [1024, 0, 16], "OD"
    item.LUTData = struct.pack("<1024H", *(np.arange(1024) * 60)[::-1].tolist())
    array = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    frame = frame_of(tmp_path, array, modality="DX", ModalityLUTSequence=Sequence([item]))
    assert frame.units == "OD"
    import pydicom

    made = pydicom.dcmread(tmp_path / "a.dcm")
    assert np.array_equal(studies.modality(frame), apply_modality_lut(made.pixel_array, made))


def test_a_lut_of_a_big_endian_file_is_read_in_its_order(tmp_path: Path) -> None:
    array, shown = np.arange(4096, dtype=np.uint16).reshape(64, 64), []
    for order, syntax in (("<", "1.2.840.10008.1.2.1"), (">", ExplicitVRBigEndian)):
        item = Dataset()
        item.LUTDescriptor = [256, 100, 12]
        item.add_new(0x00283006, "OW", struct.pack(f"{order}256H", *((np.arange(256) ** 2 // 16).tolist())))
        frame = frame_of(tmp_path, array, syntax, BitsStored=12, HighBit=11, VOILUTSequence=Sequence([item]))
        shown.append(studies.display(frame))
    assert np.array_equal(*shown)


def test_both_polarities_look_the_same(tmp_path: Path) -> None:
    """Mixing up MONOCHROME1 and 2 turned lungs white in more than one viewer."""
    array = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    plain = frame_of(tmp_path, array, modality="DX", WindowCenter=2048, WindowWidth=4096)
    shown = studies.display(plain)
    negative = frame_of(
        tmp_path, 4095 - array, modality="DX", WindowCenter=2048, WindowWidth=4096, PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    assert np.abs(studies.display(negative).astype(int) - shown).max() <= 1


def test_padding_is_black_and_not_counted(tmp_path: Path) -> None:
    array = np.full((64, 64), 500, np.uint16)
    array[:, 32:], array[:8] = 900, 65535
    padded = {"PixelPaddingValue": 65535, "modality": "DX"}
    for polarity in ("MONOCHROME2", "MONOCHROME1"):
        frame = frame_of(tmp_path, array, PhotometricInterpretation=polarity, **padded)
        assert studies.display(frame)[:8].max() == 0
        full = studies.windows(frame)[-1]
        assert (full.center - full.width / 2, full.center + full.width / 2) == (500, 900)


def test_signed_padding_range(tmp_path: Path) -> None:
    array = np.full((8, 8), 100, np.int16)
    array[0], array[1] = -2000, -1500
    frame = frame_of(tmp_path, array, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1400, WindowCenter=-1000, WindowWidth=4000)
    shown = studies.display(frame)
    assert shown[:2].max() == 0
    assert shown[2:].min() > 0


def test_big_endian_looks_like_little_endian(tmp_path: Path) -> None:
    little = studies.display(frame_of(tmp_path, WindowCenter=40, WindowWidth=400))
    big = frame_of(tmp_path, syntax=ExplicitVRBigEndian, WindowCenter=40, WindowWidth=400)
    assert np.array_equal(studies.display(big), little)


def test_unused_high_bits_do_not_show(tmp_path: Path) -> None:
    """Old scanners keep overlay bits above the stored ones."""
    array = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    frame = frame_of(tmp_path, array | 0xF000, BitsStored=12, HighBit=11)
    assert np.array_equal(studies.stored(frame), array)


def test_palette_becomes_its_colours(tmp_path: Path) -> None:
    changes: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in (("Red", (0, 65535, 0)), ("Green", (0, 0, 65535)), ("Blue", (0, 0, 256))):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [3, 0, 16]
        changes[f"{name}PaletteColorLookupTableData"] = struct.pack("<3H", *values)
    frame = frame_of(tmp_path, np.array([[0, 1], [2, 9]], dtype=np.uint8), **changes)
    assert frame.samples == 3
    assert studies.display(frame).tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 255, 1], [0, 255, 1]]]
    assert studies.windows(frame) == ()


def test_planes_and_ybr_become_rgb(tmp_path: Path) -> None:
    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[..., 0], rgb[:, 3:, 1] = 200, 90
    planes = frame_of(tmp_path, rgb, modality="OT")
    assert np.array_equal(studies.display(planes), rgb)
    made = dataset(rgb, modality="OT", PlanarConfiguration=1)
    made.PixelData = np.ascontiguousarray(np.moveaxis(rgb, -1, 0)).tobytes()
    made.SOPInstanceUID = "1.2.3.99"
    frame = studies.read([write(made, tmp_path / "planes.dcm")]).studies[0].series[0].frames[0]
    assert np.array_equal(studies.display(frame), rgb)


def test_eight_bit_pictures_are_shown_as_they_are(tmp_path: Path) -> None:
    array = np.arange(100, 164, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(studies.display(frame_of(tmp_path, array, modality="OT")), array)


def test_table_and_formula_agree() -> None:
    mapping = Mapping(2.0, -1024.0, padding=(-2000, -1900), inverse=True)
    window = Window(40, 400)
    for dtype in (np.int16, np.uint16, np.int8, np.uint8):
        values = np.random.default_rng(1).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (40, 50), dtype=dtype)
        assert np.array_equal(voi.apply(voi.table(values.dtype, mapping, window), values), voi.grey(values, mapping, window))


def test_float_pixels_are_shown(tmp_path: Path) -> None:
    made = dataset(np.zeros((8, 8), np.uint16), modality="MR")
    del made.PixelData
    values = np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0] = np.nan
    made.FloatPixelData = values.tobytes()
    made.BitsAllocated = 32
    frame = studies.read([write(made, tmp_path / "a.dcm")]).studies[0].series[0].frames[0]
    shown = studies.display(frame)
    assert int(shown[0, 0]) == 0
    assert int(shown[-1, -1]) == 255


def test_a_window_costs_a_lookup_and_little_more(tmp_path: Path) -> None:
    """Ratio against bare indexing on a radiograph of 5 megapixels, both measured here."""
    array = np.random.default_rng(0).integers(0, 4096, (2500, 2048)).astype(np.uint16)
    frame = frame_of(tmp_path, array, modality="DX", BitsStored=12, HighBit=11)
    studies.display(frame)
    table = np.zeros(65536, np.uint8)

    def best(work: object) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            work()  # type: ignore[operator]
            times.append(time.process_time() - started)
        return min(times)

    bare = best(lambda: table[array])
    step = iter(range(100))
    assert best(lambda: studies.display(frame, Window(2000 + next(step), 3000))) < 2.5 * bare + 0.005
