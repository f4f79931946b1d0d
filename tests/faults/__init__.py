"""Each file-system call of each operation: the process is killed at it, or it fails once.

An operation (`operations`) runs in a process that has nothing else to do (`zygote`). A first run records its calls
(`points`); each further run (`runs`), on a copy of the same home, has a fault at one of them: by strace (`strace`), or
without it by patches (`patches`). Then the claims of docs/durability.md are checked (`claims`), as the fault left the
home and after a start.

`make test` has a fault at every eleventh call, `make test-all` at all of them.
"""
