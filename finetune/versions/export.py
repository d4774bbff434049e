"""A version for other tools, and back again: Med-MIM JSON, JSON lines, or a folder of the `datasets` library, images with it.

    write(version, Path("out"), "med-mim")
    take_in(versions, Path("out"), "copy").sha256 == version.sha256

Every format carries each line whole, so that what is taken in again is the same to the bit; a folder that was changed on the way
is refused. Med-MIM's file of preferences is read by Interval alone: the published schema has no place for a rejected answer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from errors import InputError, TuneError
from finetune import files, medmim
from finetune.versions import lines, shelf
from finetune.versions.lines import IMAGES
from finetune.versions.shelf import Contents, Version
from finetune.versions.stock import Stock

Format = Literal["med-mim", "jsonl", "datasets"]
FORMATS: tuple[Format, ...] = get_args(Format)
NOTE = "export.json"
SPLITS = ("train", "held", "preferences")
KEPT = "interval"
"""Where an item of a Med-MIM file carries its line."""
OWN = ("kind", "format", "name", "sha256", "created", "files", "images", "counts")
"""What a manifest says of its version on this machine; the rest goes with an export."""


def write(version: Version, folder: Path, form: Format) -> Path:
    """Write a version into the new folder `folder`, whole or not at all. Raises `InputError` when it is there, else `TuneError`."""
    if folder.exists():
        raise InputError(f"{folder} is there already; name a new folder")
    contents = version.contents
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        if form == "datasets":
            _datasets(version, contents, part)
        else:
            (part / IMAGES).mkdir()
            for name, path in _images(version, contents):
                shutil.copyfile(path, part / IMAGES / name)
            for split, found in zip(SPLITS, contents.parts, strict=True):
                rows = [_beside(lines.row(line)) for line in found]
                if form == "jsonl":
                    _text(part / f"{split}.jsonl", "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows))
                else:
                    _text(part / f"composed_{split}.json", json.dumps([_item(row) for row in rows], ensure_ascii=False, indent=1) + "\n")
        files.write_json(part / NOTE, {"format": form, "version": version.manifest})
        part.rename(folder)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(part)
        raise TuneError(
            f"{folder}: the version cannot be exported ({error.strerror or error}); make room or name another folder"
        ) from error
    return folder


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _images(version: Version, contents: Contents) -> Iterator[tuple[str, Path]]:
    """Name and file of every image, once."""
    for path in {image.path: None for line in contents.every for image in line.images}:
        yield Path(path).name, version.folder / path


def _beside(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose images lie in the export."""
    return {**row, "images": [{**image, "path": f"{IMAGES}/{Path(image['path']).name}"} for image in row["images"]]}


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    """Med-MIM's object of a row, which it carries besides."""
    question = row["question"].removesuffix(f"\n{medmim.INSTRUCTION}")
    return {
        "id": row["key"],
        "images": [image["path"] for image in row["images"]],
        "conversation": [
            {"role": "user", "content": medmim.PLACE * len(row["images"]) + question},
            {"role": "assistant", "content": row.get("answer", row.get("chosen"))},
        ],
        "source": f"interval_{row['ability']}",
        KEPT: dict(row),
    }


def _datasets(version: Version, contents: Contents, folder: Path) -> None:
    """One split each that has lines; images are in it."""
    from datasets import Dataset, DatasetDict, Features, Image, List, Value, disable_progress_bars

    disable_progress_bars()
    words = Value("string")
    shown = dict.fromkeys(("path", "sha256", "pixels", "name", "role", "when"), words)
    splits = {}
    for split, found in zip(SPLITS, contents.parts, strict=True):
        if not found:
            continue
        rows = [_beside(lines.row(line)) for line in found]
        known = {
            "codes": List(words),
            "clinical": List(List(words)),
            "feedback": Value("int64"),
            "images": List(shown),
            "pictures": List(Image(decode=False)),
        }
        features = Features({**{name: known.get(name, words) for name in rows[0]}, "pictures": known["pictures"]})
        pictures = ([_picture(version, image) for image in line.images] for line in found)
        splits[split] = Dataset.from_list([{**row, "pictures": some} for row, some in zip(rows, pictures, strict=True)], features=features)
    DatasetDict(splits).save_to_disk(folder)


