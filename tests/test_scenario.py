"""What each op of a scenario answers, on the simulator."""
import json

import pytest
from documents import DATA, FIXED, PAGE, RECORDINGS, document, mmap, op

from mmlib import validate
from mmlib.loading import check_document
from mmlib.scenario import Stage, run
from mmlib.worlds import simulator

GIB = 1 << 30


def answers(*ops, form="mmoracle/1", **head):
    """The answers to ops that make a valid file."""
    made = document(*ops, form=form, **head)
    check_document(made)
    [sequence] = made["sequences"]
    return run(sequence, simulator(sequence))


def last(*ops, **head):
    return answers(*ops, **head)[-1]


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("sharing", ["private", "cache"])
def test_the_machine_is_sound_after_every_sequence(name, sharing):
    """validate finds nothing wrong after any sequence of the recordings, and after all have
    exited."""
    for sequence in json.loads((DATA / f"{name}.json").read_text())["sequences"]:
        stage = Stage(sequence, simulator(sequence, sharing))
        for number, one in enumerate(sequence["ops"]):
            stage.act(one)
            if number % 8 == 0:
                validate(stage.world)
        for task in stage.tasks.values():
            task.exit()
        validate(stage.world)


# answers ---------------------------------------------------------------------------------------
def test_an_answer_has_the_fields_that_apply():
    """As in the recordings: no value for a store, no minflt for fork and exit, maps of the child
    after fork, none of the dead."""
    store, fork, exit_ = answers(mmap(), op("store", addr=0, value=1), op("fork", child=1),
                                 op("exit", 1))[1:]
    assert list(store) == ["result", "minflt", "tables", "maps_of", "maps"]
    assert list(fork) == ["result", "tables", "maps_of", "maps"] and fork["maps_of"] == 1
    assert exit_ == {"result": "ok", "tables": {"0": 3}}


def test_frames_come_where_they_are_asked_for():
    """By `"frames": true`, or because the recording has them."""
    for ask in ({"frames": True}, {"expect": {"frames": {}}}):
        got = last(mmap(), op("load", addr=0), op("store", addr=PAGE, value=1, **ask))
        assert got["frames"] == {"0": [[0, "Z"], [1, 0]]}
    assert "frames" not in last(mmap())


def test_maps_are_those_of_the_process_that_the_recording_names():
    """maps_of of the expect."""
    got = last(mmap(), op("fork", child=1), op("munmap", 1, addr=0, len=4 * PAGE,
                                               expect={"maps_of": 0}))
    assert (got["maps_of"], len(got["maps"])) == (0, 1)


def test_shared_objects_are_numbered_as_they_appear():
    """shm0 is the first that a list of maps showed."""
    shared = ["shared", "anon", "fixed"]
    got = last(mmap(0x8000, flags=shared), mmap(0x4000, flags=shared), mmap(0x0, flags=shared))
    assert [row[3] for row in got["maps"]] == ["shm2", "shm1", "shm0"]


def test_files_are_shown_by_their_ids():
    """Whatever the id looks like; an id that is a number is one too."""
    for name in ("f", "7", "a.b-c_d", "shm", "x" * 64):
        got = last(mmap(flags=["shared", "fixed"], file=name), files=[{"id": name, "pages": 1}])
        assert got["maps"] == [[0, 4 * PAGE, "rw-s", name, 0]]


def test_a_signal_is_an_answer():
    """The process goes on, and faults that failed are not counted."""
    got = answers(mmap(prot="r"), op("store", addr=0, value=1), op("load", addr=8 * PAGE),
                  op("load", addr=0))[1:]
    assert [(one["result"], one.get("code"), one["minflt"]) for one in got] == [
        ("SIGSEGV", "SEGV_ACCERR", 0), ("SIGSEGV", "SEGV_MAPERR", 0), ("ok", None, 1)]


