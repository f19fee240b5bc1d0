"""Command row to handler."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from skep.syscall import maps, programs, test_run
from skep.syscall.call import Call
from skep.syscall.state import State
from skep.uapi import commands
from skep.uapi.commands import Command

Handler = Callable[[State, Call[Any]], int]


class Route(NamedTuple):
    """One command and what serves it."""

    command: Command
    handler: Handler


ROUTES: Final = (
    Route(commands.MAP_CREATE, maps.create),
    Route(commands.MAP_LOOKUP_ELEM, maps.lookup),
    Route(commands.MAP_UPDATE_ELEM, maps.update),
    Route(commands.MAP_DELETE_ELEM, maps.delete),
    Route(commands.MAP_GET_NEXT_KEY, maps.next_key),
    Route(commands.MAP_LOOKUP_AND_DELETE_ELEM, maps.lookup_and_delete),
    Route(commands.MAP_FREEZE, maps.freeze),
    Route(commands.PROG_LOAD, programs.load),
    Route(commands.PROG_BIND_MAP, programs.bind_map),
    Route(commands.PROG_TEST_RUN, test_run.test_run),
)
HANDLERS: Final[Mapping[int, Handler]] = {route.command.number: route.handler for route in ROUTES}
