"""What is shown between the states before and after one call; micro.py has a rule for each event."""

import functools
from collections.abc import Iterable

from ..events import Event
from ..geometry import entry_pfn
from ..trace import Snapshot, Step
from .graph import Graph, frame_id, is_link, table_id
from .state import ON, State, present


class During:
    """The two states around one call, and what is shown between them."""

    def __init__(self, graph: Graph, before: Snapshot, step: Step):
        self.graph, self.step, self.before, self.after = graph, step, before, step.after
        self.old, self.new = present(graph, before), present(graph, step.after)
        self.shown, self.walk, self.walking = dict(self.old), [], False
        self.tables = {t.pfn: t for t in (*before.tables, *step.after.tables)}
        self.frames = {f.pfn: f for f in (*before.frames, *step.after.frames)}

    def take(self, event: Event) -> State:
        """The state after *event*, with marks."""
        last = self.shown
        self.shown = dict(last)
        about = self.about(event)
        self.close()
        if event.kind == "walk":
            self.walk = [*(self.walk if self.walking else ()), *about]
        self.walking = event.kind == "walk"
        marked = dict(self.shown)
        for names, mark in ((self.walk, "walk"), (about, "now"), (
                [n for n in marked if marked[n] != last.get(n) and (n in last or "." not in n
                 or ">" in n or marked[n][1])], "hot")):
            for name in names:
                if name in marked:
                    marked[name] = marked[name][0] | {mark}, marked[name][1]
        return marked

    def about(self, event: Event) -> list[str]:
        """Bring what *event* is about up to date; its elements."""
        rule = getattr(self, f"on_{event.kind}", None)     # micro.py has them
        return list(rule(event)) if rule else []

    def copy(self, names: Iterable[str]) -> list[str]:
        """Let elements look as they do after the call; those that are then gone, go."""
        names = list(names)
        for name in names:
            if name in self.new:
                self.shown[name] = self.new[name]
            else:
                self.shown.pop(name, None)
        return names

    def close(self) -> None:
        """No arrow without both its ends, and no cell without its table."""
        for name in list(self.shown):
            if name in self.graph.edges:
                start, _, end = self.graph.edges[name]
                if start not in self.shown or end not in self.shown:
                    del self.shown[name]
            elif "." in name and name.partition(".")[0] not in self.shown:
                del self.shown[name]

    def cell(self, table, index: int) -> str:
        name = table_id(table)
        node = self.graph.nodes.get(name)
        return f"{name}.{index if node is None or index in node.cells else None}"

    def frame(self, pfn: int, now: Snapshot | None = None) -> str:
        """The id of a frame, as it is after the call unless another state is named."""
        return next((frame_id(f) for f in (now or self.after).frames if f.pfn == pfn), "")

    def page(self, name: str, text: str | None = None) -> list[str]:
        """A page appears; it may hold something else than after the call."""
        if name not in self.new or name in self.shown:
            return [name] if name in self.shown else []
        self.copy([name, f"{name}.0"])
        if text is not None:
            self.shown[f"{name}.0"] = ON, text
        return [name]

    def arrows(self, name: str) -> list[str]:
        """Arrows to a table that come or go with this call, and the cells that they start from."""
        out = [edge for edge, (_, _, end) in self.graph.edges.items() if end == name
               and (edge in self.new) != (edge in self.shown)]
        cells = [f"{start}.{cell}" for start, cell, _ in map(self.graph.edges.get, out)
                 if cell is not None]
        return self.copy([*out, *cells])

    def clear(self, cells: Iterable[str]) -> None:
        for name in cells:
            if name in self.shown:
                self.shown[name] = ON, ""

    def range(self, start: int, end: int) -> list[str]:
        """Leaf entries in [start, end) that this call changes, with the pages that they map."""
        cells = [name for name, at in self.leaves.items() if start <= at < end
                 and self.shown.get(name) and self.shown[name] != self.new.get(name)]
        for name in cells:
            self.shown[name] = self.new.get(name, (ON, ""))
        arrows = [edge for edge, (table, cell, _) in self.graph.edges.items()
                  if f"{table}.{cell}" in cells]
        self.copy(arrows)
        for edge in arrows:
            end_ = self.graph.edges[edge][2]
            self.copy([end_, f"{end_}.0"] if end_ in self.new else [])
        return cells

    @functools.cached_property
    def leaves(self) -> dict[str, int]:
        """Cells of leaf entries, and an address that each translates."""
        out = {}
        for now in (self.before, self.after):
            tables = {t.pfn: t for t in now.tables}
            todo = [(0, tables[mm.root[0]]) for mm in now.mms]
            while todo:
                base, table = todo.pop()
                for index, entry in table.entries:
                    at = base + index * now.geometry.entry_span(table.level)
                    if is_link(table.level, entry):
                        todo.append((at, tables[entry_pfn(entry)]))
                    else:
                        out[self.cell(table, index)] = at
        return out
