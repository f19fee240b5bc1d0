"""Proof: verify() takes a Request and gives a Proof, or raises Rejected."""

from skep.verifier.interface import Proof, Request
from skep.verifier.passes import verify
from skep.verifier.report import Rejected

__all__ = ["Proof", "Rejected", "Request", "verify"]
