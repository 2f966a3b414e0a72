"""Frames: who gets which, and what is in them."""
import pytest

from mmlib import TINY, X86_64
from mmlib.memory import ZERO_PFN, Folio, Memory, OutOfMemory


@pytest.fixture
def memory():
    return Memory(TINY)


# frames ----------------------------------------------------------------------------------------
def test_frames_are_handed_out_lowest_first(memory):
    """Two runs of a script number them alike; frame 0 and the zero page are taken."""
    assert [memory.alloc_frame()[0] for _ in range(3)] == [ZERO_PFN + 1, ZERO_PFN + 2, ZERO_PFN + 3]


def test_the_lowest_free_frame_comes_next(memory):
    """Whatever the order in which frames came back."""
    pfns = [memory.alloc_frame()[0] for _ in range(5)]
    for pfn in (pfns[3], pfns[0], pfns[2]):
        memory.free_frame(pfn)
    assert [memory.alloc_frame()[0] for _ in range(4)] == [pfns[0], pfns[2], pfns[3], pfns[4] + 1]


def test_a_frame_that_is_used_again_is_another_birth(memory):
    """Pictures tell two lives of a frame apart."""
    pfn, birth = memory.alloc_frame()
    memory.free_frame(pfn)
    again, later = memory.alloc_frame()
    assert again == pfn and later > birth


def test_memory_without_a_limit(memory):
    """None is no bound."""
    assert memory.frames is None and len({memory.alloc_frame()[0] for _ in range(1000)}) == 1000


def test_a_limit_counts_whole_frames():
    """A part of a page is no frame; frame 0 and the zero page do not count."""
    memory = Memory(TINY, 3 * 4096 - 1)
    memory.alloc_folio(), memory.alloc_folio()
    with pytest.raises(OutOfMemory, match="all 2 frames"):
        memory.alloc_folio()
    assert memory.used == 2


def test_a_frame_that_comes_back_can_be_had():
    """At the limit as below it."""
    memory = Memory(TINY, 4096)
    folio = memory.alloc_folio()
    memory.free_folio(folio)
    assert memory.alloc_folio().pfn == folio.pfn


def test_shortage_is_asked_until_it_has_nothing_left():
    """Before an allocation fails, whoever can give something back is asked."""
    memory = Memory(TINY, 2 * 4096)
    held, asked = [memory.alloc_folio(), memory.alloc_folio()], []

    def shortage():
        asked.append(len(held))
        if held:
            memory.free_folio(held.pop())
            return True
        return False

    memory.shortage = shortage
    for _ in range(2):
        memory.alloc_folio()
    with pytest.raises(OutOfMemory):
        memory.alloc_folio()
    assert asked == [2, 1, 0]


def test_a_shortage_that_frees_nothing_is_asked_again():
    """True promises progress, not a frame: what was freed may not count."""
    memory, answers = Memory(TINY, 4096), [True, True, False]
    memory.alloc_folio()
    memory.shortage = lambda: answers.pop(0)
    with pytest.raises(OutOfMemory):
        memory.alloc_folio()
    assert answers == []


@pytest.mark.parametrize("geometry", (TINY, X86_64), ids=repr)
def test_a_block_is_aligned_and_never_handed_out(geometry):
    """Huge pages lie at multiples of their size; small frames go around them."""
    memory = Memory(geometry)
    first = memory.reserve_block(geometry.entries, 3)
    assert [first.pop() for _ in range(3)] == [geometry.entries * n for n in (1, 2, 3)]
    taken = {memory.alloc_frame()[0] for _ in range(2 * geometry.entries)}
    assert not taken & set(range(geometry.entries, 4 * geometry.entries))
    assert memory.used == 3 * geometry.entries + len(taken)


def test_an_empty_block_changes_nothing(memory):
    """A machine without huge pages."""
    assert not memory.reserve_block(4, 0) and memory.used == 0
    assert [memory.alloc_frame()[0] for _ in range(5)] == [2, 3, 4, 5, 6]


# pages -----------------------------------------------------------------------------------------
def test_a_fresh_page_is_zero(memory):
    """clear_highpage, without bytes to show for it."""
    folio = memory.alloc_folio()
    assert memory.read(folio, 0, 4096) == bytes(4096) and folio.data is None


def test_zeros_stored_into_zeros_take_no_bytes(memory):
    """A large machine that touches memory with zeros stays small."""
    folio = memory.alloc_folio()
    memory.write(folio, 10, bytes(100))
    assert folio.data is None


def test_what_is_written_is_read(memory):
    """At its place, with zeros around it."""
    folio = memory.alloc_folio()
    memory.write(folio, 4094, b"ab")
    memory.write(folio, 4095, b"c")
    assert memory.read(folio, 4092, 4) == b"\0\0ac" and len(folio.data) == 4096


def test_a_copy_is_a_copy(memory):
    """Later stores to one do not show in the other (copy_user_highpage)."""
    old, new = memory.alloc_folio(), memory.alloc_folio()
    memory.write(old, 0, b"old")
    memory.copy(old, new)
    memory.write(old, 0, b"!!!")
    assert memory.read(new, 0, 3) == b"old"


def test_a_copy_of_zeros_overwrites(memory):
    """Whatever was in the frame before."""
    old, new = memory.alloc_folio(), memory.alloc_folio()
    memory.write(new, 0, b"new")
    memory.copy(old, new)
    assert memory.read(new, 0, 3) == bytes(3)


def test_the_last_entry_frees_an_anonymous_page(memory):
    """folio_put: nobody else could find it any more."""
    folio = memory.alloc_folio()
    folio.mapcount = 2
    assert [memory.put_folio(folio), memory.put_folio(folio)] == [False, True]
    assert folio.pfn not in memory.folios and memory.used == 0


def test_a_page_of_a_file_stays_in_its_cache(memory):
    """The page cache holds it."""
    folio = memory.alloc_folio(mapping=object(), index=3)
    folio.mapcount = 1
    assert not memory.put_folio(folio) and memory.folios[folio.pfn] is folio


def test_the_zero_page_is_never_freed(memory):
    """It is nobody's, and not among the frames that are counted."""
    memory.zero.mapcount = 1
    assert not memory.put_folio(memory.zero)
    assert memory.folio(ZERO_PFN) is memory.zero and memory.used == 0


def test_a_mapped_page_cannot_be_freed(memory):
    """A broken model is an assert."""
    folio = memory.alloc_folio()
    folio.mapcount = 1
    with pytest.raises(AssertionError):
        memory.free_folio(folio)


def test_anonymous_is_what_has_no_file(memory):
    """PageAnon; the zero page is neither a file's nor anonymous."""
    kinds = [Folio(7, 1, None, -1), Folio(7, 1, object(), 0), memory.zero]
    assert [folio.anon for folio in kinds] == [True, False, False]


def test_a_state_is_made_anew_only_when_something_changed(memory):
    """Snapshots of a long trace share what is the same."""
    folio = memory.alloc_folio()
    before = folio.state()
    assert folio.state() is before
    memory.write(folio, 0, b"x")
    assert folio.state() is not before and folio.state().head[:1] == b"x"
