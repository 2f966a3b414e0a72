"""What a picture shows at one step: for every element of a graph its classes and its text.

A state is total: an element that is not in it is not to be seen.  So back, forward and jump end in
the same picture.
"""

from ..geometry import PRESENT, entry_letters, entry_pfn
from ..trace import FrameState, Snapshot, Step, TableState
from .graph import Graph, Node, edge_id, frame_id, is_link, table_id, task_id

State = dict[str, tuple[frozenset[str], str]]
ON, SHARED = frozenset({"on"}), frozenset({"on", "shared"})


def state(graph: Graph, now: Snapshot, before: Snapshot | None = None,
          step: Step | None = None) -> State:
    """Element -> (classes, text) for the snapshot *now*.

    Classes: "on" (it is there), "shared" (more than one entry points to it), "hot" (it differs
    from *before*), "walk" (on the way that the address of *step* takes).

    >>> from mmlib import Machine, TINY
    >>> from mmlib.views.union import union
    >>> m = Machine(TINY); a = m.spawn("a"); now = m.snapshot()
    >>> [(name, sorted(classes)) for name, (classes, _) in state(union([now]), now).items()][:2]
    [('k2_1/a', ['on']), ('k2_1/a>t2_1', ['on'])]
    """
    shown = present(graph, now)
    if before is not None:
        old = present(graph, before)
        for name in [n for n in shown if is_news(n, shown, old)]:
            shown[name] = shown[name][0] | {"hot"}, shown[name][1]
    if step is not None:
        for name in walked(now, step):
            if ">" not in name and name not in shown:
                name = name.rpartition(".")[0] + ".None"    # the cell for all that have none
            if name in shown:
                shown[name] = shown[name][0] | {"walk"}, shown[name][1]
    return shown


def is_news(name: str, shown: State, old: State) -> bool:
    """Is it new, or does it read differently?  The empty cells of a new table are not news: the
    table is."""
    if name in old:
        return shown[name] != old[name]
    owner, dot, _ = name.partition(".")
    return ">" in name or not dot or owner in old or shown[name][1] != ""


def present(graph: Graph, now: Snapshot) -> State:
    """What is there, without what changed and what was walked."""
    out: State = {}
    tables, frames = {t.pfn: t for t in now.tables}, {f.pfn: f for f in now.frames}
    roots = {m.name: tables[m.root[0]] for m in now.mms}
    heads = {lane.name: f"m{number}" for number, lane in enumerate(graph.lanes)
             if lane.kind == "file"}
    for vma in (vma for mm in now.mms for vma in mm.vmas if vma.backing in heads):
        out[heads[vma.backing]] = ON, ""
    for number, lane in enumerate(graph.lanes):
        for host in now.hosts if lane.kind == "host" else ():
            if host.name == lane.name:
                out[f"m{number}"] = out[edge_id(f"m{number}", None, table_id(roots[host.name]))] = \
                    ON, ""
    for task in now.tasks:
        if (top := table_id(roots[task.mm])) in graph.nodes:
            pill = task_id(task.name, roots[task.mm].node)
            out[pill] = out[edge_id(pill, None, top)] = ON, ""
    for table in now.tables:
        name = table_id(table)
        if table.published and table.owner in heads:
            out[heads[table.owner]] = out[edge_id(heads[table.owner], None, name)] = ON, ""
        node = graph.nodes.get(name)
        if node is None:                # what is not drawn may be large
            continue
        out[name] = (SHARED, f"x{table.users}") if table.users > 1 else (ON, "")
        out |= cells(table, node)
        entries = dict(table.entries)
        for index in node.cells:
            entry = entries.get(index, 0)
            if is_link(table.level, entry):
                out[edge_id(name, index, table_id(tables[entry_pfn(entry)]))] = ON, ""
            elif entry & PRESENT:
                out[edge_id(name, index, frame_id(frames[entry_pfn(entry)]))] = ON, ""
    for frame in now.frames:
        if frame.file in heads:
            out[heads[frame.file]] = ON, ""
        name = frame_id(frame)
        if name in graph.nodes:
            many = frame.mapcount > 1 and frame.count == 1     # else the label is a number already
            out[name] = ON, f"x{frame.mapcount}" if many else ""
            out[name + ".0"] = ON, content(frame)
    return {name: value for name, value in out.items() if name in graph.edges
            or ">" not in name and name.partition(".")[0] in graph.nodes}


def cells(table: TableState, node: Node) -> State:
    """The cells of a table; in a large one each tells its index, the last how many are left out."""
    entries, out = dict(table.entries), {}
    for index in node.cells:
        if index is None:
            left = len(entries.keys() - set(node.cells))
            text = f"+{left}" if left else ""
        else:
            text = cell_text(table.level, entries.get(index, 0))
            text = text if node.all_cells or not text else f"{index}:{text}"
        out[f"{table_id(table)}.{index}"] = ON, text
    return out


def cell_text(level: int, entry: int) -> str:
    """An entry that points to a table shows that table's frame; a leaf, what it allows now."""
    return str(entry_pfn(entry)) if is_link(level, entry) else entry_letters(entry)


def content(frame: FrameState) -> str:
    """The first bytes of a page, as far as they are text; "0" for zeros.  A file's page begins
    with its number in the file.

    >>> content(FrameState(6, 3, "anon", "", -1, 1, b"hello\\0\\0\\0"))
    'hello'
    >>> content(FrameState(6, 3, "anon", "", -1, 1, b"\\x07\\0\\0\\0\\0\\0\\0\\0"))
    '07'
    >>> content(FrameState(6, 3, "file", "/dev/shm/db", 2, 1, bytes(8)))
    'p2: 0'
    """
    head = frame.head.rstrip(b"\0")
    text = head.hex()
    if not head:
        text = "0"
    elif all(32 <= byte < 127 for byte in head):
        text = head.decode("ascii")
    start, room = (f"p{frame.index}: ", 5) if frame.kind == "file" else ("", 8)
    return start + (text if len(text) <= room else text[:room - 1] + "..")


def walked(now: Snapshot, step: Step) -> list[str]:
    """Cells and edges on the way that the address of *step* takes through the tables."""
    if step.addr is None or not 0 <= step.addr < now.geometry.task_size or \
            step.mm not in [m.name for m in now.mms]:
        return []
    out, path = [], now.walk(step.mm, step.addr)
    frames = {f.pfn: f for f in now.frames}
    for (table, index, entry), below in zip(path, [*path[1:], None]):
        out.append(f"{table_id(table)}.{index}")
        if below is not None:
            out.append(edge_id(table_id(table), index, table_id(below[0])))
        elif entry & PRESENT:
            out.append(edge_id(table_id(table), index, frame_id(frames[entry_pfn(entry)])))
    return out


def encode(shown: State) -> dict[str, str]:
    """A state as the widget reads it: "classes|text".

    >>> encode({"t5_4.0": (frozenset({"on", "hot"}), "rw")})
    {'t5_4.0': 'hot on|rw'}
    """
    return {name: f"{' '.join(sorted(classes))}|{text}" for name, (classes, text) in shown.items()}


def delta(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """What must change to come from one encoded state to the next; "" is no longer there.

    >>> delta({"a": "on|", "b": "on|"}, {"b": "on|rw"})
    {'b': 'on|rw', 'a': ''}
    """
    changed = {name: value for name, value in now.items() if before.get(name) != value}
    return changed | {name: "" for name in before if name not in now}
