"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import pose
import worker

# Imported here and not in a test: importing torch starts a process, which a unit test must not do.
MODULES = [
    importlib.import_module(module.name)
    for package in (pose, worker)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith(".__main__")
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_of_a_module_give_what_they_say(module):
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    found = [doctest.DocTestFinder().find(module) for module in MODULES]
    assert sum(bool(each.examples) for tests in found for each in tests) > 30
