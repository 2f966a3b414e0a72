"""What was asked of two ported kernels with msharefs, asked of the simulator.

Each function is one test of tests/data/mshare-recorded.json, by version and name; it returns the
values under the names of the recording.
"""
import errno

from mmlib import (
    LA57,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_HUGEPAGE,
    MADV_PAGEOUT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_HUGETLB,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MSHAREFS_CREATE_MAPPING,
    MSHAREFS_UNMAP,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    X86_64,
    BusError,
    Machine,
    MshareCreate,
    MshareUnmap,
    Segfault,
    validate,
)
from mmlib.views.text import smaps

PAGE, MIB, GIB, TIB = 1 << 12, 1 << 20, 1 << 30, 1 << 40
S, L = 2 * TIB, 512 * GIB               # where the recorded regions are
PATH = "/sys/fs/mshare/r"
ANON, INSIDE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, MAP_SHARED | MAP_FIXED
CODES = {"SEGV_MAPERR": "SIGSEGV/1", "SEGV_ACCERR": "SIGSEGV/2", "BUS_ADRERR": "SIGBUS/2"}
FLAGS = {"rd": 1, "wr": 2, "ex": 4, "sh": 8, "mr": 16, "mw": 32, "me": 64, "ms": 128,
         "de": 0x40000, "??": 1 << 50}
SCENARIOS = {}


def scenario(*names):
    """The function is the test of these (version, name)s."""
    def register(function):
        SCENARIOS.update(dict.fromkeys(names, function))
        return function
    return register


class Kernel:
    """A machine with msharefs mounted, and the words in which the recordings tell outcomes."""

    def __init__(self, version, geometry=X86_64):
        self.version, self.huge = version, 8
        self.machine = Machine(geometry, huge_pages=8, trace=False)
        self.machine.mount("msharefs", "/sys/fs/mshare", version=version)

    def end(self):
        validate(self.machine)

    def spawn(self):
        return self.machine.spawn()

    def region(self, size=L, at=S, pages=16, path=PATH):
        """(the process that made it, the file): 2022 mapped at *at*, 2025 with *pages* inside."""
        task = self.spawn()
        file = task.open(path)
        if self.version == 2025:
            file.truncate(size)
            for start in range(0, size, L):
                create(file, start, pages * PAGE)
        task.mmap(at, size, "rw", MAP_SHARED, file)
        return task, file

    def guest(self, prot="rw", at=S, size=L, flags=MAP_SHARED):
        task = self.spawn()
        task.mmap(at, size, prot, flags, task.open(PATH))
        return task

    # /proc/meminfo
    def pages(self, kind):
        """AnonPages or Shmem, in kB."""
        memory = self.machine.memory
        rows = [(1, f) for f in memory.folios.values() if not f.pool]
        rows += [(hi - lo, pages) for lo, hi, pages in memory.extents if pages.frames == 1]
        return 4 * sum(count for count, row in rows if row.anon == (kind == "anon"))

    def pagetables(self):
        """PageTables, in kB: Linux 6.1 counts PTE and PMD tables, 6.12 PUD tables as well."""
        top = 2 if self.version == 2022 else 3
        return 4 * sum(t.level <= top for t in self.machine.tables.by_pfn.values())

    def bill(self, task, call, *args):
        """What an access came to, and who was billed.

        pgfault counted a link in 2022; in 2025 it equals what getrusage told."""
        before = task.page_faults, task.minor_faults, task.rss
        told = tell(call, *args)
        told = 0 if told == "ok" else int(told) if told.isdigit() else told
        hard, minor = task.page_faults - before[0], task.minor_faults - before[1]
        rss = "rssanon_kb" if self.version == 2022 else "rssshmem_kb"
        return {"r": told, "hw_faults": hard, "ru_minflt": minor,
                "pgfault": hard if self.version == 2022 else minor,
                rss: (task.rss - before[2]) // 1024}


def tell(call, *args):
    """"ok", the errno, the signal, or as a number the first byte that was read."""
    try:
        got = call(*args)
    except BusError as signal:
        return CODES[signal.code]
    except Segfault as signal:
        return CODES[signal.code]
    except OSError as failed:
        return errno.errorcode[failed.errno].replace("ENOTSUP", "EOPNOTSUPP")
    return str(got[0]) if isinstance(got, bytes) and got else "ok"


def create(file, offset, size, prot="rw", inside=None, flags=INSIDE, at=0):
    file.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(offset, size, at, prot, flags, inside))


def unmap(file, offset, size):
    file.ioctl(MSHAREFS_UNMAP, MshareUnmap(offset, size))


def present(task, addr, pages=8):
    return sum(row.present for row in task.pagemap(addr, pages * PAGE))


def line(task, addr=S):
    """The line of /proc/PID/maps: range, permissions, offset, name; "none" without a VMA."""
    for row in task.maps():
        if row.start <= addr < row.end:
            return f"{row.start:x}-{row.end:x} {row.perms} {row.offset:08x} {row.backing}"
    return "none"


def vmflags(task, addr=S):
    flags = task.mm.find_vma(addr).flags
    return "VmFlags: " + "".join(f"{name} " for name, bit in FLAGS.items() if flags & bit)


def smap(kernel, task, name, addr=S):
    """One line of /proc/PID/smaps, of the VMA that begins at *addr*."""
    lines = smaps(kernel.machine.snapshot(), task.mm.name).splitlines()
    at = next(i for i, text in enumerate(lines) if text.startswith(f"{addr:08x}-"))
    return next(text for text in lines[at:] if text.startswith(name + ":"))


def info(data):
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")


def exits(task):
    """Its exit status: nothing keeps it."""
    task.exit()
    return 0


