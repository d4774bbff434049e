"""What the viewer draws from: values exact to the bit, one sentence for what cannot be read, and only for whom they are."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLSLossless, generate_uid
from starlette.testclient import TestClient

from storage.studies import display, read, transport
from storage.studies.voi import Lut
from tests.browser.samples import pair, plain, radiograph
from tests.dicoms import ct, dataset, write
from tests.ui.conftest import HERE, Running, send


def opened(client: TestClient, *paths: Path) -> dict[str, Any]:
    """Upload files of one series and return its frames.json."""
    hang = send(client, *paths)["hang"]
    answer = client.get(f"/api/series/{hang['slots'][-1]['series']['id']}/frames.json")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def values(client: TestClient, listed: dict[str, Any], number: int = 0) -> np.ndarray[Any, Any]:
    """A frame's values, read as frames.json says."""
    frame = listed["frames"][number]
    answer = client.get(listed["urls"]["pixels"].replace("{n}", str(number)))
    assert answer.status_code == 200, answer.text
    shape = (frame["rows"], frame["columns"], 3) if frame["channels"] == 3 else (frame["rows"], frame["columns"])
    return np.frombuffer(answer.content, np.dtype(frame["dtype"]).newbyteorder("<")).reshape(shape)


def test_ct_slices_come_in_their_order_with_geometry_and_hounsfield_units(browser: TestClient, tmp_path: Path) -> None:
    stored = np.arange(48, dtype=np.int16).reshape(6, 8)
    paths = [
        ct(
            tmp_path / f"{z}.dcm", stored + z, SOPInstanceUID=f"1.2.3.{z}", ImagePositionPatient=[-10, -20, z], PixelSpacing=[0.7, 0.8],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], RescaleSlope=2, RescaleIntercept=-1024, FrameOfReferenceUID="1.2.9",
        )
        for z in (30, 10, 20)
    ]  # fmt: skip
    listed = opened(browser, *paths)
    assert [frame["position"] for frame in listed["frames"]] == [[-10, -20, 10], [-10, -20, 20], [-10, -20, 30]]
    assert listed["frames"][0]["spacing"] == [0.7, 0.8]
    assert (listed["kind"], listed["units"], listed["plane"], listed["spacing_known"]) == ("CT", "HU", "axial", True)
    frame = listed["frames"][2]
    assert (frame["dtype"], frame["slope"], frame["intercept"], frame["inverse"], frame["channels"]) == ("int16", 2, -1024, False, 1)
    assert (values(browser, listed, 2) == stored + 30).all()
    assert len({frame["key"] for frame in listed["frames"]}) == 3


def test_browser_arithmetic_gives_what_the_display_pipeline_gives(browser: TestClient, running: Running, tmp_path: Path) -> None:
    """Values, rescale, window, inversion and padding as the viewer applies them equal `display` to the grey level."""
    rng = np.random.default_rng(4)
    stored = rng.integers(0, 4096, (40, 50), dtype=np.uint16)
    stored[:4] = 4095
    made = dataset(
        stored, modality="DX", PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11, PixelPaddingValue=4095,
        RescaleSlope=0.5, RescaleIntercept=-100, WindowCenter=900, WindowWidth=1400, PatientID="inverted",
    )  # fmt: skip
    listed = opened(browser, write(made, tmp_path / "a.dcm"))
    frame, window = listed["frames"][0], listed["windows"][0]
    units = values(browser, listed).astype(float) * frame["slope"] + frame["intercept"]
    grey = np.clip((units - (window["center"] - 0.5)) / (window["width"] - 1) + 0.5, 0, 1)
    drawn = np.floor((1 - grey if frame["inverse"] else grey) * 255 + 0.5).astype(np.uint8)
    here = running.app.state.context
    user = here.reader(browser.cookies["interval_reader"])
    shown = display(here.store.series(listed["series_id"], user)[1].frames[0])
    assert frame["inverse"]
    assert (drawn[4:] == shown[4:]).all()
    assert (shown[:4] == 0).all()
    assert drawn[:4].max() <= drawn[4:].min()


