"""A call as a script would write it."""

from . import abi


def spell(name: str, args: tuple, kwargs: dict) -> str:
    """The call as a script would write it: addresses in hexadecimal, flags by name.

    >>> spell("mmap", (None, 8192, "rw"), {"flags": 0x22})
    "mmap(None, 0x2000, 'rw', flags=MAP_PRIVATE|MAP_ANONYMOUS)"
    """
    families = FLAG_ARGUMENTS.get(name, {})
    shown = [_spell(a, families.get(i)) for i, a in enumerate(args)]
    shown += [f"{k}={_spell(v, families.get(k))}" for k, v in kwargs.items()]
    if name.startswith("_set_"):        # an attribute
        return f"{name[5:]} = {shown[0]}"
    return f"{name}({', '.join(shown)})"


# Which argument of a call is made of flags: by position and by name, the prefix of their names.
FLAG_ARGUMENTS = {
    "mmap": {3: "MAP_", "flags": "MAP_", 2: "PROT_", "prot": "PROT_"},
    "mprotect": {2: "PROT_", "prot": "PROT_"},
    "mremap": {3: "MREMAP_", "flags": "MREMAP_"},
    "madvise": {2: "MADV_", "advice": "MADV_"},
    "msync": {2: "MS_", "flags": "MS_"},
    "open": {1: "O_", "flags": "O_"},
    "fallocate": {0: "FALLOC_FL_", "mode": "FALLOC_FL_"},
    "ioctl": {0: "MSHAREFS_", "request": "MSHAREFS_"},
    "MshareCreate": {3: "PROT_", "prot": "PROT_", 4: "MAP_", "flags": "MAP_"},
}


def _spell(value, family: str | None = None) -> str:
    if family and type(value) is int:
        return flag_names(family, value)
    if hasattr(value, "_fields"):       # the argument of an ioctl
        return spell(type(value).__name__, value, {})
    if hasattr(value, "ref"):
        return value.name
    if isinstance(value, (bytes, bytearray)) and len(value) > 16:
        return f"{bytes(value[:12])!r}... ({len(value)} bytes)"
    return hex(value) if type(value) is int and value >= 4096 else repr(value)


def flag_names(family: str, value: int) -> str:
    """*value* in names that begin with *family*; what has no name is left as a number.

    >>> flag_names("MADV_", 4), flag_names("MREMAP_", 3), flag_names("MAP_", 0)
    ('MADV_DONTNEED', 'MREMAP_MAYMOVE|MREMAP_FIXED', '0')
    """
    names = {v: k for k, v in reversed(vars(abi).items())
             if k.startswith(family) and k not in ("MAP_TYPE", "O_ACCMODE")}
    if value in names:
        return names[value]
    if family == "MADV_":               # numbers, not bits
        return str(value)
    found = []
    for bit in sorted(names):
        if bit and value & bit == bit and not bit & bit - 1:
            found.append(names[bit])
            value &= ~bit
    return "|".join(found + [hex(value)] * bool(value)) or "0"