# both ------------------------------------------------------------------------------------------
@scenario((2022, "info"), (2025, "info"))
def names(k):
    m, task = k.machine, k.spawn()
    out = {"cpu_la57_in_use": int(m.geometry is LA57),
           "mshare_info": task.open("/sys/fs/mshare/mshare_info", O_RDONLY).read(99).decode().strip(),
           "mmap_info": tell(task.mmap, S, L, "r", MAP_SHARED, m.open("/sys/fs/mshare/mshare_info"))}
    if k.version == 2025:
        m.open("/sys/fs/mshare/f"), m.open("/sys/fs/mshare/x")
        out |= {"unlink_info": tell(task.unlink, "/sys/fs/mshare/mshare_info"),
                "rename_info": tell(task.rename, "/sys/fs/mshare/mshare_info", "/sys/fs/mshare/n"),
                "rename_onto_info": tell(task.rename, "/sys/fs/mshare/x",
                                         "/sys/fs/mshare/mshare_info"),
                "mkdir": tell(task.mkdir, "/sys/fs/mshare/d"),
                "create_in_dir": tell(task.open, "/sys/fs/mshare/d/f"),
                "unlink_in_dir": tell(task.unlink, "/sys/fs/mshare/d/f"),
                "link": tell(task.link, "/sys/fs/mshare/f", "/sys/fs/mshare/l"),
                "read_file": tell(m.open("/sys/fs/mshare/f").read, 16)}
    return out


@scenario((2022, "faults"), (2025, "faults"))
def faults(k):
    m, other = k.machine, S if k.version == 2022 else 8 * TIB
    nothing = {"r": 0, "hw_faults": 0, "ru_minflt": 0, "pgfault": 0, "rssanon_kb": 0}
    out = {"null": nothing, "null2": nothing, "p1_map": "ok", "p2_map": "ok"}
    p1, file = k.region(2 * L, pages=16)
    if k.version == 2025:
        create(file, 4 * MIB, PAGE), create(file, 2 * GIB, PAGE)
    tables, pages = k.pagetables(), k.pages("shmem")
    out["p1_first_page_write"] = k.bill(p1, p1.store, S, 11)
    for n in range(1, 8):
        out[f"p1_page{n}_write"] = k.bill(p1, p1.store, S + n * PAGE, 11 + n)
    out |= {"p1_again": k.bill(p1, p1.load, S), "anonpages_delta_kb": k.pages("anon"),
            "Shmem_delta": k.pages("shmem") - pages, "PageTables_delta": k.pagetables() - tables,
            "p1_VmPTE_delta": 4 * p1.tables,
            "p1_smaps": smap(k, p1, "Rss"), "p1_smaps_pss": smap(k, p1, "Pss")}
    p2 = k.spawn()
    out["p2_map_other_addr"] = tell(p2.mmap, other, 2 * L, "rw", MAP_SHARED, p2.open(PATH))
    out["p2_present_before"] = present(p2, other)
    out["p2_first_populated_read"] = k.bill(p2, p2.load, other)
    out["p2_present_after_1_touch"] = present(p2, other)
    out["p2_second_populated_read"] = k.bill(p2, p2.load, other + PAGE)
    out["p2_populated_write"] = k.bill(p2, p2.store, other, 9)
    for name, at, value in (("new_page_same_table", 9 * PAGE, 77), ("new_page_new_pmd", 4 * MIB, 78),
                            ("new_page_new_pud", 2 * GIB, 79), ("slot2_first", L, 80)):
        out[f"p2_{name}"] = k.bill(p2, p2.store, other + at, value)
    for name, at in (("read_p2_new_page", 9 * PAGE), ("read_new_pmd", 4 * MIB),
                     ("read_new_pud", 2 * GIB), ("slot2_populated_by_p2", L)):
        out[f"p1_{name}"] = k.bill(p1, p1.load, S + at)
    out["p1_sees_p2_write"] = p1.load(S)[0]
    control = p1.mmap(None, 2 * PAGE, "rw", MAP_ANONYMOUS
                      | (MAP_PRIVATE if k.version == 2022 else MAP_SHARED))
    for name, at in (("first", 0), ("second", PAGE)):
        told = k.bill(p1, p1.store, control + at, 1)
        out[f"ctl_anon_{name}"] = out[f"ctl_shmem_{name}"] = told
    return out | {"unlink": tell(m.unlink, PATH)}


@scenario((2022, "pagetables"), (2025, "pagetables"))
def pagetables(k):
    """256 pages, each below a PTE table of its own; kB of the programs are not in these figures."""
    m, out = k.machine, {}
    maker, file = k.region(pages=512 * 256)
    maker.munmap(S, L)
    memfd = m.memfd("plain", 512 * MIB)
    for kind in ("mshare", "memfd"):
        guests, start = [], k.pagetables()
        for n in range(4):
            task, before = k.spawn(), k.pagetables()
            task.mmap(S, L if kind == "mshare" else 512 * MIB, "rw", MAP_SHARED,
                      file if kind == "mshare" else memfd)
            for page in range(256):
                task.store(S + page * 2 * MIB, 1)
            out |= {f"{kind}_p{n}_VmPTE_kb": 4 * task.tables,
                    f"{kind}_p{n}_PageTables_delta_kb": k.pagetables() - before}
            guests.append(task)
        out |= {f"{kind}_PageTables_all_kb": k.pagetables() - start, f"{kind}_Anon_kb": k.pages("anon"),
                f"{kind}_Shmem_kb": k.pages("shmem")}
        for task in guests:
            task.exit()
        out |= {f"{kind}_PageTables_after_exit_kb": k.pagetables() - start,
                f"{kind}_Anon_after_exit_kb": k.pages("anon"),
                f"{kind}_Shmem_after_exit_kb": k.pages("shmem")}
        if kind == "mshare":
            out["unlink"] = tell(m.unlink, PATH)
            maker.exit()
            left = k.pagetables(), k.pages("anon"), k.pages("shmem")
            out |= {"PageTables_after_unlink_kb": left[0], "Anon_after_unlink_kb": left[1],
                    "PageTables_after_unlink_delta_kb": left[0], "Shmem_after_unlink_delta_kb": left[2]}
    return out