def test_colour_is_interleaved_rgb_without_windows(browser: TestClient, tmp_path: Path) -> None:
    picture = np.zeros((5, 7, 3), dtype=np.uint8)
    picture[..., 0], picture[2, 3] = 200, (1, 2, 3)
    Image.fromarray(picture).save(tmp_path / "fundus.png")
    listed = opened(browser, tmp_path / "fundus.png")
    assert (listed["color"], listed["windows"], listed["spacing_known"], listed["kind"]) == (True, [], False, "other")
    assert (values(browser, listed) == picture).all()


def test_reduced_picture_is_small_and_in_the_default_window(browser: TestClient, tmp_path: Path) -> None:
    listed = opened(browser, radiograph(tmp_path / "a.dcm", plain(2600, 1500, 1250), patient="reduced"))
    url = listed["urls"]["reduced"].replace("{n}", "0")
    answer = browser.get(url)
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (427, 512)
    assert abs(picture.getpixel((200, 200)) - 2600 / 4095 * 255) < 3
    assert len(answer.content) < 0.05 * 2 * 1500 * 1250
    assert browser.get(url, params={"window": "900,100"}).content != answer.content
    assert browser.get(url, params={"window": "nan,1"}).status_code == 400


@pytest.mark.parametrize("which", ["pixels", "reduced"])
def test_what_the_browser_has_is_not_sent_again(browser: TestClient, tmp_path: Path, which: str) -> None:
    listed = opened(browser, *pair(tmp_path))
    url = listed["urls"][which].replace("{n}", "0")
    first = browser.get(url)
    again = browser.get(url, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "private, no-cache"


def test_values_are_packed_for_a_distant_browser_only(running: Running, browser: TestClient, tmp_path: Path) -> None:
    """Packing 10 MB for a browser on the same machine only delays the picture."""
    listed = opened(browser, radiograph(tmp_path / "a.dcm", plain(2600, 400, 400), patient="packed"))
    url = listed["urls"]["pixels"].replace("{n}", "0")
    cookie = {"cookie": f"interval_reader={browser.cookies['interval_reader']}"}
    near = TestClient(running.app, base_url=HERE, client=("127.0.0.1", 5000)).get(url, headers=cookie)
    far = TestClient(running.app, base_url=HERE, client=("10.0.0.7", 5000)).get(url, headers=cookie)
    proxied = TestClient(running.app, base_url=HERE, client=("127.0.0.1", 5000)).get(url, headers=cookie | {"x-forwarded-for": "10.0.0.7"})
    assert "content-encoding" not in near.headers
    assert far.headers["content-encoding"] == proxied.headers["content-encoding"] == "gzip"
    assert near.content == far.content == proxied.content
    assert len(gzip.compress(near.content, 1)) == int(far.headers["content-length"])


def test_time_point_is_relative_to_the_patients_newest_study(browser: TestClient, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path, patient="relative"))["hang"]
    studies = [browser.get(f"/api/series/{slot['series']['id']}/frames.json").json()["study"] for slot in hang["slots"]]
    assert [(study["relative"], study["ordinal"], study["of"]) for study in studies] == [("14 days earlier", 1, 2), ("current", 2, 2)]
    assert studies[0]["patient_id"] == studies[1]["patient_id"]


