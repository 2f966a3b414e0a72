"""The files of a machine: mounted filesystems, names, and files without one."""

import errno

from .abi import O_CREAT, O_EXCL, O_RDWR, O_TRUNC
from .ext4 import Ext4
from .files import Filesystem, Inode, oserror
from .hugetlb import Hugetlbfs
from .openfile import File
from .unmap import truncate_pages
from .unshare import drop_cached_tables

FSTYPES = {kind.fstype: kind for kind in (Filesystem, Ext4, Hugetlbfs)}


def mount(machine, fstype: str, path: str, options: dict) -> None:
    """Mount a fresh filesystem; ENODEV for a kind that this kernel does not have."""
    if fstype not in FSTYPES:
        raise oserror(errno.ENODEV, f"there is no filesystem {fstype!r}; "
                      f"there is {', '.join(FSTYPES)}")
    if options:
        raise oserror(errno.EINVAL, f"{fstype} takes no {', '.join(options)} here")
    if not isinstance(path, str) or not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"a mount point is an absolute path, not {path!r}")
    if path in machine.mounts:
        raise oserror(errno.EBUSY, f"{path} is a mount point already")
    machine.mounts[path] = FSTYPES[fstype](path)


def resolve(machine, path: str) -> tuple[Filesystem, str]:
    """The filesystem that *path* lies in, and the path within it; ENOENT."""
    if not isinstance(path, str) or "\0" in path:
        raise ValueError(f"a path is a str without NUL, not {path!r}")
    for at in sorted(machine.mounts, key=len, reverse=True):
        if path == at or path.startswith(at + "/"):
            return machine.mounts[at], path[len(at):].strip("/")
    raise oserror(errno.ENOENT, f"{path!r} lies in no mounted filesystem; "
                  f"there is {', '.join(machine.mounts)}")


def new_inode(machine, name: str, kind: type[Filesystem] = Filesystem) -> Inode:
    """An inode of a filesystem of *kind* that has no name yet."""
    machine.inodes += 1
    step = machine.geometry.entries if kind.inode_type.huge else 1
    return kind.inode_type(machine.inodes, kind.mapping_type(name, machine.memory, step),
                           lambda gone: drop_cached_tables(machine, gone), machine.huge_pages)


def opened(machine, file: File) -> File:
    machine.files.append(file)
    return file


def open_file(machine, path: str, flags: int) -> File:
    """open(2)"""
    fs, rel = resolve(machine, path)
    fs.parent(rel)
    if flags & O_CREAT and rel not in fs.names:
        inode = fs.names[rel] = new_inode(machine, path, type(fs))
        inode.links = 1
    elif flags & O_CREAT and flags & O_EXCL:
        raise oserror(errno.EEXIST, f"{path} is there already")
    inode = fs.lookup(rel)
    if inode is None:
        raise oserror(errno.EISDIR, f"{path} is a directory")
    file = opened(machine, File(machine, inode, flags, path))
    if flags & O_TRUNC:
        inode.mapping.size = 0
        truncate_pages(machine, inode.mapping, 0, None, even_cows=True)
    return file


def memfd(machine, name: str, size: int) -> File:
    """memfd_create(2): a file of tmpfs without a name in any directory."""
    inode = new_inode(machine, f"/memfd:{name} (deleted)")
    inode.mapping.size = size
    return opened(machine, File(machine, inode, O_RDWR))


def anonymous_object(machine, length: int, huge: bool) -> File:
    """What is behind a MAP_SHARED | MAP_ANONYMOUS mapping (shmem_zero_setup), or behind
    MAP_HUGETLB (hugetlb_file_setup); only its mappings keep it."""
    if huge:
        inode = new_inode(machine, "/anon_hugepage (deleted)", Hugetlbfs)
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
    del fs.names[rel]
    inode.links -= 1
    inode.put()


def mkdir(machine, path: str) -> None:
    """mkdir(2)"""
    fs, rel = resolve(machine, path)
    fs.parent(rel)
    if rel in fs.names:
        raise oserror(errno.EEXIST, f"{path} is there already")
    fs.names[rel] = None


def name_again(machine, old: str, new: str, keep: bool) -> None:
    """link(2), or with *keep* False rename(2), of a file."""
    fs, rel = resolve(machine, old)
    to, new_rel = resolve(machine, new)
    if fs is not to:
        raise oserror(errno.EXDEV, f"{old} and {new} are on different filesystems")
    inode = fs.lookup(rel)
    fs.parent(new_rel)
    if inode is None:
        raise oserror(errno.EPERM if keep else errno.EINVAL, f"{old} is a directory")
    if new_rel in fs.names and keep:
        raise oserror(errno.EEXIST, f"{new} is there already")
    if fs.names.get(new_rel) is inode and new_rel in fs.names:
        return
    if new_rel in fs.names:
        unlink(machine, new)
    fs.names[new_rel] = inode
    inode.links += 1
    if not keep:
        del fs.names[rel]
        inode.links -= 1
        inode.mapping.name = new
