"""Mutation testing: put small faults into `pose/` and `worker/` and tell which of them the tests notice.

    python -m tools.mutate draw --count 50 --seed 1 > faults.jsonl
    python -m tools.mutate run < faults.jsonl > results.jsonl

`draw` prints one fault a line as JSON. `run` copies the tree, puts in one fault after the other and runs the
tests until one fails. It prints each fault again with its `outcome`: "killed", "survived", or "gone" if its
line no longer exists. `--coverage FILE` names the data of `pytest --cov --cov-context=test`: only tests that
ran the line are run then. Without it, the tests of the module's own folder come first, then all others.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SKIPPED_FILES = {"demo.py", "__main__.py"}
SWAPS: dict[type[ast.AST], tuple[str, list[str]]] = {
    ast.Lt: ("<", [">=", "<="]),
    ast.LtE: ("<=", [">", "<"]),
    ast.Gt: (">", ["<=", ">="]),
    ast.GtE: (">=", ["<", ">"]),
    ast.Eq: ("==", ["!="]),
    ast.NotEq: ("!=", ["=="]),
    ast.Is: ("is", ["is not"]),
    ast.IsNot: ("is not", ["is"]),
    ast.In: ("in", ["not in"]),
    ast.NotIn: ("not in", ["in"]),
    ast.And: ("and", ["or"]),
    ast.Or: ("or", ["and"]),
    ast.Add: ("+", ["-"]),
    ast.Sub: ("-", ["+"]),
    ast.Mult: ("*", ["/"]),
    ast.Div: ("/", ["*"]),
}
Fault = dict[str, Any]


class Faults(ast.NodeVisitor):
    """Collect faults as (kind, first byte, end, replacement). Annotations, texts and log lines get none."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.found: list[tuple[str, int, int, str]] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.visit(ast.parse(source))

    def span(self, node: Any) -> tuple[int, int]:
        first = self._starts[node.lineno - 1] + node.col_offset
        return first, self._starts[node.end_lineno - 1] + node.end_col_offset

    def replace(self, kind: str, node: ast.AST, new: str) -> None:
        self.found.append((kind, *self.span(node), new))

    def swap(self, left: ast.AST, operator: ast.AST, right: ast.AST) -> None:
        old, replacements = SWAPS.get(type(operator), ("", []))
        at = self.source.find(old.encode(), self.span(left)[1], self.span(right)[0])
        self.found += [("swapped operator", at, at + len(old), new) for new in replacements if at >= 0]

    def generic_visit(self, node: ast.AST) -> None:
        match node:
            case ast.AnnAssign(value=value):
                if value:
                    self.visit(value)
                return None
            case ast.Raise() | ast.AugAssign():
                self.replace("deleted", node, "pass")
                if isinstance(node, ast.Raise):
                    return None
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                self.replace("deleted", node, "pass")
            case ast.Expr(value=ast.Call(func=function)):
                if ast.unparse(function).startswith(("log.", "self._log.")):
                    return None
                self.replace("deleted", node, "pass")
            case ast.Expr(value=ast.Constant()) | ast.ImportFrom() | ast.JoinedStr():
                return None
            case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
                self.replace("returns None", value, "None")
            case ast.Compare(left=left, ops=operators, comparators=others):
                for before, operator, after in zip([left, *others], operators, others, strict=False):
                    self.swap(before, operator, after)
            case (
                ast.BoolOp(op=operator, values=[first, second, *_])
                | ast.BinOp(left=first, op=operator, right=second)
            ):
                self.swap(first, operator, second)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.found.append(("dropped not", self.span(node)[0], self.span(operand)[0], ""))
            case ast.Constant(value=bool() as value):
                self.replace("changed constant", node, str(not value))
            case ast.Constant(value=int() as value):
                self.replace("changed constant", node, str(value + 1))
            case ast.Constant(value=float() as value):
                self.replace("changed constant", node, repr(value * 0.9 or 1.0))
            case ast.Call(func=function, args=arguments, keywords=keywords):
                if "typer" in ast.unparse(function):
                    return None  # an option and its help
                ends: list[Any] = [*arguments[-1:], *(keyword.value for keyword in keywords)]
                for before, after in pairwise(ends):
                    self.found.append(("dropped argument", self.span(before)[1], self.span(after)[1], ""))
            case ast.FunctionDef():
                for decorator in node.decorator_list:
                    at, end = self.span(decorator)
                    self.found.append(("dropped decorator", at - 1, end, ""))
                for child in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
                    self.visit(child)
                return None
        return super().generic_visit(node)


