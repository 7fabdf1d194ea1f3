"""Two packages, one direction: `worker` uses `pose`, and `pose` knows of no queue, bucket or environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_IN_THE_LIBRARY = {
    "worker", "celery", "kombu", "billiard", "redis", "boto3", "botocore", "structlog", "pydantic_settings",
}  # fmt: skip
NOWHERE = {"pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}  # they run what a file says
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def imports(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written in full"
            yield (node.module or "").partition(".")[0]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules("pose"), ids=name_of)
def test_the_library_knows_nothing_of_the_worker_and_its_servers(path):
    assert not set(imports(path)) & NOT_IN_THE_LIBRARY


@pytest.mark.parametrize("path", modules("pose"), ids=name_of)
def test_the_library_reads_no_environment(path):
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Attribute, ast.alias))
    }
    assert not used & ENVIRONMENT


@pytest.mark.parametrize("path", [*modules("pose"), *modules("worker")], ids=name_of)
def test_nothing_is_read_that_could_run_code(path):
    assert not set(imports(path)) & NOWHERE
    loads = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert all("weights_only=True" in ast.unparse(node) for node in loads)
