"""Checking one sequence of a scenario, op by op, before anything of it runs.

It is followed as far as that goes without a machine: which processes live, which files have a
name, and how much memory calls on ranges would fault in.
"""

from . import formats
from .abi import MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_LOCKED, MAP_POPULATE, MREMAP_FIXED
from .formats import BULK_PAGES, EXPECT, FORMATS, bits, kind_of
from .kinds import LIST, BadInput, at, check_object, either, rows, shown, take, text, whole


def check_sequence(sequence: dict, form: str = "mmlib/1") -> None:
    """Raise BadInput where *sequence* breaks a rule of the format *form*.

    >>> check_sequence({"ops": [{"op": "load", "proc": 0, "addr": "top"}]})
    Traceback (most recent call last):
    mmlib.kinds.BadInput: op 0, field "addr": expected a whole number from 0 to 2**57 (no address \
space is larger), not "top"
    """
    cast = Cast(form)
    if form == "mmoracle-hugetlb/1":
        take(sequence, "file_gib", whole(1, 1 << 17, "no address space could map more"))
    elif "file_gib" in sequence:
        raise BadInput("expected only in mmoracle-hugetlb/1", 'field "file_gib"')
    if form == "mmlib/1":
        take(sequence, "geometry", either("TINY, X86_64 or LA57", *formats.GEOMETRIES), None)
        take(sequence, "cpus", whole(1, formats.CPUS), 1)
        take(sequence, "huge_pages", whole(0, formats.HUGE_PAGES), 0)
        take(sequence, "sharing", either("private, cache-pte or cache", *formats.SHARING), None)
        check_names(take(sequence, "names", LIST, []))
        for number, mount in enumerate(take(sequence, "mounts", LIST, [])):
            with at(f"mount {number}"):
                check_object(mount)
                take(mount, "fstype", text("the name of a filesystem", r"[a-z0-9]{1,16}"))
                take(mount, "path", formats.PATH)
                take(mount, "version", whole(0, 9999), None)
    for number, file in enumerate(take(sequence, "files", LIST, [])):
        with at(f"file {number}"):
            check_object(file)
            cast.add_file(file)
    for number, op in enumerate(take(sequence, "ops", LIST)):
        with at(f"op {number}"):
            check_object(op)
            cast.check_op(op)


def check_names(names: list) -> None:
    """What processes are called: the first 0, each another."""
    for number, name in enumerate(names):
        with at(f'field "names", {number}'):
            if not formats.NAME.fits(name) or name in names[:number]:
                raise BadInput(f"expected {formats.NAME.words}, another one for each process, not "
                               f"{shown(name)}")


