"""`finetune` as it is typed: versions are built, listed, and refused with the leakage as an object."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.finetune.versions import samples


def test_a_version_is_built_and_listed(run: Run, tmp_path: Path) -> None:
    train, gate, root = samples.files(tmp_path / "given")
    done = run("finetune", "build", "edema", "--med-mim", str(train), "--image-root", str(root), "--benchmark", str(gate), "--json")
    assert done.code == 0
    assert done.json["counts"]["source"] == {samples.TRAIN: done.json["counts"]["train"] + done.json["counts"]["held"]}
    assert done.json["compared"][0]["rows"] == [{"collection": "MS-CXR-T", "items": 4, "pair": 2, "patient": 3, "image": 2}]
    assert Path(done.json["path"], "train.jsonl").is_file()
    listed = run("finetune", "list", "--json").json["versions"]
    assert [(entry["name"], entry["sha256"]) for entry in listed] == [("edema", done.json["sha256"])]
    assert "Lengths are not checked" in run("finetune", "build", "--med-mim", str(train), "--image-root", str(root)).err


def test_a_version_gated_on_leaked_items_is_refused_in_one_sentence(run: Run, tmp_path: Path) -> None:
    train, gate, root = samples.files(tmp_path / "given")
    given = ("finetune", "build", "--med-mim", str(train), "--image-root", str(root), "--gate", str(gate))
    done = run(*given)
    assert done.code == 2
    assert "  MS-CXR-T: pair of 2 of 4 items, patient of 3 of 4, an image of 2 of 4" in done.out.splitlines()
    assert done.err.splitlines()[-1].startswith("3 items share a patient or an image with Med_MIM_benchmark_Held_in_Comparison.json")
    refused = run(*given, "--json")
    assert refused.json["leakage"][0]["rows"][0]["pair"] == 2
    assert refused.json["refused"] == done.err.splitlines()[-1]
    clean = run(*given, "--leave-out-leaked", "--json")
    assert clean.json["gates"][0]["rows"][0] == {"collection": "MS-CXR-T", "items": 4, "pair": 0, "patient": 0, "image": 0}
    assert run("finetune", "build").code == 2


def test_an_exported_version_is_taken_in_elsewhere_the_same(run: Run, tmp_path: Path) -> None:
    train, _, root = samples.files(tmp_path / "given")
    made = run("finetune", "build", "edema", "--med-mim", str(train), "--image-root", str(root), "--json").json
    out = run("finetune", "export", "edema", str(tmp_path / "out"), "--format", "jsonl", "--json").json
    back = run("finetune", "import", str(tmp_path / "out"), "--data-dir", str(tmp_path / "other"), "--json").json
    assert (out["format"], back["sha256"], back["counts"]) == ("jsonl", made["sha256"], made["counts"])
    missing = run("finetune", "export", "nothing", str(tmp_path / "out2"))
    assert (missing.code, missing.err.strip()) == (2, "there is no dataset version nothing; known: edema (python app.py finetune list)")
