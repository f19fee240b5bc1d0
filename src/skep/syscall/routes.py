"""Command row to handler."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from skep.syscall import (
    attachments,
    batch,
    identities,
    introspection,
    iterators,
    links,
    loading,
    maps,
    pins,
    programs,
    raw_tracepoints,
    streams,
    tasks,
    test_run,
    tokens,
)
from skep.syscall.call import Call
from skep.syscall.state import State
from skep.uapi import commands
from skep.uapi.commands import Command

Handler = Callable[[State, Call[Any]], int]


class Route(NamedTuple):
    """One command and what serves it; *refuses*: it checks its arguments, then refuses by name."""

    command: Command
    handler: Handler
    refuses: bool = False


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
    Route(commands.MAP_LOOKUP_BATCH, batch.lookup),
    Route(commands.MAP_LOOKUP_AND_DELETE_BATCH, batch.lookup_and_delete),
    Route(commands.MAP_UPDATE_BATCH, batch.update),
    Route(commands.MAP_DELETE_BATCH, batch.delete),
    Route(commands.BTF_LOAD, loading.load_btf),
    Route(commands.ENABLE_STATS, loading.enable_stats),
    Route(commands.OBJ_GET_INFO_BY_FD, introspection.get_info),
    Route(commands.PROG_GET_NEXT_ID, identities.next_program),
    Route(commands.MAP_GET_NEXT_ID, identities.next_map),
    Route(commands.BTF_GET_NEXT_ID, identities.next_btf),
    Route(commands.LINK_GET_NEXT_ID, identities.next_link),
    Route(commands.PROG_GET_FD_BY_ID, identities.open_program),
    Route(commands.MAP_GET_FD_BY_ID, identities.open_map),
    Route(commands.BTF_GET_FD_BY_ID, identities.open_btf),
    Route(commands.LINK_GET_FD_BY_ID, identities.open_link),
    Route(commands.OBJ_PIN, pins.pin),
    Route(commands.OBJ_GET, pins.get),
    Route(commands.PROG_ATTACH, attachments.attach),
    Route(commands.PROG_DETACH, attachments.detach),
    Route(commands.PROG_QUERY, attachments.query),
    Route(commands.RAW_TRACEPOINT_OPEN, raw_tracepoints.open_raw_tracepoint),
    Route(commands.TASK_FD_QUERY, tasks.query),
    Route(commands.LINK_CREATE, links.create),
    Route(commands.LINK_UPDATE, links.update),
    Route(commands.LINK_DETACH, links.detach),
    Route(commands.ITER_CREATE, iterators.create_iterator),
    Route(commands.TOKEN_CREATE, tokens.create),
    Route(commands.PROG_STREAM_READ_BY_FD, streams.read_stream),
    Route(commands.PROG_ASSOC_STRUCT_OPS, programs.associate, refuses=True),
)
HANDLERS: Final[Mapping[int, Handler]] = {route.command.number: route.handler for route in ROUTES}

if HANDLERS.keys() != commands.BY_NUMBER.keys():
    raise AssertionError("a command has no route")
