"""DOT, the renderers that may draw it, and what a still is where there is none."""
import base64
import html
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import scenes
from scenes import ANON, ODD, PAGE

from mmlib import MAP_SHARED, TINY, Machine
from mmlib.renderer import find_renderer
from mmlib.views import dot as dot_module
from mmlib.views.dot import dot, quote, render, state_dot
from mmlib.views.graph import file_label, plain, short
from mmlib.views.state import state
from mmlib.views.stepper import Stepper
from mmlib.views.still import bundle
from mmlib.views.svg import still_svg, union_svg
from mmlib.views.union import union

DOT = shutil.which("dot")
SVG = {"svg": "http://www.w3.org/2000/svg"}
IMAGE = re.compile(r'src="data:image/([a-z+]+);base64,([^"]*)"')


def pure():
    """The program of graphviz-pure, or None."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MMLIB_DOT", raising=False)
        patch.setenv("PATH", "")
        return find_renderer()


RENDERERS = [pytest.param(path, id=name, marks=pytest.mark.skipif(
    path is None, reason=f"{name} is not installed")) for name, path in
    (("dot", DOT), ("graphviz-pure", pure()))]
both = pytest.mark.skipif(not (DOT and pure()), reason="dot or graphviz-pure is not installed")
each_renderer = pytest.mark.parametrize("renderer", RENDERERS)


def last(machine):
    """(graph of the trace, its last state)"""
    trace = machine.trace
    graph = union([step.after for step in trace])
    before = trace[-2].after if len(trace) > 1 else None
    return graph, state(graph, trace[-1].after, before, trace[-1])


def draw(renderer, source, form):
    """What *renderer* makes of pinned DOT."""
    return subprocess.run([renderer, "-Kneato", "-n2", f"-T{form}"], input=source.encode(),
                          capture_output=True, check=True).stdout


def image_of(html_text):
    kind, data = IMAGE.search(html_text).groups()
    return kind, base64.b64decode(data)


def named(name):
    """A machine with a task and a file of this name, and a page with its first bytes."""
    m = Machine(TINY)
    task = m.spawn(name)
    file = task.memfd(name[:60], PAGE)
    task.mmap(0x4000, PAGE, "rw", MAP_SHARED, file)
    task.store(0x4000, name.encode()[:8])
    return m


@pytest.fixture
def no_renderer(monkeypatch):
    """Neither a variable, nor a program on PATH, nor the package."""
    monkeypatch.setattr(dot_module, "find_renderer", lambda: None)


# the source ------------------------------------------------------------------------------------
def test_the_source_of_a_small_state():
    """One statement a line: corners, boxes with their places, arrows with their curves."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"hi")
    lines = dot(m.snapshot()).splitlines()
    assert lines[0] == "digraph {" and lines[-1] == "}"
    nodes = [re.match(r'  "([^"]+)" \[pos="([\d.]+),([\d.]+)" label=<.*>\]$', line)
             for line in lines if "label=<" in line]
    assert [n[1] for n in nodes] == ["k2_1/a", "t2_1", "t3_2", "t4_3", "t5_4", "f6_5"]
    heights = [float(n[3]) for n in nodes]
    assert heights == sorted(heights, reverse=True)         # y grows upwards
    arrows = re.findall(r'"([^"]+)" -> "([^"]+)" \[pos="e,', "\n".join(lines))
    assert arrows == [("k2_1/a", "t2_1"), ("t2_1", "t3_2"), ("t3_2", "t4_3"), ("t4_3", "t5_4"),
                      ("t5_4", "f6_5")]
    assert sum("style=invis" in line for line in lines) == 2
    assert "&quot;" not in lines[0] and "hi" in "".join(lines)


def test_only_what_is_there_is_in_the_source():
    """The union has places for 20 boxes; the first state shows two."""
    m = scenes.fork()
    graph = union([step.after for step in m.trace])
    source = state_dot(graph, state(graph, m.trace[0].after))
    assert source.count("label=<") == 2 < len(graph.nodes)


def test_shared_hot_and_walk_are_not_told_by_colour_alone():
    """A double border and x3; a thicker border and bold text; a thicker arrow."""
    m = scenes.cache()
    graph = union([step.after for step in m.trace])
    step = m.trace[9]
    shown = state(graph, step.after, m.trace[8].after, step)
    source = state_dot(graph, shown)
    assert "PMD 6 x3</b>" in source and '<table border="1" cellborder="0" cellspacing="1"' in source
    assert "penwidth=2.2" in source
    assert source.count('border="2"') == sum(
        "hot" in classes for name, (classes, _) in shown.items()
        if ">" not in name and not re.match(r"f\d+_\d+\.0", name))


