"""The setting of a scenario's text: its machine, mounts, files and processes."""

import ast

from .kinds import BadInput, at, shown
from .literals import ID, Object, machine_head
from .sequences import Cast, check_sequence


class Setting:
    """What there is while a text is read; *known* is what each name in it stands for."""

    def __init__(self) -> None:
        self.head: dict = {"geometry": "TINY"}
        self.names: list[str] = []              # of the processes
        self.files: dict[str, dict] = {}
        self.setup: dict[str, int] = {}         # the line of each mount and file
        self.known: dict[str, Object | int] = {"machine": Object("machine", "machine")}
        self.cast = Cast("mmlib/1")
        self.line = 0

    def machine(self, node: ast.Call) -> Object:
        if self.names or self.files or "mounts" in self.head:
            raise BadInput("expected the machine before all else")
        self.head = machine_head(node, self.known)
        return Object("machine", "machine")

    def mount(self, target, fstype, path, options={}) -> None:
        if self.names:
            raise BadInput("expected mounts before the first process, as in a scenario file")
        if not {"version"} >= set(options):
            raise BadInput(f"expected no option but version, not {shown(sorted(options)[0])}")
        mount = {"fstype": fstype, "path": path} | options
        check_sequence({"mounts": [mount], "ops": []})
        self.head.setdefault("mounts", []).append(mount)
        self.setup[f"mount at {path}"] = self.line

    def memfd(self, target, name, size=0) -> Object:
        """Files are made before the calls: that changes nothing but the order of the steps."""
        if type(size) is not int or size % 4096:
            raise BadInput(f"expected a size in whole pages of 4096 bytes, not {shown(size)}; "
                           "truncate takes any")
        return self.add_file(name if ID.fits(name) else target, {"pages": size >> 12})

    def open(self, target, path, flags=None, mode=None) -> Object:
        if self.names or flags is not None:
            raise BadInput("expected a process that opens, such as a.open(...); the machine opens "
                           "files before the first process")
        return self.add_file(target, {"path": path, "pages": 0})

    def add_file(self, name, described: dict) -> Object:
        self.cast.add_file({"id": name} | described)
        self.files[name] = {"id": name} | described
        self.setup[f"file {name}"] = self.line
        return Object("file", name)

    def process(self, name, target) -> Object:
        name = target if name is None else name
        with at("name"):
            if not ID.fits(name):
                raise BadInput(f"expected {ID.words}, not {shown(name)}")
            if name in self.names:
                raise BadInput(f"expected a new name, not {shown(name)} again")
        self.names.append(name)
        return Object("task", len(self.names) - 1)

    def prepare(self, owner: Object, name: str, given: dict) -> None:
        """What is done to a file before there is a process: it gets a size, and bytes."""
        file = self.files[owner.which]
        size, data = given.get("length"), given.get("data")
        if name == "ftruncate" and type(size) is int and size % 4096 == 0:
            file["pages"] = size >> 12
        elif name == "pwrite" and isinstance(data, bytes) and len(data) == 1 and \
                type(given["offset"]) is int and given["offset"] % 4096 == 0:
            file.setdefault("content", []).append([given["offset"] >> 12, data[0]])
        else:
            raise BadInput("expected a process first; before there is one, a file is truncated to "
                           "whole pages, or the first byte of a page is written")
        check_sequence({"files": [file], "ops": []})
