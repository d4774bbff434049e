"""What the README says of code: every setting from settings.py, every command from the command line, the caution on the model's card.

python .ci/tables.py            # write them into README.md
python .ci/tables.py --check    # exit 1 when README.md differs
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
sys.path.insert(0, str(ROOT))

from settings import Settings  # noqa: E402  the checkout is on the path only now


def settings_table() -> str:
    """One row per setting: environment variable, default, help."""
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = str(field.default) if field.default != "" else "(empty)"
        rows.append(f"| `INTERVAL_{name.upper()}` | `{default}` | {field.description} |")
    return "\n".join(rows)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command as it is typed, with typer's own description of it."""
    from typer.main import get_command

    from ui.cli import app

    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inside = getattr(command, "commands", None)
        if inside is None:
            yield name, command
        else:
            yield from ((f"{name} {child}", found) for child, found in inside.items())


def words(command: Any) -> tuple[list[str], list[str]]:
    """A command's arguments and its own options, as they are typed."""
    arguments = [parameter.metavar or parameter.name for parameter in command.params if parameter.param_type_name == "argument"]
    named = [parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"]
    return arguments, [option for option in named if option not in ("--json", "--data-dir", "--help")]


def commands_table() -> str:
    """One row per command: how it is typed, what it does, its options."""
    rows = ["| command | does | options |", "|---|---|---|"]
    for name, command in commands():
        arguments, own = words(command)
        typed = " ".join(["python app.py", name, *arguments])
        rows.append(f"| `{typed}` | {command.help.splitlines()[0]} | {' '.join(f'`{option}`' for option in own)} |")
    return "\n".join(rows)


def caution() -> str:
    """How well the bundled model does, as its own card has it."""
    card = json.loads((ROOT / "assets" / "bundled" / "card.json").read_text(encoding="utf-8"))
    return f"> {card['caution']}"


def filled(text: str) -> str:
    """The README's text with tables and caution made anew between their markers."""
    for marker, table in (("settings", settings_table()), ("commands", commands_table()), ("caution", caution())):
        pattern = rf"(<!-- {marker}: [^>]*-->\n).*?((?:> )?<!-- end -->)"
        text, count = re.subn(pattern, lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(f"README.md: the markers of {marker} are missing")
    return text


def main() -> int:
    """Write the tables, or with `--check` only compare."""
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in sys.argv[1:]:
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
