"""Views of a map's items and values, which read many elements at a time."""

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any, Protocol


class Paired(Protocol):
    """What gives its elements as pairs."""

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Every key with its value."""
        ...


class Items(ItemsView[Any, Any]):
    """``map.items()``."""

    _mapping: Paired

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping.pairs()


class Values(ValuesView[Any]):
    """``map.values()``."""

    _mapping: Paired

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping.pairs())
