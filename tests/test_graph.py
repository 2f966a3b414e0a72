"""Where things stand: decided once for all steps of a trace, in lanes, without overlap."""
from itertools import combinations

import pytest
import scenes
from scenes import ANON, MIB, PAGE

from mmlib import LA57, MAP_SHARED, TINY, X86_64, FileTableCache, Machine
from mmlib.geometry import PRESENT, entry_pfn
from mmlib.views.graph import TABLE_W, WIDE_W, frame_id, table_id, task_id
from mmlib.views.place import GAP
from mmlib.views.state import state
from mmlib.views.svg import still_svg, union_svg
from mmlib.views.union import CELLS, FILES, PROCESSES, ROOM, union


@pytest.fixture(params=scenes.ALL, ids=lambda scene: scene.__name__)
def machine(request):
    return request.param()


@pytest.fixture
def graph(machine):
    return drawn(machine)


def drawn(machine):
    return union([step.after for step in machine.trace])


def lane_of(graph, node):
    return graph.lanes[graph.nodes[node].lane]


def owner(graph, table):
    """The lane of the only table of that label, as (kind, name)."""
    [node] = [n for n in graph.nodes.values() if n.label == table]
    return graph.lanes[node.lane].kind, graph.lanes[node.lane].name


# places --------------------------------------------------------------------------------------
def test_no_two_boxes_overlap(graph):
    """Not even with the second border, 3 pixels further out, that a shared table has."""
    def box(node):
        edge = 3 if node.kind == "table" else 0
        (w, h), x, y = node.size, node.x, node.y
        return x - edge, y - edge, x + w + edge, y + h + edge

    for one, other in combinations(graph.nodes.values(), 2):
        a, b = box(one), box(other)
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, other)


def test_all_boxes_are_within_the_picture(graph):
    """The corners of the picture enclose every box with room for a second border."""
    for node in graph.nodes.values():
        (w, h) = node.size
        assert node.x >= 4 and node.y >= 4, node
        assert node.x + w + 4 <= graph.width and node.y + h + 4 <= graph.height, node


def test_lanes_stand_side_by_side_files_first(graph):
    """The zero page, then files, regions and processes; a lane ends before the next begins."""
    kinds = [lane.kind for lane in graph.lanes]
    assert kinds == sorted(kinds, key=["zero", "file", "host", "mm"].index)
    spans = [[(n.x, n.x + n.size[0]) for n in graph.nodes.values() if n.lane == number]
             for number in range(len(kinds))]
    for left, right in combinations(filter(None, spans), 2):
        assert max(end for _, end in left) < min(start for start, _ in right)


def test_places_do_not_depend_on_the_step_that_is_shown(machine):
    """In every state each box stands where the union put it."""
    graph = drawn(machine)
    places = {n.id: f'translate({n.x:g} {n.y:g})' for n in graph.nodes.values()}
    live = union_svg(graph)
    for before, step in zip([None, *machine.trace], machine.trace):
        shown = state(graph, step.after, before and before.after, step)
        still = still_svg(graph, shown)
        for name in shown.keys() & places.keys():
            for svg in (live, still):
                start = svg.index(f'data-id="{name}"')
                assert places[name] in svg[start:svg.index(">", start)]


def test_two_unions_of_one_trace_are_equal(machine):
    """Nothing depends on chance or on what was drawn before."""
    assert drawn(machine) == drawn(machine)


def test_tables_stand_in_the_order_of_addresses(graph):
    """Within a lane a table that translates lower addresses is further left."""
    for number in range(len(graph.lanes)):
        for level in range(1, 6):
            row = [n for n in graph.in_lane(number, "table") if n.level == level]
            assert [n.path for n in sorted(row, key=lambda n: n.x)] == sorted(n.path for n in row)


