"""The same calls, made by real processes on the kernel of this computer.

    >>> from mmlib.abilities import refusal
    >>> from mmlib.linux import Linux
    >>> if not refusal():
    ...     with Linux() as linux:
    ...         task = linux.spawn()

Each process is bare: it consists of a page of machine code (code.py) that waits at a socket
(process.py), so that whatever /proc tells of it was caused by the calls.  Nothing is left behind:
a process ends when its socket is closed, whatever closed it.
"""

from .line import Lost
from .world import Linux

__all__ = ["Linux", "Lost"]
