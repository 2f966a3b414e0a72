"""The machine code that a process under test consists of, and how it is asked.

Python between two measurements would take faults of its own.  So the process is bare: it has one
page of code, 32 pages of data, and whatever the calls under test map.  It reads a message from a
socket into its data, carries it out with getrusage just before and just after, and writes the data
back.  An access that gets a signal ends with RAX = -(signo << 8 | si_code).
"""

import struct

DATA, DATA_BYTES = 0x1000_0000_0000, 0x20000    # of the first thread; the others' follow
THREADS = 15                            # so that data and code lie in one PTE table
CODE = DATA + THREADS * DATA_BYTES
END = DATA + 0x200000                   # a process owns nothing outside [DATA, END)
OWN_TABLES = 3                          # a PUD, a PMD and a PTE table for it

# A message: kind, number of the system call, six arguments, result, si_addr, socket and data of a
# child, how many bytes to send back; from PAYLOAD on what the call reads or writes.
HEAD = struct.Struct("<8QqQQQQ")
FAULTS_BEFORE, FAULTS_AFTER = 0x100 + 64, 0x200 + 64    # ru_minflt, then ru_majflt
PAYLOAD, MESSAGE = 0x300, 0x10000
STACK, STACK_BYTES = 0x10000, 0x10000   # for signals, behind the message
CALL, COPY, READ, WRITE, FORK = range(5)    # kinds

# Each line: bytes, then the assembly (GNU as, Intel syntax) that they come from.
LISTING = """
4889fb         entry:    mov rbx, rdi                 # entry(data, socket) never returns
4989f4                   mov r12, rsi
488da300000100           lea rsp, [rbx + 0x10000]     # not used: signals come on their own stack
e9bd000000               jmp reply
31c0           next:     xor eax, eax                 # read(socket, data, whole message)
4489e7                   mov edi, r12d
4889de                   mov rsi, rbx
ba00000100               mov edx, 0x10000
0f05                     syscall
4885c0                   test rax, rax
0f8ebb000000             jle quit                     # closed: whoever asked is gone
4889de                   mov rsi, rbx                 # store to each of our pages: none will fault
b920000000               mov ecx, 32
800e00         warm:     or byte ptr [rsi], 0
4881c600100000           add rsi, 0x1000
e2f4                     loop warm
b862000000               mov eax, 98                  # getrusage(RUSAGE_THREAD, before)
bf01000000               mov edi, 1
488db300010000           lea rsi, [rbx + 0x100]
0f05                     syscall
488b4308                 mov rax, [rbx + 0x08]
488b7b10                 mov rdi, [rbx + 0x10]
488b7318                 mov rsi, [rbx + 0x18]
488b5320                 mov rdx, [rbx + 0x20]
4c8b5328                 mov r10, [rbx + 0x28]
4c8b4330                 mov r8, [rbx + 0x30]
4c8b4b38                 mov r9, [rbx + 0x38]
8b0b                     mov ecx, [rbx]
e333                     jrcxz call                   # 0: a system call
e209                     loop not_copy                # 1: copy rdx bytes from rsi to rdi
4889d1                   mov rcx, rdx
31c0                     xor eax, eax
f3a4                     rep movsb
eb3c                     jmp done
e211           not_copy: loop not_read                # 2: load from each page of [rsi, rdi)
803e00         read:     cmp byte ptr [rsi], 0
4881c600100000           add rsi, 0x1000
4839fe                   cmp rsi, rdi
72f1                     jb read
eb11                     jmp touched
e213           not_read: loop call                    # 3: store to each; what is there stays
800e00         write:    or byte ptr [rsi], 0
4881c600100000           add rsi, 0x1000
4839fe                   cmp rsi, rdi
72f1                     jb write
31c0           touched:  xor eax, eax
eb14                     jmp done
0f05           call:     syscall
4885c0                   test rax, rax
750d                     jnz done
833b04                   cmp dword ptr [rbx], 4       # 4: fork, clone: the child has its own socket
7508                     jne done
4c8b6350                 mov r12, [rbx + 0x50]
488b5b58                 mov rbx, [rbx + 0x58]
48894340       done:     mov [rbx + 0x40], rax
b862000000               mov eax, 98                  # getrusage(RUSAGE_THREAD, after)
bf01000000               mov edi, 1
488db300020000           lea rsi, [rbx + 0x200]
0f05                     syscall
b801000000     reply:    mov eax, 1                   # write(socket, data, what was asked for)
4489e7                   mov edi, r12d
4889de                   mov rsi, rbx
488b5360                 mov rdx, [rbx + 0x60]
0f05                     syscall
e92dffffff               jmp next
b83c000000     quit:     mov eax, 60                  # exit(0), of this thread
31ff                     xor edi, edi
0f05                     syscall
488b4610       handler:  mov rax, [rsi + 16]          # handler(signo, siginfo, ucontext)
48894348                 mov [rbx + 0x48], rax        # keeps si_addr,
c1e708                   shl edi, 8                   # RAX = -(signo << 8 | si_code),
0b7e08                   or edi, [rsi + 8]
48f7df                   neg rdi
4889ba90000000           mov [rdx + 144], rdi
488d05abffffff           lea rax, done[rip]           # and go on after the access
488982a8000000           mov [rdx + 168], rax
c3                       ret
b80f000000     restorer: mov eax, 15                  # rt_sigreturn
0f05                     syscall
"""
ASSEMBLED = bytes.fromhex("".join(line.split()[0] for line in LISTING.split("\n")[1:-1]))


def label(name: str) -> int:
    """The address of a label.

    >>> hex(label("entry") - CODE), hex(label("next") - CODE)
    ('0x0', '0x12')
    """
    before = LISTING[1:LISTING.index(f" {name}:")].split("\n")[:-1]
    return CODE + sum(len(line.split()[0]) // 2 for line in before)