def test_a_parent_is_centred_over_its_own_children(graph):
    """It stands further right only where its left neighbour leaves no room."""
    centred = 0
    for node in graph.nodes.values():
        own = [graph.nodes[end] for start, _, end in graph.edges.values() if start == node.id
               and graph.nodes[end].kind == "table" and graph.nodes[end].lane == node.lane]
        if node.kind == "table" and own:
            middle = sum(n.x for n in own) / len(own)
            left = [n for n in graph.in_lane(node.lane, "table")
                    if n.level == node.level and n.x < node.x]
            pushed = left and node.x == max(n.x + n.size[0] for n in left) + GAP
            assert node.x == middle or pushed and node.x > middle, node
            centred += node.x == middle
    assert centred or all(n.level != 3 for n in graph.nodes.values())


# identity --------------------------------------------------------------------------------------
def test_a_frame_that_is_used_again_is_another_box():
    """Frames are handed out lowest first: the same number is three tables and three pages here."""
    graph = drawn(scenes.reuse())
    labels = [node.label for node in graph.nodes.values() if node.kind == "table"]
    roots = [name for name, node in graph.nodes.items() if node.label == "PGD 2"]
    assert len(roots) == 3 == len(set(roots)) and len(labels) > len(set(labels))


def test_a_node_is_keyed_by_frame_and_birth(machine):
    """Every table and page that is drawn is one of the trace, and no two things share a box."""
    graph = drawn(machine)
    things = {}
    for step in machine.trace:
        for table in step.after.tables:
            things.setdefault(table_id(table), set()).add(("table", table.pfn, table.level))
        for frame in step.after.frames:
            things.setdefault(frame_id(frame), set()).add(
                ("frame", frame.pfn, frame.kind, frame.file))
    assert all(len(kinds) == 1 for kinds in things.values())
    boxes = {n.id for n in graph.nodes.values() if n.kind in ("table", "frame")}
    assert boxes <= things.keys()


def test_exec_gives_the_task_another_box():
    """The same task stands over another top-level table afterwards."""
    graph = drawn(scenes.execs())
    assert len([n for n in graph.nodes.values() if n.kind == "task" and n.label == "a"]) == 3


@pytest.mark.parametrize("name", scenes.ODD + ["a.1", "a>b", "k2_1/a", "a_2e_1", "ä"])
def test_any_name_gets_a_box_and_an_arrow(name):
    """Also one that looks like an edge, a cell, or another task's id."""
    m = Machine(TINY)
    task = m.spawn(name)
    graph = union([m.snapshot()])
    pill = task_id(name, (task.mm.pgd.pfn, task.mm.pgd.birth))
    shown = state(graph, m.snapshot())
    assert graph.nodes.keys() == {pill, "t2_1"}
    assert pill in shown and f"{pill}>t2_1" in shown


def test_ids_of_tasks_do_not_collide():
    """Different names have different ids."""
    names = ["a", "a.", "a_", "a.1", "a_2e_1", "a_2e1", "A", "ä", "_e4_", "", "a/"]
    assert len({task_id(name, (2, 1)) for name in names}) == len(names)


# lanes -----------------------------------------------------------------------------------------
def test_a_published_table_stands_with_its_file_from_birth():
    """One user or three: the place gives no answer away."""
    for users in (1, 3):
        m = Machine(TINY, sharing=FileTableCache())
        file = m.memfd("db", 16 * PAGE)
        for n in range(users):
            task = m.spawn(f"t{n}")
            task.mmap(0x40000, 16 * PAGE, "rw", MAP_SHARED, file)
            task.load(0x40000)
        graph = drawn(m)
        published = {table_id(t): t for step in m.trace for t in step.after.tables if t.published}
        assert {t.level for t in published.values()} == {1, 2}
        assert {lane_of(graph, name).kind for name in published} == {"file"}
        assert all(lane_of(graph, table_id(t)).kind == "mm" for step in m.trace
                   for t in step.after.tables if not t.published)


