"""Ablation of abilities: variants share what came before and differ in their questions alone; the table's differences are paired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from errors import TuneError
from finetune import ablation, base, dataset, language, loop, train, vision
from finetune.ablation import ALL, Question
from finetune.dataset import ABILITIES, Sources
from finetune.loop import Work
from finetune.synthesis import pairs
from finetune.synthesis.questions import Item
from inference.prompts import OVERALL
from tests.finetune import tiny


@contextmanager
def opened(_path: Path) -> Iterator[tiny.TinyBase]:
    """The tiny base in the place of the wheel's."""
    yield tiny.TinyBase()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> train.Run:
    """A run whose tower and connector stages are finished, with random weights."""
    monkeypatch.setattr(base, "wheel", lambda: tmp_path / "wheel")
    monkeypatch.setattr(base, "opened", opened)
    monkeypatch.setattr(dataset, "sources", lambda *_given: Sources(tiny.SOURCE, None, 1.0))
    monkeypatch.setattr(train, "LISTENED", 2)
    made = train.Run(tiny.recipe(), tmp_path / "run", workers=0, threads=1)
    model, _ = reader()
    model.sight.requires_grad_(True)
    finished(made, "tower", model.sight)
    model.train_only(("connector",))
    finished(made, "connector", model)
    return made


def finished(run: train.Run, stage: str, module: torch.nn.Module) -> None:
    """Leave the checkpoint of a stage that ran to its end."""
    schedule = getattr(run.recipe, stage).schedule
    loop.save(Work(stage, module, [], None, None, schedule), run.folder, schedule.steps)  # type: ignore[arg-type]


def some(count: int = 6) -> list[pairs.Pair]:
    return [tiny.pair(seed) for seed in range(count)]


def test_every_ability_is_left_out_once() -> None:
    found = ablation.variants()
    assert found[ALL] == ABILITIES
    assert {frozenset(ABILITIES) - frozenset(kept) for name, kept in found.items() if name != ALL} == {
        frozenset({name}) for name in ABILITIES
    }


def test_two_steps_of_each_variant_leave_a_table_of_all_abilities(run: train.Run, tmp_path: Path) -> None:
    said: list[str] = []
    before = {stage: (run.folder / f"{stage}.pt").read_bytes() for stage in ablation.EARLIER}
    rows = ablation.ablate(run, 2, 4, tmp_path / "out", said.append)
    written = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert (written["steps"], len(written["scores"])) == (2, len(rows))
    assert {row.variant for row in rows} == set(ablation.variants())
    assert {row.ability for row in rows} == set(ABILITIES)
    assert [row.trained for row in rows if row.variant == "without temporal"].count(False) == 1
    assert all(row.difference == 0 for row in rows if row.variant == ALL)
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert table.count("\n| without ") == len(ABILITIES)
    assert {stage: (run.folder / f"{stage}.pt").read_bytes() for stage in ablation.EARLIER} == before
    weights = {folder.name: (folder / "joint.pt").read_bytes() for folder in (run.folder / "ablation").iterdir()}
    assert len(set(weights.values())) == len(ablation.variants())


def test_a_run_without_its_earlier_stages_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="stage tower is not finished"):
        ablation.ablate(train.Run(tiny.recipe(), tmp_path / "run"), 2, 4, tmp_path / "out", lambda _words: None)
    assert not (tmp_path / "out").exists()


def test_questions_offer_the_truth_first_and_answers_of_other_pairs_of_the_same_kind() -> None:
    asked = ablation.ask(some())
    assert {question.item.ability for question in asked} == set(ABILITIES)
    for question in asked:
        assert question.choices[0] == question.item.answer
        assert 1 < len(set(question.choices)) == len(question.choices) <= ablation.MOST
        if question.item.kind == "letters":
            assert all(f"\n{choice}" in question.item.question for choice in question.choices)
        if question.item.kind == "overall":
            assert set(question.choices) <= set(OVERALL)
    assert ablation.ask(some()) == asked


def test_lettered_lines_are_the_options() -> None:
    assert ablation.options("Is it worse?\nA: worse\nB: no change: stable") == ("A: worse", "B: no change: stable")
    assert ablation.options("Is it worse?") == ()


def reader() -> tuple[language.Reader, train.Words]:
    torch.manual_seed(0)
    text = language.text_model(tiny.TinyBase(), tiny.shape(), torch.float32)  # type: ignore[arg-type]
    model = language.Reader(text, vision.Sight(tiny.VISION), tiny.shape(), tiny.recipe().lora)
    return model, train.Words(tiny.shape(), tiny.words(), text)


def test_the_answer_a_model_was_shown_is_the_one_it_prefers() -> None:
    """After learning one answer by heart the model must be found to prefer it, asked alone or among other questions."""
    model, known = reader()
    pair = tiny.pair(1)
    item = Item((0, 1), ("prior", "current"), ("", ""), "Is it worse?", "worse", "temporal", "temporal", "overall")
    batch = language.pack([dataset.row(pair, [item], known.vocabulary, tiny.VISION.tokens, 64)])
    model.train_only(("connector", "lora"))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(12):
        model.loss(batch).backward()
        optimiser.step()
        optimiser.zero_grad()
    right = Question(0, "p", item, ("worse", "stable", "improved"))
    wrong = Question(0, "p", item, ("stable", "worse", "improved"))
    assert ablation.scores(model, known, [pair], [right, wrong]) == [True, False]
    assert ablation.scores(model, known, [pair], [wrong]) == [False]


def test_differences_are_of_the_same_questions() -> None:
    asked = [
        Question(
            number, f"p{number % 4}", Item((0, 1), ("", ""), ("", ""), "q", "a", ABILITIES[number % 2], "temporal", "which"), ("a", "b")
        )
        for number in range(16)
    ]
    right = {name: [name == ALL or question.item.ability != "temporal" for question in asked] for name in ablation.variants()}
    rows = {(row.variant, row.ability): row for row in ablation.table(asked, right)}
    assert rows["without temporal", "temporal"].difference == -1
    assert rows["without temporal", "comparison"].difference == 0
    assert rows[ALL, "temporal"].chance == 0.5
    assert (rows[ALL, "temporal"].questions, rows[ALL, "temporal"].patients) == (8, 2)
    assert "**-1.00 [-1.00, -1.00]**" in ablation.markdown(list(rows.values()), 3)
