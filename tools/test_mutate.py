"""A fault differs from the source by one edit, and nothing that cannot fail is edited."""

from __future__ import annotations

import ast
from pathlib import Path

from tools.mutate import draw, faults_of, put_in

SOURCE = '''"""A module."""
LIMIT: int = 5


@cached
def area(sides, log):
    """Return the area."""
    log.info("3 sides", count=3)
    if not sides or sides[0] < 0.5:
        raise ValueError(f"expected more than {LIMIT - 1}")
    return product(sides, start=1)
'''


def made(tmp_path: Path) -> list[tuple[str, str]]:
    (tmp_path / "area.py").write_text(SOURCE)
    return [(each["kind"], each["after"].strip()) for each in faults_of(tmp_path, tmp_path / "area.py")]


def test_each_operator_makes_its_faults(tmp_path: Path):
    assert made(tmp_path) == [
        ("changed constant", "LIMIT: int = 6"),
        ("dropped decorator", ""),
        ("swapped operator", "if not sides and sides[0] < 0.5:"),
        ("dropped not", "if sides or sides[0] < 0.5:"),
        ("swapped operator", "if not sides or sides[0] >= 0.5:"),
        ("swapped operator", "if not sides or sides[0] <= 0.5:"),
        ("changed constant", "if not sides or sides[1] < 0.5:"),
        ("changed constant", "if not sides or sides[0] < 0.45:"),
        ("deleted", "pass"),
        ("returns None", "return None"),
        ("dropped argument", "return product(sides)"),
        ("changed constant", "return product(sides, start=2)"),
    ]


def test_a_fault_is_put_in_where_its_line_has_moved_to(tmp_path: Path):
    made(tmp_path)
    (fault, *_) = faults_of(tmp_path, tmp_path / "area.py")
    (tmp_path / "area.py").write_text("import os\n\n" + SOURCE)
    assert put_in(tmp_path, fault)
    assert "\nLIMIT: int = 6\n" in (tmp_path / "area.py").read_text()
    assert not put_in(tmp_path, fault)


def test_a_seed_draws_the_same_faults_again(tmp_path: Path):
    (tmp_path / "pose").mkdir()
    (tmp_path / "pose/area.py").write_text(SOURCE)
    drawn = list(draw(tmp_path, 1, 5))
    assert drawn == list(draw(tmp_path, 1, 5))
    assert len({fault["line"] for fault in drawn}) == 5
    for fault in drawn:
        ast.parse(SOURCE.replace(fault["before"], fault["after"]))
