"""An MMU that is not ours: the claims of an exported image, checked by Unicorn's x86-64.

Each access is a few instructions of machine code. In the kernel they load CR3; then SYSRET drops
to user mode, where one instruction loads, stores, or jumps to the address. Code and tables of this
probe lie in memory behind the image; slot 511 of every root leads there, and nothing else of the
image is touched.

Nothing here is imported from mmlib: `walk` is a second opinion, `Mmu` a third.
"""
import json
from pathlib import Path
from typing import NamedTuple

from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_HOOK_INTR, UC_MODE_64, Uc, UcError, x86_const

PAGE, SLOTS, ZEROS = 4096, 512, bytes(4096)
P, RW, US, A, D, PS, NX = 1, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 63
ADDRESS = (1 << 52) - PAGE

# What the probe runs: where in its page, and where it is done (a jump is never done).
ENTER = bytes.fromhex("0f22d8 480f07")              # mov cr3, rax; sysretq
ACTS = {"r": (0x10, bytes.fromhex("8a16"), 0x12),   # mov dl, [rsi]
        "w": (0x20, bytes.fromhex("8816"), 0x22),   # mov [rsi], dl
        "x": (0x30, bytes.fromhex("ffe6"), 0x3f)}   # jmp rsi
EFER, STAR = 0xC000_0080, 0xC000_0081
REGISTERS = [getattr(x86_const, f"UC_X86_REG_{name}")
             for name in ("RAX", "RCX", "R11", "RSI", "RDX")]


class Image(NamedTuple):
    """A folder in the format mmimage/1: *told* is image.json, *memory* is image.bin."""

    told: dict
    memory: bytearray

    @classmethod
    def read(cls, folder: Path) -> "Image":
        told = json.loads((folder / "image.json").read_text())
        return cls(told, bytearray((folder / told["image"]).read_bytes()))

    @property
    def levels(self) -> int:
        return self.told["levels"]

    def entry(self, at: int) -> int:
        return int.from_bytes(self.memory[at:at + 8], "little")


def walk(image: Image, cr3: int, va: int, access: str) -> tuple[list[int], int | None]:
    """(where the entries on the way lie, the physical address or None if it must fault) of an
    access in user mode (Intel SDM vol. 3A, 4.5 and 4.6)."""
    path, table = [], cr3
    for level in range(image.levels, 0, -1):
        shift = 12 + 9 * (level - 1)
        path.append(table + (va >> shift) % SLOTS * 8)
        entry = image.entry(path[-1])
        if not entry & P or not entry & US or access == "w" and not entry & RW \
                or access == "x" and entry & NX:
            return path, None
        if level == 1 or level <= 3 and entry & PS:
            return path, entry & ADDRESS & -1 << shift | va & (1 << shift) - 1
        table = entry & ADDRESS
    raise AssertionError("level 1 returns")


def tables_of(image: Image, cr3: int) -> dict[int, int]:
    """The tables that can be reached from *cr3*, the root too: address -> level."""
    found, todo = {}, [(cr3, image.levels)]
    while todo:
        table, level = todo.pop()
        assert found.setdefault(table, level) == level, f"table {table:#x} serves on two levels"
        entries = [image.entry(table + 8 * slot) for slot in range(SLOTS)]
        todo += [(entry & ADDRESS, level - 1) for entry in entries
                 if level > 1 and entry & P and not entry & PS]
    return found