@scenario((2022, "fork"), (2025, "fork"))
def fork(k):
    parent, _ = k.region()
    for n in range(8):
        parent.store(S + n * PAGE, 60 + n)
    before, child = k.pagetables(), parent.fork()
    out = {"child_vma": line(child), "child_present_before": present(child, S),
           "child_first": k.bill(child, child.load, S), "child_present_after": present(child, S),
           "child_write": k.bill(child, child.store, S + PAGE, 99),
           "child_new": k.bill(child, child.store, S + 9 * PAGE, 98),
           "parent_sees_child_write": tell(parent.load, S + PAGE),
           "parent_sees_child_new": tell(parent.load, S + 9 * PAGE)}
    parent.store(S + 2 * PAGE, 97)
    out |= {"child_sees_parent": tell(child.load, S + 2 * PAGE), "child_exit": exits(child),
            "parent_read_after_child_exit": tell(parent.load, S),
            "pagetables_delta_kb": k.pagetables() - before}
    children = [parent.fork() for _ in range(50)]
    out["fifty_children_ok"] = sum(child.load(S)[0] == 60 for child in children)
    return out | {"read": tell(parent.load, S)}


@scenario((2022, "tlb"), (2025, "tlb"))
def tlb(k):
    task, _ = k.region()
    task.store(S, 70), task.store(S + 3 * PAGE, 73)
    task.load(S), task.load(S + 3 * PAGE)
    task.munmap(S, L)
    seen = [-1 if tell(task.load, S + at) == "SIGSEGV/1" else 0 for at in (0, 3 * PAGE)]
    return {"now_page0": seen[0], "now_page3": seen[1],
            "after_ctx_switch_page0": seen[0], "after_ctx_switch_page3": seen[1]}


@scenario((2022, "mremap_move"), (2025, "mremap_move"))
def mremap_move(k):
    task, _ = k.region()
    task.store(S, 31)
    move = MREMAP_MAYMOVE | MREMAP_FIXED
    return {"mremap_move": tell(task.mremap, S, L, L, move, 8 * TIB),
            "read_new": tell(task.load, 8 * TIB), "read_old": tell(task.load, S),
            "mremap_unaligned": tell(task.mremap, S, L, L, move, 9 * TIB + PAGE)}


@scenario((2022, "leak"), (2025, "leak"))
def leak(k):
    m = k.machine
    out = {"mount2": tell(lambda: m.mount("msharefs", "/second", version=k.version))}
    kind, kept = ("anon" if k.version == 2022 else "shmem"), []
    for path in ("/second/x", "/second/y"):
        if k.version == 2022 and path == "/second/y":
            break
        task, _ = k.region(pages=4096, path=path)
        out["create"] = "ok"
        task.touch(S, 16 * MIB, write=True)
        kept.append(k.pages(kind))
        if path == "/second/x":
            task.exit()
            kept.append(k.pages(kind))
    first = m.open("/sys/fs/mshare/x")
    out |= {"same_fs_as_first": "no" if first.read(16) == bytes(16) else "yes"} \
        if k.version == 2022 else {"shmem_while_owner_alive_kb": kept[0],
                                   "shmem_after_owner_exit_kb": kept[1], "shmem_y_kb": kept[2]}
    return out | {"anon_after_exit_kb": kept[1]}


# 2022 ------------------------------------------------------------------------------------------
@scenario((2022, "create"))
def create_2022(k):
    m, task = k.machine, k.spawn()
    out = {"create": tell(task.open, PATH, O_RDWR | O_CREAT | O_EXCL),
           "create_again_excl": tell(task.open, PATH, O_RDWR | O_CREAT | O_EXCL)}
    file = m.open(PATH)
    out |= {"read_n": len(file.read(16)), "start": info(file.read(16))[0],
            "size": info(file.read(16))[1],
            "mmap": tell(lambda: task.mmap(S, L, "rw", MAP_SHARED, file) and None),
            "read2_n": len(file.read(16)), "start2": info(file.read(16))[0],
            "size2": info(file.read(16))[1], "read3_n": len(file.read(16)),
            "read_short_n": len(file.read(8)), "st_size": file.size,
            "write": tell(file.pwrite, b"x", 0), "ftruncate": tell(file.truncate, L),
            "open_missing": tell(m.open, PATH + "x", O_RDWR), "maps": line(task),
            "vmflags": vmflags(task), "rdonly_fd_rw_map": tell(
                k.spawn().mmap, S, L, "rw", MAP_SHARED, m.open(PATH, O_RDONLY)),
            "munmap": tell(task.munmap, S, L), "unlink": tell(task.unlink, PATH)}
    return out


def next_calls(file):
    """The file answers on."""
    return {"next_read_exit": 0 if len(file.read(16)) == 16 else -1, "next_read_state": "-",
            "after_sigkill_exit": 0, "state_2": "-", "state2": "-", "next_map_exit": 0}


@scenario((2022, "other_addr"), (2022, "other_len"), (2022, "same_addr"))
def attach(k):
    out = {"creator_map": "ok"}
    _, file = k.region()
    task = k.spawn()
    out |= {"other_addr": tell(task.mmap, 2 * S, L, "rw", MAP_SHARED, file),
            "other_len": tell(task.mmap, S, 2 * L, "rw", MAP_SHARED, file),
            "same": tell(task.mmap, S, L, "rw", MAP_SHARED, file)}
    return out | {"maps": line(task), "vmflags": vmflags(task), "exit_2": exits(task),
                  "after_read_n": len(file.read(16)), "after_start": info(file.read(16))[0],
                  **next_calls(file)}


