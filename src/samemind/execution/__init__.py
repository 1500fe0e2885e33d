"""Where work is done: in this process, in local ones, on Ray or on SLURM, behind one `map`.

An executor knows nothing of recipes. What is done is read from the store, never from here: every
item is idempotent, so an executor may lose track of one and lose nothing.
"""

from samemind.execution.base import Executor, Outcome, attempt
from samemind.execution.local import InProcess, LocalProcesses

__all__ = ["Executor", "InProcess", "LocalProcesses", "Outcome", "attempt", "executor_for"]


def executor_for(workers: int, threads: int = 1) -> InProcess | LocalProcesses:
    """Worker processes, or this process where one worker is enough."""
    return InProcess(threads) if workers == 1 else LocalProcesses(workers, threads)