class Mmu:
    """Unicorn with the memory of *image*, as a model of CPU that knows five levels.  It sets A
    and D in its own copy of the memory."""

    def __init__(self, image: Image):
        self.image, self.uc = image, Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_cpu_model(x86_const.UC_CPU_X86_ICELAKE_SERVER)
        own = -(-len(image.memory) // PAGE) * PAGE
        self.uc.mem_map(0, own + PAGE * (image.levels + 1))
        for at in range(0, len(image.memory), PAGE):
            page = image.memory[at:at + PAGE]
            if page != ZEROS:
                self.uc.mem_write(at, bytes(page))
        self.base = -1 << 12 + 9 * (image.levels - 1) & (1 << 64) - 1   # what slot 511 maps
        self.link = (own + PAGE | P | RW | US).to_bytes(8, "little")
        self._write_probe(own)
        self._enter_long_mode(own)
        self.target, self.reached, self.exception = 0, False, None
        self.uc.hook_add(UC_HOOK_INTR, self._on_exception)
        self.uc.hook_add(UC_HOOK_CODE, self._on_instruction)
        self.start = self.uc.context_save()

    def _write_probe(self, root: int) -> None:
        """A root, a table of each lower level, and the page with the code."""
        self.uc.mem_write(root + 511 * 8, self.link)
        for n in range(1, self.image.levels):
            below = root + PAGE * (n + 1) | P | RW | US
            self.uc.mem_write(root + PAGE * n, below.to_bytes(8, "little"))
        code = root + PAGE * self.image.levels
        self.uc.mem_write(code, ENTER)
        for offset, machine_code, _ in ACTS.values():
            self.uc.mem_write(code + offset, machine_code)

    def _enter_long_mode(self, root: int) -> None:
        write, la57 = self.uc.reg_write, (self.image.levels == 5) << 12
        write(x86_const.UC_X86_REG_CR3, root)
        write(x86_const.UC_X86_REG_CR4, 1 << 5 | la57)                          # PAE, LA57
        write(x86_const.UC_X86_REG_MSR, (EFER, 1 | 1 << 8 | 1 << 10 | 1 << 11))  # SCE LME LMA NXE
        write(x86_const.UC_X86_REG_MSR, (STAR, 0x10 << 48 | 0x08 << 32))
        write(x86_const.UC_X86_REG_CR0, 1 | 1 << 16 | 1 << 31)                  # PE, WP, PG

    def _on_exception(self, uc, number, _):
        self.exception = number, uc.reg_read(x86_const.UC_X86_REG_CR2)
        uc.emu_stop()

    def _on_instruction(self, uc, address, size, _):
        if address == self.target:
            self.reached = True
            if address < self.base:     # the page's own code is not run
                uc.emu_stop()

    def access(self, cr3: int, va: int, access: str, value: int = 0) -> int | str:
        """Load a byte, store *value*, or jump: the byte in DL after it, or "fault" for a page
        fault at *va*.  Anything else that happens is told in words."""
        offset, _, done = ACTS[access]
        self.uc.context_restore(self.start)
        self.uc.mem_write(cr3 + 511 * 8, self.link)
        for register, content in zip(REGISTERS, (cr3, self.base + offset, 2, va, value)):
            self.uc.reg_write(register, content)
        self.target = va if access == "x" else self.base + offset
        self.reached, self.exception = False, None
        try:
            self.uc.emu_start(self.base, self.base + done)
        except UcError as why:
            return str(why)
        ring = self.uc.reg_read(x86_const.UC_X86_REG_CS) & 3
        assert ring == 3, f"the access was made in ring {ring}"
        if self.exception:
            return "fault" if self.exception == (14, va) else f"exception {self.exception}"
        assert self.reached, "the probe was lost"
        return self.uc.reg_read(x86_const.UC_X86_REG_RDX) & 0xFF

    def word(self, at: int) -> int:
        return int.from_bytes(self.uc.mem_read(at, 8), "little")


def wrong_by_walk(image: Image) -> list[str]:
    """The claims that `walk` does not confirm, in words."""
    wrong = []
    for cr3, claim in claims(image):
        _, pa = walk(image, cr3, claim["va"], claim["access"])
        if pa is not None and pa >= len(image.memory):
            wrong.append(f"{told(cr3, claim)}: beyond memory")
        elif (pa, pa and image.memory[pa]) != (claim.get("pa"), claim.get("byte")):
            wrong.append(f"{told(cr3, claim)}: walked to {pa and hex(pa)}")
    return wrong


def wrong_by_mmu(image: Image) -> list[str]:
    """The claims that Unicorn does not confirm, and what else it changed, in words."""
    mmu = Mmu(image)
    wrong = [f"{told(cr3, claim)}: {why}" for cr3, claim in claims(image)
             if (why := refuted(mmu, cr3, claim))]
    return wrong + changed(mmu)


def refuted(mmu: Mmu, cr3: int, claim: dict) -> str:
    """Why *claim* does not hold; "" if it does.

    That an access meets the claimed byte of memory, and no other, is seen from a mark: one that
    lies there is loaded, one that is stored arrives there. Then the byte is put back."""
    va, access = claim["va"], claim["access"]
    if claim["result"] == "fault":
        got = mmu.access(cr3, va, access)
        return "" if got == "fault" else f"got {got}"
    pa, byte = claim["pa"], claim["byte"]
    if mmu.uc.mem_read(pa, 1)[0] != byte:
        return f"{mmu.uc.mem_read(pa, 1)[0]} is at {pa:#x}"
    mark, path = byte ^ 0x55, walk(mmu.image, cr3, va, access)[0]
    before = [mmu.word(at) for at in path]
    if access == "r":
        mmu.uc.mem_write(pa, bytes([mark]))
    got = mmu.access(cr3, va, access, mark)
    if got != mark:
        return f"got {got}, not {mark}"
    if mmu.uc.mem_read(pa, 1)[0] != mark:
        return f"the store did not reach {pa:#x}"
    mmu.uc.mem_write(pa, bytes([byte]))
    used = [entry | A | (D if access == "w" and at == path[-1] else 0)
            for at, entry in zip(path, before)]
    return "" if [mmu.word(at) for at in path] == used else "A and D are not as an access sets them"


def changed(mmu: Mmu) -> list[str]:
    """Where memory differs from the image after all is put back; A and D of entries may."""
    image, tables = mmu.image, set()
    for process in image.told["processes"]:
        mmu.uc.mem_write(process["cr3"] + 511 * 8, bytes(8))
        tables |= tables_of(image, process["cr3"]).keys()
    memory = mmu.uc.mem_read(0, len(image.memory))
    pages = [at for at in range(0, len(memory), PAGE)
             if memory[at:at + PAGE] != image.memory[at:at + PAGE]]
    return [f"the page at {at:#x} has changed" for at in pages if at not in tables or any(
        (mmu.word(n) ^ image.entry(n)) & ~(A | D) for n in range(at, at + PAGE, 8))]


def claims(image: Image):
    """(CR3, claim) of all processes."""
    return [(process["cr3"], claim) for process in image.told["processes"]
            for claim in process["expect"]]


def told(cr3: int, claim: dict) -> str:
    return f"CR3 {cr3:#x}, {claim['access']} at {claim['va']:#x}: claimed {claim['result']}"
