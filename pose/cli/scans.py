"""The scans of one `pose run`, one after the other: nothing about one of them stops those that follow."""

from __future__ import annotations

import errno
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import pose
from pose.analysis.export import FailedScan, save, set_aside, write_csv
from pose.analysis.frame import Options
from pose.cli.interrupts import Interrupts
from pose.cli.lines import drift_line, failure, ignored_line, reason_lines, summary
from pose.cli.output import OutputFile, make_console
from pose.estimators.base import Estimator
from pose.privacy.face_detector import FaceDetector
from pose.results import SCAN_ID, ScanResult
from pose.scan.scrambling import MAX_KEY_BYTES, parse_xor_key
from pose.scan.text import decode_text

SCAN_ID_TEXT: Final = "1 to 128 letters (A-Z, a-z), digits, _ or -"


def check_out(out: Path) -> None:
    """Raise ValueError or OSError if no folder for results can be there."""
    out = out.absolute()
    nearest = next(each for each in (out, *out.parents) if os.path.lexists(each))
    if not nearest.is_dir():
        raise ValueError(f"{nearest}: not a folder, expected a folder for the results")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def open_csv(csv: Path, out: Path) -> OutputFile:
    """Open the CSV file. Make its folder if it is that of the results, or one below.

    Raises:
        ValueError: the folder of the results has its name.
        OSError: it cannot be written.
    """
    file, results = Path(os.path.realpath(csv)), Path(os.path.realpath(out))
    if results.is_relative_to(file) and not file.is_dir():
        raise ValueError(f"{csv}: named as CSV file and as folder for the results, expected two places")
    if file.parent.is_relative_to(results):
        file.parent.mkdir(parents=True, exist_ok=True)
    return OutputFile(csv)


def read_xor_key(file: Path) -> bytes:
    """Read the key, in hex digits, that undoes the scrambling of artefacts.

    Raises:
        ValueError: the file holds no such key. The message does not repeat its content.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        data = stream.read(4 * MAX_KEY_BYTES + 3)  # two digits a byte, in UTF-16 too
    try:
        return parse_xor_key(decode_text(data))
    except ValueError as error:
        raise ValueError(f"--xor-key-file: {error}") from None


@dataclass(frozen=True)
class Run:
    """What all scans of one `pose run` have in common."""

    out: Path
    models: tuple[Estimator, ...]
    options: Options
    table: OutputFile | None
    interrupts: Interrupts
    face_detector: FaceDetector
    xor_key: bytes | None = field(default=None, repr=False)

    def __call__(self, scans: list[Path], names: list[str | ValueError], messages: Console) -> int:
        """Analyse the scans, print a line for each, and return the number that failed."""
        console = make_console()
        failed = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # A bar and lines on one terminal must come from one console. A file gets only the lines.
        shown_on = console if console.is_terminal else messages
        hidden = not shown_on.is_terminal  # in a file the bar would leave an empty line
        with Progress(
            *columns, console=shown_on, transient=True, redirect_stdout=False, disable=hidden
        ) as bar:
            task = bar.add_task("frames", total=None)
            for number, (folder, name) in enumerate(zip(scans, names, strict=True), 1):
                bar.update(task, description=f"scan {number} of {len(scans)}", completed=0, total=None)
                started = time.perf_counter()
                try:
                    result = self._one(
                        folder, name, lambda done, total: bar.update(task, completed=done, total=total)
                    )
                except Exception as error:  # no scan stops those that follow
                    failed += 1
                    label = name if isinstance(name, str) else f"scan {number}"
                    with self.interrupts.hold():
                        self._add_row(FailedScan(label, failure(error)))
                    console.print(f"{label}  failed: {failure(error)}")
                    continue
                console.print(summary(result, time.perf_counter() - started))
                for line in reason_lines(result):
                    console.print(line)
                if result.ignored:
                    console.print(ignored_line(result.scan_id, result.ignored))
                if result.drift is not None:
                    console.print(drift_line(result.scan_id, result.drift))
        return failed

    def _one(self, folder: Path, name: str | ValueError, progress: Callable[[int, int], None]) -> ScanResult:
        """Analyse one scan and write its results, and its rows of the table."""
        if not folder.is_dir():
            if isinstance(name, str):
                set_aside(self.out / name)
            there = os.path.lexists(folder)
            raise InvalidName(
                "not a folder, expected a folder with one scan" if there else "there is no such folder"
            )
        if isinstance(name, ValueError):
            raise name
        results = Path(os.path.realpath(self.out / name))
        if results.is_relative_to(os.path.realpath(folder)):
            raise InvalidName("its results would be written into the scan itself; choose another --out")
        try:
            scan = pose.read_scan(folder, xor_key=self.xor_key)
            analysis = _analyse(
                scan,
                name,
                *self.models,
                options=self.options,
                progress=progress,
                face_detector=self.face_detector,
            )
            with self.interrupts.hold():
                save(self.out / name, analysis.result, analysis.artefacts)
                self._add_row(analysis.result)
        except Exception:
            set_aside(self.out / name)  # an earlier run's result must not pass for this one's
            raise
        return analysis.result

    def _add_row(self, result: ScanResult | FailedScan) -> None:
        if self.table is not None:
            rows = io.StringIO(newline="")
            write_csv(rows, [result], header=self.table.parts == 0)
            self.table.write(rows.getvalue())


def run_scan(
    folder: Path,
    scan_id: str,
    out: Path,
    estimator: Estimator,
    compare_with: Estimator | None = None,
    *,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScanResult:
    """Read one scan, analyse it and save the results, as a worker does.

    Raises:
        InvalidScan: the scan cannot be used.
        OSError: a folder cannot be read or written.
    """
    scan = pose.read_scan(folder)
    analysis = _analyse(scan, scan_id, estimator, compare_with, options=options, progress=progress)
    save(out, analysis.result, analysis.artefacts)
    return analysis.result


def _analyse(
    scan: pose.Scan,
    scan_id: str,
    estimator: Estimator,
    compare_with: Estimator | None = None,
    *,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
    face_detector: FaceDetector | None = None,
) -> pose.Analysis:
    return pose.analyse_scan(
        scan,
        estimator,
        compare_with=compare_with,
        scan_id=scan_id,
        options=options,
        progress=progress,
        face_detector=face_detector,
    )


def scan_names(folders: list[Path], scan_id: str | None = None) -> Iterator[str | ValueError]:
    """Yield the scan id of each folder, or an error if there is none.

    It is the folder's name, or `scan_id` if given.
    """
    taken = set()
    for folder in folders:
        name = os.path.basename(os.path.realpath(folder)) if scan_id is None else scan_id
        if not re.fullmatch(SCAN_ID, name):
            # Without the name: it may contain a person's code.
            yield InvalidName(
                f"the folder's name is no scan id, expected {SCAN_ID_TEXT}; rename it, or give --scan-id"
            )
        elif name in taken:
            yield InvalidName("an earlier scan has the same name")
        else:
            taken.add(name)
            yield name


class InvalidName(ValueError):
    """Raised when a scan's folder or its name cannot be used."""
