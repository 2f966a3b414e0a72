"""The files of a machine: mounted filesystems, names, and files without one."""

import errno
import functools
import os
import posixpath

from .abi import O_CREAT, O_EXCL, O_RDWR, O_TRUNC
from .ext4 import Ext4
from .files import Filesystem, Inode, Mapping, oserror
from .hugetlb import HugeInode, Hugetlbfs
from .msharefs import Msharefs, Msharefs2025
from .openfile import File, check_offset
from .unmap import do_truncate
from .unshare import drop_cached_tables

PATH_MAX = 4096                         # of a path, with the NUL at its end
FSTYPES = {kind.fstype: {None: kind} for kind in (Filesystem, Ext4, Hugetlbfs)}
FSTYPES["msharefs"] = {None: Msharefs, 2022: Msharefs, 2025: Msharefs2025}


def mount(machine, fstype: str, path: str, options: dict) -> None:
    """Mount a fresh filesystem; ENODEV for a kind that this kernel does not have."""
    if fstype not in FSTYPES:
        raise oserror(errno.ENODEV, f"there is no filesystem {fstype!r}; "
                      f"there is {', '.join(FSTYPES)}")
    versions, version = FSTYPES[fstype], options.pop("version", None)
    if options or version not in versions:
        raise oserror(errno.EINVAL, f"{fstype} takes no {', '.join(options) or 'such version'} here"
                      if options or len(versions) == 1 else
                      f"the versions of {fstype} are 2022 and 2025, not {version!r}")
    if not isinstance(path, str) or not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"a mount point is an absolute path, not {path!r}")
    if path in machine.mounts:
        raise oserror(errno.EBUSY, f"{path} is a mount point already")
    fs = machine.mounts[path] = versions[version](path)
    fs.prepare(machine, functools.partial(new_inode, machine))


def resolve(machine, path: str) -> tuple[Filesystem, str]:
    """The filesystem that *path* lies in, and the path within it; ENOENT, ENAMETOOLONG."""
    if not isinstance(path, str) or "\0" in path:
        raise ValueError(f"a path is a str without NUL, not {path!r}")
    if len(os.fsencode(path)) >= PATH_MAX:
        raise oserror(errno.ENAMETOOLONG, f"a path has less than {PATH_MAX} bytes, not "
                      f"{len(os.fsencode(path))}")
    plain = posixpath.normpath(path)        # without "//", "." and ".."
    for at in sorted(machine.mounts, key=len, reverse=True):
        if plain == at or plain.startswith(at + "/"):
            return machine.mounts[at], plain[len(at) + 1:]
    raise oserror(errno.ENOENT, f"{path!r} lies in no mounted filesystem; "
                  f"there is {', '.join(machine.mounts)}")


def new_inode(machine, name: str, kind: type[Inode] = Inode,
              mapping_type: type[Mapping] = Mapping) -> Inode:
    """An inode of *kind* that has no name yet."""
    machine.inodes += 1
    step = machine.geometry.entries if kind.huge else 1
    return kind(machine, machine.inodes, mapping_type(name, machine.memory, step),
                lambda gone: drop_cached_tables(machine, gone))


def opened(machine, file: File) -> File:
    machine.files.append(file)
    return file


def open_file(machine, path: str, flags: int) -> File:
    """open(2)"""
    fs, rel = resolve(machine, path)
    fs.parent(rel)
    if flags & O_CREAT and rel not in fs.names:
        inode = fs.names[rel] = new_inode(machine, fs.full(rel), fs.inode_type, fs.mapping_type)
        inode.links = 1
    elif flags & O_CREAT and flags & O_EXCL:
        raise oserror(errno.EEXIST, f"{path} is there already")
    inode = fs.lookup(rel)
    if inode is None:
        raise oserror(errno.EISDIR, f"{path} is a directory")
    kind = inode.file_type or File
    file = opened(machine, kind(machine, inode, flags, fs.full(rel)))
    if flags & O_TRUNC and inode.region is None:
        do_truncate(machine, inode, 0)
    return file


