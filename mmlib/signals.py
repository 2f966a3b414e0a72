"""What an access can come to when it fails: signals, the OOM killer, and the fault path's own words
for them."""


class Signal(Exception):
    """A bad access: `Segfault` or `BusError`, which are raised; this one never is."""

    signal = ""

    def __init__(self, task, addr: int, access: str, code: str, reason: str):
        super().__init__(f"{self.signal} ({code}): {reason}")
        self.task, self.addr, self.access = task, addr, access
        self.code, self.reason = code, reason

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the program failed, not mmlib, so no line of mmlib is shown."""
        return [f"{type(self).__name__}: {self}"]


class Segfault(Signal):
    """SIGSEGV.  *code* is "SEGV_MAPERR" (no VMA) or "SEGV_ACCERR" (the VMA forbids it)."""

    signal = "SIGSEGV"


class BusError(Signal):
    """SIGBUS; *code* is "BUS_ADRERR": the page lies beyond the end of the file."""

    signal = "SIGBUS"


class Killed(Exception):
    """The OOM killer chose this task; every later call of it raises this again."""

    def __init__(self, task, reason: str):
        super().__init__(f"{task.name} was killed: {reason}")
        self.task, self.reason = task, reason


class PastEnd(Exception):
    """The page of the file does not exist (VM_FAULT_SIGBUS)."""


class FaultSigsegv(Exception):
    """The VMA is there, and the fault cannot be served all the same (VM_FAULT_SIGSEGV)."""

    def __init__(self, code: str, reason: str):
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class Guarded(FaultSigsegv):
    """The entry is a guard marker."""

    def __init__(self) -> None:
        super().__init__("SEGV_MAPERR", "lies in a guard region")
