"""Fine-tuning, on tiny models of the real classes: every family learns, nothing but its adapter moves, a killed run goes on, and what
is wrong is said before any work."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from errors import ModelNotLoaded, TuneError
from finetune import examples, families, features, hands, loop, recipe, sft
from finetune.encoding import Words
from finetune.examples import Example
from finetune.features import Batch, Store
from finetune.hands import Shares
from inference import seeing
from inference.engine import RGB, Image, Request
from inference.torch_engine import TorchEngine
from tests.bench.serving import free_port
from tests.finetune import tiny_families as tiny
from tests.finetune.test_families import TRAINED
from tests.inference import tiny as engine_tiny

ROOT = Path(__file__).resolve().parents[2] / "finetune"
RECIPES = sorted((ROOT / "recipes").glob("sft_*.yaml"))
LAUNCHES = sorted((ROOT / "accelerate").glob("*.yaml"))
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "seed": 1,
    "data": [{"kind": "examples", "file": "examples.jsonl"}],
    "cache": "memory",
    "precision": "fp32",
    "adapter": {"rank": 4, "alpha": 8},
    "tuning": {"rate": 0.005, "steps": 4, "batch": 2, "micro": 2, "save_every": 2},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def parsed(**changes: Any) -> sft.SftRecipe:
    found: sft.SftRecipe = recipe.parse(sft.SftRecipe, {**RECIPE, **changes}, "tiny")
    return found


def run(folder: Path, name: str = "idefics3", **changes: Any) -> sft.Run:
    """A run on a family's tiny model, which is built once in `folder`."""
    model, data = folder / name, folder / "data"
    if not model.exists():
        tiny.build(model, name)
        tiny.examples(data)
    return sft.Run(parsed(tile=tiny.TILES.get(name, 0), **changes), folder / "run", model, data)


def learner(given: sft.Run) -> tuple[sft.Learner, list[Batch]]:
    """The model and two batches: all examples, and the same with images exchanged."""
    form = families.form(given.model, given.recipe.tile)
    found = examples.collect(given.recipe.data[0], given.data_root, 0).examples
    turned = [replace(example, images=example.images[::-1]) for example in found]
    words = Words(form)
    torch.manual_seed(0)
    batches = [features.collate([(one, words.encode(one)) for one in part], form, 1 / 40) for part in (found[:4], turned[:4])]
    return sft.learner(given, form), batches


