"""The picture within a call: what is there after each of its events.

A trace has the state before a call and the one after it.  An event says which elements it is
about; those come to look as they do afterwards, all others wait.  So the picture within a call is
made of the two frozen states and the events, and the last event is followed by the whole truth.
"""

from ..events import Event
from ..trace import Snapshot, Step
from .during import During
from .graph import Graph, table_id
from .state import ON, cell_text, delta, encode

MOST = 60                               # events of one call that are stops


def micro(graph: Graph, before: Snapshot, step: Step) -> list[dict[str, str]]:
    """For each event what it changes in the picture, encoded, from the state *before* without its
    marks on.  "now" is what the event is about, "walk" what the walk has read so far.

    >>> from mmlib import Machine, TINY
    >>> from mmlib.views.union import union
    >>> m = Machine(TINY); a = m.spawn("a"); b = a.fork("b")
    >>> micro(union([s.after for s in m.trace]), m.trace[0].after, m.trace[1])
    [{'t3_2': 'hot now on|', 't3_2.0': 'on|', 't3_2.1': 'on|', 't3_2.2': 'on|', \
't3_2.3': 'on|', 'k3_2/b>t3_2': 'hot now on|', 'k3_2/b': 'hot now on|'}]
    """
    during = Call(graph, before, step)
    last, out = encode(during.old), []
    for event in step.events[:MOST]:
        encoded = encode(during.take(event))
        out.append(delta(last, encoded))
        last = encoded
    return out


class Call(During):
    """A method a kind of event; a kind without one changes nothing in the picture."""

    def on_walk(self, event: Event) -> list[str]:
        table = self.tables.get(event.pfn)
        return [self.cell(table, event.index)] if table else []

    def on_table(self, event: Event) -> list[str]:
        """A new table is empty; the entry above leads to it."""
        table = next((t for t in self.after.tables if t.pfn == event.pfn), None)
        if table is None or (name := table_id(table)) not in self.new:
            return []
        self.shown[name] = ON, ""
        self.shown |= {f"{name}.{index}": (ON, "") for index in self.graph.nodes[name].cells}
        return [name, *self.arrows(name)]

    def on_share(self, event: Event) -> list[str]:
        table = next((t for t in self.after.tables if t.pfn == event.pfn), None)
        if table is None:
            return []
        name = table_id(table)
        return [*self.copy([name]), *self.arrows(name)]

    on_link = on_share

    def on_unshare(self, event: Event) -> list[str]:
        """The caller's entry goes; the table stays for the others."""
        table = self.tables.get(event.pfn)
        return [*self.copy([table_id(table)]), *self.arrows(table_id(table))] if table else []

    def on_fill(self, event: Event) -> list[str]:
        table = self.tables.get(event.pfn)
        if table is None:
            return []
        name = self.cell(table, event.index)
        if name in self.new:
            node = self.graph.nodes[table_id(table)]
            text = cell_text(table.level, event.entry)
            told = text if node.all_cells or name.endswith(".None") else f"{event.index}:{text}"
            self.shown[name] = ON, told if not name.endswith(".None") else self.new[name][1]
        arrows = [edge for edge, (start, cell, _) in self.graph.edges.items()
                  if edge in self.new and f"{start}.{cell}" == name]
        for edge in arrows:
            self.page(self.graph.edges[edge][2])
        return [name, *self.copy(arrows)]

    def on_anon(self, event: Event) -> list[str]:
        return self.page(self.frame(event.pfn), "0")

    def on_cache_fill(self, event: Event) -> list[str]:
        """What a store makes of the page comes later; what was read is not recorded then."""
        stores = self.step.call in ("store", "pwrite")
        return self.page(self.frame(event.pfn), f"p{event.index}:" if stores else None)

    def on_zero_page(self, event: Event) -> list[str]:
        return self.page(self.frame(event.pfn))

    on_cache_hit = on_zero_page

    def on_copy(self, event: Event) -> list[str]:
        """The new page holds what the old one held; the store comes later."""
        held = self.shown.get(self.frame(event.old, self.before) + ".0", (ON, "0"))[1]
        return self.page(self.frame(event.new), held)

    def on_free_page(self, event: Event) -> list[str]:
        """Gone, and no entry maps it any more."""
        name = self.frame(event.pfn, self.before)
        cells = [f"{start}.{cell}" for edge, (start, cell, end) in self.graph.edges.items()
                 if end == name and edge in self.shown]
        if name in self.shown and name not in self.new:
            del self.shown[name]
            self.clear(cells)
        return cells

    def on_free_table(self, event: Event) -> list[str]:
        """Gone, and the entry above is empty."""
        table = next((t for t in self.before.tables if t.pfn == event.pfn), None)
        name = table_id(table) if table else ""
        if name in self.shown and name not in self.new:
            del self.shown[name]
            above = [f"{start}.{cell}" for start, cell, end in self.graph.edges.values()
                     if end == name and cell is not None]
            self.clear(above)
            return above
        return []

    def on_zap(self, event: Event) -> list[str]:
        return self.range(event.start, event.end)

    on_protect = on_copy_range = on_zap

    def on_truncate(self, event: Event) -> list[str]:
        gone = [f for f in self.before.frames if f.file == event.file and f.index >= event.first]
        return [name for frame in gone for name in self.on_free_page(Event("free_page", (frame.pfn,)))]

    def on_dup_mm(self, event: Event) -> list[str]:
        """The child is there, with a top-level table that is empty yet."""
        there = {m.root for m in self.before.mms}
        out = []
        for table in [t for t in self.after.tables if t.node in {m.root for m in self.after.mms} - there]:
            name = table_id(table)
            if name in self.new:
                self.shown[name] = self.new[name]
                self.shown |= {f"{name}.{i}": (ON, "") for i in self.graph.nodes[name].cells}
                out += [name, *(edge for edge, (_, _, end) in self.graph.edges.items()
                                if end == name and edge in self.new)]
                out += [self.graph.edges[edge][0] for edge in out if edge in self.graph.edges]
        self.copy(n for n in out if n not in self.shown)
        return out

    def on_vma(self, event: Event) -> list[str]:
        return self.copy(n for n in self.graph.nodes if n.startswith("m"))

    def on_touch(self, event: Event) -> list[str]:
        """Told as one event: all of it happens now."""
        return self.copy(n for n in {**self.old, **self.new} if self.old.get(n) != self.new.get(n))

    on_populate = on_move_entries = on_oom = on_fault_around = on_touch