def _picture(version: Version, image: lines.Shown) -> dict[str, Any]:
    return {"bytes": (version.folder / image.path).read_bytes(), "path": f"{image.sha256}{image.suffix}"}


def take_in(versions: Path, folder: Path, name: str = "") -> Version:
    """Make a version of an export, under a free name. Raises `InputError` for a folder that is none or was changed, `TuneError`."""
    if not (folder / NOTE).is_file():
        raise InputError(f"{folder} has no {NOTE}: it is no export of a dataset version; name the folder that `finetune export` wrote")
    note = files.read_json(folder / NOTE, "export the version again")
    exported, form = note.get("version"), note.get("format")
    if not isinstance(exported, dict) or form not in FORMATS:
        raise InputError(f"{folder / NOTE} names no version or an unknown format; export the version again")
    versions.mkdir(parents=True, exist_ok=True)
    free = shelf.fresh(versions, name or (str(exported.get("name")) if not (versions / str(exported.get("name"))).exists() else ""))
    with tempfile.TemporaryDirectory(dir=versions, prefix=".images-") as made:
        found = [_rows(folder, split, form, Path(made)) for split in SPLITS]
        parts = [
            tuple(lines.line_of(row, f"{folder.name} {split} {number}") for number, (row, _) in enumerate(rows, 1))
            for split, rows in zip(SPLITS, found, strict=True)
        ]
        contents = Contents(*parts)
        if contents.sha256 != exported.get("sha256"):
            raise InputError(f"{folder}: its lines are not those of version {exported.get('name')} any more; export the version again")
        _bring(Stock(versions), contents, (pictures for rows in found for _, pictures in rows))
    return shelf.write(versions, free, contents, {key: value for key, value in exported.items() if key not in OWN})


Rows = list[tuple[Mapping[str, Any], Sequence[Path]]]


def _rows(folder: Path, split: str, form: Format, made: Path) -> Rows:
    """Every row of a split with the files of its images."""
    if form == "datasets":
        return _of_datasets(folder, split, made)
    path = folder / (f"{split}.jsonl" if form == "jsonl" else f"composed_{split}.json")
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()] if form == "jsonl" else [_row(item) for item in json.loads(text)]
        return [(row, [folder / IMAGES / Path(image["path"]).name for image in row["images"]]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: it cannot be read ({error}); export the version again") from error


def _row(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row that an item carries. Raises `ValueError` when the item was changed and its row was not."""
    row: Mapping[str, Any] = item[KEPT]
    if _item(row) != dict(item):
        raise ValueError(f"item {item['id']} was changed")
    return row


def _of_datasets(folder: Path, split: str, made: Path) -> Rows:
    from datasets import Image, List, disable_progress_bars, load_from_disk

    disable_progress_bars()
    try:
        found = load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: it cannot be read ({error}); export the version again") from error
    if split not in found:
        return []
    rows: Rows = []
    for row in found[split].cast_column("pictures", List(Image(decode=False))):
        pictures = []
        for picture in row.pop("pictures"):
            path = made / Path(picture["path"]).name
            if not path.is_file():
                path.write_bytes(picture["bytes"])
            pictures.append(path)
        rows.append((row, pictures))
    return rows


def _bring(stock: Stock, contents: Contents, pictures: Iterable[Sequence[Path]]) -> None:
    """The images into the stock, each held to its hash. Raises `InputError`."""
    wanted = {
        path: image for line, paths in zip(contents.every, pictures, strict=True) for image, path in zip(line.images, paths, strict=True)
    }
    for path, image in wanted.items():
        if not stock.bring(path, image.sha256, image.suffix):
            raise InputError(f"{path} is gone or is not the image it was; export the version again")
