"""How an address is cut, and what the bits of an entry mean."""
import dataclasses
import random

import pytest

from mmlib import LA57, TINY, X86_64, Geometry
from mmlib.geometry import (
    GUARD,
    NX,
    PFN_MASK,
    PRESENT,
    PROTNONE,
    PS,
    RW,
    TABLE,
    US,
    A,
    D,
    P,
    entry_letters,
    entry_pfn,
)

each = pytest.mark.parametrize("geometry", (TINY, X86_64, LA57), ids=repr)


# addresses -------------------------------------------------------------------------------------
@pytest.mark.parametrize("geometry, addr, indices", [
    (TINY, 0x56000, (1, 1, 1, 2)),
    (TINY, 0xfffff, (3, 3, 3, 3)),
    (X86_64, 0x200000000000, (64, 0, 0, 0)),
    (X86_64, 0x7fffffffefff, (255, 511, 511, 510)),
    (LA57, 0x200000000000, (0, 64, 0, 0, 0)),
    (LA57, 1 << 48, (1, 0, 0, 0, 0)),
])
def test_the_indices_of_an_address(geometry, addr, indices):
    """pgd_index and its kin: one index a level, the top one first."""
    assert geometry.indices(addr) == indices


@each
def test_indices_are_the_digits_of_the_page_number(geometry):
    """Put together again they are the page number; the offset into the page plays no part."""
    rng = random.Random(1)
    for addr in (rng.randrange(geometry.task_size) for _ in range(200)):
        number = 0
        for index in geometry.indices(addr):
            assert 0 <= index < geometry.entries
            number = number * geometry.entries + index
        assert number == addr // geometry.page_size


@each
def test_index_is_the_position_in_the_tables_span(geometry):
    """An entry of a table maps an equal part of the table's span."""
    rng = random.Random(2)
    for level in range(1, geometry.levels + 1):
        for addr in (rng.randrange(geometry.task_size) for _ in range(50)):
            into = addr % geometry.span(level)
            assert geometry.index(addr, level) == into // geometry.entry_span(level)


@each
def test_a_table_spans_what_one_entry_above_it_maps(geometry):
    """PMD_SIZE is the span of a PTE table, and so on upwards."""
    assert geometry.entry_span(1) == geometry.page_size
    for level in range(1, geometry.levels):
        assert geometry.span(level) == geometry.entry_span(level + 1)
        assert geometry.span(level) == geometry.entries * geometry.entry_span(level)


def test_spans_of_x86():
    """4 KiB pages, and tables for 2 MiB, 1 GiB, 512 GiB (and 256 TiB)."""
    for geometry in (X86_64, LA57):
        assert [geometry.span(n) for n in (1, 2, 3)] == [2 << 20, 1 << 30, 512 << 30]
        assert geometry.huge_size == 2 << 20
    assert LA57.span(4) == 256 << 40


def test_spans_of_tiny():
    """What the pictures rely on: 16 KiB, 64 KiB, 256 KiB, and 1 MiB in all."""
    assert [TINY.span(n) for n in (1, 2, 3, 4)] == [16 << 10, 64 << 10, 256 << 10, 1 << 20]
    assert (TINY.huge_size, TINY.task_size) == (16 << 10, 1 << 20)


def test_user_space_ends_one_page_below_the_hole():
    """TASK_SIZE_MAX (arch/x86/include/asm/page_64.h): the last page is left out."""
    assert X86_64.task_size == (1 << 47) - 4096
    assert LA57.task_size == (1 << 56) - 4096


def test_five_levels_are_used_on_request_only():
    """DEFAULT_MAP_WINDOW: the kernel chooses addresses below 47 bits on LA57, too."""
    assert LA57.mmap_base == X86_64.mmap_base < 1 << 47


@each
def test_levels_have_the_kernels_names(geometry):
    """From the leaf: PTE, PMD, PUD; P4D only where there are five; PGD is the top."""
    names = [geometry.level_name(n) for n in range(1, geometry.levels + 1)]
    assert names == ["PTE", "PMD", "PUD", "P4D", "PGD"][:geometry.levels - 1] + ["PGD"]


@pytest.mark.parametrize("length, aligned", [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_page_align(length, aligned):
    """PAGE_ALIGN rounds up."""
    assert X86_64.page_align(length) == aligned


def test_a_geometry_is_a_constant():
    """It can be a key and cannot be changed; its name is what is printed."""
    assert len({TINY, X86_64, LA57}) == 3 and repr(TINY) == "TINY"
    with pytest.raises(dataclasses.FrozenInstanceError):
        TINY.bits = 3


def test_another_geometry_is_a_row_of_data():
    """Three levels of eight entries: nothing in the arithmetic knows four or 512."""
    toy = Geometry("TOY", 3, 3, 1 << 21, 1 << 21, 1, ("PTE", "PMD", "PGD"))
    assert toy.indices(0o7654321 << 9 & (1 << 21) - 1) == toy.indices(0o654321 << 9)
    assert (toy.span(3), toy.indices((1 << 21) - 1)) == (1 << 21, (7, 7, 7))


# entries ---------------------------------------------------------------------------------------
def test_bits_are_those_of_the_hardware():
    """Intel SDM vol. 3A, table 4-20."""
    bits = (P, RW, US, A, D, PS, NX)
    assert [bit.bit_length() - 1 for bit in bits] == [0, 1, 2, 5, 6, 7, 63]


def test_the_kernels_own_bits_are_free_of_the_hardwares():
    """Bits that an absent entry uses touch neither the frame number nor P."""
    assert not (PROTNONE | GUARD) & (P | PFN_MASK) and PROTNONE != GUARD


def test_a_prot_none_page_is_present():
    """pte_present: P or PROTNONE; a guard marker is neither."""
    assert P & PRESENT and PROTNONE & PRESENT and not GUARD & PRESENT


def test_an_interior_entry_allows_everything():
    """Permission is left to the leaf."""
    assert TABLE == P | RW | US and not TABLE & NX


@pytest.mark.parametrize("pfn", [1, 5, (1 << 40) - 1])
def test_the_frame_number_is_between_the_bits(pfn):
    """entry_pfn reads bits 51 to 12, whatever the others are."""
    assert entry_pfn(pfn << 12 | NX | P | RW | US | A | D | PS | GUARD) == pfn


@pytest.mark.parametrize("entry, letters", [
    (0, ""), (P | US, "r-"), (P | US | RW, "rw"), (PROTNONE, "--"), (GUARD, "gd"),
    (PROTNONE | RW, "--"),
])
def test_letters_of_an_entry(entry, letters):
    """What an entry allows now; of an absent one RW says nothing."""
    assert entry_letters(entry) == letters