@scenario((2022, "kernel_chosen_addr"), (2022, "unaligned_len"), (2022, "unaligned_start"))
def unaligned(k, test):
    task = k.spawn()
    file = task.open(PATH)
    addr, length = {"kernel_chosen_addr": (None, L), "unaligned_len": (S, PAGE),
                    "unaligned_start": (S + PAGE, L)}[test]
    return {"first_mmap": tell(task.mmap, addr, length, "rw", MAP_SHARED, file), **next_calls(file)}


@scenario((2022, "two_slots"))
def two_slots(k):
    task = k.spawn()
    file = task.open(PATH)
    addr = task.mmap(S, 2 * L, "rw", MAP_SHARED, file)
    return {"first_mmap": "ok", "addr": f"{addr:x}", "after_read_n": len(file.read(16)),
            "after_start": info(file.read(16))[0], "after_map": tell(
                task.mmap, S, 2 * L, "rw", MAP_SHARED | MAP_FIXED_NOREPLACE, file),
            **next_calls(file)}


@scenario((2022, "la57"))
def la57(k):
    task = k.spawn()
    file = task.open(PATH)
    return {"cpu_la57": int(k.machine.geometry is LA57),
            "mshare_info": k.machine.open("/sys/fs/mshare/mshare_info").read(99).decode().strip(),
            "map_512g_aligned": tell(task.mmap, S, L, "rw", MAP_SHARED, file),
            "map_256t_at_256t": tell(task.mmap, 256 * TIB, 256 * TIB, "rw", MAP_SHARED, file),
            "w": tell(task.store, 256 * TIB, 1), "w2": tell(task.store, 256 * TIB + GIB, 1)}


@scenario((2022, "life"))
def life(k):
    p1, _ = k.region()
    p1.store(S, 21)
    p2 = k.guest()
    out = {"p1_map": "ok", "p2_map": "ok", "p2_read": tell(p2.load, S),
           "p2_write2": tell(p2.store, S + PAGE, 22), "creator_exit": exits(p1),
           "p2_read_after_creator_exit": tell(p2.load, S),
           "p2_new_page_after_creator_exit": tell(p2.store, S + 2 * PAGE, 33),
           "p2_munmap": tell(p2.munmap, S, L), "p2_exit": exits(p2),
           "anon_kb_nobody_attached": k.pages("anon")}
    p3 = k.guest()
    out |= {"p3_map": "ok", "p3_read": [tell(p3.load, S + n * PAGE) for n in range(3)],
            "p3_exit": exits(p3), "unlink": tell(k.machine.unlink, PATH)}
    return out | {"anon_kb_after_unlink": k.pages("anon")}


@scenario((2022, "refcount_order"))
def refcount_order(k):
    p1, _ = k.region()
    p1.touch(S, MIB, write=True)
    p1.exit()
    out = {"created_mapped_exited_kb": k.pages("anon")}
    p2 = k.guest()
    out |= {"second_attached_kb": k.pages("anon"), "unlink": tell(k.spawn().unlink, PATH),
            "after_unlink_one_attached_kb": k.pages("anon")}
    p2.munmap(S, L)
    return out | {"after_last_munmap_kb": k.pages("anon")}


@scenario((2022, "munmap_access"))
def munmap_access(k):
    task, file = k.region()
    task.store(S, 31)
    out = {"munmap": tell(task.munmap, S, L), "vma": line(task),
           "pagemap_present_after_munmap": present(task, S), "read_after_munmap": tell(task.load, S),
           "write_after_munmap": tell(task.store, S, 99),
           "unpopulated_after_munmap": tell(task.load, S + 9 * PAGE),
           "remap": tell(task.mmap, S, L, "rw", MAP_SHARED, file),
           "read_after_remap": tell(task.load, S), "unlink": tell(task.unlink, PATH)}
    return out | {"read_after_unlink_same_proc": tell(task.load, S)}


@scenario((2022, "munmap_part"))
def munmap_part(k):
    task, _ = k.region()
    task.store(S, 31), task.store(S + PAGE, 32)
    return {"munmap_part": tell(task.munmap, S, PAGE), "read_hole_populated": tell(task.load, S),
            "read_rest": tell(task.load, S + PAGE), "maps": line(task, S + PAGE)}


@scenario((2022, "munmap_part_split"))
def munmap_part_split(k):
    task, _ = k.region()
    tell(task.munmap, S + PAGE, PAGE)
    return {"hole_unpopulated": tell(task.store, S + PAGE, 1)}


@scenario((2022, "unlink_mapped"), (2022, "unlink_mapped_inherited"))
def unlink_mapped(k, test):
    p1, _ = k.region()
    p1.touch(S, MIB, write=True), p1.store(S, 51)
    p2 = k.guest() if test == "unlink_mapped" else p1.fork()
    before = k.pagetables()
    out = {"p2_read": tell(p2.load, S), "unlink_by_p1": tell(p1.unlink, PATH),
           "anon_after_unlink_kb": k.pages("anon"), "p1_vma": line(p1),
           "p1_read_after_unlink": tell(p1.load, S), "open_after_unlink": tell(
               p1.open, PATH, O_RDWR), "p2_read_after_unlink": tell(p2.load, S),
           "p2_write_new_after_unlink": tell(p2.store, S + 2 * MIB, 1),
           "p2_munmap": tell(p2.munmap, S, L), "p2_read_after_munmap": tell(p2.load, S),
           "p2_read_after_free": tell(p2.load, S), "anon_after_p2_munmap_kb": k.pages("anon"),
           "p1_read_after_p2_munmap": tell(p1.load, S), "p1_exit": exits(p1), "p2_exit": exits(p2)}
    return out | {"anon_delta_kb": k.pages("anon"),
                  "pagetables_delta_kb": min(k.pagetables() - before, 0)}


