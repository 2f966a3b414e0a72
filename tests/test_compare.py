"""What counts as a difference, and how one is told."""
import pytest

from mmlib.compare import TIERS, contrast, differences, same
from mmlib.formats import EXPECT


def found(wanted, got, *args, op="load", **more):
    """The fields that differ for one op."""
    sequence = {"ops": [{"op": op, "expect": wanted}]}
    return [d.field for d in differences(sequence, [got], *args, **more)[0]]


def test_every_field_of_an_answer_belongs_to_one_tier():
    """maps_of only says whose the maps are; it is no answer."""
    fields = [field for tier in TIERS.values() for field in tier]
    assert sorted(fields) == sorted(set(EXPECT))
    assert list(TIERS) == ["semantics", "maps", "minflt", "tables", "frames"]


@pytest.mark.parametrize("field, wanted, got", [
    ("result", "ok", "ENOMEM"), ("code", "SEGV_MAPERR", "SEGV_ACCERR"), ("value", 1, 2),
    ("data", "00", "01"), ("addr", 0, 4096), ("count", 1, 0), ("minflt", 0, 1),
    ("tables", {"0": 3}, {"0": 4}), ("tables", {"0": 3}, {"0": 3, "1": 0}),
    ("maps", [[0, 4096, "rw-p", "anon", 0]], []), ("frames", {"0": [[0, 0]]}, {"0": [[0, "Z"]]}),
    ("mapcount", [1], [2])])
def test_a_field_that_differs_is_found(field, wanted, got):
    """Each field, changed alone; the same value is no difference; a missing one is."""
    assert found({field: wanted}, {field: got}) == [field]
    assert found({field: wanted}, {field: wanted}) == []
    assert found({field: wanted}, {}) == [field]


def test_what_was_not_recorded_is_not_compared():
    """An op without `expect`, and an answer with more than the `expect`."""
    assert differences({"ops": [{"op": "load"}]}, [{"result": "ok"}]) == ([], 0)
    assert differences({"ops": [{"op": "load", "expect": {"value": 1}}]},
                       [{"result": "ok", "value": 1, "minflt": 5}]) == ([], 1)


def test_neighbours_in_recorded_maps_are_joined_before_comparing():
    """A recorder that did not join them says the same."""
    apart = [[0, 4096, "rw-p", "anon", 0], [4096, 8192, "rw-p", "anon", 0]]
    assert same("maps", apart, [[0, 8192, "rw-p", "anon", 0]], False)


def test_maps_of_hugetlb_files_are_compared_as_they_are():
    """The kernel never joins them again, and that is part of the answer."""
    apart = [[0, 4096, "rw-s", 0], [4096, 8192, "rw-s", 4096]]
    assert not same("maps", apart, [[0, 8192, "rw-s", 0]], False)


@pytest.mark.parametrize("tier", TIERS)
def test_only_the_tiers_asked_for_are_compared(tier):
    """One tier alone sees its own fields and no others."""
    wanted = {field: 1 for fields in TIERS.values() for field in fields
              if field not in ("maps", "frames")} | {"maps": [], "frames": {}}
    got = {field: None for field in wanted}
    assert tuple(found(wanted, got, [tier])) == TIERS[tier]


def test_other_sharing_leaves_faults_and_tables_alone():
    """What the cache must not change is compared, the rest is not."""
    wanted = {"result": "ok", "minflt": 1, "tables": {"0": 3}, "maps": []}
    got = {"result": "ok", "minflt": 0, "tables": {"0": 1}, "maps": []}
    assert found(wanted, got, other_sharing=True) == []
    assert found(wanted, got | {"result": "SIGBUS"}, other_sharing=True) == ["result"]


def test_other_sharing_compares_frames_where_both_have_a_page():
    """Two processes that shared a frame must still do so; more pages may be present."""
    wanted = {"frames": {"0": [[0, 0]], "1": [[0, 0], [1, 1]]}}
    more = {"frames": {"0": [[0, 0], [1, 1]], "1": [[0, 0], [1, 1]]}}
    torn = {"frames": {"0": [[0, 0]], "1": [[0, 1], [1, 2]]}}
    mixed = {"frames": {"0": [[0, 0]], "1": [[0, 0], [1, 0]]}}
    assert found(wanted, more, other_sharing=True) == []
    assert found(wanted, torn, other_sharing=True) == ["frames"]
    assert found(wanted, mixed, other_sharing=True) == ["frames"]


def test_what_shrink_frees_depends_on_the_sharing():
    """Without a cache it frees nothing."""
    assert found({"count": 2}, {"count": 0}, op="shrink", other_sharing=True) == []


def test_people_are_shown_only_what_differs_and_never_too_much():
    """160 characters a side; rows that both have are left out."""
    assert contrast("ok", "EINVAL") == ('"ok"', '"EINVAL"')
    assert contrast({"0": [[1, 0]], "1": []}, {"0": [[1, 0]], "1": [[2, 1]]}) == \
        ('{"1": []}', '{"1": [[2, 1]]}')
    assert all(len(side) <= 160 for side in contrast([[n] for n in range(999)], [[-1]]))
