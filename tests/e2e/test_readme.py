"""The README and the pages in docs/ promise nothing that is not there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import textwrap
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.core import TyperGroup
from typer.main import get_command

import pose
import pose.cli.main
import worker.cli.main
from pose.analysis import quality
from pose.analysis.drift import LIMIT
from pose.estimators.loading import ESTIMATORS
from pose.results import FrameResult, FrameStatus, PersonResult, ScanResult
from pose.scan.calibration import parse_calibration
from pose.scan.depth_header import parse_header
from pose.scan.manifest import manifest_from_json
from pose.weights.registry import DETECTORS, POSE_MODELS, REGISTRY
from worker.config.settings import Settings
from worker.scans.status import ScanStatus, Stage, Status
from worker.tracing import SWITCHES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = "\n".join(page.read_text() for page in PAGES)
# Fenced blocks, by language.
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.M | re.S)
CODE = [*re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.M | re.S))]
COMMANDS = [
    line.split("#")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
] + CODE
PYTHON = [block for language, block in BLOCKS if language == "python"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
MAKE = {"ARGS", "TORCH_INDEX"}  # variables of the Makefile
# Rows of the settings table: name, default.
ROWS = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]+?) \|", README, flags=re.M))
FIELDS = {str(field.validation_alias): field for field in Settings.model_fields.values()}


def commands_of(program: str) -> list[list[str]]:
    """The words of each command that starts with `program`."""
    # "…" stands for more of the same.
    found = [shlex.split(line.replace("…", "")) for line in COMMANDS if line.startswith(f"{program} ")]
    assert found, program
    return found


def test_it_names_targets_that_make_has():
    assert {words[1] for words in commands_of("make")} <= TARGETS


def test_every_target_with_a_help_text_is_phony():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.M)
    assert phony
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.M)) <= set(phony[1].split())


def test_it_names_modules_that_can_be_run():
    modules = {words[2] for words in commands_of("python") if words[1] == "-m"}
    for module in modules:
        spec = importlib.util.find_spec(module)
        assert spec, module
        assert not spec.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__"), module


@pytest.mark.parametrize(
    ("program", "skip", "cli"), [("pose", 1, pose.cli.main.app), ("python", 3, worker.cli.main.cli)]
)
def test_it_names_commands_and_options_that_the_command_line_has(program, skip, cli):
    for words in commands_of(program):
        if program == "python" and words[:3] != ["python", "-m", "worker"]:
            continue
        command, rest = get_command(cli), words[skip:]
        while isinstance(command, TyperGroup) and rest:
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


@pytest.mark.parametrize(
    ("program", "skip", "cli"),
    [("pose ", 1, pose.cli.main.app), ("python -m worker ", 3, worker.cli.main.cli)],
)
def test_its_command_lines_give_all_that_must_be_given(program, skip, cli):
    lines = [block.splitlines() for language, block in BLOCKS if language == "sh"]
    for line in (line.split("#")[0] for block in lines for line in block if line.startswith(program)):
        command, rest = get_command(cli), shlex.split(line)[skip:]
        while isinstance(command, TyperGroup):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context(None, rest)


@pytest.mark.parametrize(
    ("page", "link"),
    [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)]+)\)", page.read_text())],
)
def test_it_links_to_what_is_there(page, link):
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    assert target.exists()
    if anchor:
        titles = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.M)
        assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_each_page_can_be_reached_from_the_readme():
    links = re.findall(r"\]\(([^)#]+)", PAGES[0].read_text())
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(links)


@pytest.mark.parametrize("path", ["requirements.lock", "Dockerfile", "pose/data/"])
def test_it_names_files_that_are_there(path):
    assert f"`{path}`" in README
    assert (ROOT / path).exists()


def test_its_settings_are_all_that_there_are():
    assert set(ROWS) == set(FIELDS)


def test_its_defaults_are_the_settings_own():
    told = {name: default.strip("`") for name, default in ROWS.items() if default.startswith("`")}
    constants = {
        name: str(field.default)
        for name, field in FIELDS.items()
        if field.default not in (PydanticUndefined, None) and name != "CELERY_BROKER_URL"
    }
    assert {name: told.get(name) for name in constants} == constants


def test_the_variables_of_its_examples_are_settings_or_those_of_boto3_or_make():
    names = set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", "\n".join(COMMANDS)))
    used = set(re.findall(r"\$\((?:or \$\()?(\w+)\)", (ROOT / "Makefile").read_text()))
    assert used >= MAKE
    assert names - set(FIELDS) - set(SWITCHES) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} | MAKE


def test_its_models_and_detectors_are_all_that_there_are():
    rows = re.findall(r"^\| `((?:depth|hrnet)-[a-z0-9-]+)` \|", README, flags=re.M)
    assert tuple(rows) == ESTIMATORS
    assert set(DETECTORS) <= set(CODE)


def test_the_ap_it_tells_are_those_of_the_registry():
    told = dict(re.findall(r"^\| `(hrnet-[a-z0-9-]+)` \|[^|]+\|[^|]+\| ([^|]+) \|", README, flags=re.M))
    assert set(told) == set(POSE_MODELS)
    for name, text in told.items():
        published = [f"{100 * (file.ap or 0):.1f}" for file in REGISTRY[name]]
        assert re.findall(r"[0-9]+[.][0-9]", text) == published


def test_the_drift_limit_it_tells_is_the_one():
    assert f"above {LIMIT}," in " ".join(README.split())


def test_what_its_commands_leave_behind_is_kept_out_of_commits():
    left = {"/scans/", "/results/", "/results.csv", "/.run/", "/demo-results/", "/deploy/secrets/"}
    # Scans of real people lie there one day.
    assert left <= set((ROOT / ".gitignore").read_text().splitlines())


def first_column(title: str) -> list[str]:
    """What stands in code in the first cells of a table of docs/results.md, whose first title is given."""
    page = (ROOT / "docs" / "results.md").read_text()
    rows = page.split(f"| {title} |")[1].split("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_its_fields_of_a_result_are_there():
    models: dict[str, type[BaseModel]] = {
        "": ScanResult,
        "frames[].": FrameResult,
        "frames[].people[].": PersonResult,
    }
    names = first_column("field of result.json")
    assert "posture" in names
    for name in names:
        where, _, field = name.rpartition(".")
        assert field in models[f"{where}." if where else ""].model_fields, name


def test_its_limits_of_quality_are_all_that_there_are():
    source = (ROOT / "pose" / "analysis" / "quality.py").read_text()
    appended = re.findall(r'codes\.append\(("?)(\w+)"?\)', source)
    codes = {name if quoted else getattr(quality, name) for quoted, name in appended}
    assert set(first_column("`quality`")) == codes


def test_its_fields_of_a_status_are_all_that_there_are():
    names = [field.alias or name for name, field in ScanStatus.model_fields.items()]
    assert sorted(first_column("field of status.json")) == sorted(names)


def test_it_explains_each_state_of_a_frame_and_of_a_scan():
    assert {state.value for state in (*FrameStatus, *Status, *Stage)} <= set(CODE)


def test_its_library_names_are_there():
    # Modules that are run are looked for above; pose.json is a file.
    text = "\n".join([*PYTHON, *(code for code in CODE if not code.startswith("python "))])
    names = set(re.findall(r"\bpose\.(?!json)([a-z_]+(?:\.[a-z_]+)?)", text, flags=re.I))
    assert "read_scan" in names
    for name in names:
        found: object = pose
        for part in name.split("."):
            if not hasattr(found, part) and importlib.util.find_spec(f"pose.{part}"):
                importlib.import_module(f"pose.{part}")
            found = getattr(found, part)


def test_its_examples_of_the_library_are_python():
    assert PYTHON
    for block in PYTHON:
        ast.parse(block)


def test_its_scan_json_calibration_and_depth_header_are_read():
    page = (ROOT / "docs" / "scans.md").read_text()
    (manifest,) = (block for language, block in BLOCKS if language == "json")
    (entry,) = manifest_from_json(manifest.encode()).entries
    assert (entry.step, entry.rgb, entry.depth) == (104, "rgb/first.jpg", "depth/first.depth")
    indented = [
        textwrap.dedent(block)
        for block in re.findall(r"(?:^    .*\n)+", page.split("whose name")[1], flags=re.M)
    ]
    parse_calibration(next(block for block in indented if block.startswith("Color")).encode())
    header = parse_header(
        next(block for block in indented if block.startswith("240x180")).strip().encode(), "page"
    )
    assert header.width == 240