def test_addresses_are_relative_to_the_arena():
    """The simulator puts them 512 GiB-aligned; nobody sees where."""
    assert last(mmap(5 * PAGE))["addr"] == 5 * PAGE


def test_what_tmpfs_reads_beyond_the_end_is_nothing():
    """count 0, and no value."""
    got = last(op("pread", file="f", offset=PAGE), files=[{"id": "f", "pages": 1}])
    assert (got["count"], "value" in got) == (0, False)


# files that keep the rules and are unusual -----------------------------------------------------
def test_a_span_of_700_gib_costs_its_touched_pages_only():
    """Tables are PTE + PMD + PUD tables of what was touched: 1 of 512 GiB and 1 more."""
    wide = [op("store", addr=n * 100 * GIB, value=n) for n in range(7)]
    assert last(mmap(0, 700 * GIB), *wide)["tables"] == {"0": 7 + 7 + 2}
    assert last(mmap(0, 700 * GIB), *wide, op("munmap", addr=0, len=700 * GIB))["tables"] == \
        {"0": 0}


def test_a_thousand_processes_live_at_once():
    """The bound of a sequence: 1024, the first included."""
    got = last(mmap(), op("store", addr=0, value=1), *[op("fork", child=n) for n in range(1, 1024)],
               op("load", 1023, addr=0))
    assert (got["value"], len(got["tables"]), set(got["tables"].values())) == (1, 1024, {3})


def test_prot_w_alone_reads_too():
    """x86 has no write-only pages."""
    got = answers(mmap(prot="w"), op("load", addr=0), op("store", addr=PAGE, value=1))
    assert [one["result"] for one in got] == ["ok"] * 3
    assert got[-1]["maps"] == [[0, 4 * PAGE, "-w-p", "anon", 0]]


@pytest.mark.parametrize("flags, result", [
    (["private", "fixed"], "ok"), (["fixed", "private", "anon", "anon"], "ok"),
    (["noreplace", "private"], "EEXIST"), (["fixed", "noreplace", "private"], "EEXIST"),
    (["private"], "ok"), (["anon", "fixed"], "EINVAL"), ([], "EINVAL"),
    (["shared", "private", "fixed"], "EINVAL"), (["shared", "populate", "fixed"], "ok")])
def test_flags_of_mmap_in_any_combination(flags, result):
    """Over a mapping that is there; no file means MAP_ANONYMOUS, also where the flag is left out.

    MAP_SHARED | MAP_PRIVATE is MAP_SHARED_VALIDATE, which anonymous memory does not know."""
    assert last(mmap(), mmap(flags=flags))["result"] == result


def test_populate_counts_its_faults():
    """One a page of private memory; one for sixteen of a file that is in the cache."""
    assert last(mmap(flags=[*FIXED, "populate"]))["minflt"] == 4
    content = [[page, 1] for page in range(32)]
    assert last(mmap(0, 32 * PAGE, "r", ["shared", "fixed", "populate"], file="f"),
                files=[{"id": "f", "pages": 32, "content": content}])["minflt"] == 2


def test_mremap_without_flags_resizes_in_place():
    """ENOMEM where there is no room; `flags` may be [] or left out."""
    for more in ({}, {"flags": []}):
        shrink = op("mremap", addr=0, len=4 * PAGE, new_len=PAGE, **more)
        grow = op("mremap", addr=0, len=4 * PAGE, new_len=8 * PAGE, **more)
        assert last(mmap(), shrink)["maps"] == [[0, PAGE, "rw-p", "anon", 0]]
        assert last(mmap(), grow)["maps"] == [[0, 8 * PAGE, "rw-p", "anon", 0]]
        assert last(mmap(), mmap(4 * PAGE, flags=["shared", "fixed"]), grow)["result"] == "ENOMEM"


