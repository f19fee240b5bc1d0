"""A rule: one thing that must hold for a program to be accepted.

Every refusal goes through a row of this kind; ``skep.verifier.rules`` holds the rows by subject.
"""

import errno
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        id: kebab-case noun phrase that states the good case, as ``stack-initialised``. Stable.
        sentence: the good case as a sentence, lower case, no full stop.
        errno: what PROG_LOAD answers if it does not hold.
    """

    id: str
    sentence: str
    errno: int


# EOPNOTSUPP, which the kernel's verifier never gives: so "Linux may accept this, skep cannot tell"
# is told apart from every verdict.
NOT_SUPPORTED: Final = Rule(
    "not-supported", "the program uses only what skep knows", errno.EOPNOTSUPP
)
