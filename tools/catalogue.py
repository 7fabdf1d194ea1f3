"""Write the texts of the pages as `pose/report/locale/report.pot`, for translators: `make catalogue`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from jinja2 import nodes

from pose.analysis.verdict import WORDS
from pose.report.document import environment
from pose.report.texts import message_of

REPORT: Final = Path(__file__).parents[1] / "pose" / "report"
TEMPLATE: Final = REPORT / "locale" / "report.pot"
_COMMENT: Final = "# The texts of the pages. What stands in braces, such as {found} or {}, stays as it is."
_AMOUNTS: Final = (-30.0, 30.0)  # of a reason: the camera looks down or up


def messages() -> dict[str, set[str]]:
    """Return each message of the pages, with the files in which it stands."""
    found: dict[str, set[str]] = {}
    for path in sorted(REPORT.glob("*.py")):
        for message in _in_python(path.read_text()):
            found.setdefault(message, set()).add(f"pose/report/{path.name}")
    for path in sorted((REPORT / "templates").iterdir()):
        for call in environment().parse(path.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_":
                found.setdefault(call.args[0].as_const(), set()).add(f"pose/report/templates/{path.name}")
    for words in WORDS.values():
        for amount in _AMOUNTS:
            found.setdefault(message_of(words(amount)), set()).add("pose/analysis/verdict.py")
    return found


def _in_python(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "N_":
            (argument,) = node.args
            yield str(ast.literal_eval(argument))


def catalogue() -> Catalog:
    """Return the messages as a catalogue without translations."""
    made = Catalog(project="pose-worker", header_comment=_COMMENT, charset="utf-8", fuzzy=False)
    for message, files in sorted(messages().items()):
        added = made.add(message, locations=[(file, 0) for file in sorted(files)])
        added.flags.discard("python-format")  # a per cent sign is only that
    return made


if __name__ == "__main__":
    TEMPLATE.parent.mkdir(exist_ok=True)
    with TEMPLATE.open("wb") as file:
        write_po(file, catalogue(), omit_header=False, include_lineno=False, sort_output=True)
