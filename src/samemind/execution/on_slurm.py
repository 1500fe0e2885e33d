"""On SLURM, through submitit: one job array for each stage of a study."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samemind.errors import InvalidInput, MissingExtra, SamemindError, UnreadableFile
from samemind.execution.base import Item, Key, Outcome
from samemind.execution.batches import attempt_all, batches
from samemind.files.reading import read_json

SUBMITTED_FILE = "submitted.json"
ASK = ("squeue", "--noheader", "--array", "--me", "--format=%i")


class Batch:
    """What one element of an array does. When its time is up, it is submitted again and goes on."""

    def __init__(self, do: Callable[[Any], Any], items: Sequence[Any], threads: int) -> None:
        self.do = do
        self.items = items
        self.threads = threads

    def __call__(self) -> list[Outcome[Any]]:
        return attempt_all(self.do, self.items, self.threads)

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Queue:
    """What SLURM says of one's own jobs, and for how long it has said nothing.

    **Arguments:**

    - `answer_within`: seconds after which a question counts as not answered.
    - `silent_minutes`: how long nobody may be able to say before waiting is given up.
    """

    def __init__(self, answer_within: float, silent_minutes: float) -> None:
        self.answer_within = answer_within
        self.silent_minutes = silent_minutes
        self._heard_at = time.monotonic()
        self._found = ""

    def jobs(self) -> set[str] | None:
        """The ids of the jobs that are queued or running; None where nobody can say."""
        try:
            answer = subprocess.run(
                ASK,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=self.answer_within,
            )
        except subprocess.TimeoutExpired:
            self._found = f"it did not answer within {self.answer_within:g} seconds"
        except OSError as error:
            self._found = f"it could not be started ({error})"
        else:
            if answer.returncode == 0:
                self.heard()
                return set(answer.stdout.split())
            said = answer.stderr.strip().rpartition("\n")[2]
            self._found = f"it ended with status {answer.returncode}" + (
                f" ({said})" if said else ""
            )
        return None

    def heard(self) -> None:
        """Something came of the jobs: the time of silence begins anew."""
        self._heard_at = time.monotonic()

    def give_up_if_silent(self, n_jobs: int) -> None:
        """Raises `SamemindError` once nothing was heard for too long."""
        if time.monotonic() - self._heard_at < 60 * self.silent_minutes:
            return
        raise SamemindError(
            f"Whether {n_jobs} jobs are still queued or running was asked of `{' '.join(ASK)}`, "
            f"but for {self.silent_minutes:g} minutes nobody could say and no result came. The "
            f"last time {self._found}. Nothing is lost: jobs that are queued stay so, and what is "
            f"done is in the store. Run the same command again where squeue answers; it goes on "
            f"with these jobs and submits none of them twice."
        )


class OnSlurm:
    """Submits a job array and waits for it; jobs that a former run submitted are waited for.

    An element that ends without a result (killed, a node lost) is submitted once more. Only
    `squeue` is asked, never the accounting (`sacct`), which many clusters do not have: what is
    done is in the store and in the result files. While `squeue` has no answer nothing is taken for
    lost; after `silent_minutes` without an answer or a result waiting ends with an error, and the
    next run goes on with the same jobs.

    **Arguments:**

    - `folder`: for submitit's files; on a file system that all nodes see.
    - `partition`, `minutes`, `gpus`, `cpus`, `memory_gb`: of one job.
    - `at_most`: how many jobs of an array may run at once; also how many batches are aimed at.
    - `options`: further options of sbatch, such as {"account": "physics"}.
    - `engine`: 'slurm', or 'local' for processes of this machine that behave alike.

    - `answer_within`: seconds that `squeue` is given to answer.
    - `silent_minutes`: how long nobody may be able to say whether jobs are alive.

    **Raises:** `MissingExtra` without submitit; `InvalidInput` where there is no `sbatch` or
    `squeue`; `SamemindError` where nothing is heard of the jobs for too long.
    """

    def __init__(
        self,
        folder: Path,
        *,
        partition: str | None = None,
        minutes: int = 60,
        gpus: int = 0,
        cpus: int = 1,
        memory_gb: float | None = None,
        at_most: int = 100,
        options: Mapping[str, Any] | None = None,
        engine: str = "slurm",
        threads: int = 1,
        poll: float = 2.0,
        grace: float = 20.0,
        answer_within: float = 60.0,
        silent_minutes: float = 60.0,
    ) -> None:
        self.folder = folder.absolute()
        self.engine = engine
        self.at_most = at_most
        self.threads = threads
        self.poll = poll
        self.grace = grace
        self._queue = Queue(answer_within, silent_minutes)
        self._own: list[Any] = []
        self._common: dict[str, Any] = {"timeout_min": minutes, "cpus_per_task": cpus}
        if gpus:
            self._common["gpus_per_node"] = gpus
        if memory_gb is not None:
            self._common["mem_gb"] = memory_gb
        self._slurm = {"array_parallelism": at_most, **(options or {})}
        if partition is not None:
            self._slurm["partition"] = partition

    def map(
        self, do: Callable[[Item], Any], items: Sequence[Item], *, together: Key[Item] | None = None
    ) -> Iterator[Outcome[Item]]:
        self._check()
        former = self._submitted_before()
        adopted: dict[str, list[Item]] = {}
        new: list[Item] = []
        for item in items:
            job = former.get(str(getattr(item, "name", item)))
            adopted.setdefault(job, []).append(item) if job else new.append(item)
        jobs = {self._job(job): batch for job, batch in adopted.items()}
        jobs |= self._submit(do, batches(new, together, self.at_most))
        lost: list[list[Item]] = []
        for batch, outcomes in self._as_they_end(jobs):
            if outcomes is None:
                lost.append(batch)
            else:
                yield from self._those_of(batch, outcomes)
        if not lost:
            return
        for batch, outcomes in self._as_they_end(self._submit(do, lost)):
            if outcomes is not None:
                yield from self._those_of(batch, outcomes)
                continue
            for item in batch:
                message = (
                    f"SLURM ended the job of {getattr(item, 'name', item)} twice without a "
                    f"result. Its log is in {self.folder}; more memory or time may be needed."
                )
                yield Outcome(item, SamemindError(message))

    @staticmethod
    def _those_of(
        batch: Sequence[Item], outcomes: Sequence[Outcome[Item]]
    ) -> Iterator[Outcome[Item]]:
        # A job of a former run may have had more to do than is still wanted.
        return (outcome for outcome in outcomes if outcome.item in batch)

    def _submit(
        self, do: Callable[[Item], Any], waiting: Sequence[list[Item]]
    ) -> dict[Any, list[Item]]:
        if not waiting:
            return {}
        import submitit

        self.folder.mkdir(parents=True, exist_ok=True)
        executor = submitit.AutoExecutor(folder=self.folder / "%j", cluster=self.engine)
        slurm = {f"slurm_{name}": value for name, value in self._slurm.items()}
        executor.update_parameters(name="samemind", **self._common, **slurm)
        work = [Batch(do, batch, self.threads) for batch in waiting]
        try:
            with executor.batch():
                jobs = [executor.submit(batch) for batch in work]
        except Exception as error:
            raise InvalidInput(f"SLURM refused the jobs: {error}") from error
        self._own += jobs
        names = {
            str(getattr(item, "name", item)): job.job_id
            for job, batch in zip(jobs, waiting, strict=True)
            for item in batch
        }
        draft = self.folder / f"{SUBMITTED_FILE}.draft"
        draft.write_text(json.dumps(self._written() | names), encoding="utf-8")
        draft.replace(self.folder / SUBMITTED_FILE)
        return dict(zip(jobs, waiting, strict=True))

    def _as_they_end(
        self, jobs: Mapping[Any, list[Item]]
    ) -> Iterator[tuple[list[Item], list[Outcome[Item]] | None]]:
        """Each batch with its outcomes; None where its job is gone and left no result."""
        pending = dict(jobs)
        gone_since: dict[str, float] = {}
        self._queue.heard()
        while pending:
            alive = self._alive(pending)
            for job in list(pending):
                outcomes = _result(job, pending[job])
                if outcomes is None and (alive is None or job.job_id in alive):
                    gone_since.pop(job.job_id, None)
                    continue
                since = gone_since.setdefault(job.job_id, time.monotonic())
                # A result may reach this host later than the news that its job has ended.
                if outcomes is not None or time.monotonic() - since >= self.grace:
                    yield pending.pop(job), outcomes
                    self._queue.heard()
            if pending:
                if alive is None:
                    self._queue.give_up_if_silent(len(pending))
                time.sleep(self.poll)

    def _alive(self, jobs: Mapping[Any, Any]) -> set[str] | None:
        """The ids of the jobs that are queued or running; None where nobody can say."""
        if self.engine == "local":
            return {job.job_id for job in jobs if not job.done()}
        return self._queue.jobs()

    def _written(self) -> dict[str, str]:
        try:
            held = read_json(self.folder / SUBMITTED_FILE)
        except UnreadableFile:
            return {}
        # Damaged or edited: then nothing is known of former jobs, and the store says what is done.
        jobs = held.items() if isinstance(held, dict) else ()
        return {name: job for name, job in jobs if isinstance(job, str)}

    def _submitted_before(self) -> dict[str, str]:
        """The jobs of former runs that are still queued or running, by the name of their item."""
        written = self._written()
        if self.engine == "local" or not written:
            return {}
        self._queue.heard()
        # Not knowing is no reason to submit them again: they may all be there.
        while (alive := self._queue.jobs()) is None:
            self._queue.give_up_if_silent(len(set(written.values())))
            time.sleep(self.poll)
        return {name: job for name, job in written.items() if job in alive}

    def _job(self, job_id: str) -> Any:
        import submitit

        return submitit.SlurmJob(folder=self.folder / "%j", job_id=job_id, tasks=[0])

    def _check(self) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise MissingExtra(
                "Running on SLURM needs the extra 'slurm': pip install 'samemind[slurm]'."
            ) from None
        for command in ("sbatch", "squeue"):
            if self.engine == "slurm" and shutil.which(command) is None:
                raise InvalidInput(
                    f"There is no `{command}` on this machine. Run on a login node of the "
                    f"cluster, or leave out --on slurm."
                )

    def close(self) -> None:
        """SLURM's jobs go on: the next run waits for them. Local ones end with this process."""
        if self.engine == "local":
            for job in self._own:
                job.cancel()


def _result(job: Any, batch: Sequence[Any]) -> list[Outcome[Any]] | None:
    """What a job left as its result, or None as long as there is none."""
    from pickle import UnpicklingError

    from submitit.core.utils import pickle_load

    if not job.paths.result_pickle.exists():
        return None
    try:
        kind, result = pickle_load(job.paths.result_pickle)
    except (OSError, EOFError, UnpicklingError):
        return None
    if kind == "success":
        return result
    # Outside of its work: what to do could not be read there, say. Other jobs go on.
    last = str(result).strip().rpartition("\n")[2]
    message = (
        f"The job {job.job_id} failed before its work began: {last} Is samemind the same on all "
        f"hosts? Its log is in {job.paths.folder}."
    )
    return [Outcome(item, SamemindError(message)) for item in batch]
