"""Follow the pages of a family of processes: copies, pages, faults, what each one sees.

A store to a page that others have copies it; the last one that has it takes it as it is.
"""

import random

from .question import Problem, mistakes, plural

NAMES, BASE = "abcdef", 0x40000


class Family:
    """Who has which page: for each process and page, the frame, and whether it may store."""

    def __init__(self, pages: int):
        self.frames = [f"{n}" for n in range(pages)]        # a letter: what it holds
        self.entries = {"a": {page: [page, False] for page in range(pages)}}
        self.faults = self.copies = 0
        self.why: list[str] = []

    def owners(self, frame: int) -> list[str]:
        return [name for name, mapped in self.entries.items()
                for number, _ in mapped.values() if number == frame]

    def pages(self) -> int:
        return len({frame for mapped in self.entries.values() for frame, _ in mapped.values()})

    def fork(self, parent: str, child: str) -> None:
        for entry in self.entries[parent].values():
            entry[1] = False
        self.entries[child] = {page: [frame, False] for page, (frame, _)
                               in self.entries[parent].items()}
        self.why.append(f"{parent} forks {child}: the same "
                        f"{'page' if len(self.entries[child]) == 1 else 'pages'}, and neither may "
                        "store now.")

    def store(self, name: str, page: int, letter: str) -> None:
        entry = self.entries[name][page]
        others = [other for other in self.owners(entry[0]) if other != name]
        where = f"{name} stores to {BASE + page * 0x1000:#x}"
        self.faults += not entry[1]
        if entry[1]:
            self.why.append(f"{where}: its entry allows it, no fault.")
        elif not others:
            self.why.append(f"{where}: a fault; nobody else has the page, so no copy.")
        else:
            self.copies += 1
            self.why.append(f"{where}: a fault; {' and '.join(others)} "
                            f"{'has' if len(others) == 1 else 'have'} the page too, so a copy.")
            entry[0] = len(self.frames)
            self.frames.append("")
        self.frames[entry[0]], entry[1] = letter, True


def make(rng: random.Random) -> Problem:
    pages = rng.choice((1, 1, 2))
    family, code, alive = Family(pages), [
        "machine = Machine(TINY)", 'a = machine.spawn("a")',
        f'a.mmap({BASE:#x}, {pages * 0x1000:#x}, "rw", ANON)'], ["a"]
    for page in range(pages):
        code.append(f'a.store({BASE + page * 0x1000:#x}, b"{"xy"[page]}")')
        family.frames[page], family.entries["a"][page][1] = "xy"[page], True
        family.faults += 1
    letters, made = iter("ABCDEFGHIJKL"), 1
    for number in range(rng.choice((6, 7, 8))):
        what = rng.choice(("fork", "store", "store", "store", "exit"))
        if number == 0 or what == "fork" and made < 4:
            parent, child, made = rng.choice(alive), NAMES[made], made + 1
            family.fork(parent, child)
            alive.append(child)
            code.append(f'{child} = {parent}.fork("{child}")')
        elif what == "exit" and len(alive) > 2:
            name = alive.pop(rng.randrange(len(alive)))
            del family.entries[name]
            family.why.append(f"{name} exits, and gives back what it had.")
            code.append(f"{name}.exit()")
        else:
            name, page, letter = rng.choice(alive), rng.randrange(pages), next(letters)
            family.store(name, page, letter)
            code.append(f'{name}.store({BASE + page * 0x1000:#x}, b"{letter}")')
    return asked(rng, family, alive, tuple(code))


def asked(rng: random.Random, family: Family, alive: list[str], code: tuple[str, ...]) -> Problem:
    kind = rng.choice(("copies", "pages", "faults", "sees"))
    name, page = rng.choice(alive), rng.randrange(len(family.entries[alive[0]]))
    addr, copies = BASE + page * 0x1000, family.copies
    mapped = len([1 for entries in family.entries.values() for _ in entries])
    question, answer, ask, rows = {
        "copies": ("How many pages are copied?", copies, 'machine.counters["copies"]',
                   [(copies + 1, "Does the last one that has a page need a copy of it?"),
                    (family.faults, "A fault is not always a copy.")]),
        "pages": ("How many pages of data are in memory at the end?", family.pages(),
                  "len(machine.snapshot().frames)",
                  [(mapped, "Can two processes have one page?"),
                   (copies + len(family.entries[alive[0]]), "Is a page freed that nobody has?")]),
        "faults": ("How many page faults are taken, by all processes together?", family.faults,
                   'machine.counters["faults"]',
                   [(copies, "Some faults copy nothing."),
                    (sum(".store" in line for line in code), "Does every store fault?")]),
        "sees": (f"What does {name} load from {addr:#x} then? Answer with a letter.",
                 family.frames[family.entries[name][page][0]], f"{name}.load({addr:#x}).decode()",
                 []),
    }[kind]
    noun = {"copies": "copy", "pages": "page", "faults": "fault", "sees": ""}[kind]
    said = (f"That makes {plural(answer, noun)}." if noun else f"So {name} loads {answer!r}.")
    return Problem(
        given="Processes of TINY; all pages lie in one PTE table.",
        question=question, answer=answer, why=(*family.why, said), code=code, ask=ask,
        hint="Which page does this process have at the end, and who stored to that page last?"
        if kind == "sees" else
        "Follow each page: how many processes have it, and may the one that stores?",
        mistakes=mistakes(answer, *rows))
