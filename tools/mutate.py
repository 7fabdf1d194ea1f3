"""Mutation testing: put small faults into `pose/` and `worker/` and tell which of them the tests notice.

    python -m tools.mutate draw --count 50 --seed 1 > faults.jsonl
    python -m tools.mutate run < faults.jsonl > results.jsonl

`draw` prints one fault a line as JSON. `run` copies the tree, puts in one fault after the other and runs the
tests until one fails. It prints each fault again with its `outcome`: "killed", "survived", or "gone" if its line no
longer exists. `--coverage FILE` names the data of `pytest --cov --cov-context=test`: only tests that ran the line
are run then. Without it, the tests of the module's own folder come first, then all others.
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
import time
from collections.abc import Iterator
from pathlib import Path

SKIPPED = {"demo.py", "__main__.py"}
COMPARISONS = {
    ast.Lt: ("<", (">=", "<=")),
    ast.LtE: ("<=", (">", "<")),
    ast.Gt: (">", ("<=", ">=")),
    ast.GtE: (">=", ("<", ">")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
OPERATORS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
Edit = tuple[str, int, int, str]  # kind, first byte, byte after the last, replacement
Fault = dict[str, str | int]


class Sites(ast.NodeVisitor):
    """Collect the edits of a module. Skips docstrings, annotations, logging and the texts of errors."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        lines = source.splitlines(keepends=True)
        self._starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
        self.edits: list[Edit] = []

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        first = self._starts[node.lineno - 1] + node.col_offset
        return first, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _between(self, kind: str, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        first, last = self._span(left)[1], self._span(right)[0]
        at = self._source.find(old.encode(), first, last)
        if at >= 0:
            self.edits.append((kind, at, at + len(old), new))

    def _replace(self, kind: str, node: ast.expr | ast.stmt, new: str) -> None:
        self.edits.append((kind, *self._span(node), new))

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, operator, right in zip(
            [node.left, *node.comparators], node.ops, node.comparators, strict=False
        ):
            old, replacements = COMPARISONS[type(operator)]
            for new in replacements:
                self._between("comparison", left, right, old, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self._between("and/or", node.values[0], node.values[1], old, new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OPERATORS and not isinstance(node.left, ast.JoinedStr):
            self._between("arithmetic", node.left, node.right, *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            first = self._span(node)[0]
            self.edits.append(("dropped not", first, self._span(node.operand)[0], ""))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace("constant", node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace("constant", node, str(node.value + 1))
        elif isinstance(node.value, float):
            self._replace("constant", node, repr(node.value * 0.9))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._replace("returns None", node.value, "None")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and "log" not in ast.unparse(node.value.func).split(".")[0]:
            self._replace("deleted", node, "pass")
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace("deleted", node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self._replace("deleted", node, "pass")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace("deleted", node, "pass")

    def visit_Call(self, node: ast.Call) -> None:
        if "typer" in ast.unparse(node.func):
            return  # the help of an option
        before: ast.expr = node.args[-1] if node.args else node.func
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in {"description", "help"} and before is not node.func:
                first, last = self._span(before)[1], self._span(keyword.value)[1]
                self.edits.append(("dropped argument", first, last, ""))
            before = keyword.value
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            if ast.unparse(decorator) not in {"abstractmethod", "override"} and "command" not in ast.unparse(
                decorator
            ):
                first, last = self._span(decorator)
                self.edits.append(("dropped decorator", first - 1, last, ""))
        for child in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(child)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        pass


def faults(root: Path, file: Path) -> Iterator[Fault]:
    """Yield the faults of one file; `before` and `after` are whole lines."""
    source = file.read_bytes()
    sites = Sites(source)
    sites.visit(ast.parse(source))
    for kind, first, last, new in sites.edits:
        begin = source.rfind(b"\n", 0, first) + 1
        end = source.find(b"\n", max(last, first + 1) - 1)
        before = source[begin:end].decode()
        after = (source[begin:first] + new.encode() + source[last:end]).decode()
        line = source.count(b"\n", 0, begin) + 1
        last_line = line + before.count("\n")
        yield {
            "file": str(file.relative_to(root)),
            "line": line,
            "last_line": last_line,
            "kind": kind,
            "before": before,
            "after": after,
        }


def draw(root: Path, seed: int, count: int) -> Iterator[Fault]:
    """Yield `count` different faults of the whole tree, each file as likely as it has lines with faults."""
    files = sorted(file for top in ("pose", "worker") for file in (root / top).rglob("*.py"))
    all_faults = [fault for file in files if file.name not in SKIPPED for fault in faults(root, file)]
    places = sorted({(fault["file"], fault["line"]) for fault in all_faults}, key=str)
    chance = random.Random(seed)
    for place in chance.sample(places, min(count, len(places))):
        yield chance.choice([fault for fault in all_faults if (fault["file"], fault["line"]) == place])


def chosen_tests(fault: Fault, coverage_file: Path | None, root: Path) -> list[list[str]]:
    """Return the tests to run, in stages: those that ran the line, then those of whole workers."""
    module = Path(str(fault["file"]))
    stages: list[list[str]] = [
        [str(Path("tests/unit", *module.parts[:-1]))],
        ["tests/unit"],
        ["tests/integration"],
    ]
    if coverage_file is not None:
        from coverage import CoverageData

        data = CoverageData(basename=str(coverage_file))
        data.read()
        contexts = data.contexts_by_lineno(str(root / module))
        lines = range(int(fault["line"]), int(fault["last_line"]) + 1)
        ran = {context for line in lines for context in contexts.get(line, ()) if context}
        ran = ran or {context for named in contexts.values() for context in named if context}
        tests = {context.partition("|")[0].partition("[")[0] for context in ran}
        tests = {test for test in tests if (root / test.partition("::")[0]).exists()}
        # Its own tests first; chaos, which takes minutes, last.
        stages = [sorted(tests, key=lambda test: ("chaos" in test, module.stem not in test, test))]
    if module.parts[0] == "worker":
        whole = [*root.glob("tests/e2e/worker/test_*.py")] or [*root.glob("tests/worker/test_*.py")]
        first = (f"test_{module.stem}.py", "test_worker_process.py", "test_losses.py", "test_shutdown.py")
        stages += [[str(file.relative_to(root))] for name in first for file in whole if file.name == name]
    return [stage for stage in stages if stage]


def put_in(root: Path, fault: Fault) -> tuple[Path, str] | None:
    """Put a fault into the tree; return the file and what it held, or None if the line is gone."""
    file = root / str(fault["file"])
    if not file.exists():
        return None
    source = file.read_text()
    before, after = str(fault["before"]), str(fault["after"])
    lines = source.split("\n")
    at = int(fault["line"]) - 1
    size = before.count("\n") + 1
    if "\n".join(lines[at : at + size]) != before:
        starts = [n for n in range(len(lines)) if "\n".join(lines[n : n + size]) == before]
        if not starts:
            return None
        at = min(starts, key=lambda n: abs(n - at))
    file.write_text("\n".join([*lines[:at], after, *lines[at + size :]]))
    return file, source


class Tests:
    """Run tests in a tree. Remembers those that fail without a fault, and leaves them out."""

    def __init__(self, tree: Path, python: str, limit_s: float) -> None:
        self._tree, self._python, self._limit_s = tree, python, limit_s
        path = os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")]))
        self._environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self.left_out: list[str] = []

    def first_failure(self, tests: list[str]) -> str | None:
        """Return the test that failed first, "time limit", "no test ran: …", or None if all passed."""
        arguments = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
        arguments += [f"--deselect={test}" for test in self.left_out]
        try:
            done = subprocess.run(
                [self._python, "-m", "pytest", *arguments, *tests],
                cwd=self._tree,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=self._limit_s,
            )
        except subprocess.TimeoutExpired:
            return "time limit"
        if done.returncode in (0, 5):
            return None
        failed = [
            line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
        ]
        return (
            failed[0].partition(" - ")[0] if failed else f"no test ran: {(done.stdout + done.stderr)[-300:]}"
        )


def run(
    root: Path, python: str, listed: list[Fault], coverage_file: Path | None, limit_s: float
) -> Iterator[Fault]:
    """Yield each fault with its outcome. Killed: a test fails twice with the fault, and not without it."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = Path(folder, "tree")
        ignored = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(root, copy, ignore=ignored)
        tests = Tests(copy, python, limit_s)
        for fault in listed:
            begin = time.monotonic()
            found = put_in(copy, fault)
            if found is None:
                yield {**fault, "outcome": "gone"}
                continue
            (file, healthy), faulty = found, found[0].read_text()
            stages = chosen_tests(fault, coverage_file, root)
            by = None
            while stages and by is None:
                by = tests.first_failure(stages[0])
                if by is None:
                    stages.pop(0)
                elif "::" in by:
                    file.write_text(healthy)
                    alone = tests.first_failure([by])
                    file.write_text(faulty)
                    if alone is not None or tests.first_failure([by]) is None:
                        tests.left_out.append(by)
                        by = None
            file.write_text(healthy)
            outcome = {"outcome": "survived"} if by is None else {"outcome": "killed", "by": by}
            yield {**fault, **outcome, "seconds": round(time.monotonic() - begin)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["draw", "run"])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--coverage", type=Path)
    parser.add_argument("--limit", type=float, default=900, help="seconds a run of tests may take")
    options = parser.parse_args()
    if options.action == "draw":
        results = draw(options.tree, options.seed, options.count)
    else:
        listed = [json.loads(line) for line in sys.stdin]
        results = run(options.tree, options.python, listed, options.coverage, options.limit)
    for fault in results:
        print(json.dumps(fault), flush=True)


if __name__ == "__main__":
    main()
