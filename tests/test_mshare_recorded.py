"""The simulator gives what two ports of posted msharefs code gave, but for their defects.

tests/data/mshare-recorded.json holds what was measured on ports of PATCH v2 0/9 of 29 June 2022
(Linux 6.1.192) and of PATCH v3 00/22 of August 2025 (Linux 6.12.117).  Every value in it is
compared, or stands in one of the tables here, with the reason.
"""
import inspect
import json
import re
from pathlib import Path

import pytest
from mshare_replay import SCENARIOS, Kernel

from mmlib import LA57, X86_64

DATA = json.loads((Path(__file__).parent / "data/mshare-recorded.json").read_text())
RECORDINGS = DATA["recordings"]
SEGV, DENIED = "SIGSEGV/1", "SIGSEGV/2"

HANG = "an EINVAL path returns with the host's mmap lock held: the next read or mmap hangs for ever"
STAYS = "munmap leaves the link to the host's table, and flushes nothing"
COUNT = "fork does not raise the count of the region"
ZERO = "a read maps the zero page with the writable protection of MAP_SHARED"
ONE = "mprotect writes into shared entries, but is not kept for the others"
SPLIT = "a VMA that was split looks up its pages at the wrong place, and counts twice"
MOVE = "a guest's VMA that moves keeps its link at the old place, and corrupts"
FLUSH = "the flush at munmap is empty: its size does not fit into an unsigned int"
RIGHTS = "nobody asks whose file it is, nor how it was opened"
STRANGER = "unlink unmaps whatever its caller has at the region's addresses"

