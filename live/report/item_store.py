"""What a page shows, as items by kind and key, each with the version in which it last changed.

So a reader of any speed is given what changed since it last looked, and no message waits for a slow one.
The rule of this file: an item that is gone is given as None, so that who had it learns of it.
"""

from collections.abc import Mapping

from erc_live.live.report.page_rows import PageRow

Items = dict[str, dict[str, PageRow | None]]


class ItemStore:
    """`version` counts the changes, from 0 for an empty store."""

    def __init__(self) -> None:
        self.version = 0
        self._items: dict[tuple[str, str], tuple[int, PageRow | None]] = {}

    def put(self, kind: str, key: str, row: PageRow | None) -> None:
        """Set an item, or take it away (None); what is so already is no change."""
        if self._items.get((kind, key), (0, None))[1] == row:
            return
        self.version += 1
        self._items[kind, key] = self.version, row

    def replace(self, kind: str, rows: Mapping[str, PageRow]) -> None:
        """Set all items of a kind, and take away those that are not among `rows`."""
        gone = [key for of, key in self._items if of == kind and key not in rows]
        for key in gone:
            self.put(kind, key, None)
        for key, row in rows.items():
            self.put(kind, key, row)

    def since(self, version: int) -> Items:
        """Kind -> key -> row, of all that changed after `version`; whoever begins (0) is not given what is gone."""
        changed: Items = {}
        for (kind, key), (at, row) in self._items.items():
            if at > version and (version or row is not None):
                changed.setdefault(kind, {})[key] = row
        return changed