def test_a_borrowed_table_stands_with_its_first_owner():
    """huge_pmd_share: the PMD table is the first process's, who did not know that it would be
    shared."""
    m = scenes.hugetlb()
    graph = drawn(m)
    shared = {table_id(t) for step in m.trace for t in step.after.tables if t.users > 1}
    assert shared and {lane_of(graph, name).name for name in shared} == {"a"}


def test_a_region_has_a_lane_before_the_processes():
    """Its head is a pill as of a file, over the host's top-level table; its tables and anonymous
    pages stand there, and the guests' links leave their lanes."""
    m = scenes.region()
    graph, now = drawn(m), m.trace[11].after
    assert [(lane.kind, lane.name) for lane in graph.lanes] == [
        ("host", "/ms/r"), ("mm", "a"), ("mm", "b"), ("mm", "c")]
    [host] = now.hosts
    [head] = graph.in_lane(0, "file")
    assert head.label == "r" and (head.id, None, f"t{host.root[0]}_{host.root[1]}") in \
        graph.edges.values()
    [shared] = [t for t in now.tables if t.users > 1]
    assert (shared.level, shared.users, lane_of(graph, table_id(shared)).kind) == (3, 3, "host")
    assert {graph.nodes[start].lane for start, _, end in graph.edges.values()
            if end == table_id(shared)} == {0, 1, 2, 3}
    assert state(graph, now)[head.id][0] == {"on"}
    assert head.id not in state(graph, m.trace[-1].after) or m.hosts


def test_the_pages_of_a_file_within_a_region_stand_with_the_file():
    """The region's own lane has its tables; a second region of the name has a lane of its own."""
    m = scenes.objects_inside()
    graph = drawn(m)
    assert [lane.kind for lane in graph.lanes] == ["file", "file", "host", "host", "mm", "mm"]
    assert [node.label for lane in range(4) for node in graph.in_lane(lane, "file")] == [
        "db", "shm0", "r", "r'"]
    assert not graph.in_lane(2, "frame") and len(graph.in_lane(0, "frame")) == 1


def test_more_regions_than_lanes_are_counted():
    """As files are."""
    m = Machine(TINY)
    m.mount("msharefs", "/ms", version=2025)
    for n in range(FILES + 2):
        m.open(f"/ms/r{n}").truncate(0x40000)
    assert drawn(m).note == "Not drawn: 2 regions."


def test_a_table_whose_owner_is_gone_is_drawn_with_who_has_it():
    """A picture of the last state alone, after the exit of the process that made the table."""
    m = Machine(TINY, huge_pages=4)
    m.mount("hugetlbfs", "/huge")
    file = m.open("/huge/f")
    file.truncate(4 * TINY.huge_size)
    a = m.spawn("a")
    a.mmap(0x40000, 4 * TINY.huge_size, "rw", MAP_SHARED, file)
    a.store(0x40000, b"x")
    b = a.fork("b")
    b.load(0x40000)
    a.exit()
    now = m.snapshot()
    assert [t.owner for t in now.tables if t.level == 2] == ["a"]
    graph = union([now])
    assert {table_id(t) for t in now.tables} == \
        {n.id for n in graph.nodes.values() if n.kind == "table"}


def test_threads_are_two_pills_over_one_table():
    """clone: another task, and no other lane."""
    m = Machine(TINY)
    m.spawn("a").clone("t")
    graph = drawn(m)
    assert [n.kind for n in graph.nodes.values()].count("task") == 2
    assert len(graph.lanes) == 1 and len(graph.edges) == 2


def test_pages_of_a_file_stand_in_its_lane_in_their_order():
    """Whoever maps them, page 0 is the first."""
    m = Machine(TINY)
    file = m.memfd("db", 4 * PAGE)
    a = m.spawn("a")
    a.mmap(0x4000, 4 * PAGE, "rw", MAP_SHARED, file)
    for page in (3, 1, 2, 0):
        a.store(0x4000 + page * PAGE, b"x")
    graph = drawn(m)
    pages = {frame_id(f): f.index for f in m.snapshot().frames}
    row = sorted(graph.in_lane(0, "frame"), key=lambda n: (n.y, n.x))
    assert [pages[n.id] for n in row] == [0, 1, 2, 3]