# What the posted code does and the simulator does not: (version, test) -> key -> (what the
# simulator gives instead, the defect).  "exit" is the status of the process of the test.
DEFECTS = {
    (2022, "create"): {"vmflags": ("VmFlags: rd wr sh mr mw me ms de ?? ", MOVE)},
    (2022, "same_addr"): {"vmflags": ("VmFlags: rd wr sh mr mw me ms de ?? ", MOVE)},
    (2022, "other_addr"): {"next_read_exit": (0, HANG), "next_read_state": ("-", HANG)},
    (2022, "other_len"): {"next_read_exit": (0, HANG), "next_read_state": ("-", HANG)},
    **{(2022, test): {"next_read_exit": (0, HANG), "next_read_state": ("-", HANG),
                      "after_sigkill_exit": (0, HANG), "state_2": ("-", HANG)}
       for test in ("kernel_chosen_addr", "unaligned_len", "unaligned_start")},
    (2022, "munmap_access"): {"read_after_munmap": (SEGV, STAYS), "write_after_munmap": (SEGV, STAYS),
                              "read_after_remap": ("31", STAYS)},
    (2022, "munmap_part"): {
        "munmap_part": ("EINVAL", SPLIT),
        "maps": ("20000000000-28000000000 rw-s 00000000 /sys/fs/mshare/r", SPLIT)},
    (2022, "munmap_part_split"): {"hole_unpopulated": ("ok", SPLIT), "exit": (0, SPLIT)},
    (2022, "unlink_mapped"): {"p1_read_after_unlink": (SEGV, STAYS),
                              "p2_read_after_munmap": (SEGV, STAYS)},
    (2022, "unlink_mapped_inherited"): {"p1_read_after_unlink": (SEGV, STAYS),
                                        "p2_read_after_free": (SEGV, STAYS)},
    (2022, "mprotect_ro"): {
        "p2_write_after_p1_mprotect": (DENIED, ONE), "p2_write_again": (DENIED, ONE),
        "p2_new_page": (DENIED, ONE), "p1_read_page0": ("80", ONE),
        "p1_write_page0_after_p2_wrote": (DENIED, ONE),
        "p1_write_page61_populated_rw_by_p2": (DENIED, ONE)},
    **{(2022, test): {"p2_exit": (0, ONE), "p2_state": ("-", ONE), "killed": (0, ONE)}
       for test in ("mprotect_none", "mprotect_none_w")},
    (2022, "mprotect_part"): {
        "vma_up": ("20000000000-28000000000 rw-s 00000000 /sys/fs/mshare/r", SPLIT),
        "exit": (0, SPLIT)},
    (2022, "unlink_foreign"): {
        "caller_own_anon_after": ("77", STRANGER),
        "vma": ("20000000000-20000001000 rw-p 00000000 anon", STRANGER)},
    (2022, "tlb"): dict.fromkeys(("now_page0", "now_page3", "after_ctx_switch_page0",
                                  "after_ctx_switch_page3"), (-1, STAYS)),
    (2022, "fork_refcount"): {"anon_after_unlink_kb_p1_still_mapped": (1024, COUNT),
                              "p1_exit": (0, COUNT)},
    (2022, "hardlink"): {"link": ("EPERM", "the region is freed with the first of two names"),
                         "open_second_name": ("ENOENT", "the same"), "exit": (0, "the same")},
    (2022, "stale_map"): {"p2_reads_in_new_anon": ("0", STAYS), "p1_exit": (0, STAYS)},
    (2022, "mremap_move"): {"mremap_move": ("EINVAL", MOVE), "read_new": (SEGV, MOVE),
                            "read_old": ("31", MOVE)},
    (2022, "unlink_info"): {"exit": (0, "unlink of mshare_info follows a NULL pointer")},
    (2022, "zero_page"): {
        "write_after_read": ({"r": 0, "hw_faults": 1, "ru_minflt": 1, "pgfault": 1,
                              "rssanon_kb": 0}, ZERO),
        "region_page7_never_written": ("0", ZERO), "fresh_private_anon_page_byte": (0, ZERO)},
    (2025, "mmap"): {"rdonly_fd_create_mapping": ("EACCES", RIGHTS)},
    (2025, "unlink"): {"p2_after": (SEGV, FLUSH)},
    (2025, "tlb"): {"now_page0": (-1, FLUSH), "now_page3": (-1, FLUSH)},
    (2025, "owner_fork"): {"ownerchild_create_mapping": ("EINVAL", RIGHTS),
                           "ownerchild_read_after_create": (SEGV, RIGHTS)},
    (2025, "creator_exits_first"): {"nonowner_create_mapping": ("EINVAL", RIGHTS),
                                    "nonowner_unmap": ("EINVAL", RIGHTS)},
    (2025, "owner"): {"guest_create_mapping_after": ("EINVAL", RIGHTS),
                      "guest_read_after_recreate": (SEGV, RIGHTS),
                      "ownerchild_read_after_owner_exit": (SEGV, RIGHTS),
                      "ownerchild_create_mapping": ("EINVAL", RIGHTS)},
    (2025, "mremap_move"): {"mremap_move": ("EINVAL", MOVE), "read_new": (SEGV, MOVE),
                            "read_old": ("31", MOVE)},
}

MODE, OWN = "files have no modes here", "memory of the program that measured"
COPY = "no call copies between a file and the memory of a task"
GROUP, UMOUNT = "there are no control groups", "there is no umount"
TEXT, CALL = "a note, no result", "there is no such call"

