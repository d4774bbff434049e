"""Composed questions: true of their images, balanced, of patients kept apart, and read back as Med-MIM."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from errors import TuneError
from finetune import compose, medmim, protocol, records
from finetune.compose import FORMS
from finetune.records import Record


def table(folder: Path, rows: list[dict[str, str]], name: str = "labels.csv", images: bool = True) -> Path:
    path = folder / name
    with gzip.open(path, "wt", newline="") if name.endswith(".gz") else path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows if images else ():
        image = folder / next(iter(row.values()))
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    return path


def known(patients: int = 40, seed: int = 0) -> list[Record]:
    """Two films of each patient with two findings, side and severity."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(2 * patients):
        present = frozenset(name for name in ("effusion", "nodule") if rng.random() < 0.5)
        sides = {name: ("right", "left", "bilateral")[rng.integers(3)] for name in present}
        severity = {name: float(rng.integers(1, 10)) / 10 for name in present}
        absent = frozenset({"effusion", "nodule"}) - present
        made.append(Record(f"films/{number}.png", f"p{number // 2}", present, absent, sides, severity))
    return made


# The table of labels


def test_a_column_of_labels_is_read(tmp_path: Path) -> None:
    rows = [
        {"Image Index": "00000001_000.png", "Finding Labels": "Effusion|Mass", "Patient ID": "1"},
        {"Image Index": "00000002_000.png", "Finding Labels": "No Finding", "Patient ID": ""},
        {"Image Index": "gone.png", "Finding Labels": "Hernia", "Patient ID": "3"},
    ]
    path = table(tmp_path, rows, "labels.csv.gz")
    (tmp_path / "gone.png").unlink()
    one, two = records.read(path, tmp_path)
    assert (one.image, one.patient, one.present, one.absent) == ("00000001_000.png", "1", {"pleural effusion", "mass"}, frozenset())
    assert (two.patient, two.present, two.absent) == ("00000002", frozenset(), {"pleural effusion", "mass"})


def test_a_kind_of_pneumonia_is_pneumonia(tmp_path: Path) -> None:
    rows = [
        {"image": "a/person23_bacteria_78.jpg", "label": "PNEUMONIA_BACTERIA", "person_id": "23"},
        {"image": "a/NORMAL2-IM-0419-0001-0002.jpg", "label": "NORMAL", "person_id": ""},
        {"image": "a/other.jpg", "label": "PNEUMONIA_VIRUS", "person_id": ""},
    ]
    path = table(tmp_path, rows)
    sick, well, other = records.read(path, tmp_path)
    assert sick.present == {"pneumonia", "bacterial pneumonia"}
    assert sick.absent == {"viral pneumonia"}
    assert well.absent == {"pneumonia", "bacterial pneumonia", "viral pneumonia"}
    assert [sick.patient, well.patient, other.patient] == ["23", "NORMAL2-IM-0419", "other"]
    assert records.read(path, tmp_path, r"person\d+")[0].patient == "person23"


def test_a_column_for_each_finding_is_read(tmp_path: Path) -> None:
    heads = ("path", "patient", "Effusion", "effusion_side", "Effusion severity", "Nodule", "age")
    cells = [
        ("1.png", "a", "1", "Left", "mild", "-1", "5"),
        ("2.png", "b", "0.0", "right", "0.4", "yes", "7"),
        ("3.png", "c", "present", "?", "7", "", "9"),
    ]
    rows = [dict(zip(heads, row, strict=True)) for row in cells]
    one, two, three = records.read(table(tmp_path, rows), tmp_path)
    assert (one.present, one.absent) == ({"pleural effusion"}, frozenset())
    assert (one.side, one.severity) == ({"pleural effusion": "left"}, {"pleural effusion": 0.2})
    assert (two.present, two.absent, two.side, two.severity) == ({"nodule"}, {"pleural effusion"}, {}, {})
    assert (three.present, three.absent, three.side, three.severity) == ({"pleural effusion"}, frozenset(), {}, {})


