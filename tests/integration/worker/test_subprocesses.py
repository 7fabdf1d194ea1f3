from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from worker.cli.subprocesses import Command, CommandFailed, Commands, Stopped, StopRequests

# Starts a child, tells both ids, and waits. The child of a stubborn one ignores SIGTERM.
PARENT = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
print(os.getpid(), child.pid, flush=True)
if "dies" in sys.argv:
    sys.exit(3)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def commands(tmp_path):
    with StopRequests() as stop_requests, Commands(tmp_path, os.environ, stop_requests) as commands:
        yield commands


def start(commands: Commands, *arguments: str) -> Command:
    return commands.start("parent", [sys.executable, "-c", PARENT, *arguments], "parent.log")


def ids_of(commands: Commands, command: Command) -> list[int]:
    commands.wait(lambda: len(command.log.read_text().split()) == 2)
    return [int(word) for word in command.log.read_text().split()]


def runs(pid: int) -> bool:
    """Whether it still does something: a zombie that nobody reaps does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_gone(pids: list[int]) -> bool:
    """A killed process takes a moment to go."""
    deadline = time.monotonic() + 60
    while any(runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(runs(pid) for pid in pids)


def test_a_command_and_its_children_are_killed_when_they_do_not_end_when_asked(commands):
    command = start(commands, "stubborn")
    pids = ids_of(commands, command)
    assert all(runs(pid) for pid in pids)
    command.stop(grace_s=0.2)
    assert all_gone(pids)


def test_children_of_a_command_that_died_are_ended_too(commands):
    command = start(commands, "dies")
    pids = ids_of(commands, command)
    commands.wait(lambda: not runs(pids[0]))
    command.stop(grace_s=0.2)
    assert all_gone(pids)


def test_stopping_what_has_ended_does_nothing(commands):
    command = commands.start("true", ["true"], "true.log")
    commands.wait(command.ended_well)
    command.stop()
    command.stop()


def test_a_command_that_ended_badly_is_shown_with_its_last_lines(commands):
    command = commands.start("a command", ["sh", "-c", "echo the reason; exit 7"], "log")
    with pytest.raises(CommandFailed, match=r"(?s)`a command` ended with exit code 7.*the reason"):
        commands.wait(command.ended_well)


def test_a_command_that_should_run_on_and_ended_without_error_is_a_failure_too(commands):
    command = commands.start("a worker", ["true"], "log")
    with pytest.raises(CommandFailed, match="`a worker` ended with exit code 0"):
        commands.wait(lambda: command.check_alive() is not None)


@pytest.mark.parametrize("signum", StopRequests.SIGNALS)
def test_nothing_is_left_after_a_signal(tmp_path, signum):
    with StopRequests() as stop_requests:
        with pytest.raises(Stopped) as stopped, Commands(tmp_path, os.environ, stop_requests) as commands:
            pids = ids_of(commands, start(commands))
            os.kill(os.getpid(), signum)
            commands.wait(lambda: False)
        assert all_gone(pids)
    assert stopped.value.signum == signum


def test_a_signal_is_noted_even_where_the_shell_had_it_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequests() as stop_requests:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)
            with pytest.raises(Stopped):
                stop_requests.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_runs_in_the_folder_and_sees_the_environment_it_is_given(tmp_path):
    with (
        StopRequests() as stop_requests,
        Commands(tmp_path, {"PATH": os.environ["PATH"], "A": "b"}, stop_requests) as commands,
    ):
        command = commands.start("sh", ["sh", "-c", 'pwd; echo "$A"'], "log")
        commands.wait(command.ended_well)
    assert command.log.read_text().split() == [str(tmp_path), "b"]