@pytest.mark.parametrize("name", [*ODD, 'a"b\\"c', "\\", "a\\", '"', "]", "\0", "\x1b[31m"])
def test_a_quoted_string_ends_where_it_should(name):
    """No quote, backslash or line break of a name is one of DOT's."""
    quoted = quote(name)
    assert quoted[0] == quoted[-1] == '"' and quoted.isascii()
    body = quoted[1:-1]
    assert not re.search(r'(?<!\\)(\\\\)*"', body)
    assert len(re.search(r"\\*$", body)[0]) % 2 == 0


@pytest.mark.parametrize("name", ODD)
def test_names_are_escaped_everywhere(name):
    """In DOT, in both kinds of SVG, in the figure and in its alternative text."""
    m = named(name)
    graph, shown = last(m)
    assert "<script" not in state_dot(graph, shown) and "<svg" not in state_dot(graph, shown)
    for svg in (union_svg(graph), still_svg(graph, shown)):
        texts = [t.text or "" for t in ET.fromstring(svg).iterfind(".//svg:text", SVG)]
        assert short(name) in texts, texts
        assert not re.search("<script|<svg onload|<p>", svg)
    data = bundle(m)
    assert not re.search("<script|<svg onload|<p>", data["text/html"])
    alt = html.unescape(re.search(r' alt="([^"]*)"', data["text/html"])[1])
    what, _, boxes = alt.partition("\n")
    assert what.startswith(f"{plain(name)}: arrows lead") and boxes in data["text/plain"]
    assert boxes.startswith(f"{plain(name)}: 3 page tables")


@each_renderer
@pytest.mark.parametrize("name", ODD)
def test_a_renderer_takes_any_name(name, renderer):
    """Every box and arrow arrives; the label is what was meant."""
    graph, shown = last(named(name))
    drawn = ET.fromstring(draw(renderer, state_dot(graph, shown), "svg"))
    groups = [g.get("class") for g in drawn.iterfind(".//svg:g", SVG)]
    boxes = [n for n in shown if n in graph.nodes]
    assert groups.count("node") == len(boxes)
    assert groups.count("edge") == len([n for n in shown if n in graph.edges])
    texts = [re.sub("\xa0", " ", t.text) for t in drawn.iterfind(".//svg:text", SVG)]
    spelled = name.encode("ascii", "backslashreplace").decode()
    if name.isprintable() and len(spelled) <= 11:
        assert texts.count(spelled) >= 1, texts


@pytest.mark.parametrize("scene", scenes.ALL, ids=lambda scene: scene.__name__)
def test_svg_is_xml(scene):
    """Both the union and every state of it."""
    m = scene()
    graph = union([step.after for step in m.trace])
    for svg in [union_svg(graph), *(still_svg(graph, state(graph, step.after)) for step in m.trace)]:
        root = ET.fromstring(svg)
        assert root.get("viewBox") == f"0 0 {graph.width} {graph.height}"


def test_a_still_draws_what_is_there_and_no_more():
    """Its elements are those of the state."""
    for scene in (scenes.fork, scenes.cache):
        graph, shown = last(scene())
        ids = {e.get("data-id") for e in ET.fromstring(still_svg(graph, shown)).iter()} - {None}
        assert ids == set(shown)


# labels ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name, label", [
    ("/memfd:db (deleted)", "db"), ("/dev/shm/log", "log"), ("shm0", "shm0"), ("/", "/"),
    ("/memfd:a/b (deleted)", "a/b"), ("/memfd: (deleted)", ""), ("/huge/" + "x" * 40, "x" * 10 + "..")])
def test_a_file_is_called_by_the_end_of_its_path(name, label):
    """As far as it fits."""
    assert file_label(name) == label


@pytest.mark.parametrize("name", ODD)
def test_a_label_fits_its_box(name):
    """12 characters at most, on one line."""
    assert len(short(name)) <= 12 and short(name).isprintable()


