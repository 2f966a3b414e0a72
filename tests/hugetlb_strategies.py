"""Hypothesis strategies for mmoracle-hugetlb/1: processes that map one file here and there."""
from casting import cast
from hypothesis import strategies as st
from strategies import BYTE, GIB, SMALL, SPAN, many, weighted


@st.composite
def huge_sequences(draw, ops: int = 60) -> dict:
    """A sequence with at most so many ops, on a file of at most three GiB."""
    made = draw(many(huge_op()))[:ops]
    return {"id": "fuzz", "file_gib": draw(st.integers(1, 3)), "ops": cast(made, [{"id": ""}])}


@st.composite
def huge_op(draw) -> dict:
    name = draw(weighted(load=5, store=5, mmap=4, fork=2, munmap=1, mprotect=1, dontneed=1, exit=1))
    op = {"op": name, "proc": draw(SMALL)}
    addr = max(0, draw(st.integers(0, 4)) * GIB
               + draw(st.sampled_from((0, 0, 0, 0, SPAN, -SPAN, GIB // 2))))
    if name in ("load", "store"):
        op["addr"] = addr + draw(st.sampled_from((0, SPAN, 2 * SPAN, 7)))
        return op | ({"value": draw(BYTE)} if name == "store" else {})
    if name in ("fork", "exit"):
        return op
    op |= {"addr": addr, "len": draw(st.sampled_from((GIB, GIB, 2 * GIB, GIB // 2, SPAN)))}
    if name == "mprotect":
        op["prot"] = draw(st.sampled_from(("rw", "r", "none")))
    if name == "mmap":
        op |= {"prot": draw(st.sampled_from(("rw", "rw", "rw", "r", "none", "w"))),
               "share": draw(weighted(shared=4, private=1)),
               "offset": draw(st.sampled_from((0, 0, 0, GIB, SPAN)))}
    return op