def test_a_file_with_more_behind_a_dash_is_the_image_it_begins_with(tmp_path: Path) -> None:
    path = table(tmp_path, [{"Image Index": "00000001_000.png", "Finding Labels": "Effusion"}], images=False)
    (tmp_path / "00000001_000-Effusion.png").touch()
    assert records.read(path, tmp_path)[0].image == "00000001_000-Effusion.png"
    (tmp_path / "00000001_000-Other.png").touch()
    with pytest.raises(TuneError, match="none of its images"):
        records.read(path, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows"),
        ("image,label\n", "has no rows"),
        ("name,label\na,b\n", "no column names the image .it has name, label."),
        ("image,age\na.png,7\n", "no column tells what an image shows"),
        ("image,label\nb.png,x\n", "none of its images is below"),
        ("image,label\n../a.png,x\n", "none of its images is below"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.png").touch()
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(TuneError, match=said):
        records.read(path, tmp_path)


def test_a_table_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.csv.gz", b"not gzip"), ("a.csv", b"\xff\xfe\x00"), ("a.csv", b"image,label\n\x00,\xff")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TuneError):
            records.read(tmp_path / name, tmp_path)
    with pytest.raises(TuneError, match="cannot be read"):
        records.read(tmp_path / "none.csv", tmp_path)


def test_a_broken_expression_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [{"image": "a.png", "label": "x"}])
    with pytest.raises(TuneError, match="no regular expression"):
        records.read(path, tmp_path, "(")


# Composition


def read_back(folder: Path, items: list[compose.Raw], name: str = "composed.json") -> medmim.Benchmark:
    compose.write(folder / name, items)
    return medmim.load(folder / name)


def test_what_is_composed_is_read_back(tmp_path: Path) -> None:
    items = compose.compose(known(), 600, seed=3, name="ours")
    read = read_back(tmp_path, items)
    assert len(read.items) == len({item.key for item in read.items}) == 600
    assert {item.ability for item in read.items} == {"comparison", "coreference"}
    assert Counter(len(item.images) for item in read.items).keys() == {2, 3}
    assert [item.answer for item in read.items] == [raw["conversation"][1]["content"] for raw in items]
    closed = sum(item.closed for item in read.items)
    assert 0.64 < closed / 600 < 0.76
    assert protocol.headline(read.items, {item.key: item.letter for item in read.items if item.closed}, draws=10)[0].value == 1


FINDING = re.compile("effusion|nodule")


def truths(record: Record, name: str) -> set[str]:
    marks = {"+" if name in record.present else "-"}
    return marks | {{"right": "R", "left": "L"}.get(record.side.get(name, ""), "")}


def test_every_closed_answer_is_true_and_every_other_option_false(tmp_path: Path) -> None:
    """Each item is judged again from its images' labels alone, option by option."""
    films = {record.image: record for record in known()}
    read = read_back(tmp_path, compose.compose(list(films.values()), 800, seed=1, open_share=0.0))
    forms = {ask.replace("{finding}", name): (form, name) for form in FORMS for ask in form.asks for name in ("effusion", "nodule")}
    seen = set()
    for item in read.items:
        form, name = forms[item.stem]
        drawn = [films[image] for image in item.images]
        for letter, text in item.options:
            answer = next(known for known in form.answers if known.replace("{finding}", name) == text)
            if form.name == "worse":
                true = (drawn[0].severity[name] > drawn[1].severity[name]) == (answer == "the first image")
            else:
                true = any(
                    all(mark in truths(film, name) for mark, film in zip(marks, drawn, strict=True)) for marks in form.answers[answer]
                )
            assert true == (letter == item.letter), (item.stem, item.options, item.letter)
        seen.add(form.name)
        assert len({film.patient for film in drawn}) == len(drawn)
    assert seen == {form.name for form in FORMS}


def test_open_answers_say_what_the_images_show() -> None:
    films = {record.image: record for record in known()}
    items = compose.compose(list(films.values()), 400, seed=2, open_share=1.0)
    checked = 0
    for item in items:
        said = item["conversation"][1]["content"]
        found = re.search(r"only the (\w+) image shows (effusion|nodule)", said, re.IGNORECASE)
        if found:
            shows = [found[2] in films[image].present for image in item["images"]]
            assert shows == [word == found[1] for word in compose.ORDINALS[: len(shows)]]
            checked += 1
        assert not re.search(r"[{}]", said)
        assert said[0].isupper() or said[0].isdigit()
        assert said.endswith(".")
    assert checked > 40


def test_answers_and_letters_are_balanced_inside_every_form_and_finding(tmp_path: Path) -> None:
    read = read_back(tmp_path, compose.compose(known(60), 1800, seed=4, open_share=0.0))
    texts: dict[tuple[str, str, str], Counter[str]] = {}
    for item in read.items:
        name = FINDING.search(item.stem)
        assert name is not None
        form = next(form.name for form in FORMS for ask in form.asks if ask.replace("{finding}", name[0]) == item.stem)
        for kind, value in (("letter", item.letter or ""), ("text", dict(item.options)[item.letter or ""])):
            texts.setdefault((kind, form, name[0]), Counter())[value] += 1
    for key, counts in texts.items():
        assert max(counts.values()) <= 1.35 * min(counts.values()) + 6, (key, counts)
    for figure in protocol.baselines(read.items, draws=1):
        if figure.kind != "random" and figure.name == "all items":
            assert figure.value < figure.chance + 0.04, figure


def test_the_same_seed_gives_the_same_items() -> None:
    films = known()
    assert compose.compose(films, 50, seed=5) == compose.compose(films, 50, seed=5)
    assert compose.compose(films, 50, seed=5) != compose.compose(films, 50, seed=6)


def test_nothing_is_repeated_and_few_images_give_few_items() -> None:
    films = [Record(f"{n}.png", f"p{n}", frozenset({"mass"} if n < 2 else ()), frozenset(() if n < 2 else {"mass"})) for n in range(4)]
    items = compose.compose(films, 100_000, seed=0)
    assert 20 < len(items) < 400
    asked = [(*item["images"], *item["conversation"][0]["content"].partition("\n")[:2]) for item in items]
    assert len(set(asked)) == len(items)


def test_images_that_give_no_question_are_refused() -> None:
    films = [Record(f"{n}.png", "one patient", frozenset({"mass"}), frozenset()) for n in range(9)]
    with pytest.raises(TuneError, match="9 images of 1 patients give no question"):
        compose.compose(films, 10)


def test_a_finding_that_would_tell_its_answer_is_not_asked_for() -> None:
    """Only one patient shows the hernia: `Do both images show hernia?` would always be No."""
    shown = [frozenset({"mass"} if n % 2 else {"hernia"} if n == 0 else ()) for n in range(12)]
    films = [Record(f"{n}.png", f"p{n}", some, frozenset({"mass", "hernia"}) - some) for n, some in enumerate(shown)]
    assert not any("hernia" in item["conversation"][0]["content"] for item in compose.compose(films, 200))


def test_patients_are_kept_apart() -> None:
    films = known(200)
    train, dev = compose.halves(films)
    assert len(train) + len(dev) == len(films)
    assert {record.patient for record in train} & {record.patient for record in dev} == set()
    assert 0.04 < len(dev) / len(films) < 0.17
    assert compose.halves(films[::-1])[1] == dev[::-1], "the order of the table does not matter"


# The command


def test_the_command_writes_both_files_of_different_patients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": f"films/{n}.png", "label": "mass" if n % 2 else "NORMAL", "patient": f"p{n // 4}"} for n in range(400)]
    labels, out, dev = table(tmp_path, rows), tmp_path / "new" / "composed.json", tmp_path / "composed_dev.json"
    wanted = [
        "--labels",
        str(labels),
        "--image-root",
        str(tmp_path),
        "--out",
        str(out),
        "--dev",
        str(dev),
        "--count",
        "300",
        "--name",
        "ours",
    ]
    assert compose.main(wanted) == 0
    told = capsys.readouterr().out
    assert f"{out}: 300 items" in told
    assert f"{dev}: 30 items" in told
    one, two = (medmim.load(path, tmp_path) for path in (out, dev))
    assert one.missing == two.missing == ()
    patients = [{int(Path(image).stem) // 4 for item in read.items for image in item.images} for read in (one, two)]
    assert patients[0] & patients[1] == set()


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = table(tmp_path, [{"image": f"{n}.png", "label": "mass" if n % 2 else ""} for n in range(8)])
    base = ["--labels", str(labels), "--image-root", str(tmp_path)]
    assert compose.main([*base, "--out", str(tmp_path / "x.json"), "--count", "0"]) == 1
    assert compose.main([*base, "--out", str(labels / "x.json")]) == 1
    assert compose.main(["--labels", str(tmp_path / "none.csv"), "--image-root", str(tmp_path), "--out", str(tmp_path / "x.json")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.split("; ")[0].rpartition(": ")[2][:30] for line in errors] == [
        "--count must be at least 1 and",
        "the items cannot be written (F",
        "the table of labels cannot be ",
    ]
    assert all(line.count("; ") == 1 for line in errors)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", *[".png"] * 8]


@pytest.mark.data
@pytest.mark.parametrize(
    ("labels", "root", "findings"),
    [
        ("cxr_kermany/labels.csv", "cxr_kermany", {"pneumonia", "bacterial pneumonia", "viral pneumonia"}),
        ("cxr_nih/Data_Entry_2017_v2020.csv.gz", "cxr_nih", {"pleural effusion", "infiltration"}),
    ],
)
def test_the_public_tables_are_read(test_data: Path, tmp_path: Path, labels: str, root: str, findings: set[str]) -> None:
    films = records.read(test_data / labels, test_data / root)
    assert len(films) == {"cxr_kermany": 638, "cxr_nih": 10}[root]
    items = compose.compose(films, 200, name=root)
    text = json.dumps(items)
    assert all(name in text for name in findings)
    assert "_" not in "".join(item["conversation"][0]["content"] for item in items), "no label's raw name in a question"
    compose.write(tmp_path / "composed.json", items)
    read = medmim.load(tmp_path / "composed.json", test_data / root)
    assert (len(read.items), read.missing) == (200, ())
