"""Helpers on maps; their behaviour is the maps' own (``skep.maps.dispatch``)."""

from typing import Final

from skep.helpers.binding import Binding
from skep.helpers.user_ring import user_ringbuf_drain
from skep.maps.dispatch import (
    map_delete_elem,
    map_for_each_elem,
    map_lookup_elem,
    map_lookup_percpu_elem,
    map_peek_elem,
    map_pop_elem,
    map_push_elem,
    map_update_elem,
)

BINDINGS: Final = (
    Binding("map_lookup_elem", map_lookup_elem),
    Binding("map_update_elem", map_update_elem),
    Binding("map_delete_elem", map_delete_elem),
    Binding("map_lookup_percpu_elem", map_lookup_percpu_elem),
    Binding("map_push_elem", map_push_elem),
    Binding("map_pop_elem", map_pop_elem),
    Binding("map_peek_elem", map_peek_elem),
    Binding("for_each_map_elem", map_for_each_elem),
    Binding("user_ringbuf_drain", user_ringbuf_drain),
)
