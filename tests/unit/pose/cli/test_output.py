"""Streams that never stop the work, and files that take their place once they are complete."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from pathlib import Path

import pytest

from pose.cli.output import GuardedStream, OutputFile, error_text, guard_streams


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full(monkeypatch):
    """Let this many bytes be written; then the disk is full, as often as somebody tries."""

    def fill(space):
        left = [space]
        write = os.write

        def limited(file, data):
            if data and not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            count = write(file, data[: left[0]])
            left[0] -= count
            return count

        monkeypatch.setattr(os, "write", limited)
        return left

    return fill


def test_the_old_file_remains_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("old")
    path.chmod(0o640)
    with OutputFile(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert (path.read_text(), file.problem) == ("new", None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["all.csv"]


def test_what_is_complete_takes_its_place_on_an_error_too(tmp_path):
    with pytest.raises(KeyboardInterrupt), OutputFile(tmp_path / "all.csv") as file:
        file.write("one")
        raise KeyboardInterrupt
    assert (tmp_path / "all.csv").read_text() == "one"


def test_a_file_to_which_nothing_was_written_replaces_nothing(tmp_path):
    (tmp_path / "all.csv").write_text("old")
    for name in ("all.csv", "new.csv"):
        with OutputFile(tmp_path / name):
            pass
    assert names(tmp_path) == ["all.csv"]
    assert (tmp_path / "all.csv").read_text() == "old"


def test_a_symbolic_link_remains_one(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    with OutputFile(tmp_path / "link.csv") as file:
        file.write("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def test_on_a_full_disk_whole_parts_are_kept(tmp_path, full):
    full(8)
    with OutputFile(tmp_path / "all.csv") as file:
        for text in ("one\n", "two\n", "three\n"):
            file.write(text)
    assert (tmp_path / "all.csv").read_text() == "one\ntwo\n"
    assert file.problem == f"{tmp_path}/all.csv: No space left on device; it is not complete"


def test_on_a_full_disk_the_old_file_is_not_replaced_by_a_part(tmp_path, full):
    (tmp_path / "all.csv").write_text("old")
    full(6)
    with OutputFile(tmp_path / "all.csv") as file:
        file.write("one\n")
        file.write("two\n")
    assert (tmp_path / "all.csv").read_text() == "old"
    (draft,) = set(names(tmp_path)) - {"all.csv"}
    assert (tmp_path / draft).read_text() == "one\n"
    assert file.problem is not None and file.problem.endswith(f"what was written is in {draft}")


def test_a_disk_that_was_full_from_the_beginning_leaves_nothing(tmp_path, full):
    full(0)
    with OutputFile(tmp_path / "all.csv") as file:
        file.write("one\n")
    assert names(tmp_path) == []
    assert file.problem == f"{tmp_path}/all.csv: No space left on device; nothing of it was written"


def test_what_a_full_disk_refused_is_written_when_there_is_space_again(tmp_path, full):
    left = full(5)
    with OutputFile(tmp_path / "all.csv") as file:
        file.write("one\ntwo\n")
        left[0] = 100
        file.write("three\n")
    assert (tmp_path / "all.csv").read_text() == "one\ntwo\nthree\n"
    assert file.problem is None


def test_a_place_that_was_taken_meanwhile_is_reported_with_where_the_text_is(tmp_path):
    with OutputFile(tmp_path / "all.csv") as file:
        file.write("one")
        (tmp_path / "all.csv").mkdir()
    assert file.problem is not None and "Is a directory; what was written is in .all.csv." in file.problem


def test_a_device_and_a_pipe_are_written_at_once(tmp_path):
    with OutputFile(Path("/dev/full")) as file:
        file.write("one")
    assert file.problem == "/dev/full: No space left on device"
    with OutputFile(Path("/dev/null")) as file:
        file.write("one")
    assert file.problem is None
    reader, writer = os.pipe()
    with OutputFile(Path(f"/dev/fd/{writer}")) as file:
        file.write("one")
        assert os.read(reader, 10) == b"one"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("name", "reason"), [("no/such.csv", "No such file or directory"), ("folder", "Is a directory")]
)
def test_a_place_that_cannot_be_written_is_refused_with_its_name(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as refused:
        OutputFile(tmp_path / name)
    assert error_text(refused.value) == f"{tmp_path / name}: {reason}"
    assert names(tmp_path) == ["folder"]


def test_a_file_that_must_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "all.csv").write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    with pytest.raises(PermissionError, match="Permission denied"):
        OutputFile(tmp_path / "all.csv")


class Broken(io.StringIO):
    def write(self, text):
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))


def test_a_stream_that_cannot_be_written_costs_its_text_only(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken())
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    guard_streams()
    print("one")
    print("two", flush=True)
    assert said.getvalue() == "pose: standard output cannot be written: Broken pipe\n"
    assert isinstance(sys.stdout, GuardedStream) and sys.stdout.error is not None


def test_standard_error_that_cannot_be_written_is_passed_over(monkeypatch):
    monkeypatch.setattr(sys, "stdout", said := io.StringIO())
    monkeypatch.setattr(sys, "stderr", Broken())
    guard_streams()
    print("one", file=sys.stderr)
    print("two")
    assert said.getvalue() == "two\n"


def test_closed_streams_are_the_null_device(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    guard_streams()
    print("one", flush=True)
    print("two", file=sys.stderr, flush=True)


def test_a_character_that_the_terminal_lacks_is_written_as_an_escape(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors="strict"))
    guard_streams()
    print("küche", flush=True)
    assert written.getvalue() == b"k\\xfcche\n"


def test_an_error_is_one_line():
    assert error_text(ValueError("two\nlines\x1b[31m")) == "two lines?[31m"
    assert error_text(ValueError()) == "ValueError"
    assert error_text(FileNotFoundError(2, "No such file", "a\nb")) == "a b: No such file"
