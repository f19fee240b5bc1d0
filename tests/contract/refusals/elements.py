"""Drivers: MAP_CREATE, MAP_FREEZE and the commands on elements."""

from contract.refusals.bench import Drivers
from skep.uapi import commands
from skep.uapi import reasons_maps as reasons

DRIVERS: Drivers = {
    reasons.CREATE_MAP_EXTRA: lambda bench: bench.call(
        commands.MAP_CREATE, map_type=2, key_size=4, value_size=8, max_entries=1, map_extra=1
    ),
}