# What the simulator cannot tell, with the reason.
NOT_MODELLED = {
    (2022, "info"): {"info_mode": MODE, "root_mode": MODE},
    (2025, "info"): {"info_mode": MODE, "root_mode": MODE, "rmdir_nonempty": CALL, "rmdir": CALL,
                     "symlink": CALL},
    (2022, "create"): {"read_badptr": "bytes are returned, not put somewhere", "nlink": CALL,
                       "lseek": CALL},
    (2022, "fork"): {"child_VmPTE": OWN}, (2025, "fork"): {"child_VmPTE": OWN},
    (2025, "faults"): {"p2_VmPTE": OWN},
    (2022, "dontneed"): {"VmRSS": OWN},
    (2022, "rss"): {"p2_RssAnon": OWN, "p2_RssShmem": OWN},
    (2022, "gup"): dict.fromkeys(("read_into_untouched", "byte", "write_from_untouched"), COPY),
    (2025, "gup"): dict.fromkeys((
        "read_into_untouched", "byte", "write_from_untouched", "process_vm_readv_linked", "err",
        "process_vm_readv_unpopulated", "err2"), COPY),
    (2025, "gup2"): {"procmem_populated_linked": COPY, "procmem_unpopulated": COPY, "mlockall": CALL},
    (2022, "leak"): {"umount": UMOUNT, "anon_after_umount_kb": UMOUNT, "pt_after_umount_kb": UMOUNT},
    (2025, "leak"): {"k": TEXT, "umount_busy": UMOUNT, "shmem_closed_not_unlinked_kb": UMOUNT,
                     "umount": UMOUNT, "shmem_after_umount_kb": UMOUNT, "pt_kb": UMOUNT},
    (2022, "memcg"): dict.fromkeys((
        "A_creator_delta_kb", "B_guest_delta_kb", "A_after_creator_exit_kb", "next",
        "after_creator_exit_A_kb", "B_kb", "guest_exit"), GROUP),
    (2025, "memcg"): dict.fromkeys((
        "mount", "guest_touches", "A_owner_delta_kb", "B_guest_delta_kb", "A_after_owner_exit_kb",
        "B_kb"), GROUP),
    (2022, "hardlink"): {"next": TEXT}, (2022, "mprotect_none"): {"p2_next": TEXT},
    (2022, "mprotect_none_w"): {"p2_next": TEXT}, (2022, "mprotect_part"): {"next": TEXT},
    (2022, "munmap_part_split"): {"next": TEXT},
    (2022, "private_first"): {"private_noresv_off": "memory is not promised in advance here"},
    (2022, "oom"): {"exit": "who is killed depends on the memory of the programs"},
    (2025, "oom"): dict.fromkeys((
        "create", "filler_exit", "state_2", "pages", "MemFree_kb", "Shmem_kb", "exit"),
        "who is killed depends on the memory of the programs"),
    (2025, "munmap_mprotect"): {
        "read_after_remap": "MADV_PAGEOUT came before, and took the page out of the tables; here "
                            "it has no effect, and the link alone is missing"},
}
# kB in which the programs and the rest of the kernel have a part: they agree within this.
NOISE_KB = 200
NOISY = ("_kb", "AnonPages_delta", "anon_before")

KEYS = [(number, key) for number, one in enumerate(RECORDINGS)
        for key in [*one["values"], *(["exit"] if "test_process" in one else [])]]


def of(one: dict) -> tuple[int, str]:
    return int(one["version"][:4]), one["test"]


def recorded(one: dict, key: str):
    return one["test_process"]["exit"] if key == "exit" else one["values"][key]


@pytest.fixture(scope="module")
def simulated():
    """What the simulator gives for a recording, by its number; run once."""
    known = {}

    def get(number: int) -> dict:
        if number not in known:
            (version, test), function = of(RECORDINGS[number]), SCENARIOS[of(RECORDINGS[number])]
            five = "la57" in RECORDINGS[number]["variant"]
            kernel = Kernel(version, LA57 if five else X86_64)
            args = (test,) if len(inspect.signature(function).parameters) == 2 else ()
            known[number] = function(kernel, *args) | {"exit": 0}
            kernel.end()
        return known[number]
    return get


def alike(key: str, got, want) -> bool:
    """Lines of maps without device and inode, and whatever the file was called; kB within what
    other programs use."""
    if isinstance(want, dict):
        return got == {name: want[name] for name in got} and got.keys() == want.keys()
    if isinstance(want, int) and any(word in key for word in NOISY):
        return abs(got - want) < NOISE_KB
    if isinstance(want, str) and "/sys/fs/mshare/" in want:
        return maps_line(got) == maps_line(want)
    return str(got) == str(want)


def maps_line(line: str) -> tuple:
    """(range, permissions, offset, deleted or not)"""
    return *line.split()[:3], line.endswith("(deleted)")


def ident(pair) -> str:
    return f"{RECORDINGS[pair[0]]['version'][:4]}-{RECORDINGS[pair[0]]['test']}-{pair[1]}"