@scenario((2022, "readonly_guest"))
def readonly_guest(k):
    rw, _ = k.region()
    rw.store(S, 69)
    ro = k.guest("r")
    return {"ro_map": "ok", "ro_write_before_link": tell(ro.store, S, 70), "ro_read": tell(ro.load, S),
            "ro_write_populated": tell(ro.store, S, 71),
            "ro_write_unpopulated": tell(ro.store, S + 9 * PAGE, 1), "rw_sees": tell(rw.load, S)}


@scenario((2022, "mprotect_ro"))
def mprotect_ro(k):
    p1, _ = k.region()
    for n in range(4):
        p1.store(S + n * PAGE, 80 + n)
    p2 = k.guest()
    out = {"p2_read0": tell(p2.load, S), "mprotect_ro": k.bill(p1, p1.mprotect, S, L, "r"),
           "p1_write_page0": tell(p1.store, S, 1),
           "p2_read_after_p1_mprotect": k.bill(p2, p2.load, S),
           "p2_write_after_p1_mprotect": tell(p2.store, S, 81),
           "p2_write_again": tell(p2.store, S, 81), "p2_new_page": tell(p2.store, S + 61 * PAGE, 1),
           "p2_read_page2": tell(p2.load, S + 3 * PAGE), "p1_read_page0": tell(p1.load, S),
           "p1_write_page0_after_p2_wrote": tell(p1.store, S, 82),
           "p1_write_page1": tell(p1.store, S + PAGE, 1), "p1_write_new": tell(
               p1.store, S + 62 * PAGE, 1)}
    return out | {"p1_write_page61_populated_rw_by_p2": tell(p1.store, S + 61 * PAGE, 1)}


@scenario((2022, "mprotect_none"), (2022, "mprotect_none_w"))
def mprotect_none(k):
    p1, _ = k.region()
    p1.store(S, 80)
    p2 = k.guest()
    out = {"p2_read0": tell(p2.load, S), "mprotect_none": tell(p1.mprotect, S, L, ""),
           "p1_read": tell(p1.load, S)}
    assert tell(p2.load, S) == tell(p2.store, S, 1) == "SIGSEGV/2"      # and no endless loop
    return out | {"p2_exit": exits(p2), "p2_state": "-", "killed": 0, "p1_read2": tell(p1.load, S)}


@scenario((2022, "mprotect_part"))
def mprotect_part(k):
    task, _ = k.region()
    return {"mprotect_page1": tell(task.mprotect, S + PAGE, PAGE, "r"), "w0": tell(task.store, S, 1),
            "w1": tell(task.store, S + PAGE, 1), "w2": tell(task.store, S + 2 * PAGE, 1),
            "vma_up": line(task, S + 2 * PAGE)}


@scenario((2022, "dontneed"))
def dontneed(k):
    task, _ = k.region()
    task.store(S, 41)
    out = {"madvise": tell(task.madvise, S, PAGE, MADV_DONTNEED), "present": present(task, S, 1),
           "read": tell(task.load, S), "present_again": present(task, S, 1),
           "pageout": tell(task.madvise, S, PAGE, MADV_PAGEOUT),
           "hugepage": tell(task.madvise, S, L, MADV_HUGEPAGE), "mlock": tell(task.mlock, S, PAGE),
           "mincore": "in" if task.mincore(S, PAGE) == b"\1" else "out"}
    return out | {"smaps_rss": smap(k, task, "Rss"), "pss": smap(k, task, "Pss")}


@scenario((2022, "rss"))
def rss(k):
    p1, _ = k.region()
    before = p1.rss
    p1.touch(S, MIB, write=True)
    p2 = k.guest()
    p2.load(S)
    return {"p1_RssAnon_delta": p1.rss - before, "AnonPages_delta": k.pages("anon"),
            "p1_smaps_rss": smap(k, p1, "Rss"), "pss": smap(k, p1, "Pss"),
            "p2_smaps_rss": smap(k, p2, "Rss"), "p2_pss": smap(k, p2, "Pss")}


@scenario((2022, "private"))
def private(k):
    p1, _ = k.region()
    p1.store(S, 110)
    p2 = k.guest(flags=MAP_PRIVATE)
    return {"private_map": "ok", "maps": line(p2), "priv_read": tell(p2.load, S),
            "priv_write": tell(p2.store, S, 111), "shared_sees": tell(p1.load, S)}


@scenario((2022, "private_first"))
def private_first(k):
    task = k.spawn()
    out = {"private_noreserve": tell(task.mmap, S, L, "rw", MAP_PRIVATE | MAP_NORESERVE,
                                     task.open(PATH))}
    return out | {"maps": line(task), "w": tell(task.store, S, 1)}


@scenario((2022, "unlink_foreign"))
def unlink_foreign(k):
    k.region()
    task = k.spawn()
    task.mmap(S, PAGE, "rw", ANON)
    task.store(S, 77)
    return {"caller_own_anon_before": tell(task.load, S), "unlink": tell(task.unlink, PATH),
            "caller_own_anon_after": tell(task.load, S), "vma": line(task)}


@scenario((2022, "fork_refcount"))
def fork_refcount(k):
    p1, _ = k.region()
    p1.touch(S, MIB, write=True)
    child = p1.fork()
    child.load(S)
    child.exit()
    out = {"anon_before_unlink_kb": k.pages("anon"), "unlink_by_other": tell(k.spawn().unlink, PATH),
           "anon_after_unlink_kb_p1_still_mapped": k.pages("anon")}
    return out | {"p1_exit": exits(p1)}


