"""Which page tables may be shared, and where a missing table comes from.

A policy answers two questions: is there a table already (`find`), and here is a fresh one, keep it
if you like (`publish`).  `fault.get_table` is the only place that asks.
"""


class Private:
    """Every mm has its own tables: what Linux does for ordinary files."""

    levels: tuple[int, ...] = ()        # the levels whose tables may be shared

    def find(self, vma, base: int, level: int):
        """A table that already maps the range at *base* of the file behind *vma*, or None."""
        return None

    def publish(self, vma, base: int, table) -> None:
        """A fresh table was made where `find` had none."""
