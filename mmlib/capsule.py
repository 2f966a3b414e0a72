"""A text as a short string that can be sent in a line of mail, and back.

The string is the text, compressed: it is unpacked with a bound, and then read as any other text,
line by line; nothing in it is ever run as code.
"""

import base64
import binascii
import re
import zlib

from .kinds import BadInput, shown
from .script import BYTES

MARK = "mm1."                           # a later way to pack gets another one
LENGTH = 4 * BYTES                      # of a string
# What most texts contain; zlib refers back to it.  Part of the format: never to be changed.
COMMON = (b"sharing=Private()sharing=FileTableCache(levels=('pte',))cpus=2huge_pages=machine.mount("
          b"'hugetlbfs', '/huge')msharefs/sys/fs/mshareext4.mprotect(0x.munmap(0x, 0x1000)"
          b".madvise(MADV_DONTNEED.exit()MAP_PRIVATE|MAP_FIXED0x20000 = machine.spawn(\"\")0x10000, "
          b"'rw', MAP_SHARED, 0x40000, = a.fork('b').clone(b.load(0x4000, .touch(0x, write=True)"
          b".store(0x40000, b'x')a.mmap(0x4000, 0x2000, \"rw\", MAP_PRIVATE | MAP_ANONYMOUS)\n"
          b"db = machine.memfd('db', 0x8000)\na = machine.spawn('a')\nmachine = Machine(TINY")


def pack(text: str) -> str:
    """
    >>> pack("a = machine.spawn('a')")[:4]
    'mm1.'
    >>> unpack(pack("a = machine.spawn('a')"))
    "a = machine.spawn('a')"
    """
    data = text.encode()
    if len(data) > BYTES:
        raise BadInput(f"expected a text of at most {BYTES} bytes, not {len(data)}")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=COMMON)
    packed = squeeze.compress(data) + squeeze.flush()
    return MARK + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def unpack(string: str) -> str:
    """The text; raises BadInput for what `pack` has not made.

    >>> unpack("mm1.AAAA")
    Traceback (most recent call last):
    mmlib.kinds.BadInput: expected a whole string as `pack` makes it; some of it is missing or \
changed
    """
    string = "".join(string.split()) if len(string) <= LENGTH else string
    if len(string) > LENGTH or not re.fullmatch(rf"{re.escape(MARK)}[A-Za-z0-9_-]+", string):
        raise BadInput(f"expected {MARK} and at most {LENGTH} letters, digits, - and _, not "
                       f"{shown(string)}")
    packed = string.removeprefix(MARK)
    expand = zlib.decompressobj(-15, zdict=COMMON)
    try:
        data = expand.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)),
                                 BYTES + 1)
        if len(data) > BYTES:
            raise BadInput(f"expected a text of at most {BYTES} bytes; this is longer")
        if not expand.eof or expand.unused_data:
            raise ValueError
        return data.decode()
    except (zlib.error, binascii.Error, ValueError) as why:
        if isinstance(why, BadInput):
            raise
        raise BadInput("expected a whole string as `pack` makes it; some of it is missing or "
                       "changed") from None