def test_damaged_frame_is_one_sentence_and_the_others_are_shown(browser: TestClient, tmp_path: Path) -> None:
    """The second frame's codestream is cut off; import looks at the first only, so the viewer meets it."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 4096, (3, 32, 32), dtype=np.uint16)
    made = dataset(frames, modality="DX", NumberOfFrames=3, BitsStored=12, HighBit=11, PatientID="hostile")
    made.compress(JPEGLSLossless, generate_instance_uid=False)
    parts = list(generate_frames(made.PixelData, number_of_frames=3))
    parts[1] = parts[1][:60] + b"\xff" * 40
    made.PixelData = encapsulate(parts)
    listed = opened(browser, write(made, tmp_path / "a.dcm"))
    assert (values(browser, listed, 2) == frames[2]).all()
    for which in ("pixels", "reduced"):
        answer = browser.get(listed["urls"][which].replace("{n}", "1"))
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("Image 2 of ")
        assert answer.json()["error"].endswith(".")
        assert "Traceback" not in answer.text


def test_file_lost_from_the_store_is_a_sentence_per_frame(browser: TestClient, running: Running, tmp_path: Path) -> None:
    hang = send(browser, radiograph(tmp_path / "a.dcm", plain(1717), patient="lost"))["hang"]
    series = hang["slots"][0]["series"]["id"]
    here = running.app.state.context
    frame = here.store.series(series, here.reader(browser.cookies["interval_reader"]))[1].frames[0]
    frame.source.path.write_bytes(b"not a picture any more")
    from storage.studies import dicomfile, pixels

    dicomfile._headers.clear()
    pixels._formats.clear()
    pixels._arrays.clear()
    here.renderer.__init__()
    listed = browser.get(f"/api/series/{series}/frames.json").json()
    assert listed["frames"][0]["error"].startswith("Image 1 ")
    assert browser.get(f"/pixels/{series}/0/values").status_code == 422


def test_other_reader_gets_none_of_it(browser: TestClient, stranger: TestClient, running: Running, tmp_path: Path) -> None:
    listed = opened(browser, *pair(tmp_path))
    series = listed["series_id"]
    for path in (f"/api/series/{series}/frames.json", f"/pixels/{series}/0/values", f"/pixels/{series}/0/reduced.jpg"):
        assert browser.get(path).status_code == 200, path
        assert stranger.get(path).status_code == 404, path
        assert TestClient(running.app, base_url=HERE).get(path).status_code == 401, path
    assert browser.get(f"/pixels/{series}/1/values").status_code == 404
    assert browser.get(f"/pixels/{series}/-1/values").status_code == 404


def test_lookup_table_of_the_file_has_a_straight_window_beside_it() -> None:
    ramp = transport._straight(Lut(1000, np.linspace(0, 4095, 501), 4095.0))
    assert ramp.function == "LUT"
    assert abs(ramp.center - 1250) < 3
    assert abs(ramp.width - 500) < 6
    falling = transport._straight(Lut(0, np.linspace(4095, 0, 501), 4095.0))
    assert (falling.center, falling.width, falling.function) == (250, 500, "LUT")


@pytest.mark.parametrize(("photometric", "signed"), [("MONOCHROME2", False), ("MONOCHROME1", True)])
def test_lookup_table_of_the_file_goes_over_the_wire_whole(browser: TestClient, tmp_path: Path, photometric: str, signed: bool) -> None:
    """What the browser is sent draws exactly what the server's own display does, bend and all."""
    values = np.random.default_rng(1).integers(-200 if signed else 0, 900, (40, 30)).astype(np.int16 if signed else np.uint16)
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [512, 100, 12], "bent"
    item.LUTData = struct.pack("<512H", *(int(4095 * (entry / 511) ** 2) for entry in range(512)))
    more = {"PatientID": f"table {photometric}", "SOPInstanceUID": generate_uid(), "PhotometricInterpretation": photometric}
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    made = dataset(values, modality="DX", VOILUTSequence=Sequence([item]), **uids, **more)
    series = send(browser, write(made, tmp_path / "table.dcm"))["hang"]["slots"][0]["series"]["id"]
    listed = browser.get(f"/api/series/{series}/frames.json").json()
    frame = listed["frames"][0]
    assert (listed["windows"][0]["name"], listed["windows"][0]["function"]) == ("as filed", "LUT")
    lut = listed["luts"][frame["lut"]]
    sent = np.frombuffer(browser.get(f"/pixels/{series}/0/values").content, np.dtype(frame["dtype"]).newbyteorder("<")).reshape(40, 30)
    at = np.clip(np.floor(sent * frame["slope"] + frame["intercept"]) - lut["first"], 0, len(lut["entries"]) - 1).astype(int)
    bright = np.asarray(lut["entries"])[at] / lut["top"]
    drawn = np.floor((1 - bright if frame["inverse"] else bright) * 255 + 0.5).astype(np.uint8)
    shown = display(read([tmp_path / "table.dcm"]).studies[0].series[0].frames[0])
    assert np.array_equal(drawn, shown)
    window = listed["windows"][0]
    own = browser.get(f"/pixels/{series}/0/reduced.jpg?window={window['center']},{window['width']},LUT").content
    assert own == browser.get(f"/pixels/{series}/0/reduced.jpg").content