class Cast:
    """Who is there while a sequence is read: living processes, files, and pages faulted in."""

    def __init__(self, form: str):
        self.form, self.ops = form, FORMATS[form]
        self.groups = {0: 0}            # the living, each with the first thread of its mm
        self.born = 1
        self.files: set[str] = set()
        self.pages, self.total = {0: 0}, 0
        self.locks = False

    def add_file(self, file: dict) -> None:
        name = take(file, "id", formats.FILE_ID)
        if name in self.files:
            raise BadInput(f"expected a new name, not {shown(name)} again", 'field "id"')
        self.files.add(name)
        pages = take(file, "pages", formats.FIELDS["pages"])
        content = take(file, "content", rows(
            f"a list of [page, byte], pages below {pages}", whole(0, pages - 1), formats.BYTE), [])
        if self.form == "mmlib/1":
            take(file, "path", formats.PATH, None)
        self.spend(0, len(content), "content")

    def check_op(self, op: dict) -> None:
        name = op.get("op")
        with at('field "op"'):
            if not isinstance(name, str) or name not in self.ops:
                raise BadInput(f"expected one of {', '.join(self.ops)}, not {shown(name)}")
        if name not in formats.NOBODY:
            self.check_process(op, "proc")
        for field in self.ops[name].split():
            self.check_field(op, name, field)
        take(op, "frames", formats.TRUTH, False)
        if name == "ioctl":
            self.check_argument(op)
        self.check_together(op, name)
        self.follow(op, name)
        if "expect" in op:
            with at('field "expect"'):
                self.check_expect(op["expect"])

    def check_process(self, owner: dict, field: str) -> None:
        number = take(owner, field, whole(0, formats.PROCESSES))
        if number not in self.groups:
            fate = "has exited" if number < self.born else "nobody has made yet"
            raise BadInput(f"expected a living process, not {number}, which {fate}",
                           f'field "{field}"')

    def check_field(self, op: dict, name: str, field: str) -> None:
        optional, choices = field.endswith("?"), field.rstrip("?").split("|")
        if self.form == "mmlib/1" and "len" in choices:
            choices.append("length")
        given = [choice for choice in choices if choice in op]
        if len(given) > 1:
            raise BadInput(f"expected one of {' and '.join(given)}, not both")
        if not given and optional:
            return
        field = given[0] if given else choices[0]
        if field in ("file", "child"):
            self.check_name(op, name, field)
        else:
            take(op, field, kind_of(self.form, name, "len" if field == "length" else field))

    def check_name(self, op: dict, name: str, field: str) -> None:
        """The number of a child is the next; a file is known, or new when it is opened."""
        if field == "child":
            take(op, field, whole(self.born, self.born))
            if self.born >= formats.PROCESSES:
                raise BadInput(f"expected at most {formats.PROCESSES} processes")
            return
        value = take(op, field, formats.FILE_ID)
        if name == "open" and value in self.files:
            raise BadInput(f"expected a new name, not {shown(value)} again", 'field "file"')
        if name != "open" and value not in self.files:
            known = ", ".join(sorted(self.files)) or "there is none"
            raise BadInput(f"expected the id of a file ({known}), not {shown(value)}",
                           'field "file"')

    def check_argument(self, op: dict) -> None:
        """A request by its name has an argument, whose fields are those of mmap; a number none."""
        if op["request"] not in formats.ARGUMENTS:
            if "arg" in op:
                raise BadInput("expected none beside a number", 'field "arg"')
            return
        take(op, "arg", formats.OBJECT)
        with at('field "arg"'):
            for field in formats.ARGUMENTS[op["request"]].split():
                self.check_field(op["arg"], "mmap", field)

    def check_together(self, op: dict, name: str) -> None:
        """What one field asks of another; and how much memory a call on a range may fault in."""
        flags = bits(name, op.get("flags", [])) if name in formats.FLAGS else 0
        if name == "mremap" and flags & MREMAP_FIXED and "new_addr" not in op:
            raise BadInput("expected an address, which fixed asks for", 'field "new_addr"')
        if name == "mmap" and flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) and op["addr"] is None:
            raise BadInput("expected an address, which fixed asks for, not null", 'field "addr"')
        self.locks |= name == "mlock" or name == "mmap" and bool(flags & MAP_LOCKED)
        advice = op.get("advice") if name == "madvise" else None
        if name in ("touch", "mlock", "mincore", "fallocate") or name == "mmap" and \
                flags & (MAP_POPULATE | MAP_LOCKED) or \
                advice in ("populate_read", "populate_write", "guard_install", 22, 23, 102):
            self.spend(op.get("proc", 0), -(-length(op) >> 12), "len")
        elif name == "mremap" and self.locks:
            self.spend(op["proc"], op["new_len"] >> 12, "new_len")

    def spend(self, process: int, pages: int, field: str) -> None:
        self.pages[process] += pages
        self.total += pages
        if self.total > BULK_PAGES:
            raise BadInput(f"expected at most {BULK_PAGES} pages to be faulted in by calls on "
                           f"ranges in a sequence; this makes {self.total}", f'field "{field}"')

    def follow(self, op: dict, name: str) -> None:
        """Who is there after the op."""
        if name in ("fork", "clone", "spawn"):
            self.groups[self.born] = self.groups[op["proc"]] if name == "clone" else self.born
            self.pages[self.born] = 0
            if name == "fork":
                self.spend(self.born, self.pages[op["proc"]], "child")
            self.born += 1
        elif name == "exit":
            del self.groups[op["proc"]]
        elif name == "exec":
            group = self.groups[op["proc"]]
            self.groups = {n: g for n, g in self.groups.items() if g != group or n == op["proc"]}
        elif name == "open":
            self.files.add(op["file"])

    def check_expect(self, expect) -> None:
        check_object(expect)
        for field, kind in EXPECT.items():
            if self.form == "mmoracle-hugetlb/1" and field == "maps":
                kind = formats.HUGE_MAPS
            take(expect, field, kind, None)
        if "maps_of" in expect:
            self.check_process(expect, "maps_of")


def length(op: dict) -> int:
    """The length of a range; in mmlib/1 it may be spelled either way."""
    return op["len"] if "len" in op else op["length"]