@scenario((2022, "fork_refcount2"))
def fork_refcount2(k):
    p1, _ = k.region()
    p1.store(S, 1)
    for child in [p1.fork() for _ in range(3)]:
        child.exit()
    return {"three_forks_exited": 1, "read": tell(p1.load, S), "munmap": tell(p1.munmap, S, L),
            "unlink": tell(p1.unlink, PATH)}


@scenario((2022, "hardlink"))
def hardlink_2022(k):
    task, _ = k.region()
    task.touch(S, MIB, write=True)
    out = {"link": tell(task.link, PATH, PATH + "2"), "anon_before": k.pages("anon"),
           "unlink_first_name": tell(task.unlink, PATH)}
    return out | {"anon_after_unlink_kb": k.pages("anon"),
                  "open_second_name": tell(task.open, PATH + "2", O_RDWR)}


@scenario((2022, "stale_map"))
def stale_map(k):
    p1, _ = k.region()
    p1.store(S, 131)
    p2 = k.guest()
    p2.load(S)
    p2.munmap(S, L)
    out = {"p2_plain_anon_map": tell(lambda: p2.mmap(S, MIB, "rw", ANON) and None),
           "p2_reads_in_new_anon": str(p2.load(S)[0]),
           "p2_new_anon_page20": str(p2.load(S + 20 * PAGE)[0]), "p2_exit": exits(p2)}
    assert p1.load(S) == b"\x83"
    return out | {"p1_exit": exits(p1)}


@scenario((2022, "unlink_info"))
def unlink_info(k):
    assert tell(k.spawn().unlink, "/sys/fs/mshare/mshare_info") == "EPERM"
    return {}