def faults_of(root: Path, file: Path) -> Iterator[Fault]:
    """Yield the faults of a file. `before` and `after` are whole lines."""
    source = file.read_bytes()
    for kind, first, last, new in Faults(source).found:
        begin = source.rfind(b"\n", 0, first) + 1
        end = source.find(b"\n", max(last, first + 1) - 1)
        before, after = source[begin:end], source[begin:first] + new.encode() + source[last:end]
        about = {"file": str(file.relative_to(root)), "line": source.count(b"\n", 0, begin) + 1, "kind": kind}
        yield {**about, "before": before.decode(), "after": after.decode()}


def draw(root: Path, seed: int, count: int) -> Iterator[Fault]:
    """Yield faults in as many different lines; each line that can have one is as likely as any other."""
    files = sorted(file for package in ("pose", "worker") for file in (root / package).rglob("*.py"))
    places: dict[tuple[str, int], list[Fault]] = {}
    for file in files:
        for fault in faults_of(root, file) if file.name not in SKIPPED_FILES else ():
            places.setdefault((fault["file"], fault["line"]), []).append(fault)
    chance = random.Random(seed)
    for place in chance.sample(sorted(places), min(count, len(places))):
        yield chance.choice(places[place])


def put_in(tree: Path, fault: Fault) -> bool:
    """Put a fault into the line that is nearest to where it was drawn. Return False if there is none."""
    file = tree / fault["file"]
    lines = file.read_text().split("\n") if file.exists() else []
    size = fault["before"].count("\n") + 1
    found = [at for at in range(len(lines)) if "\n".join(lines[at : at + size]) == fault["before"]]
    if found:
        at = min(found, key=lambda at: abs(at + 1 - fault["line"]))
        file.write_text("\n".join([*lines[:at], fault["after"], *lines[at + size :]]))
    return bool(found)


def chosen_tests(fault: Fault, coverage_file: Path | None) -> list[list[str]]:
    """Return the tests to run, stage by stage: for the worker, those of whole workers come last."""
    module = Path(fault["file"])
    if coverage_file is None:
        return [
            [str(Path("tests/unit", *module.parts[:-1]))],
            ["tests/unit"],
            ["tests/integration", "tests/e2e"],
        ]
    from coverage import CoverageData

    data = CoverageData(basename=str(coverage_file))
    data.read()
    (measured,) = [name for name in data.measured_files() if name.endswith(f"/{module}")]
    contexts = data.contexts_by_lineno(measured)
    lines = range(fault["line"], fault["line"] + fault["before"].count("\n") + 1)
    ran = {name for line in lines for name in contexts.get(line, ()) if name}
    ran = ran or {name for named in contexts.values() for name in named if name}
    tests = {name.partition("|")[0].partition("[")[0] for name in ran}
    stages = [sorted(tests, key=lambda test: ("chaos" in test, module.stem not in test, test))]
    if module.parts[0] == "worker":
        for name in (module.stem, "worker_process", "losses", "shutdown"):
            stages.append(
                [str(file.relative_to(ROOT)) for file in ROOT.glob(f"tests/e2e/worker/test_{name}.py")]
            )
    return [stage for stage in stages if stage]


def first_failure(tree: Path, tests: list[str], left_out: list[str]) -> str | None:
    """Return the test that fails first, or None. Tests that hang count as failed."""
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
    command = [sys.executable, "-m", "pytest", *options, *(f"--deselect={test}" for test in left_out), *tests]
    path = os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=900,
        )
    except subprocess.TimeoutExpired:
        return "time limit"
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [*failed, done.stdout[-200:]][0] if done.returncode not in (0, 5) else None


def run(faults: list[Fault], coverage_file: Path | None) -> Iterator[Fault]:
    """Yield each fault with its outcome. Killed: a test fails twice with the fault, and not without it."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache")
        )
        left_out: list[str] = []
        for fault in faults:
            if not put_in(tree, fault):
                yield {**fault, "outcome": "gone"}
                continue
            stages, by = chosen_tests(fault, coverage_file), None
            while stages and by is None:
                by = first_failure(tree, stages[0], left_out)
                if by is None:
                    stages.pop(0)
                elif "::" in by:
                    again = first_failure(tree, [by], left_out)
                    shutil.copy(ROOT / fault["file"], tree / fault["file"])
                    if again is None or first_failure(tree, [by], left_out):
                        left_out.append(by)
                        by = None
                        put_in(tree, fault)
            shutil.copy(ROOT / fault["file"], tree / fault["file"])
            yield {**fault, "outcome": "killed" if by else "survived", "by": by}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["draw", "run"])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", type=Path)
    options = parser.parse_args()
    if options.action == "draw":
        results = draw(ROOT, options.seed, options.count)
    else:
        results = run([json.loads(line) for line in sys.stdin], options.coverage)
    for fault in results:
        print(json.dumps(fault), flush=True)


if __name__ == "__main__":
    main()
