"""Subsystems whose programs run in one engine or another."""

from pathlib import Path
from typing import Final

from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, Tier
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.subsystem import Subsystem

OBJECTS: Final = Path(__file__).parents[1] / "objects"
TIERS: Final[dict[str, Tier | None]] = {"start": None, "quick": QUICK, "full": FULL}
ENGINES: Final = ("interpreter", *TIERS)


def subsystem(engine: str, world: World | None = None, *, metered: bool = False) -> Subsystem:
    """A subsystem whose programs run in that engine, compiled so hard."""
    world = world or World()
    helpers, kfuncs = tuple(helper_codes(world)), tuple(kfunc_codes(world))
    objects = (world.objects.address, world.objects.size)
    if engine == "interpreter":
        return Subsystem(world, Interpreter(helpers, kfuncs=kfuncs, objects=objects))
    tier = TIERS[engine]
    made = LlvmEngine(helpers, kfuncs=kfuncs, objects=objects, tier=tier, metered=metered)
    return Subsystem(world, made)