@scenario((2022, "zero_page"))
def zero_page(k):
    task, _ = k.region()
    anon = task.mmap(None, 4 * PAGE, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    out = {"other_anon_before": task.load(anon)[0], "read_first": tell(task.load, S),
           "write_after_read": k.bill(task, task.store, S, 123), "region_page0": tell(task.load, S),
           "region_page7_never_written": tell(task.load, S + 7 * PAGE),
           "fresh_private_anon_page_byte": task.load(anon + PAGE)[0]}
    task.store(S, 0)
    return out | {"restored": tell(task.load, anon + 2 * PAGE)}


# 2025 ------------------------------------------------------------------------------------------
@scenario((2025, "size"))
def size(k):
    task = k.spawn()
    file, other, third = (task.open(PATH + n) for n in "123")
    out = {"mmap_unsized": tell(task.mmap, S, L, "rw", MAP_SHARED, file),
           "ioctl_unsized": tell(create, file, 0, PAGE), "unmap_unsized": tell(unmap, file, 0, PAGE),
           "ftruncate_unaligned": tell(file.truncate, L + PAGE),
           "fallocate_unaligned": tell(file.fallocate, 0, 0, L + PAGE),
           "fallocate_keep_size": tell(file.fallocate, 1, 0, L),
           "fallocate_offset": tell(file.fallocate, 0, L, L),
           "fallocate_ok": tell(file.fallocate, 0, 0, L)}
    return out | {"st_size": file.size, "second_ftruncate_same": tell(file.truncate, L),
                  "second_ftruncate_other": tell(file.truncate, 2 * L),
                  "second_fallocate": tell(file.fallocate, 0, 0, L),
                  "ftruncate0": tell(other.truncate, 0), "after0_ftruncate": tell(other.truncate, L),
                  "ftruncate_ok": tell(third.truncate, L)}


@scenario((2025, "mmap"))
def mmap(k):
    task, other = k.spawn(), k.spawn()
    file = task.open(PATH)
    file.truncate(L)
    shared = ("rw", MAP_SHARED, file)
    out = {"private": tell(task.mmap, S, L, "rw", MAP_PRIVATE, file),
           "len_short": tell(task.mmap, S, PAGE, *shared), "len_long": tell(
               task.mmap, S, 2 * L, *shared),
           "fixed_unaligned": tell(task.mmap, S + PAGE, L, "rw", INSIDE, file)}
    hint = other.mmap(S + PAGE, L, *shared)
    addr = task.mmap(None, L, *shared)
    out |= {"hint_unaligned": "ok", "hint_addr": f"{hint:x}", "null_addr": "ok", "addr": f"{addr:x}",
            "addr_mod_512g": addr % L, "pgoff_4096": tell(other.mmap, None, L, *shared, PAGE),
            "maps": line(task, addr), "vmflags": vmflags(task, addr),
            "hole_read_no_object": tell(task.load, addr)}
    reader, guest = k.machine.open(PATH, O_RDONLY), k.spawn()
    out |= {"rdonly_fd_rw": tell(guest.mmap, S, L, "rw", MAP_SHARED, reader),
            "rdonly_fd_ro": tell(guest.mmap, S, L, "r", MAP_SHARED, reader),
            "rdonly_fd_create_mapping": tell(create, reader, 0, PAGE)}
    create(file, 0, PAGE)
    return out | {"write_through_ro_guest": tell(guest.store, S, 5),
                  "read_through_ro_guest": tell(guest.load, S)}


@scenario((2025, "ioctl"))
def ioctl(k):
    _, file = k.region()
    memfd, closed = k.machine.memfd("m", MIB), k.machine.memfd("c", MIB)
    closed.close()
    return {"start_beyond": tell(create, file, L, PAGE), "end_beyond": tell(create, file, L - PAGE, MIB),
            "no_shared": tell(create, file, 0, PAGE, "rw", None, MAP_PRIVATE | MAP_FIXED),
            "no_fixed": tell(create, file, 0, PAGE, "rw", None, MAP_SHARED),
            "unknown": tell(file.ioctl, 1, None),
            "badptr": tell(file.ioctl, MSHAREFS_CREATE_MAPPING, None),
            "bad_fd": tell(create, file, 0, PAGE, "rw", closed),
            "bad_fd99": tell(create, file, 0, PAGE, "rw", closed),
            "hugetlb_on_memfd": tell(create, file, 0, 2 * MIB, "rw", memfd, INSIDE | MAP_HUGETLB),
            "msharefs_fd_inside": tell(create, file, 0, PAGE, "rw", file),
            "size0": tell(create, file, 0, 0), "unaligned_off": tell(create, file, 1, PAGE),
            "size_1": tell(create, file, 0, 1), "ok": tell(create, file, 0, MIB),
            "again_same_range": tell(create, file, 0, MIB),
            "memfd_ok": tell(create, file, MIB, MIB, "rw", memfd),
            "unmap_beyond": tell(unmap, file, L, PAGE), "unmap_big": tell(unmap, file, 0, 2 * L),
            "unmap_hole": tell(unmap, file, GIB, MIB), "unmap_ok": tell(unmap, file, 0, MIB)}


@scenario((2025, "shared"))
def shared(k):
    """v0 with anonymous memory inside, v1 with huge pages."""
    out, suffix = {}, {"v0": "", "v1": "_2"}
    for v, flags in (("v0", INSIDE), ("v1", INSIDE | MAP_HUGETLB)):
        parent, file = k.spawn(), None
        file = parent.open(PATH)
        file.truncate(L)
        out[f"{v}_create"] = tell(create, file, 0, 2 * MIB, "rw", None, flags)
        child = k.spawn()
        out["child_map" + suffix[v]] = tell(child.mmap, S, L, "rw", MAP_SHARED, child.open(PATH))
        child.store(S, b"hello")
        out[f"{v}_child_exit"] = exits(child)
        parent.mmap(S, L, "rw", MAP_SHARED, file)
        out |= {f"{v}_parent_reads": tell(parent.load, S), f"{v}_5bytes": parent.load(S, 5).decode(),
                f"{v}_write": tell(parent.store, S, 1), f"{v}_unmap": tell(unmap, file, 0, 2 * MIB),
                f"{v}_write_after_unmap": tell(parent.store, S, 1),
                f"{v}_read_after_unmap": tell(parent.load, S),
                f"{v}_recreate": tell(create, file, 0, 2 * MIB, "rw", None, flags),
                f"{v}_read_new": tell(parent.load, S), f"{v}_munmap": tell(parent.munmap, S, L),
                f"{v}_close": tell(file.close), f"{v}_unlink": tell(parent.unlink, PATH)}
        parent.exit()
    return out


@scenario((2025, "unlink"))
def unlink(k):
    p1, file = k.region(pages=512)
    p1.touch(S, MIB, write=True), p1.store(S, 51)
    p2 = k.guest()
    out = {"p2_read": tell(p2.load, S), "unlink": tell(p1.unlink, PATH), "vma": line(p1),
           "p1_read_after_unlink": tell(p1.load, S), "open": tell(p1.open, PATH, O_RDWR),
           "Shmem_after_unlink_kb": k.pages("shmem"), "p2_after_unlink": tell(p2.load, S),
           "p2_new": tell(p2.store, S + MIB, 1), "p2_munmap": tell(p2.munmap, S, L),
           "p2_after": tell(p2.load, S), "p2_exit": exits(p2),
           "p1_read_after_p2_munmap": tell(p1.load, S), "p1_munmap": tell(p1.munmap, S, L)}
    file.close()
    return out | {"Shmem_after_last_kb": k.pages("shmem"), "PageTables_kb": k.pagetables()}


@scenario((2025, "readonly"))
def readonly(k):
    rw, file = k.region()
    rw.store(S, 69)
    ro, none = k.guest("r"), k.guest("")
    out = {"ro_guest_map": "ok", "ro_guest_line": line(ro), "ro_write_unlinked": tell(ro.store, S, 70),
           "ro_read": tell(ro.load, S), "ro_write_populated": tell(ro.store, S + PAGE, 71),
           "ro_write_unpopulated": tell(ro.store, S + 9 * PAGE, 1), "none_guest_map": "ok",
           "none_guest_read": tell(none.load, S), "none_guest_write": tell(none.store, S, 73),
           "rw_sees": tell(rw.load, S), "rw_sees2": tell(rw.load, S + PAGE),
           "create_ro_object": tell(create, file, MIB, MIB, "r")}
    out |= {"ro_object_read": tell(rw.load, S + MIB), "ro_object_write": tell(rw.store, S + MIB, 1),
            "replace_rw_by_ro": tell(create, file, 0, 16 * PAGE, "r")}
    out |= {"after_replace_read": tell(rw.load, S), "after_replace_write": tell(rw.store, S, 1),
            "none_object": tell(create, file, 2 * MIB, MIB, "")}
    return out | {"none_object_read": tell(rw.load, S + 2 * MIB)}


@scenario((2025, "hole"))
def hole(k):
    task, file = k.region()
    unmap(file, 0, MIB)
    out = {"hole_first": tell(task.load, S)}
    create(file, 0, PAGE)
    return out | {"inside": tell(task.store, S, 1), "hole_same_table": tell(task.load, S + 8 * PAGE),
                  "hole_far": tell(task.load, S + 4 * GIB), "unmap": tell(unmap, file, 0, PAGE),
                  "after": tell(task.load, S), "recreate": tell(create, file, 0, PAGE),
                  "read": tell(task.load, S), "write": tell(task.store, S, 1)}


@scenario((2025, "file"))
def file_inside(k):
    task = k.spawn()
    file, memfd = task.open(PATH), k.machine.memfd("db", MIB)
    file.truncate(L)
    memfd.pwrite(bytes([90]), 0)
    task.mmap(S, L, "rw", MAP_SHARED, file)
    out = {"create": tell(create, file, 0, MIB, "rw", memfd), "first_read": k.bill(task, task.load, S),
           "w": tell(task.store, S, 81), "file_byte": memfd.pread(1, 0)[0]}
    memfd.close()
    short = k.machine.memfd("short", PAGE)
    return out | {"after_close": tell(task.load, S),
                  "create_beyond_eof": tell(create, file, MIB, MIB, "rw", short),
                  "in_eof": tell(task.store, S + MIB, 1), "past_eof": tell(task.load, S + MIB + PAGE)}


@scenario((2025, "hardlink"))
def hardlink_2025(k):
    task, _ = k.region()
    task.store(S, 44)
    out = {"link": tell(task.link, PATH, PATH + "2"), "unlink1": tell(task.unlink, PATH),
           "open2": "ok"}
    other = k.spawn()
    return out | {"map2": tell(other.mmap, S, L, "rw", MAP_SHARED, other.open(PATH + "2", O_RDWR)),
                  "read2": tell(other.load, S)}


@scenario((2025, "owner_fork"), (2025, "owner"), (2025, "creator_exits_first"))
def owner(k):
    a, _ = k.region()
    a.store(S, 21)
    child, guest, late = a.fork(), k.spawn(), k.spawn()
    at = 4 * TIB
    out = {"child_read": tell(child.load, S), "guest_map": tell(
        guest.mmap, at, L, "rw", MAP_SHARED, guest.open(PATH)), "guest_read": tell(guest.load, at),
        "guest_write": tell(guest.store, at + PAGE, 1), "owner_exit": exits(a)}
    file = guest.files[0]
    out |= {"Shmem_after_owner_exit_kb": k.pages("shmem"), "PageTables_kb": k.pagetables(),
            "guest_vma_after": line(guest, at), "guest_read_after_owner_exit": tell(guest.load, at),
            "guest_write_after": tell(guest.store, at, 1),
            "guest_new_page": tell(guest.load, at + 9 * PAGE),
            "guest_create_mapping_after": tell(create, file, 0, PAGE),
            "guest_read_after_recreate": tell(guest.load, at),
            "ownerchild_read_after_owner_exit": tell(child.load, S),
            "ownerchild_write_after_owner_exit": tell(child.store, S, 1),
            "ownerchild_remap": tell(child.mmap, 8 * TIB, L, "rw", MAP_SHARED, child.files[0]),
            "ownerchild_create_mapping": tell(create, child.files[0], 0, PAGE),
            "ownerchild_read_after_create": tell(child.load, S), "guest_exit": exits(guest),
            "new_open": tell(late.open, PATH), "open_after_creator_exit": tell(late.open, PATH)}
    new = late.files[0]
    out["new_map"] = out["map_after_creator_exit"] = tell(late.mmap, S, L, "rw", MAP_SHARED, new)
    return out | {"nonowner_create_mapping": tell(create, new, 0, PAGE),
                  "nonowner_unmap": tell(unmap, new, 0, PAGE), "new_exit": exits(late),
                  "unlink": tell(k.machine.unlink, PATH)}


@scenario((2025, "gup2"))
def populate(k):
    task, file = k.region()
    task.store(S, 33)
    other = k.spawn()
    return {"populate_flag": tell(other.mmap, S, L, "rw", MAP_SHARED | MAP_POPULATE, file),
            "read": tell(other.load, S)}


@scenario((2025, "munmap_mprotect"))
def munmap_mprotect(k):
    task, file = k.region(2 * L)
    task.store(S, 31)
    out = {"munmap_part": tell(task.munmap, S, PAGE), "munmap_part_half": tell(task.munmap, S, L),
           "mprotect": tell(task.mprotect, S, 2 * L, "r"),
           "mprotect_same": tell(task.mprotect, S, 2 * L, "rw"),
           "mprotect_part": tell(task.mprotect, S, PAGE, "r"),
           "mremap_grow": tell(task.mremap, S, 2 * L, 3 * L, MREMAP_MAYMOVE),
           "mremap_shrink": tell(task.mremap, S, 2 * L, L), "read": tell(task.load, S),
           "madv_dontneed": tell(task.madvise, S, PAGE, MADV_DONTNEED), "present": present(task, S),
           "read_after_dontneed": k.bill(task, task.load, S),
           "madv_hugepage": tell(task.madvise, S, 2 * L, MADV_HUGEPAGE),
           "madv_pageout": tell(task.madvise, S, PAGE, MADV_PAGEOUT),
           "madv_dontfork": tell(task.madvise, S, PAGE, MADV_DONTFORK),
           "mlock_part": tell(task.mlock, S + 4 * PAGE, PAGE), "munmap": tell(task.munmap, S, 2 * L),
           "read_after_munmap": tell(task.load, S), "vma": line(task),
           "remap": tell(task.mmap, S, 2 * L, "rw", MAP_SHARED, file),
           "read_after_remap": k.bill(task, task.load, S),
           "map_fixed_over_part": tell(task.mmap, S, PAGE, "rw", ANON),
           "map_fixed_over_all": tell(task.mmap, S, 2 * L, "rw", INSIDE, file)}
    return out | {"reads": tell(task.load, S)}


@scenario((2022, "gup"), (2025, "gup"), (2022, "memcg"), (2025, "memcg"), (2022, "oom"), (2025, "oom"))
def nothing(k):
    """All of it is beyond the simulator."""
    return {}
