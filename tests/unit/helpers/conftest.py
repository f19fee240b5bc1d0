"""Libraries and worlds for helpers."""

import pytest

from skep.engine.library import PlainLibrary
from skep.engine.llvm.library import CompiledLibrary
from skep.maps.creation import NativeLibrary
from skep.runtime.world import Task, World

_COMPILED = CompiledLibrary()
TASK = Task(pid=1235, tgid=1234, uid=1000, gid=100, comm="a-task-with-a-long-name")


@pytest.fixture(params=["python", "compiled"])
def library(request: pytest.FixtureRequest) -> NativeLibrary:
    return _COMPILED if request.param == "compiled" else PlainLibrary()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def world(lines: list[str]) -> World:
    return World(cpus=4, clock_ns=5_000_000_000, seed=7, task=TASK, printk=lines.append)