# bounds ----------------------------------------------------------------------------------------
def test_more_processes_than_lanes_are_counted():
    """The first get lanes; the picture says how many others there are, and nothing breaks."""
    m = scenes.crowd()
    graph = drawn(m)
    assert [lane.kind for lane in graph.lanes].count("mm") == PROCESSES
    assert graph.note == f"Not drawn: {9 - PROCESSES} address spaces."
    assert graph.note in union_svg(graph)


def test_one_more_is_singular():
    """1 address space, 1 file."""
    m = Machine(TINY)
    for n in range(PROCESSES + 1):
        m.spawn(f"t{n}")
    task = m.tasks[0]
    for n in range(FILES + 1):
        task.mmap(None, PAGE, "r", MAP_SHARED, task.memfd(f"f{n}", PAGE))
    assert drawn(m).note == "Not drawn: 1 address space, 1 file."


def test_what_fits_has_no_note():
    """A small machine is drawn whole."""
    graph = drawn(scenes.fork())
    assert graph.note == "" and "Not drawn" not in union_svg(graph)


@pytest.mark.parametrize("scene", [s for s in scenes.ALL if s.__name__ not in
                                   ("wide", "sixty_four_mib", "tiny_full", "crowd", "many_files")],
                         ids=lambda scene: scene.__name__)
def test_a_small_trace_is_drawn_whole(scene):
    """Every task, table, page and entry of every state has its place."""
    m = scene()
    graph = drawn(m)
    assert graph.note == ""
    for now in (step.after for step in m.trace):
        roots = {mm.name: mm.root for mm in now.mms}
        frames = {f.pfn: f for f in now.frames}
        assert {table_id(t) for t in now.tables} | {frame_id(f) for f in now.frames} \
            | {task_id(t.name, roots[t.mm]) for t in now.tasks} <= graph.nodes.keys()
        for table in now.tables:
            for index, entry in table.entries:
                assert index in graph.nodes[table_id(table)].cells
                if table.level == 1 and entry & PRESENT:
                    end = frame_id(frames[entry_pfn(entry)])
                    assert f"{table_id(table)}.{index}>{end}" in graph.edges


def test_a_row_has_a_limit_and_says_so():
    """TINY full to the brim: 85 tables and 256 pages in each process."""
    graph = drawn(scenes.tiny_full())
    for number in range(len(graph.lanes)):
        for level in range(1, 5):
            row = [n for n in graph.in_lane(number, "table") if n.level == level]
            assert len(row) <= ROOM["table"]
        assert len(graph.in_lane(number, "frame")) <= ROOM["frame"]
    assert graph.note == "Not drawn: some tables, some pages."
    assert len(graph.nodes) < 90


@pytest.mark.parametrize("geometry", [X86_64, LA57], ids=str)
def test_a_large_table_has_few_cells(geometry):
    """The lowest entries in use over all steps, and one cell that counts the others."""
    m = Machine(geometry)
    a = m.spawn("a")
    a.mmap(0x40_0000, 64 * PAGE, "rw", ANON)
    for page in (40, 7, 3, 12, 9):
        a.store(0x40_0000 + page * PAGE, b"x")
    graph = drawn(m)
    [pte] = [n for n in graph.nodes.values() if n.label.startswith("PTE")]
    assert pte.cells == (3, 7, None) and len(pte.cells) == CELLS
    assert [state(graph, step.after)[f"{pte.id}.None"][1] for step in m.trace[2:]] == \
        ["+1", "+1", "+1", "+2", "+3"]
    assert {len(n.cells) for n in graph.nodes.values() if n.kind == "table"} <= {1, 2, CELLS}