@pytest.mark.parametrize("pair", [
    (n, key) for n, key in KEYS if key not in NOT_MODELLED.get(of(RECORDINGS[n]), ())], ids=ident)
def test_the_simulator_gives_what_was_recorded(pair, simulated):
    """Or, of a defect, what its row says; every fault, errno, signal and value that was read."""
    number, key = pair
    one = RECORDINGS[number]
    got = simulated(number)[key]
    if key in DEFECTS.get(of(one), ()):
        assert got == DEFECTS[of(one)][key][0]
    else:
        want = recorded(one, key)
        if key.startswith(("mshare_p", "memfd_p", "mshare_PageTables", "memfd_PageTables")):
            want -= own_tables(one, key)
        assert alike(key, got, want), (got, want)


def own_tables(one: dict, key: str) -> int:
    """kB of page tables of the programs in a figure of the test "pagetables": what a process has
    that adds nothing but itself, four times in the sum of four."""
    each = one["values"]["mshare_p1_PageTables_delta_kb"]
    return each * (4 if "all" in key else 1) if key.endswith(("delta_kb", "all_kb")) else 0


def test_page_tables_agree_to_the_page():
    """Four processes and 256 PTE tables: the region's are there once, a memfd's four times."""
    for version, once in ((2022, 1028), (2025, 1032)):
        [one] = [one for one in RECORDINGS if of(one) == (version, "pagetables")]
        got = SCENARIOS[of(one)](Kernel(version))
        for kind, times in (("mshare", 1), ("memfd", 4)):
            key = f"{kind}_PageTables_all_kb"
            assert got[key] == once * times == one["values"][key] - own_tables(one, key)
        assert got["mshare_PageTables_after_exit_kb"] == \
            one["values"]["mshare_PageTables_after_exit_kb"]


@pytest.mark.parametrize("table", [DEFECTS, NOT_MODELLED], ids=["DEFECTS", "NOT_MODELLED"])
def test_what_is_listed_was_recorded(table):
    """No row is left over."""
    listed = {(*test, key) for test, keys in table.items() for key in keys}
    assert listed <= {(*of(RECORDINGS[n]), key) for n, key in KEYS}


def test_a_defect_differs_from_what_the_simulator_does():
    """In one of its recordings at least: else it would be none."""
    for test, keys in DEFECTS.items():
        for key, (here, why) in keys.items():
            there = [recorded(one, key) for one in RECORDINGS if of(one) == test]
            assert any(str(here) != str(value) for value in there) and why, (test, key)


def test_nothing_is_listed_twice():
    """A key is compared, a defect, or not modelled."""
    for test, keys in DEFECTS.items():
        assert not keys.keys() & NOT_MODELLED.get(test, {}).keys()


def test_faults_errors_and_signals_are_compared():
    """None of them is called noise, except where its row says why."""
    for n, key in KEYS:
        value, test = recorded(RECORDINGS[n], key), of(RECORDINGS[n])
        told = isinstance(value, dict) or str(value).startswith("SIG") or key.startswith("mprotect")
        if told and (test, key) != ((2025, "munmap_mprotect"), "read_after_remap"):
            assert key not in NOT_MODELLED.get(test, ())


def test_the_document_tells_every_defect():
    """docs/mshare.md names its test in the table of its version, and no test that is not there."""
    page = (Path(__file__).parents[1] / "docs/mshare.md").read_text(encoding="utf-8")
    tables = page.split("\n### PATCH ")[1:]
    for version, table in zip((2022, 2025), tables):
        rows = re.findall(r"(?m)^\| ([a-z0-9_, ]+) \|", table.partition("\n## ")[0])
        told = {name for row in rows if row != "test" for name in row.split(", ")}
        known = {of(one)[1] for one in RECORDINGS if of(one)[0] == version}
        wanted = {test for v, test in DEFECTS if v == version} - {"create", "same_addr"}
        assert wanted <= told <= known, (wanted - told, told - known)