def test_optional_fields_may_be_missing():
    """files, content, offset, new_addr, expect; keys that nobody knows do no harm."""
    got = last(mmap(flags=["shared", "fixed"], file="f", note="?"), op("load", addr=0, why=[1]),
               files=[{"id": "f", "pages": 1, "colour": "red"}], family="x", features=[])
    assert (got["result"], got["value"]) == ("ok", 0)


@pytest.mark.parametrize("call", [
    mmap(len=0), mmap(len=1 << 57), mmap(1 << 47), mmap(1), op("munmap", addr=0, len=0),
    op("munmap", addr=1, len=1), op("mprotect", addr=1, len=1, prot="r"),
    op("mprotect", addr=1 << 56, len=1 << 57, prot="r"), op("madvise", addr=1, len=1,
                                                             advice="dontneed"),
    op("mremap", addr=1, len=1, new_len=1), op("mremap", addr=0, len=PAGE, new_len=0),
    op("mremap", addr=1 << 57, len=1 << 57, new_len=1 << 57, flags=["maymove"]),
    op("store", addr=1 << 57, value=0), op("load", addr=(1 << 47) - 1)])
def test_what_the_kernel_refuses_is_answered_by_an_errno_or_a_signal(call):
    """Odd lengths and addresses up to the bounds of the format reach the model, not a traceback."""
    got = last(mmap(), call)
    assert got["result"] != "ok" and got["tables"] == {"0": 0}


def test_a_file_may_be_cut_to_nothing_and_made_huge():
    """SIGBUS in between; the largest size that the format knows is a size."""
    got = answers(mmap(flags=["shared", "fixed"], file="f"), op("ftruncate", file="f", pages=0),
                  op("load", addr=0), op("ftruncate", file="f", pages=1 << 35),
                  op("pwrite", file="f", offset=(1 << 47) - 1, value=3), op("load", addr=0),
                  files=[{"id": "f", "pages": 1}])
    assert [one["result"] for one in got] == ["ok", "ok", "SIGBUS", "ok", "ok", "ok"]


def test_all_processes_may_have_exited():
    """An answer without tables of anyone."""
    assert last(mmap(), op("exit")) == {"result": "ok", "tables": {}}


def test_process_0_may_go_before_its_children():
    """The child lives on."""
    got = last(mmap(), op("store", addr=0, value=5), op("fork", child=1), op("exit"),
               op("load", 1, addr=0))
    assert (got["value"], list(got["tables"])) == (5, ["1"])


# hugetlb files ---------------------------------------------------------------------------------
def huge(*ops, gib=2):
    return answers(*ops, form="mmoracle-hugetlb/1", file_gib=gib)


def huge_map(addr, proc=0, len=GIB, prot="rw", share="shared", offset=0):
    return op("mmap", proc, addr=addr, len=len, prot=prot, share=share, offset=offset)


def test_two_mappings_of_a_gib_share_the_pmd_table():
    """The second mapper faults once; the frame is mapped by one entry."""
    got = huge(huge_map(0), op("store", addr=0, value=1), op("fork", child=1),
               op("load", 1, addr=0, frames=True))[-1]
    assert (got["minflt"], got["mapcount"], got["tables"]) == (1, [1], {"0": 2, "1": 2})
    assert got["maps"] == [[0, GIB, "rw-s", 0]]


@pytest.mark.parametrize("call, result", [
    (huge_map(PAGE), "EINVAL"), (huge_map(0, offset=PAGE), "EINVAL"),
    (huge_map(0, len=1 << 57), "ENOMEM"), (huge_map(0, prot="none"), "ok"),
    (op("dontneed", addr=4096, len=5), "EINVAL"), (op("load", addr=GIB), "SIGSEGV"),
    (op("munmap", addr=PAGE, len=PAGE), "EINVAL")])
def test_unusual_calls_on_a_hugetlb_file(call, result):
    """Addresses that are not whole huge pages, and those of nobody."""
    assert huge(huge_map(0), call)[-1]["result"] == result


