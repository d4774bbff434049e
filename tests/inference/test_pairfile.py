"""The CSV of pairs: what it may look like, what is refused in a sentence, and that no path leaves the image root."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from errors import InputError, StudyUnreadable
from inference.pairfile import Films, PairRow, between, load


def written(tmp_path: Path, text: str | bytes, name: str = "pairs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def picture(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.full((12, 10), level, dtype=np.uint8)).save(path)
    return path


def test_rows_keep_their_paths_and_their_other_columns(tmp_path: Path) -> None:
    rows = load(written(tmp_path, 'patient,prior_path,current_path\np1,a b.png,"c,d.png"\n\np2,é.png,f.png\n'))
    assert rows == (PairRow("a b.png", "c,d.png", {"patient": "p1"}), PairRow("é.png", "f.png", {"patient": "p2"}))


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    assert load(written(tmp_path, b"\xef\xbb\xbfprior_path,current_path\r\na.png,b.png\r\n")) == (PairRow("a.png", "b.png"),)


def test_a_short_line_is_a_row_without_an_image(tmp_path: Path) -> None:
    assert load(written(tmp_path, "prior_path,current_path\na.png\nb.png,c.png,left over\n"))[0] == PairRow("a.png", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prior_path;current_path\na;b\n", "separated by semicolons; save the file with commas"),
        ("prior_path\tcurrent_path\na\tb\n", "separated by tabs"),
        ("prior,current\na,b\n", "no column prior_path and no column current_path, the header names prior, current"),
        ("prior_path,other\na,b\n", "no column current_path, the header names prior_path, other"),
        ("", "the header names no column at all"),
        ("prior_path,current_path\n", "a header and no pair"),
        (b"prior_path,current_path\n\xff\xfe.png,b.png\n", "not a CSV file in UTF-8"),
        ('prior_path,current_path\n"a,b\n', "not a CSV file in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00", "not a CSV file in UTF-8"),
    ],
)
def test_what_is_no_pair_file_is_one_sentence(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        load(written(tmp_path, text))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: the pair file cannot be read"):
        load(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("path", ["../secret.png", "inside/../../secret.png", "ABSOLUTE", "link.png", "bad\0name.png", "", "  "])
def test_no_path_leaves_the_image_root(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair file may come from anyone; what it names outside the folder is never opened, though it is a fine picture."""
    secret = picture(tmp_path / "secret.png", 200)
    (tmp_path / "root" / "inside").mkdir(parents=True)
    (tmp_path / "root" / "link.png").symlink_to(secret)
    monkeypatch.setattr("storage.studies.read", lambda *_a: pytest.fail("it was opened"))
    with pytest.raises(StudyUnreadable):
        Films(tmp_path / "root").film(str(secret) if path == "ABSOLUTE" else path)


def test_an_absolute_path_inside_the_root_is_fine(tmp_path: Path) -> None:
    inside = picture(tmp_path / "a.png", 90)
    assert Films(tmp_path).film(str(inside)).image.pixels.shape == (12, 10, 3)


def test_a_pair_is_announced_as_prior_and_current(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 90)
    picture(tmp_path / "sub" / "b.png", 150)
    prior, current = Films(tmp_path).pair(PairRow("a.png", "sub/b.png"))
    assert (prior.image.role, current.image.role) == ("prior", "current")
    assert between(prior, current) == ()
    assert prior.remarks == ()


def test_the_same_picture_twice_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 90)
    picture(tmp_path / "b.png", 90)
    assert "any change in the answer is invented" in between(*Films(tmp_path).pair(PairRow("a.png", "b.png")))[0]


def test_a_root_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the image root is not a folder; check --image-root"):
        Films(tmp_path / "nowhere")