# renderers -------------------------------------------------------------------------------------
def test_the_order_of_renderers(monkeypatch, tmp_path):
    """$MMLIB_DOT, then dot on PATH, then the package, then none."""
    dot_file = tmp_path / "dot"
    dot_file.write_text("#!/bin/sh\n")
    dot_file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MMLIB_DOT", "/somewhere/else")
    assert find_renderer() == "/somewhere/else"
    monkeypatch.setenv("MMLIB_DOT", "")
    assert find_renderer() == str(dot_file)
    monkeypatch.setenv("PATH", "")
    path = find_renderer()
    assert path is None or Path(path).stem == "graphviz-pure" and Path(path).is_file()
    monkeypatch.setattr("mmlib.renderer.metadata.files", lambda name: None)
    assert find_renderer() is None


def test_a_package_that_is_not_installed_is_no_error(monkeypatch):
    """Not everybody has one."""
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delenv("MMLIB_DOT", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("mmlib.renderer.metadata.files", missing)
    assert find_renderer() is None


@each_renderer
def test_a_png_has_twice_the_pixels_of_the_graph(renderer, monkeypatch):
    """144 dpi, plus the 4 points of margin on each side that Graphviz adds."""
    monkeypatch.setenv("MMLIB_DOT", renderer)
    graph, shown = last(scenes.fork())
    png = render(state_dot(graph, shown))
    width, height = struct.unpack(">II", png[16:24])
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert abs(width - 1.5 * graph.width) <= 20 and abs(height - 1.5 * graph.height) <= 20


@both
@pytest.mark.parametrize("scene", [scenes.fork, scenes.cache, scenes.hugetlb, scenes.wide,
                                   scenes.odd_names, scenes.tiny_full],
                         ids=lambda scene: scene.__name__)
def test_renderers_agree(scene, monkeypatch):
    """The same size in pixels and the same places, whatever fonts they have."""
    graph, shown = last(scene())
    source = state_dot(graph, shown)
    sizes, places = [], []
    for renderer in (DOT, pure()):
        monkeypatch.setenv("MMLIB_DOT", renderer)
        sizes.append(struct.unpack(">II", render(source)[16:24]))
        objects = json.loads(draw(renderer, source, "json"))["objects"]
        places.append({o["name"]: tuple(map(float, o["pos"].split(","))) for o in objects})
    assert sizes[0] == sizes[1]
    assert places[0].keys() == places[1].keys()
    for name, (x, y) in places[0].items():
        other = places[1][name]
        assert abs(x - other[0]) < 1 and abs(y - other[1]) < 1, name


@each_renderer
def test_the_places_are_ours(renderer):
    """Graphviz draws where it is told to: one shift for all boxes, and no other change."""
    graph, shown = last(scenes.cache())
    objects = json.loads(draw(renderer, state_dot(graph, shown), "json"))["objects"]
    shifts = set()
    for one in objects:
        if one["name"] in graph.nodes:
            node = graph.nodes[one["name"]]
            (w, h), (x, y) = node.size, map(float, one["pos"].split(","))
            shifts.add((round(x - (node.x + w / 2) * .75, 1),
                        round(y - (graph.height - node.y - h / 2) * .75, 1)))
    assert len(shifts) == 1


@each_renderer
def test_pictures_of_one_trace_have_one_size(renderer, monkeypatch):
    """Without corners a renderer would crop to what is there, and the picture would slide."""
    monkeypatch.setenv("MMLIB_DOT", renderer)
    m = scenes.fork()
    graph = union([step.after for step in m.trace])
    assert len({render(state_dot(graph, state(graph, step.after)))[16:24]
                for step in m.trace}) == 1


@each_renderer
def test_two_runs_draw_the_same_bytes(renderer, monkeypatch):
    """A refreshed notebook differs from the committed one only where it must."""
    monkeypatch.setenv("MMLIB_DOT", renderer)
    graph, shown = last(scenes.fork())
    assert render(state_dot(graph, shown)) == render(state_dot(graph, shown))
    assert bundle(scenes.fork()) == bundle(scenes.fork())


@each_renderer
@pytest.mark.parametrize("scene", [scenes.crowd, scenes.odd_names, scenes.tiny_full, scenes.wide],
                         ids=lambda scene: scene.__name__)
def test_drawing_says_nothing(renderer, scene, monkeypatch, capfd):
    """Warnings about fonts and cells would become the output of a notebook's cell."""
    monkeypatch.setenv("MMLIB_DOT", renderer)
    assert image_of(bundle(scene())["text/html"])[0] == "png"
    assert capfd.readouterr() == ("", "")


def test_drawing_leaves_the_library_as_it_was(monkeypatch):
    """Others may use `graphviz` with a program of their own."""
    from graphviz.backend import dot_command
    before = dot_command.DOT_BINARY
    bundle(scenes.nothing())
    monkeypatch.setenv("MMLIB_DOT", "/nowhere/dot")
    bundle(scenes.nothing())
    assert dot_command.DOT_BINARY == before


# without a renderer ----------------------------------------------------------------------------
def broken(tmp_path, kind):
    """The path of something that does not draw."""
    path = tmp_path / "dot"
    if kind == "a folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text({"fails": "#!/bin/sh\necho broken >&2\nexit 3\n",
                         "says nothing": "#!/bin/sh\ncat >/dev/null\n",
                         "says something else": "#!/bin/sh\ncat >/dev/null\necho hello\n",
                         "does not listen": "#!/bin/sh\nexit 1\n",
                         "no program": "this is no program\n",
                         "not executable": "#!/bin/sh\n"}[kind])
        path.chmod(0o644 if kind == "not executable" else 0o755)
    return path


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # graphviz's pipe
@pytest.mark.parametrize("kind", ["missing", "a folder", "not executable", "no program", "fails",
                                  "says nothing", "says something else", "does not listen"])