def curve(folder: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((folder / "sft.json").read_text())["curve"]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


@pytest.mark.parametrize("name", TRAINED)
def test_every_family_learns_by_its_adapter_alone(tmp_path: Path, name: str) -> None:
    """Pairs and triples mixed in one batch. Exchanged images change what is said, and so does the adapter; the rest stays as it was."""
    model, (batch, turned) = learner(run(tmp_path, name))
    before = {key: value.clone() for key, value in model.model.named_parameters() if "lora_" not in key}
    optimiser = torch.optim.AdamW(loop.trained(model).values(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = model(batch)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    model.eval()
    with torch.no_grad():
        asked = model.logits(batch)
        assert not torch.allclose(asked, model.logits(turned), atol=1e-4)
        with model.net.disable_adapter():
            assert not torch.allclose(asked, model.logits(batch), atol=1e-2)
    assert all(torch.equal(value, before[key]) for key, value in model.model.named_parameters() if "lora_" not in key)


@pytest.mark.parametrize("name", ["mantis-siglip", "gemma3", "qwen3-vl"])
def test_our_loss_is_the_class_own(tmp_path: Path, name: str) -> None:
    """Pixels given to the published forward, with its own loss over all logits, against kept features and answer logits alone."""
    model, (batch, _) = learner(run(tmp_path, name))
    model.eval()
    form, assert_tiles = model.form, batch.tiles
    assert assert_tiles is not None
    every = torch.stack([assert_tiles[batch.unique.index(key)] for key in batch.keys])
    values: Any = seeing.scaled(every, form)
    more: dict[str, Any] = {form.family.types: batch.images.long()} if form.family.types else {}
    if form.family.feed == "patches":
        values, more = seeing.patches(values, form.patch, form.merge), {**more, "image_grid_thw": features.grids(len(every), form)}
    with torch.no_grad():
        theirs = model.net(input_ids=batch.ids, attention_mask=batch.mask, pixel_values=values, **more).logits
        ours = model.logits(batch)
    assert torch.allclose(ours, theirs[batch.labels != -100], atol=1e-4)


@pytest.mark.parametrize("name", ["mantis-siglip", "idefics2", "qwen3-vl"])
def test_kept_features_give_the_same_curve(tmp_path: Path, name: str) -> None:
    curves = []
    for cache in ("off", "memory", "disk"):
        given = run(tmp_path, name, cache=cache)
        sft.tune(replace(given, folder=tmp_path / cache), say=lambda _line: None)
        curves.append(curve(tmp_path / cache))
    assert [row["step"] for row in curves[0]] == [4]
    for other in curves[1:]:
        assert all(abs(ours["loss"] - theirs["loss"]) < 1e-3 for ours, theirs in zip(curves[0], other, strict=True))


def test_each_image_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    seen = features.seen

    def counted(net: Any, form: families.Form, tiles: torch.Tensor) -> Any:
        looks.append(len(tiles))
        return seen(net, form, tiles)

    monkeypatch.setattr(features, "seen", counted)
    given = run(tmp_path, cache="disk")
    sft.tune(given, ["features"], say=lambda _line: None)
    sft.tune(given, say=lambda _line: None)
    assert sum(looks) == 4


def test_a_killed_run_ends_where_an_undisturbed_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the fourth step, after the checkpoint of the second: same adapter, same curve."""
    given = run(tmp_path, tuning={**RECIPE["tuning"], "steps": 6}, adapter={"rank": 4, "alpha": 8, "dropout": 0.1})
    sft.tune(replace(given, folder=tmp_path / "whole"), say=lambda _line: None)
    take = hands.Accelerated.gradients

    def killed(self: Any, work: loop.Work, batch: Any, step: int) -> dict[str, float]:
        if step == 3:
            raise KeyboardInterrupt
        return take(self, work, batch, step)

    monkeypatch.setattr(hands.Accelerated, "gradients", killed)
    with pytest.raises(KeyboardInterrupt):
        sft.tune(replace(given, folder=tmp_path / "killed"), say=lambda _line: None)
    assert not (tmp_path / "killed" / "adapter").exists()
    monkeypatch.setattr(hands.Accelerated, "gradients", take)
    sft.tune(replace(given, folder=tmp_path / "killed"), say=lambda _line: None)
    whole, resumed = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-6) for name in whole)
    assert curve(tmp_path / "whole") == curve(tmp_path / "killed")


def test_a_loss_that_is_not_a_number_leaves_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = run(tmp_path)
    forward = sft.Learner.forward
    steps: list[int] = []

    def broken(self: sft.Learner, batch: Batch) -> torch.Tensor:
        steps.append(1)
        return forward(self, batch) * (float("nan") if len(steps) == 4 else 1.0)

    monkeypatch.setattr(sft.Learner, "forward", broken)
    with pytest.raises(TuneError, match="the loss of step 3 is not a number"):
        sft.tune(given, say=lambda _line: None)
    state = loop.checkpoint(given.folder, "sft")
    assert state is not None
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for value in state["module"].values())


def test_a_full_disk_is_one_sentence_and_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = run(tmp_path)

    def full(_state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TuneError, match="free some disk and start the stage again"):
        sft.tune(given, say=lambda _line: None)
    assert sorted(path.name for path in given.folder.iterdir()) == ["run.json"]


def test_another_run_is_not_mixed_into_a_folder(tmp_path: Path) -> None:
    given = run(tmp_path)
    sft.tune(given, ["check"], say=lambda _line: None)
    with pytest.raises(TuneError, match="a run with another recipe, model or data was started here"):
        sft.tune(replace(given, recipe=replace(given.recipe, seed=2)), ["check"], say=lambda _line: None)


def _row(**changes: Any) -> str:
    row: dict[str, Any] = {"images": ["0.png", "1.png"], "question": "What changed?", "answer": "worse", **changes}
    return json.dumps(row)


@pytest.mark.parametrize(
    ("line", "changes", "sentence"),
    [
        (_row(images=["0.png", "none.png"]), {}, "none.png is not there"),
        (_row(answer="  "), {}, "no question or no answer"),
        (_row(images=["0.png"] * 9), {}, "it has 9 images and idefics3 takes 1 to 8"),
        (_row(question="long " * 300), {}, "(8 of them images) and there is room for 1024"),
        (_row(), {"max_tokens": 50}, "and there is room for 50"),
        (_row(images=[]), {}, "an example is an object with images, question and answer"),
        (_row(images=[{"path": "0.png", "role": 3}]), {}, "path, role and when are text"),
        (_row(ability="dreaming"), {}, "ability 'dreaming'"),
        ("{broken", {}, "the examples cannot be read"),
        (_row(), {"family": "gemma3"}, "the recipe is for gemma3 and this is idefics3"),
        (_row(), {"revision": "0123"}, "the recipe pins revision 0123"),
        (_row(), {"data": [{"kind": "medmim", "file": "none.json"}]}, "the benchmark file cannot be read"),
        (_row(), {"tuning": {"batch": 3, "micro": 2}}, "a batch of 3 cannot be read 2 at a time"),
    ],
)
def test_what_cannot_be_trained_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, changes: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(sft, "learner", lambda *_: pytest.fail("the weights were read"))
    tiny.examples(tmp_path / "data")
    (tmp_path / "data" / "examples.jsonl").write_text(line + "\n")
    model = tiny.config(tmp_path / "idefics3", "idefics3")
    (model / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(TuneError) as raised:
        sft.tune(sft.Run(parsed(**changes), tmp_path / "run", model, tmp_path / "data"), say=lambda _line: None)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_unusable_examples_are_left_out_when_that_was_asked_for(tmp_path: Path) -> None:
    given = run(tmp_path, unusable="leave out")
    with (given.data_root / "examples.jsonl").open("a") as file:
        file.write(_row(images=["gone.png"]) + "\n" + _row(answer="") + "\n")
    told: list[str] = []
    sft.tune(given, ["check"], say=told.append)
    assert told == [
        "idefics3, 6 examples, longest 208 tokens; 1 left out: an image that cannot be read, 1 left out: no question or no answer"
    ]
    assert json.loads((given.folder / "run.json").read_text())["examples"] == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cache": "tape"}, "cache: 'tape' is unknown; choose one of off, memory, disk"),
        ({"family": "gpt"}, "family: 'gpt' is unknown"),
        ({"data": []}, "the recipe names no source"),
        ({"data": [{"kind": "examples"}]}, "needs a file"),
        ({"data": [{"kind": "generator", "pairs": 4, "phantom": 0.5}]}, "names no folder of films"),
        ({"data": [{"kind": "web", "file": "x"}]}, "there is no kind 'web'"),
        ({"adapter": {"rank": 16, "alpha": 20}}, "must be 0.5, 1, 2 or 4"),
        ({"adapter": {"linears": ["q_proj", "fc1"]}}, "linears: fc1; it may name"),
        ({"adapter": {"dora": 1}}, "1 is not a bool"),
        ({"tuning": {"rate": 0.1, "epochs": 0.0}}, "give no training"),
        ({"colour": 1}, "there is no colour"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TuneError) as raised:
        parsed(**changes)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid(path: Path) -> None:
    found = sft.load(path)
    assert found.tuning.schedule(5000).steps > 0


@pytest.mark.parametrize("path", LAUNCHES, ids=lambda path: path.stem)
def test_a_launch_file_is_one_that_accelerate_reads(path: Path) -> None:
    assert load_config_from_file(str(path)).num_processes >= 1
    assert {launch.stem for launch in LAUNCHES} == {"cpu", "single_gpu", "multi_gpu", "fsdp2", "zero2", "zero3"}


def test_processes_share_a_step_and_epochs_are_permutations(tmp_path: Path) -> None:
    given = run(tmp_path)
    form = families.form(given.model)
    found = examples.collect(given.recipe.data[0], given.data_root, 0).examples
    words, nobody = Words(form), Store()
    nobody.put("x", (torch.zeros(1),))

    def shares(rank: int, world: int) -> Shares:
        return Shares(found, words, form, None, 5, 4, 1, rank, world).over(range(3))

    alone, both = shares(0, 1), [shares(rank, 2) for rank in range(2)]
    drawn = [place for step in range(3) for place in alone.order(step)]
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))
    parts = [part for share in both for part in share[1]]
    assert sorted(key for part in parts for key in part.keys) == sorted(key for part in alone[1] for key in part.keys)
    assert {part.share for part in parts} == {part.share for part in alone[1]}


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """Each reads half of every step; gradients meet, so loss and norm are those of one process."""
    given = run(tmp_path, tuning={**RECIPE["tuning"], "steps": 4, "batch": 4, "micro": 1}, cache="disk")
    sft.tune(given, say=lambda _line: None)
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({**RECIPE, "cache": "disk", "tuning": {**RECIPE["tuning"], "batch": 4, "micro": 1}})
    )
    words = ["--recipe", tmp_path / "recipe.yaml", "--model", given.model, "--data-root", given.data_root, "--run", tmp_path / "two"]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = str(ROOT.parent)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "finetune.sft", *map(str, words)],
            env={**shared, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=600)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    one, two = curve(given.folder), curve(tmp_path / "two")
    assert all(abs(a["loss"] - b["loss"]) < 1e-3 and abs(a["norm"] - b["norm"]) < 1e-2 for a, b in zip(one, two, strict=True))


@dataclass(frozen=True)
class Shown:
    """An image of a request, as training takes images."""

    image: Image

    @property
    def key(self) -> str:
        return self.image.sha256

    def trouble(self) -> str:
        return ""

    def pixels(self) -> RGB:
        return self.image.pixels


def peft_scores(model: Path, adapter: Path, request: Request, choices: list[str]) -> list[float]:
    """Log-probability of each choice by PEFT on the published class."""
    form = families.form(model)
    net = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32), adapter)
    asked, words, scores = sft.Learner(net.eval(), form), Words(form), []
    images = tuple(Shown(image) for image in request.images)
    roles, whens = tuple(image.role for image in request.images), tuple(image.when for image in request.images)
    for choice in choices:
        one = Example("", images, request.question, choice, roles=roles, whens=whens)
        batch = features.collate([(one, words.encode(one))], form, 1.0)
        with torch.no_grad():
            scores.append(-float(asked(batch)))
    return scores


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_engine_answers_with_the_adapter_and_refuses_another_base(tmp_path: Path) -> None:
    """Trained on the bundled model's family and put on by the engine: its answers change, and their scores are PEFT's own."""
    model = engine_tiny.build(tmp_path / "model")
    tiny.examples(tmp_path / "data")
    folder = sft.tune(
        sft.Run(parsed(tuning={"rate": 0.02, "steps": 8, "batch": 2}), tmp_path / "run", model, tmp_path / "data"), say=lambda _l: None
    )
    assert folder is not None
    plain, tuned = (TorchEngine(model, threads=1, adapter=adapter) for adapter in (None, folder))
    request = engine_tiny.pair("What changed?")
    before, after = (engine.score(request, ["worse", "improved", "stable"]).logprobs for engine in (plain, tuned))
    assert max(after) > max(before) + 1
    assert after == pytest.approx(peft_scores(model / "hf", folder, request, ["worse", "improved", "stable"]), abs=1e-3)
    assert tuned.card.name == "tiny+tiny"
    assert tuned.card.sha256 != plain.card.sha256
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["model"]["revision"] == "seed 0"
    assert manifest["curve"][-1]["step"] == 8
    assert "/" not in json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    with pytest.raises(ModelNotLoaded, match="was trained on other weights"):
        TorchEngine(engine_tiny.build(tmp_path / "other", seed=1), threads=1, adapter=folder)
    (folder / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes()[:-1] + b"x")
    with pytest.raises(ModelNotLoaded, match="SHA-256 differs"):
        TorchEngine(model, threads=1, adapter=folder)


def test_all_sources_give_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Med-MIM file, the generator and a file of corrections in one run from the command line."""
    data = tmp_path / "data"
    tiny.examples(data, 2)
    item = {"id": "1", "images": ["0.png", "1.png"], "source": "MMXU"}
    turns = [{"role": "user", "content": "<image><image>What changed?"}, {"role": "assistant", "content": "It is worse."}]
    (data / "Med_MIM_train_inherent_Temporal.json").write_text(json.dumps([{**item, "conversation": turns}]))
    sources = [
        {"kind": "medmim", "file": "Med_MIM_train_inherent_Temporal.json", "images": ["."]},
        {"kind": "generator", "pairs": 1, "questions": 2},
        {"kind": "examples", "file": "examples.jsonl", "limit": 1},
    ]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "data": sources, "precision": "bf16"}))
    model = tiny.build(tmp_path / "model", "smolvlm")
    words = ["--recipe", tmp_path / "recipe.yaml", "--model", model, "--data-root", data, "--run", tmp_path / "run"]
    assert sft.main([*map(str, words), "--stage", "check"]) == 0
    assert "smolvlm, 4 examples" in capsys.readouterr().out
    assert sft.main(list(map(str, words))) == 0
    kinds = [source["kind"] for source in json.loads((tmp_path / "run" / "adapter" / "manifest.json").read_text())["data"]]
    assert kinds == ["medmim", "generator", "examples"]
    (data / "examples.jsonl").write_text("")
    assert sft.main(list(map(str, words))) == 1
    assert capsys.readouterr().err.count("\n") == 1