# mmlib/1 ---------------------------------------------------------------------------------------
def own(*ops, **head):
    return answers(*ops, form="mmlib/1", **head)




def test_threads_share_and_fork_does_not():
    """What a thread maps, the other sees."""
    got = own(op("clone", child=1), mmap(proc=1), op("fork", child=2), mmap(PAGE * 8, proc=0),
              op("load", 1, addr=8 * PAGE), op("load", 2, addr=8 * PAGE))
    assert [one["result"] for one in got[-2:]] == ["ok", "SIGSEGV"]


def test_exec_ends_the_other_threads():
    """They are not alive for the ops that follow, and the mm is empty."""
    got = own(mmap(), op("clone", child=1), op("exec", 1), geometry="TINY")[-1]
    assert got == {"result": "ok", "tables": {"1": 0}, "maps_of": 1, "maps": []}


def test_a_fork_that_failed_leaves_nobody():
    """Ops of a child whose fork the machine refused answer ESRCH and change nothing."""
    sequence = document(op("fork", child=1), op("load", 1, addr=0))["sequences"][0]
    stage = Stage(sequence, simulator(sequence))
    assert stage.answer(sequence["ops"][1]) == {"result": "ESRCH", "tables": {"0": 0}}


def test_bytes_are_told_as_the_op_asks():
    """One byte as a value; several as data in hexadecimal digits."""
    got = own(mmap(), op("store", addr=0, data="616263"), op("load", addr=0),
              op("load", addr=1, n=3))
    assert (got[2]["value"], got[3]["data"]) == (0x61, "626300")


def test_an_ioctl_maps_a_file_into_a_region_of_msharefs():
    """What a guest stores there is in the file; a request that nobody knows is ENOTTY."""
    slot, arg = 64 * PAGE, {"region_offset": PAGE, "size": PAGE, "prot": "rw", "file": "f",
                            "offset": PAGE, "flags": ["shared", "fixed"]}
    got = own(op("open", file="r", path="/share/r"), op("ftruncate", file="r", len=slot),
              op("ioctl", file="r", request="create_mapping", arg=arg),
              mmap(slot, len=slot, flags=["shared", "fixed"], file="r"),
              op("store", addr=slot + PAGE, value=5), op("pread", file="f", offset=PAGE),
              op("ioctl", file="r", request="unmap", arg={"region_offset": PAGE, "size": PAGE}),
              op("load", addr=slot + PAGE), op("ioctl", file="f", request=1), geometry="TINY",
              files=[{"id": "f", "pages": 2}],
              mounts=[{"fstype": "msharefs", "path": "/share", "version": 2025}])
    assert [one["result"] for one in got] == ["ok"] * 7 + ["SIGSEGV", "ENOTTY"]
    assert (got[4]["minflt"], got[5]["value"], got[6]["minflt"]) == (1, 5, 0)


def test_a_file_with_a_path_is_shown_by_its_id():
    """Also after it is unlinked."""
    got = own(op("open", file="db", path="/dev/shm/a"), op("ftruncate", file="db", pages=4),
              mmap(flags=["shared", "fixed"], file="db"), op("unlink", path="/dev/shm/a"))
    assert [one["maps"][0][3] for one in got[2:]] == ["db", "db"]


def test_an_open_that_failed_makes_the_file_ebadf():
    """Later ops that name it are answered, not refused."""
    got = own(op("open", file="db", path="/nowhere/a"), op("pread", file="db", offset=0),
              mmap(flags=["shared", "fixed"], file="db"))
    assert [one["result"] for one in got] == ["ENOENT", "EBADF", "EBADF"]


def test_tiny_begins_at_address_0():
    """Its address space is 1 MiB; no arena fits in."""
    sequence = document(mmap(0xF0000), form="mmlib/1", geometry="TINY")["sequences"][0]
    assert run(sequence, simulator(sequence))[0]["maps"] == [[0xF0000, 0xF4000, "rw-p", "anon", 0]]