def test_what_hangs_below_a_counted_entry_is_not_drawn():
    """No table of the picture is without an arrow that leads to it."""
    for scene in (scenes.wide, scenes.sixty_four_mib):
        graph = drawn(scene())
        reached = {end for _, _, end in graph.edges.values()}
        assert {n.id for n in graph.nodes.values() if n.kind == "table"} <= reached


@pytest.mark.parametrize("mib", [1, 64, 1024])
def test_the_picture_does_not_grow_with_the_memory_that_is_touched(mib):
    """Hundreds of tables and a quarter of a million pages take no more boxes than a few."""
    m = Machine(X86_64, trace=False)
    a = m.spawn("a")
    a.mmap(0x1_0000_0000, mib * MIB, "rw", ANON)
    a.touch(0x1_0000_0000, mib * MIB, write=True)
    a.fork("b")
    graph = union([m.snapshot()])
    assert len(graph.nodes) < 80 and graph.width < 1280 and graph.height < 600


def test_many_mapped_files_and_cached_pages_are_bounded():
    """A lane for the first files; a cache of a hundred pages takes five rows."""
    graph = drawn(scenes.many_files())
    assert [lane.kind for lane in graph.lanes].count("file") == FILES
    assert graph.note == "Not drawn: 7 files."
    m = Machine(TINY)
    m.memfd("big").pwrite(b"x" * 100 * PAGE, 0)
    graph = drawn(m)
    assert len(graph.in_lane(0, "frame")) == ROOM["frame"]
    assert graph.note == "Not drawn: some pages."


def test_many_threads_are_bounded():
    """A hundred threads over one table."""
    m = Machine(TINY)
    a = m.spawn("a")
    for _ in range(100):
        a.clone()
    graph = drawn(m)
    assert len(graph.in_lane(0, "task")) == ROOM["task"]
    assert graph.note == "Not drawn: some threads."


def test_pages_that_are_mapped_have_room_before_those_that_are_not():
    """A file's cache was full before the first page was mapped."""
    m = Machine(TINY)
    file = m.memfd("big")
    file.pwrite(b"x" * 60 * PAGE, 0)
    a = m.spawn("a")
    a.mmap(0x10000, 60 * PAGE, "rw", MAP_SHARED, file)
    a.load(0x10000 + 50 * PAGE)
    graph, now = drawn(m), m.snapshot()
    [mapped] = [frame_id(f) for f in now.frames if f.mapcount]
    assert mapped in graph.nodes


def test_nothing_at_all_is_a_picture():
    """A machine that never did anything, and no state."""
    for states in ([], [Machine(TINY).snapshot()]):
        graph = union(states)
        assert not graph.nodes and graph.width > 0 and graph.height > 0


@pytest.mark.parametrize("scene, width", [(scenes.fork, TABLE_W), (scenes.wide, WIDE_W)])
def test_a_table_is_as_wide_as_its_cells_need(scene, width):
    """Four entries of two letters, or up to three that tell their index; all of one trace alike."""
    tables = [n for n in drawn(scene()).nodes.values() if n.kind == "table"]
    assert {n.size[0] for n in tables} == {width}
    assert {round(n.cell_width * len(n.cells)) for n in tables} == {width}


def test_the_tables_of_one_set_stand_together():
    """Of the two sets of a file, those that may store and those that only read."""
    m = Machine(TINY, sharing=FileTableCache())
    file = m.memfd("db", 0x10000)
    for name, prot in (("a", "rw"), ("b", "r")):
        task = m.spawn(name)
        task.mmap(0x40000, 0x10000, prot, MAP_SHARED, file)
        for addr in (0x44000, 0x40000):             # not the order of addresses
            task.load(addr)
    graph = drawn(m)
    nodes = {n.label: n for n in graph.nodes.values()}
    sets = [[f"PTE {entry_pfn(entry)}" for _, entry in t.entries]
            for t in m.snapshot().tables if t.level == 2]
    assert len(sets) == 2
    standing = sorted((name for names in sets for name in names), key=lambda name: nodes[name].x)
    assert standing == sets[0] + sets[1]
