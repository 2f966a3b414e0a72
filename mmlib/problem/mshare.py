"""Count the faults of processes that share a region of msharefs (2022).

A fault links the slot if the region has a table for it, and that is all; else the region's own
address space fills the page, billed to the one who faulted, and the slot is linked by the next
exception.  A slot is what one entry of the top-level table maps.
"""

import random

from .question import SIZES, Problem, mistakes

SLOT = 0x40000


def make(rng: random.Random) -> Problem:
    code = ["machine = Machine(TINY)", 'machine.mount("msharefs", "/mshare")']
    names = "abc"[:rng.choice((2, 2, 3))]
    for name in names:
        code += [f'{name} = machine.spawn("{name}")', f'{name}.mmap({SLOT:#x}, {3 * SLOT:#x}, "rw",'
                 f' MAP_SHARED, {name}.open("/mshare/db"))']
    places = [(slot, page) for slot in (1, 2, 3) for page in rng.sample(range(64), 2)]
    pages, linked, why = {}, set(), []              # a page that was only read is the zero page
    exceptions, billed = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for number in range(rng.choice((4, 5, 6, 7))):
        name, (slot, page) = names[0] if number < 2 else rng.choice(names), rng.choice(places)
        write = number < 2 or rng.random() < 0.4
        addr = slot * SLOT + page * 0x1000
        code.append(f'{name}.store({addr:#x}, b"x")' if write else f"{name}.load({addr:#x})")
        there = any(s == slot for s, _ in pages)
        said = []
        if (name, slot) not in linked and there:
            said.append("an exception to link the slot")
        if (slot, page) not in pages or write and pages[slot, page] == "zero":
            said.append("an exception to make the page, billed" if write else
                        "an exception to map the zero page, billed")
            billed[name] += 1
            pages[slot, page] = "own" if write else "zero"
        if (name, slot) not in linked and not there:
            said.append("an exception to link the slot, which has a table only now")
        exceptions[name] += len(said)
        linked.add((name, slot))
        why.append(f"{name} at {addr:#x}: {', then '.join(said) or 'no exception, all is there'}.")
    who = rng.choice([name for name in names if exceptions[name]])
    taken = rng.random() < 0.6
    answer = exceptions[who] if taken else billed[who]
    accesses = sum(line.startswith((f"{who}.load", f"{who}.store")) for line in code)
    return Problem(
        given=SIZES + " A slot of msharefs is 256 KiB, too.",
        question=f"How many page-fault exceptions does {who} take?" if taken else
                 f"How many minor faults does getrusage count for {who}?",
        answer=answer, why=(*why, f"Of {who} that is {answer}"
                            f"{'' if taken else ': a link is billed to nobody'}."),
        code=tuple(code), ask=f"{who}.page_faults" if taken else f"{who}.minor_faults",
        hint="For each access: is the slot linked, has the region a table for it, is the page "
             "there?",
        mistakes=mistakes(
            answer, (billed[who], "That is what getrusage counts: it leaves the links out."),
            (exceptions[who], "Is a link billed to anybody?"),
            (accesses, "Does every access fault?"),
            (len([s for n, s in linked if n == who]), "Those are the links. Which pages must be "
             "made?")))
