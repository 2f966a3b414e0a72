"""One page-table page."""

from typing import Any

from ..extents import Run
from ..trace import TableState


class Ptdesc:
    """One page-table page (struct ptdesc).

    *users* counts the entries that point to it (a top-level table has none); the kernel's
    pt_share_count is users - 1.  *home* is where a policy keeps it, so that the cache can be told
    when the table goes; None for a table that is private to one mm.  *lent* is set on those of a
    host that a guest of msharefs has linked.
    """

    __slots__ = ("pfn", "birth", "level", "users", "owner", "home", "published", "lent",
                 "_entries", "_runs", "_state", "_digest")

    def __init__(self, pfn: int, birth: int, level: int, owner: str):
        self.pfn, self.birth, self.level, self.owner = pfn, birth, level, owner
        self.users, self.home, self.published, self.lent = 0, None, False, False
        self._entries: dict[int, int] = {}
        self._runs: list[Run] = []          # apart from each other and from the entries
        self._state: TableState | None = None
        self._digest: Any = None            # made of the entries alone (Entries.digest)

    @property
    def pt_share_count(self) -> int:
        return max(self.users - 1, 0)

    def __repr__(self) -> str:
        return f"<level-{self.level} table in frame {self.pfn}>"
