"""The interpreter: the reference meaning of a proof; slow, checked and obvious.

It runs the same helpers on the same memory as the compiler. Functions of an interpreted program
have machine addresses too, by which native helpers (``bpf_loop``) and tail calls reach them.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakValueDictionary

from skep.base.bits import U32, U64
from skep.base.native import load64, store64
from skep.engine.batch import run_batch
from skep.engine.execution import Code, Execution, Step
from skep.engine.held import Effects, give, heap_in, let_go, of_helper, of_kfunc, take
from skep.engine.hooks import NO_HOOKS, REGISTERS, Hooks, Tracer
from skep.engine.interface import CodePart, CodePlace, HelperCode, KfuncCode, NativeLibrary
from skep.engine.library import PlainLibrary
from skep.engine.machinery import Stop, exception_callback, tail_target
from skep.engine.regions import NO_OBJECTS, Regions
from skep.engine.source import arity
from skep.engine.upcalls import PROTOTYPE, Upcalls
from skep.errors import NotSupported, RunError
from skep.maps.interface import KEY_SIZE, VALUE_SIZE
from skep.runtime.invocation import COOKIE, FAULT, TAIL_CALLS
from skep.uapi import contexts
from skep.uapi import helpers as uapi
from skep.uapi.helpers import Ret
from skep.verifier.interface import Proof

FOR_EACH_MAP_ELEM: Final = 164
SIZE_ARGUMENT: Final[Mapping[int, int]] = {131: 2, 203: 3}  # ringbuf_reserve, dynptr_data
THROW: Final = "bpf_throw"
UNKNOWN_CONTEXT_SIZE: Final = 1 << 16  # what syscall programs may be given

Function = Callable[[int, list[int]], int]  # of a slot and arguments


class Interpreter:
    """Runs proofs instruction by instruction.

    Args:
        helpers: code of every helper that programs may call.
        kfuncs: code of every kernel function that they may call.
        library: runs native helpers; in plain Python unless something else is given.
        objects: address and size of the region of kernel objects, if there is one.
    """

    name = "interpreter"

    def __init__(
        self,
        helpers: Iterable[HelperCode] = (),
        *,
        kfuncs: Iterable[KfuncCode] = (),
        library: NativeLibrary | None = None,
        objects: tuple[int, int] = NO_OBJECTS,
    ) -> None:
        self.helpers = {code.id: code for code in helpers}
        self.kfuncs = {code.name: code for code in kfuncs}
        self.library: NativeLibrary = library or PlainLibrary()
        self.objects, self.heap = (objects[0], objects[0] + objects[1]), heap_in(objects)
        self.upcalls = Upcalls()
        self.entries: WeakValueDictionary[int, InterpretedEntry] = WeakValueDictionary()
        self.callbacks: WeakValueDictionary[int, InterpretedEntry] = WeakValueDictionary()

    def compile(self, proof: Proof, hooks: Hooks = NO_HOOKS) -> "InterpretedEntry":
        """Make *proof* runnable; what it cannot run is refused when a run comes to it."""
        entry = InterpretedEntry(self, proof, hooks)
        self.entries[entry.address] = entry
        return entry


class _Thrown(Exception):  # noqa: N818 - what happened
    """bpf_throw: the program ends with *cookie*."""

    def __init__(self, cookie: int) -> None:
        super().__init__(cookie)
        self.cookie = cookie


class InterpretedEntry:
    """A program that the interpreter runs.

    Attributes:
        address: machine address that other engines' code can call.
        parts: none: nothing of it is machine code.
        step: told of every instruction of every run: its pc and the eleven registers.
    """

    parts: Sequence[CodePart] = ()

    def __init__(self, engine: Interpreter, proof: Proof, hooks: Hooks = NO_HOOKS) -> None:
        self.step: Step | None = None
        self._engine, self._code = engine, Code(proof, hooks)
        row = contexts.by_name(proof.request.program_type.context)
        self._context_size = row.native_size if row else UNKNOWN_CONTEXT_SIZE
        self._running: dict[int, list[Execution]] = {}  # by run block, the innermost last
        self._callbacks: dict[int, Any] = {}
        self._starts: dict[int, int] = {}  # of callbacks, by their addresses
        self._start = engine.upcalls.wrap(self._start_from_native)
        self.address = Upcalls.address_of(self._start)

    def __call__(self, run: int, context: int, /) -> int:
        """Run once; returns r0.

        Raises:
            RunError: the program touched what it may not, or its fuel is gone.
            NotSupported: the run came to something that the interpreter does not have.
        """
        with self._stopping(run):
            return self.begin(run, context, self.step)

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> int:
        """Run its function at the address *callback* on its own, with (map, key, value)."""
        if callback not in self._starts:  # what the program was before something stood at it
            return self._engine.callbacks[callback].call_back(run, callback, arguments)
        regions = Regions(run, self._engine.objects)
        this, key, value = arguments
        regions.grant(key, load64(this + KEY_SIZE))
        regions.grant(value, load64(this + VALUE_SIZE))
        execution = Execution(self._code, run, regions, self, self.step)
        with self._stopping(run), self._entered(execution):
            return execution.function(self._starts[callback], list(arguments))

    @contextmanager
    def _stopping(self, run: int) -> Iterator[None]:
        """Note a run that is stopped within the block, and give back what it holds."""
        try:
            yield
        except BaseException as error:
            if load64(run + FAULT) == Stop.NONE:
                store64(run + FAULT, Stop.ACCESS if isinstance(error, RunError) else Stop.UPCALL)
            self._engine.library.bind(let_go)(run, self._engine.heap)
            raise

    def places(self) -> Sequence[CodePlace]:
        """Nothing: nothing of it is machine code."""
        return ()

    def hot(self, count: int) -> int:
        """Where to call it from machine code, however often."""
        del count
        return self.address

    def batch(self, run: int, batch: int, count: int, results: int, /) -> None:
        """Run on many packets, see ``skep.engine.batch``; raises as a single run does."""
        self._engine.library.bind(run_batch)(run, self.address, batch, count, results)
        if load64(run + FAULT) != Stop.NONE:
            self._engine.library.bind(let_go)(run, self._engine.heap)
        self._engine.upcalls.check(run)

    def begin(self, run: int, context: int, step: Step | None) -> int:
        """Run from the first instruction, with r1 = *context*."""
        regions = Regions(run, self._engine.objects)
        regions.grant(context, self._context_size)
        return self._run(Execution(self._code, run, regions, self, step), [context])

    def lend(self, execution: Execution, arguments: list[int]) -> int:
        """Run in the midst of *execution*, of another program, in what memory that may touch."""
        step = self.step or execution.step
        inner = Execution(self._code, execution.run, execution.regions, self, step)
        return self._run(inner, arguments)

    def _run(self, execution: Execution, arguments: list[int]) -> int:
        with self._entered(execution):
            return self._catching(execution, execution.function, arguments)

    def _catching(self, execution: Execution, run: Function, arguments: list[int]) -> int:
        """*run* the first function; what is thrown in it, or in what it calls, ends here."""
        try:
            return run(0, arguments)
        except _Thrown as thrown:
            store64(execution.run + FAULT, Stop.NONE)
            catch = exception_callback(self._code.proof)
            return execution.function(catch, [thrown.cookie]) if catch else thrown.cookie

    def hooked(self, execution: Execution, pc: int, arguments: list[int]) -> int:
        """Run what is hooked to the function at slot *pc*, and the function itself."""
        hooks = execution.code.hooks[pc]
        arguments = (arguments + [0] * REGISTERS)[:REGISTERS]
        if hooks.instead is not None:
            return self._lend(execution, hooks.instead.address, arguments)
        count = hooks.arguments
        words = (ctypes.c_uint64 * (REGISTERS + 2))(count, *arguments[:count])
        context = ctypes.addressof(words) + 8
        execution.regions.grant(context - 8, ctypes.sizeof(words))
        try:
            self._trace(execution, hooks.before, context)
            if pc:
                words[count + 1] = execution.body(pc, arguments)
            else:
                words[count + 1] = self._catching(execution, execution.body, arguments)
            self._trace(execution, hooks.after, context)
        finally:
            execution.regions.revoke(context - 8)
        return words[count + 1]

    def _trace(self, execution: Execution, tracers: Sequence[Tracer], context: int) -> None:
        """Run *tracers*: each has its own cookie, and makes its own tail calls."""
        places = (execution.run + COOKIE, execution.run + TAIL_CALLS)
        kept, pc = [load64(place) for place in places], execution.pc
        for tracer in tracers:
            for place, word in zip(places, (tracer.cookie, 0), strict=True):
                store64(place, word)
            self._lend(execution, tracer.entry.address, [context, 0, 0, 0, 0])
        for place, word in zip(places, kept, strict=True):
            store64(place, word)
        execution.pc = pc

    def _lend(self, execution: Execution, address: int, arguments: list[int]) -> int:
        """Run another program's function in the midst of *execution*."""
        entry = self._engine.entries.get(address)
        if entry is not None:
            return entry.lend(execution, arguments)
        return self.indirect(execution, address, [0, *arguments])

    def callback(self, pc: int) -> int:
        """Machine address of the function at slot *pc*."""
        found = self._callbacks.get(pc)
        if found is None:

            def start(run: int, *arguments: int) -> int:
                return self._run_callback(run, pc, arguments)

            found = self._callbacks[pc] = self._engine.upcalls.wrap(start)
            address = Upcalls.address_of(found)
            self._starts[address], self._engine.callbacks[address] = pc, self
        return Upcalls.address_of(found)

    def helper(self, execution: Execution, pc: int, registers: list[int]) -> int:
        """Call a helper on the program's registers; what it returns may then be accessed."""
        number = execution.code.proof.insns[pc].imm
        code = self._engine.helpers.get(number)
        if code is None:
            row = uapi.by_id(number)
            raise NotSupported(f"helper {row.name if row else number}", "there is no code for it")
        arguments = registers[1:6]
        effects = of_helper(number)
        self._note_given(execution.run, effects, registers)
        if code.native is not None:
            function = self._engine.library.bind(code.native)
            result = function(execution.run, *arguments[: arity(code.native) - 1]) & U64
        elif code.upcall is not None:
            if code.known is not None:
                arguments[4] = code.known(execution.code.proof)
            result = code.upcall(execution.run, *arguments) & U64
        else:
            raise NotSupported(f"helper {number}", "its row holds no code")
        self._note_taken(execution.run, effects, registers, result)
        self._engine.upcalls.check(execution.run)
        self._grant_result(execution.regions, number, arguments, result)
        return result

    def kfunc(self, execution: Execution, pc: int, registers: list[int]) -> int:
        """Call a kernel function on the program's registers."""
        proof = execution.code.proof
        fact = proof.calls.get(pc)
        if fact is not None and fact.kfunc == THROW:
            raise _Thrown(registers[1])
        code = self._engine.kfuncs.get(fact.kfunc) if fact else None
        if fact is None or code is None:
            name = fact.kfunc if fact else str(proof.insns[pc].imm)
            raise NotSupported(f"kfunc {name}", "the engine has no code for it")
        effects = of_kfunc(fact.kfunc)
        self._note_given(execution.run, effects, registers)
        arguments = registers[1 : code.registers + 1]
        if code.known is not None:
            arguments.append(code.known(proof, fact))
        if code.native is not None:
            result = self._engine.library.bind(code.native)(execution.run, *arguments) & U64
        elif code.upcall is not None:
            result = code.upcall(execution.run, *arguments) & U64
        else:
            raise NotSupported(f"kfunc {fact.kfunc}", "its row holds no code")
        self._note_taken(execution.run, effects, registers, result)
        self._engine.upcalls.check(execution.run)
        return result

    def _note_given(self, run: int, effects: Effects, registers: list[int]) -> None:
        for effect in effects.gives:
            self._engine.library.bind(give)(run, effect.kind, registers[effect.register])

    def _note_taken(self, run: int, effects: Effects, registers: list[int], result: int) -> None:
        for effect in effects.takes:
            value = registers[effect.register] if effect.register else result
            answer = result if effect.only_if_zero else 0
            self._engine.library.bind(take)(run, effect.kind, value, answer)

    def tail_call(self, execution: Execution, pc: int, registers: list[int]) -> int | None:
        """Go on in another program, if the array has one and the limit allows it."""
        del pc
        run, index = execution.run, registers[3] & U32
        target = self._engine.library.bind(tail_target)(run, registers[2], index)
        if target == 0:
            return None
        entry = self._engine.entries.get(target)
        if entry is not None:
            return entry.begin(run, registers[1], execution.step)
        return self.indirect(execution, target, [0, registers[1], 0, 0, 0, 0])

    def indirect(self, execution: Execution, address: int, registers: list[int]) -> int:
        """Call machine code."""
        result: int = PROTOTYPE(address)(execution.run, *registers[1:6])
        self._engine.upcalls.check(execution.run)
        return result

    def _start_from_native(self, run: int, context: int, *_: int) -> int:
        return self.begin(run, context, self.step)

    def _run_callback(self, run: int, pc: int, arguments: tuple[int, ...]) -> int:
        executions = self._running.get(run)
        if not executions:
            raise RunError("a callback runs outside of its program's run", pc=pc)
        if run in self._engine.upcalls.raised:
            return 1  # bpf_loop and for_each stop
        execution = executions[-1]
        caller = execution.pc
        if execution.code.calls_helper(caller, FOR_EACH_MAP_ELEM):
            array, key, value = arguments[:3]
            execution.regions.grant(key, load64(array + KEY_SIZE))
            execution.regions.grant(value, load64(array + VALUE_SIZE))
        try:
            return execution.callback(pc, list(arguments))
        except Exception as error:  # noqa: BLE001 - raised again when the helper has returned
            self._engine.upcalls.fail(run, error, Stop.ACCESS)
            return 1
        finally:
            execution.pc = caller

    def _grant_result(
        self, regions: Regions, number: int, arguments: list[int], result: int
    ) -> None:
        row = uapi.by_id(number)
        if row is None or result == 0:
            return
        if row.ret is Ret.MAP_VALUE:
            regions.grant(result, load64(arguments[0] + VALUE_SIZE))
        elif number in SIZE_ARGUMENT:
            regions.grant(result, arguments[SIZE_ARGUMENT[number] - 1])

    @contextmanager
    def _entered(self, execution: Execution) -> Iterator[None]:
        stack = self._running.setdefault(execution.run, [])
        stack.append(execution)
        try:
            yield
        finally:
            stack.pop()
            if not stack:
                del self._running[execution.run]
