"""Count the CPUs that must flush their TLBs.

A flush goes to the CPUs that an mm has run on, and only if an entry lost something.  Each CPU of
each mm counts as a target.
"""

import random

from .question import SIZES, Problem, mistakes, plural

BASE, CPUS = 0x4000, 4
PUNCH = "file.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 0x1000)"
ASK = 'machine.counters["flush_targets"] - before'
BEFORE = 'before = machine.counters["flush_targets"]'
QUESTION = ("How many targets have the flushes of the last call, if each CPU that is told to "
            "forget counts once for each address space?")


def make(rng: random.Random) -> Problem:
    return rng.choice((family, family, hole))(rng)


def family(rng: random.Random) -> Problem:
    """Threads and children of a, and a last call that takes something away, or does not."""
    code = [f"machine = Machine(TINY, cpus={CPUS})", 'a = machine.spawn("a")',
            f'a.mmap({BASE:#x}, 0x4000, "rw", ANON)', f"a.touch({BASE:#x}, 0x2000, write=True)"]
    mms, cpus = {"a": "a"}, {"a": {0}}
    forked = False
    for name in "bcd"[:rng.choice((1, 2, 3))]:
        cpu, thread = rng.randrange(CPUS), rng.random() < 0.6
        code.append(f'{name} = a.{"clone" if thread else "fork"}("{name}")')
        mms[name] = "a" if thread else name
        forked |= not thread
        if rng.random() < 0.8:          # else it stays where it was made, and does nothing
            code += [f"{name}.run_on({cpu})", f"{name}.load({BASE:#x})"]
            cpus.setdefault(mms[name], set()).add(cpu)
    last, what = rng.choice((
        (f"a.munmap({BASE:#x}, 0x1000)", "zap"), (f"a.munmap({BASE + 0x3000:#x}, 0x1000)", "empty"),
        (f"a.madvise({BASE:#x}, 0x4000, MADV_DONTNEED)", "zap"),
        (f'a.mprotect({BASE:#x}, 0x2000, "r")', "protect"), ('e = a.fork("e")', "fork"),
        (f'a.store({BASE:#x}, b"x")', "store")))
    own, said = cpus["a"], {
        "zap": "Entries are cleared", "empty": "Nothing was mapped there yet, so no entry changes.",
        "protect": "Entries become read-only", "store": "A copy takes the old page's place",
        "fork": "Entries become read-only in the parent"}[what]
    if what == "protect" and forked:
        said, own = "The fork has made these entries read-only already: none changes.", set()
    elif what == "store" and not forked:
        said, own = "The page is a's own and may be stored to: no entry changes.", set()
    elif what == "empty":
        own = set()
    else:
        said += ": every CPU on which this address space was used may remember what was."
    everyone = sum(map(len, cpus.values()))
    return Problem(
        given="Pages of TINY. A new task runs on the CPU of the one that made it; a spawned one "
              "on CPU 0.",
        question=QUESTION, answer=len(own), code=(*code, BEFORE, last), ask=ASK,
        why=(f"The address space of {' and '.join(n for n in mms if mms[n] == 'a')} was used on "
             f"CPU {' and '.join(map(str, sorted(cpus['a'])))}.", said,
             f"That makes {plural(len(own), 'target')}."),
        hint="Whose address space loses something? On which CPUs has anybody touched memory in it?",
        mistakes=mistakes(
            len(own), (len(cpus["a"]), "Does an entry change at all?"),
            (0, "Some CPU may remember an entry that allows more than is allowed now."),
            (everyone, "Does a child's address space lose anything?"),
            (CPUS, "Not every CPU has run this address space.")))


def hole(rng: random.Random) -> Problem:
    """A page leaves a file that several processes map: everybody who reaches it must be told."""
    cached = rng.random() < 0.6
    code = [f"machine = Machine(TINY, cpus={CPUS}{', sharing=FileTableCache()' * cached})",
            'file = machine.memfd("db", 0x10000)']
    touched, cpus, why = {}, {}, []
    for number, name in enumerate("abcd"[:rng.choice((2, 3, 4))]):
        cpu = rng.randrange(CPUS)
        page = 0 if number == 0 else rng.choice((0, 0, 1, 5, None))
        code += [f'{name} = machine.spawn("{name}")',
                 f'{name}.mmap(0x40000, 0x10000, "rw", MAP_SHARED, file)', f"{name}.run_on({cpu})"]
        touched[name], cpus[name] = page, set()
        if page is None:
            continue
        code.append(f"{name}.load({0x40000 + page * 0x1000:#x})")
        cpus[name].add(cpu)
        if rng.random() < 0.3:
            other = (cpu + rng.randrange(1, CPUS)) % CPUS
            code += [f"{name}.run_on({other})", code[-1]]
            cpus[name].add(other)
    reaches = {name: page is not None and (page == 0 or cached) for name, page in touched.items()}
    for name, page in touched.items():
        if page is None:
            why.append(f"{name} has touched nothing: it has no entry.")
        elif reaches[name]:
            where = ("an entry for page 0" if page == 0 else
                     "the file's PMD table, and with it the entry for page 0")
            why.append(f"{name} has {where}; it used it on CPU "
                       f"{' and '.join(map(str, sorted(cpus[name])))}.")
        else:
            why.append(f"{name} has touched page {page} alone: no entry of its own is for page 0.")
    answer = sum(len(cpus[name]) for name in reaches if reaches[name])
    return Problem(
        given=SIZES + " The last call takes page 0 out of the file.",
        question=QUESTION, answer=answer, code=(*code, BEFORE, PUNCH), ask=ASK,
        why=(*why, f"That makes {plural(answer, 'target')}."),
        hint="Whose walk could have ended at the page? On which CPUs has each of them run?",
        mistakes=mistakes(
            answer, (1, "One entry may serve several processes, and one process several CPUs."),
            (sum(map(len, cpus.values())), "Does every process reach page 0?"),
            (len(cpus), "Processes are not CPUs."),
            (sum(len(cpus[n]) for n in cpus if touched[n] == 0),
             "With a shared table, one can reach a page without having touched it.")))
