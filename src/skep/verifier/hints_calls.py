"""Hints on arguments of calls, and on what must be given back: references, locks, sections."""

from typing import Final

from skep.isa.table import Kind
from skep.verifier.hints_memory import unusable
from skep.verifier.scalar import Scalar
from skep.verifier.state import LOCK_REFERENCES, REF_POINTER, Reference
from skep.verifier.story import Story
from skep.verifier.values import MAYBE_NULL, RCU, UNTRUSTED, Pointer

_CLOSES: Final = {
    "bpf_rcu_read_lock-ed": "bpf_rcu_read_unlock()",
    "bpf_preempt_disable-ed": "bpf_preempt_enable()",
    "bpf_local_irq_save-ed": "bpf_local_irq_restore()",
}

# --- arguments --------------------------------------------------------------------------------


def argument(story: Story) -> str:
    """Advice on an argument of another type than the helper takes."""
    register, value = story.register, story.value
    _, _, text = story.refused.detail.partition("expected=")
    expected = text.split(", ")
    if register < 0 or not text:
        return ""
    if isinstance(value, Pointer) and value.flags & MAYBE_NULL:
        return f"compare r{register} with NULL before the call, and do not call if it is"
    lost = unusable(story, register)
    return lost or _instead(register, value, expected)


def _instead(register: int, value: object, expected: list[str]) -> str:
    """What to pass in the place of *value*."""
    number = isinstance(value, Scalar)
    if expected == ["map_ptr"]:
        return f"argument {register} is a map: pass its address, &map"
    if expected == ["ringbuf_mem"]:
        return "pass what bpf_ringbuf_reserve() returned, once it was compared with NULL"
    if expected == ["ctx"]:
        return "pass the program's own context, the pointer that it got as its argument"
    if expected == ["scalar"]:
        return f"argument {register} is a number: pass no pointer"
    if expected == ["func"]:
        return f"argument {register} is a static function of the program: pass its name"
    if "fp" not in expected:
        return ""
    if number:
        null = isinstance(value, Scalar) and value.is_number(0)
        what = "NULL" if null else "a number"
        return (
            f"argument {register} is {what}, and has to be an address that the verifier knows: "
            "pass that of a variable on the stack or of a map value"
        )
    return f"copy what argument {register} points to to a variable, and pass the variable's address"


def kfunc_argument(story: Story) -> str:
    """Advice on an argument of another type than the kernel function takes."""
    pointer = story.pointer
    if pointer is not None and pointer.flags & MAYBE_NULL:
        return f"compare r{story.register} with NULL before the call, and do not call if it is"
    return unusable(story, story.register) if story.register > 0 and pointer is None else ""


def trust(story: Story) -> str:
    """Advice on an argument whose object may be gone while the function works on it."""
    pointer = story.pointer
    if pointer is None:
        return ""
    if pointer.flags & RCU:
        return (
            "RCU keeps the object readable, but not alive: get a reference first, with the "
            "function for its type (bpf_*_acquire()), and pass what that returns"
        )
    if pointer.flags & UNTRUSTED or not pointer.ref_id:
        return (
            "the pointer was read from another object, which does not keep alive what it points to:"
            " pass an argument of the program itself, or what a bpf_*_acquire() function returned"
        )
    return ""


# --- what must be given back ------------------------------------------------------------------


def released(story: Story) -> str:
    """Advice on a release of what was not acquired."""
    register = story.register
    if register < 0:
        return (
            "what is passed was not acquired here: release only what was looked up or acquired, "
            "each once; arguments of the program are only lent to it"
        )
    gone = unusable(story, register)
    if gone:
        return gone
    if isinstance(story.value, Pointer):
        return (
            f"nothing acquired what r{register} points to, so there is nothing to give away: get a "
            "reference first, with a look-up or the function for its type (bpf_*_acquire())"
        )
    return f"r{register} holds no object: release only what was acquired, each once"


def moved(story: Story) -> str:
    """Advice on a release through a pointer to a member."""
    pointer = story.pointer
    if pointer is None:
        return ""
    held = [ref.pc for ref in story.path[-1].refs if ref.id == pointer.ref_id]
    given = f"what {story.named(held[0])} gave" if held else "the pointer that was given"
    return f"pass {given} itself, not a pointer to a member ({pointer.off} bytes further)"


def leak(story: Story) -> str:
    """Advice on a reference that is held when the program leaves."""
    held = [ref for ref in story.path[-1].refs if ref.kind == REF_POINTER]
    if not held:
        return ""
    where = f"release what {story.named(held[-1].pc)} acquired, on every path"
    return where + _way_out(story, held[-1])


def section(story: Story) -> str:
    """Advice on a critical section that is open when the program leaves."""
    held = [ref for ref in story.path[-1].refs if ref.kind in LOCK_REFERENCES]
    if held:
        where = f"unlock what {story.named(held[-1].pc)} locked, on every path"
        return where + _way_out(story, held[-1])
    for words, function in _CLOSES.items():
        if words in story.refused.detail:
            return f"call {function} on every path before"
    return ""


def _way_out(story: Story, held: Reference) -> str:
    """The last decision while *held* was held: there the path left the one that releases it."""
    where = ""
    for number in range(len(story.path) - 1):
        entered, then = story.path[number], story.path[number + 1]
        step = story.program.steps[entered.pc]
        if step is None or step.kind is not Kind.JUMP:
            continue
        if any(ref.id == held.id for ref in entered.refs) and step.target != step.next_pc:
            way = "taken" if then.pc == step.target else "not taken"
            where = f"; this path leaves where {story.named(entered.pc)} is {way}"
    return where


def under_lock(story: Story) -> str:
    """Advice on a call while a spin lock is held."""
    held = [ref for ref in story.path[-1].refs if ref.kind in LOCK_REFERENCES]
    taken = f"{story.named(held[-1].pc)} takes the lock" if held else "the lock is taken"
    return f"call it before {taken}, or behind its release, and keep the result"