def memfd(machine, name: str, size: int) -> File:
    """memfd_create(2): a file of tmpfs without a name in any directory."""
    if len(os.fsencode(name)) > 249:
        raise oserror(errno.EINVAL, f"a name has at most 249 bytes, not {len(os.fsencode(name))}")
    check_offset("size", size)
    inode = new_inode(machine, f"/memfd:{name} (deleted)")
    inode.mapping.size = size
    return opened(machine, File(machine, inode, O_RDWR))


def anonymous_object(machine, length: int, huge: bool) -> File:
    """What is behind a MAP_SHARED | MAP_ANONYMOUS mapping (shmem_zero_setup), or behind
    MAP_HUGETLB (hugetlb_file_setup); only its mappings keep it."""
    if huge:
        inode = new_inode(machine, "/anon_hugepage (deleted)", HugeInode)
    else:
        inode = new_inode(machine, f"shm{machine.objects}")
        machine.objects += 1
    inode.mapping.size = length
    file = File(machine, inode, O_RDWR)
    inode.opens -= 1
    return file


def unlink(machine, path: str) -> None:
    """unlink(2): the name goes; the file with its last user."""
    fs, rel = resolve(machine, path)
    inode = fs.lookup(rel)
    if inode is None:
        raise oserror(errno.EISDIR, f"{path} is a directory")
    fs.check_name(rel)
    if inode.region and machine.current_task:
        inode.region.unlinked_by(machine.current_task)
    del fs.names[rel]
    show_as(machine, fs.full(rel), fs.full(rel) + " (deleted)")
    inode.links -= 1
    inode.put()


def show_as(machine, old: str, new: str) -> None:
    """What was opened as *old*, open or only mapped, is shown as *new* from now on (d_path)."""
    for file in machine.files:
        if file.label == old:
            file.label = new


def mkdir(machine, path: str) -> None:
    """mkdir(2)"""
    fs, rel = resolve(machine, path)
    fs.parent(rel)
    if rel in fs.names:
        raise oserror(errno.EEXIST, f"{path} is there already")
    fs.names[rel] = None


def name_again(machine, old: str, new: str, keep: bool) -> None:
    """link(2) of a file, or with *keep* False rename(2)."""
    fs, rel = resolve(machine, old)
    to, new_rel = resolve(machine, new)
    if fs is not to and not keep:
        raise oserror(errno.EXDEV, f"{old} and {new} are on different filesystems")
    inode = fs.lookup(rel)
    to.parent(new_rel)
    fs.check_name(rel), to.check_name(new_rel)
    if not keep:
        rename(machine, fs, rel, new_rel)
        return
    if new_rel in to.names:
        raise oserror(errno.EEXIST, f"{new} is there already")
    if fs is not to:
        raise oserror(errno.EXDEV, f"{old} and {new} are on different filesystems")
    if inode is None:
        raise oserror(errno.EPERM, f"{old} is a directory")
    if not fs.linkable:
        raise oserror(errno.EPERM, f"a file of {fs.fstype} has one name")
    fs.names[new_rel] = inode
    inode.links += 1


def rename(machine, fs: Filesystem, old: str, new: str) -> None:
    """A file or a directory gets another name; what had that name is gone (vfs_rename)."""
    inode, taken, inside = fs.names[old], new in fs.names, fs.below(new)
    if not old or not new:
        raise oserror(errno.EBUSY, f"{fs.path} is a mount point")
    if new.startswith(old + "/"):
        raise oserror(errno.EINVAL, f"{fs.full(new)} lies in {fs.full(old)}")
    if old == new or taken and inode is not None and fs.names[new] is inode:
        return                              # two names of one file: both stay
    if inside and (inode is None or old in inside):
        raise oserror(errno.ENOTEMPTY, f"{fs.full(new)} is not empty")
    if taken and inode is None and fs.names[new] is not None:
        raise oserror(errno.ENOTDIR, f"{fs.full(new)} is not a directory")
    if taken and inode is not None:
        unlink(machine, fs.full(new))
    for name in [old, *fs.below(old)]:
        moved, at = fs.names.pop(name), new + name[len(old):]
        fs.names[at] = moved
        show_as(machine, fs.full(name), fs.full(at))
        if moved is not None:
            moved.mapping.name = fs.full(at)
