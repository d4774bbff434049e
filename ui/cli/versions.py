"""`finetune build`, `list`, `export` and `import`: dataset versions from Med-MIM files and what readers corrected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ui.cli.common import DataDir, Json, Output, begin

if TYPE_CHECKING:
    from finetune.versions.shelf import Version

Files = list[Path] | None


def build(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the version.", show_default="the next of v1, v2...")] = "",
    med_mim: Annotated[Files, typer.Option(metavar="FILE", help="A Med-MIM training file; as often as there are files.")] = None,
    image_root: Annotated[Files, typer.Option(metavar="DIR", help="Folder of the files' images; as often as there are folders.")] = None,
    replay: Annotated[Files, typer.Option(metavar="FILE", help="A Med-MIM file that keeps what the model knew; never held back.")] = None,
    generated: Annotated[int, typer.Option(min=0, metavar="N", help="Pairs of the generator, for the same end.")] = 0,
    gate: Annotated[Files, typer.Option(metavar="FILE", help="Med-MIM file models will be measured on: nothing of it goes in.")] = None,
    benchmark: Annotated[
        Files, typer.Option(metavar="FILE", help="Med-MIM file that is only compared; published ones beside the data always are.")
    ] = None,
    leave_out_leaked: Annotated[bool, typer.Option("--leave-out-leaked", help="Leave out what a gate shares instead of refusing.")] = False,
    held: Annotated[float, typer.Option(metavar="SHARE", help="Share of patients held back from training.")] = 0.1,
    feedback: Annotated[bool, typer.Option(help="Whether what readers corrected and reviewers let through goes in.")] = True,
    quota: Annotated[int, typer.Option(min=0, metavar="N", help="Most reviewed items of one reader; 0: no limit.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of generated pairs.")] = 0,
    model: Annotated[str, typer.Option(help="Model whose context every item must fit.", show_default="the model in force")] = "",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Build a dataset version; exit 2 when items of a gate are in the data."""
    from finetune.versions.build import Plan, Refused
    from finetune.versions.build import build as made
    from storage.store import Store
    from ui.training import corrections, room_of

    settings, out = begin(context, data_dir, as_json)
    room, remark = room_of(settings, model)
    if remark:
        out.note(remark)
    with Store(settings) as store:
        plan = Plan(
            name,
            tuple(med_mim or ()),
            tuple(replay or ()),
            generated,
            tuple(image_root or ()),
            tuple(gate or ()),
            tuple(benchmark or ()),
            leave_out_leaked,
            held,
            quota,
            seed,
            corrections(store) if feedback else None,
            room,
        )
        try:
            version = made(settings.versions_dir, plan, out.say)
        except Refused as refusal:
            out.result({"refused": str(refusal), "leakage": [report.content for report in refusal.reports]})
            raise
    told(version, out)
    out.result({"path": str(version.folder), **version.manifest})


def told(version: Version, out: Output) -> None:
    """A version in a few lines."""
    from finetune.versions.shelf import told as words

    counts = version.manifest["counts"]
    out.say(
        f"{version.name}: {counts['train']} to train on, {counts['held']} held back, {counts['preferences']} preferences, "
        f"{counts['patients']} patients, {version.manifest['images']['count']} images; {version.sha256[:16]}"
    )
    for name in ("source", "ability", "modality", "label", "kind", "code"):
        if counts[name]:
            out.say(f"  {name:9} {words(counts[name])}")


def list_versions(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """List the dataset versions."""
    from finetune.versions import shelf

    settings, out = begin(context, data_dir, as_json)
    found = shelf.every(settings.versions_dir)
    for version in found:
        counts = version.manifest["counts"]
        out.say(
            f"{version.name:16} {version.manifest['created']:25} {counts['train']:6} train {counts['held']:5} held "
            f"{counts['preferences']:5} preferences  {version.sha256[:16]}"
        )
    out.result({"versions": [{"path": str(version.folder), **version.manifest} for version in found]})


def export(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The version.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder to write.")],
    form: Annotated[Literal["med-mim", "jsonl", "datasets"], typer.Option("--format", help="For which tools.")] = "med-mim",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Write a version with its images as Med-MIM JSON, JSON lines or a folder of the datasets library."""
    from finetune.versions import export as exporting
    from finetune.versions import shelf

    settings, out = begin(context, data_dir, as_json)
    version = shelf.read(settings.versions_dir, name)
    shelf.check(version)
    exporting.write(version, folder, form)
    out.say(f"{version.name} is in {folder} ({form}).")
    out.result({"path": str(folder), "format": form, "name": version.name, "sha256": version.sha256})


def take_in(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `finetune export` wrote.")],
    name: Annotated[str, typer.Option(help="Name of the version.", show_default="its own where that is free")] = "",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Take an exported version in again, the same to the bit; a folder that was changed is refused."""
    from finetune.versions import export as exporting

    settings, out = begin(context, data_dir, as_json)
    version = exporting.take_in(settings.versions_dir, folder, name)
    told(version, out)
    out.result({"path": str(version.folder), **version.manifest})
