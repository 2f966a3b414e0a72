"""The rows of `cost` side by side, for a notebook: what it costs to share, and no seconds."""

from collections.abc import Iterable

from .cost import KNOWN, LEVELS, REGIMES, UNITS, measure

COLUMNS = tuple(name.upper() for name in reversed(LEVELS))       # PGD first, as an address is walked


class Costs:
    """*processes* share *size* bytes, under each of *regimes*: their tables, bytes and faults.

    *misalign* and *diverge* are those of the command.  Raises ValueError for an unknown regime.

    >>> costs = Costs(64 << 20, 4, regimes=["private", "cache-pte"]); costs
    64 MiB, 4 processes
    regime     PGD  PUD  PMD  PTE  tables    MiB  faults
    private      4    4    4  128     140  0.547  19,456
    cache-pte    4    4    4   32      44  0.172  16,480
    >>> costs["private"]["bytes"]
    573440
    """

    def __init__(self, size: int, processes: int, misalign: int = 0, diverge: int = 0,
                 regimes: Iterable[str] = tuple(REGIMES)):
        self.regimes = tuple(regimes)
        for name in self.regimes:
            if name not in KNOWN:
                raise ValueError(f"{name!r} is none of {', '.join(KNOWN)}")
        self.size, self.processes, self.misalign, self.diverge = size, processes, misalign, diverge
        self.rows = [measure(name, size, processes, misalign, diverge) for name in self.regimes]

    def __getitem__(self, regime: str) -> dict:
        """The row of *regime*, as `measure` gives it."""
        return self.rows[self.regimes.index(regime)]

    @property
    def title(self) -> str:
        unit = max((u for u in UNITS if self.size % UNITS[u] == 0), key=UNITS.get)
        return (f"{self.size // UNITS[unit]:,} {unit}, {self.processes:,} processes"
                + f", {self.misalign:,} bytes to the side" * bool(self.misalign)
                + f", {self.diverge:,} page{'s' * (self.diverge > 1)} of its own in each"
                * bool(self.diverge))

    def cells(self) -> list[list[str]]:
        """Headings and rows as text; a row that was skipped has a name and the reason."""
        most = max((row["bytes"] for row in self.rows if "bytes" in row), default=0)
        unit = "GiB" if most >= UNITS["GiB"] // 10 else "MiB"
        out = [["regime", *COLUMNS, "tables", unit, "faults"]]
        for row in self.rows:
            out.append([row["regime"], row["skipped"]] if "skipped" in row else [
                row["regime"], *(f"{count:,}" for count in row["tables"].values()),
                f"{row['total_tables']:,}", f"{row['bytes'] / UNITS[unit]:,.3f}",
                f"{row['faults']:,}"])
        return out

    def __repr__(self) -> str:
        cells = self.cells()
        full = [row for row in cells if len(row) == len(cells[0])]
        widths = [max(map(len, column)) for column in zip(*full)]
        first = max(len(row[0]) for row in cells)
        return "\n".join([self.title, *(
            f"{name.ljust(first)}  {rest[0]}" if len(rest) == 1 else "  ".join(
                [name.ljust(first), *map(str.rjust, rest, widths[1:])])
            for name, *rest in cells)])

    def _repr_html_(self) -> str:
        head, *body = self.cells()
        lines = []
        for name, *rest in body:
            span = f' colspan="{len(head) - 1}" style="text-align:left"' if len(rest) == 1 else ""
            lines.append(f'<tr><th scope="row" style="white-space:nowrap">{name}</th>'
                         + "".join(f"<td{span}>{cell}</td>" for cell in rest) + "</tr>")
        top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        return (f"<table><caption>{self.title}</caption><thead><tr>{top}</tr></thead>"
                f"<tbody>{''.join(lines)}</tbody></table>")
