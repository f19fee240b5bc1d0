"""Libraries to run the native code of maps with: as Python, and compiled."""

import pytest

from skep.engine.library import PlainLibrary
from skep.engine.llvm.library import CompiledLibrary
from skep.maps.creation import NativeLibrary
from skep.runtime.world import World

_COMPILED = CompiledLibrary()


@pytest.fixture(params=["python", "compiled"])
def library(request: pytest.FixtureRequest) -> NativeLibrary:
    return _COMPILED if request.param == "compiled" else PlainLibrary()


@pytest.fixture
def compiled() -> CompiledLibrary:
    return _COMPILED


@pytest.fixture
def world() -> World:
    return World(cpus=2, seed=1)
