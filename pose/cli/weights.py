"""`pose weights list | pull | add | verify`: download, check and store published weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from pose.cli.output import error_text, make_console, one_line
from pose.errors import PoseError
from pose.weights.registry import FACE_DETECTOR, PULLED_BY_DEFAULT, REGISTRY, Published, first_published

if TYPE_CHECKING:
    from pose.weights.store import WeightsSource, WeightsStore

app = typer.Typer(
    help="Download, check and store published weights: the face detector's and the RGB models'.",
    no_args_is_help=True,
    add_completion=False,
)

_WIDTH = 200  # columns of a table in a file or a pipe

_Url = Annotated[
    str | None,
    typer.Option(
        envvar="WEIGHTS_URL",
        help="Folder of the stored weights (default: the user's cache), or a server to pull from.",
    ),
]
_Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME...]", help="Names, as in `pose weights list`.")
]


@app.command("list")
def list_weights(url: _Url = None) -> None:
    """List the published weights, and which of them are stored."""
    store, _ = _open("list", url)
    entries = store.entries()
    table = Table("name", "stored", "AP", "licence", "file", box=None, header_style="")
    table.columns[-1].overflow = "fold"
    for name, files in REGISTRY.items():
        facts = entries[name]
        stored = "-" if facts is None else facts.get("version", "damaged")
        for number, each in enumerate(files):
            first = (name, stored) if number == 0 else ("", "")
            table.add_row(*first, _ap(each), each.licence, each.file + ("" if each.url else " (by path)"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table)
    console.print(f"\nstore: {store.folder}", markup=False, soft_wrap=True)
    console.print(
        "AP: as published, on COCO val2017: of keypoints with the flip test, or of a detector's boxes"
    )
    console.print("depth-hrnet is part of the package; yunet was trained on WIDER FACE, all others on COCO")
    if not store.has(FACE_DETECTOR):
        console.print(f"the first thing to do for production: pose weights pull {FACE_DETECTOR}")


@app.command()
def pull(names: _Names = None, url: _Url = None) -> None:
    """Download weights, check and store them.

    Default: the face detector, which every worker in production needs, the default model, and its detector.
    """
    from pose.weights.sources import pull as get

    names = names or list(PULLED_BY_DEFAULT)
    store, source = _open("pull", url, names)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar_console = Console(stderr=True)

    def one(name: str) -> str:
        shown = bar_console.is_terminal  # in a file it would leave an empty line
        with Progress(
            *columns, console=bar_console, transient=True, redirect_stdout=False, disable=not shown
        ) as bar:
            task = bar.add_task(name, total=None)
            kept = store.has(name)
            facts = get(
                name, store, source, lambda done, total: bar.update(task, completed=done, total=total)
            )
        # Complete weights are never replaced. Tell users who wanted the published ones.
        own = kept and facts["version"].startswith("own-")
        note = "  kept: these are your own, not the published ones" if own else ""
        return f"{facts['version']}  {store.path(name)}{note}"

    _each("pull", names, one)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth, .safetensors or .onnx file.")],
    own: Annotated[bool, typer.Option("--own", help="Accept a file that is not a published one.")] = False,
    url: _Url = None,
) -> None:
    """Store weights from a file. Its hash must be that of a published file, unless --own is given."""
    store, _ = _open("add", url, [name])

    def one(name: str) -> str:
        return f"{store.add(name, file, own=own)['version']}  {store.path(name)}"

    _each("add", [name], one)


@app.command()
def verify(names: _Names = None, url: _Url = None) -> None:
    """Check stored weights again: every byte, name and shape. Default: all stored weights."""
    store, _ = _open("verify", url, names or [])
    chosen = names or [name for name in REGISTRY if store.has(name)]
    if not chosen:
        typer.echo(f"nothing is stored in {store.folder}")

    def one(name: str) -> str:
        facts = store.verify(name)
        return (
            f"{facts['version']}  whole; made from {facts['source_file']}, SHA-256 {facts['source_sha256']}"
        )

    _each("verify", chosen, one)


def _open(
    command: str, url: str | None, names: list[str] | None = None
) -> tuple[WeightsStore, WeightsSource | None]:
    """Exit with code 2 if a name or the URL cannot be used."""
    from pose.weights.sources import open_weights  # it imports torch

    try:
        for name in names or []:
            first_published(name)
        return open_weights(url)
    except (PoseError, ValueError) as error:
        make_console(stderr=True).print(f"pose weights {command}: {error_text(error)}")
        raise typer.Exit(2) from None


def _each(command: str, names: list[str], one: Callable[[str], str]) -> None:
    """Print one line for each name. Exit with code 1 if any of them failed."""
    console = make_console()
    failed = False
    for name in names:
        try:
            console.print(f"{name}  {one(name)}")
        except (PoseError, OSError) as error:
            failed = True
            # An OSError's own text contains the whole path.
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            make_console(stderr=True).print(f"pose weights {command}: {one_line(reason)}")
    if failed:
        raise typer.Exit(1)


def _ap(published: Published) -> str:
    return "-" if published.ap is None else f"{100 * published.ap:.1f}"