def test_a_renderer_that_does_not_draw(kind, tmp_path, monkeypatch, capfd):
    """Then we draw ourselves; nobody is bothered with an exception or a word on stderr."""
    monkeypatch.setenv("MMLIB_DOT", str(broken(tmp_path, kind)))
    data = bundle(scenes.fork())
    kind, image = image_of(data["text/html"])
    assert kind == "svg+xml" and ET.fromstring(image.decode()).tag == "{%(svg)s}svg" % SVG
    assert capfd.readouterr() == ("", "")


def test_without_renderer_the_picture_is_ours(no_renderer):
    """An SVG image with its own colours, of the same width, for machine, step and stepper."""
    m = scenes.fork()
    for html_text in (bundle(m)["text/html"], bundle(m.trace[3])["text/html"],
                      Stepper(m)._repr_mimebundle_()[0]["text/html"]):
        kind, image = image_of(html_text)
        assert kind == "svg+xml"
        root = ET.fromstring(image.decode())
        assert root.get("width") == re.search(r'width="(\d+)"', html_text)[1]
        assert "background:#fff" in image.decode()


def test_the_library_for_renderers_may_be_missing(monkeypatch):
    """`graphviz` of PyPI comes with "lab"; the simulator works without."""
    monkeypatch.setitem(sys.modules, "graphviz", None)
    assert image_of(bundle(scenes.nothing())["text/html"])[0] == "svg+xml"


def test_pictures_need_no_widget_library():
    """A machine can be shown where neither anywidget nor traitlets is installed."""
    code = ("import sys; sys.modules.update(dict.fromkeys(['anywidget', 'traitlets', 'ipywidgets',"
            "'IPython', 'numpy', 'matplotlib']));"
            "from mmlib import Machine, TINY; m = Machine(TINY); m.spawn('a');"
            "print(sorted(m._repr_mimebundle_()))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"PATH": ""})
    assert (done.stdout, done.stderr) == ("['text/html', 'text/plain']\n", "")


# stills ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("scene", scenes.ALL, ids=lambda scene: scene.__name__)
def test_a_still_is_a_figure_with_words(scene, no_renderer):
    """An image with its alternative text, a caption, and the same as plain text."""
    m = scene()
    for shown in (m, m.trace[-1]):
        data = shown._repr_mimebundle_()
        assert data.keys() == {"text/plain", "text/html"}
        figure = ET.fromstring(re.sub(r"(<img[^>]*)>", r"\1/>", data["text/html"]))
        assert figure.tag == "figure"
        assert len(figure.find("img").get("alt")) > 15
        assert "".join(figure.find("figcaption").itertext()).strip()
        assert data["text/plain"].startswith(m.trace[-1].action.partition("\n")[0])


def test_a_machine_without_a_trace_is_a_picture_too(no_renderer):
    """trace=False, and a machine that did nothing: there is no step to tell."""
    quiet = Machine(TINY, trace=False)
    quiet.spawn("a")
    assert bundle(quiet)["text/plain"].splitlines()[0] == "a: 0 page tables below the top one"
    assert bundle(Machine(TINY))["text/plain"] == "nothing is there"
    assert 'alt="Nothing is there."' in bundle(Machine(TINY))["text/html"]
