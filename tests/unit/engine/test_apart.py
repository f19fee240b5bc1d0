"""LLVM is called where no signal interrupts it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from skep.engine.llvm.apart import Apart
from skep.engine.llvm.machine import QUICK, Machine

SECONDS = 4
BOMBARDED = """
import itertools, signal, sys, time
from skep.engine.llvm.machine import QUICK, Machine
RETURN = 'define i64 @"main"(i64 %a) #0 {{\\n  %x = mul i64 %a, {0}\\n  ret i64 %x\\n}}\\n'
numbers, made, machine = itertools.count(3), itertools.count(), Machine()
interrupted = 0
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])

def work():
    while time.monotonic() < end:
        kept = machine.load(RETURN.format(next(numbers)), ["main"], tier=QUICK)
        next(made)

while time.monotonic() < end:
    try:
        work()
    except KeyboardInterrupt:
        interrupted += 1
signal.signal(signal.SIGINT, signal.SIG_IGN)
again = machine.load(RETURN.format(2), ["main"])
print("done", next(made), interrupted, again.address("main") != 0)
"""


def test_code_compiles_while_interrupts_rain_down() -> None:
    # An interrupt in the midst of linking ended in a double free.
    command = [sys.executable, "-c", BOMBARDED, str(SECONDS)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    pause = 0.0
    while child.poll() is None:
        child.send_signal(signal.SIGINT)
        pause = (pause + 0.00037) % 0.02
        time.sleep(pause)
    printed, errors = child.communicate()
    if "KeyboardInterrupt" in errors and child.returncode in (1, -signal.SIGINT):
        return  # it came where nothing was done; this ends a process, as it should
    word, made, interrupted, works = printed.split()

    assert child.returncode == 0
    assert (word, works) == ("done", "True")
    assert int(interrupted) > 20
    assert int(made) > 5


def test_what_is_done_apart_is_done_by_another_thread() -> None:
    assert Apart().do(threading.get_ident) != threading.get_ident()


def test_other_threads_do_it_themselves() -> None:
    found: list[tuple[int, int]] = []
    apart = Apart()
    thread = threading.Thread(
        target=lambda: found.append((apart.do(threading.get_ident), threading.get_ident()))
    )
    thread.start()
    thread.join()

    assert found[0][0] == found[0][1]


def test_an_error_is_raised_where_it_was_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        Apart().do(lambda: 1 // 0)


def test_an_interrupted_wait_leaves_the_work_to_its_end() -> None:
    apart, ended, main = Apart(), threading.Event(), threading.get_ident()

    def slow() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.2)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        apart.do(slow)
    assert not ended.is_set()
    assert ended.wait(5)
    assert apart.do(lambda: 7) == 7


def test_what_the_main_thread_drops_is_destroyed_by_the_next_that_comes() -> None:
    apart, threads = Apart(), []
    apart.destroy(lambda: threads.append(threading.get_ident()))
    assert threads == []
    apart.do(lambda: None)

    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_a_child_compiles_whatever_its_parent_was_doing() -> None:
    machine = Machine()
    text = 'define i64 @"main"(i64 %a) #0 {\n  ret i64 %a\n}\n'
    thread = threading.Thread(target=lambda: [machine.load(text, ["main"]) for _ in range(20)])
    thread.start()
    child = os.fork()
    if not child:
        os._exit(0)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if machine.load(text, ["main"], tier=QUICK).address("main") else 1
        finally:
            os._exit(code)

    assert os.waitpid(child, 0)[1] == 0


LAST = """
import os
from skep.engine.llvm.machine import Machine

class Last:
    def __init__(self):
        self.load, self.write = Machine().load, os.write

    def __del__(self):
        main = self.load('define i64 @"main"() #0 {\\n  ret i64 7\\n}\\n', ["main"])
        self.write(1, b"loaded" if main.address("main") else b"")

last = Last()
"""


def test_what_the_last_finalizers_compile_keeps_no_process_from_ending() -> None:
    child = subprocess.run(
        [sys.executable, "-c", LAST], capture_output=True, timeout=20, check=False
    )

    assert (child.returncode, child.stdout) == (0, b"loaded"), child.stderr.decode()
