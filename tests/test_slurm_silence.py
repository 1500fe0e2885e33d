"""Where `squeue` does not answer: an outage changes nothing, and a long one ends the waiting."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from samemind.errors import InvalidInput, SamemindError
from samemind.execution.base import Outcome
from samemind.execution.on_slurm import OnSlurm

pytest.importorskip("submitit")

UNREACHABLE = "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
HANGS = "exec sleep 60"
MANY = 8
TOOLS = ("cat", "cp", "mkdir", "mv", "rm", "sleep")
#: What `squeue` says of the jobs of two items: each is an element of one array.
ALIVE = "echo 42_0; echo 42_1"


class Cluster:
    """Commands of SLURM as scripts: `sbatch` counts and takes any job, `squeue` is given."""

    def __init__(self, root: Path) -> None:
        self.commands, self.jobs, self.results = root / "bin", root / "jobs", root / "results"
        for folder in (self.commands, self.jobs, self.results):
            folder.mkdir()
        # Nothing else of this machine can be found, which may well have a SLURM of its own.
        for tool in TOOLS:
            (self.commands / tool).symlink_to(shutil.which(tool))
        self.submissions = root / "submissions"
        self.answers(ALIVE)
        self.command("srun", "exit 0")
        self.command("sbatch", f"echo x >> {self.submissions}; echo Submitted batch job 42")

    def command(self, name: str, does: str) -> None:
        # Another process may be running the script that this one takes the place of.
        draft = self.commands / f".{name}"
        draft.write_text(f"#!/bin/sh\n{does}\n")
        draft.chmod(0o755)
        draft.replace(self.commands / name)

    def answers(self, *does: str) -> None:
        """What `squeue` does at its first call, at its second, and so on; the last from then on."""
        count = self.commands / "count"
        count.write_text("0")
        cases = " ".join(f"{number}) {what};;" for number, what in enumerate(does[:-1]))
        self.command(
            "squeue",
            f"n=$(cat {count}); echo $((n + 1)) > {count}; case $n in {cases} *) {does[-1]};; esac",
        )

    def ends(self, number: int) -> str:
        """What writes the result of an element of the array, which has the item of its number."""
        job = f"42_{number}"
        result = self.results / job
        result.write_bytes(pickle.dumps(("success", [Outcome(number, None)])))
        folder = self.jobs / job
        name = folder / f"{job}_0_result.pkl"
        return f"mkdir -p {folder}; cp {result} {name}.draft; mv {name}.draft {name}"

    @property
    def n_submissions(self) -> int:
        return len(self.submissions.read_text().split()) if self.submissions.exists() else 0

    def executor(self, *, silent_seconds: float = 30.0, at_most: int = 1, **options) -> OnSlurm:
        options = {"poll": 0.05, "grace": 0.2, **options}
        return OnSlurm(self.jobs, at_most=at_most, silent_minutes=silent_seconds / 60, **options)


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Cluster:
    cluster = Cluster(tmp_path)
    monkeypatch.setenv("PATH", str(cluster.commands))
    return cluster


def items_done(outcomes) -> list[int]:
    outcomes = list(outcomes)
    assert all(outcome.error is None for outcome in outcomes)
    return sorted(outcome.item for outcome in outcomes)


@pytest.mark.parametrize(
    ("silence", "found"),
    [
        (UNREACHABLE, r"ended with status 1 \(slurm_load_jobs error: Unable to contact"),
        (HANGS, r"did not answer within 0\.1 seconds"),
        ("rm {squeue}; exit 1", r"could not be started \(.*squeue"),
    ],
    ids=["errors", "hangs", "vanishes"],
)
def test_waiting_ends_with_an_error_and_the_next_run_goes_on_with_the_same_jobs(
    cluster, silence, found
):
    cluster.answers(ALIVE, silence.format(squeue=cluster.commands / "squeue"))
    executor = cluster.executor(silent_seconds=0.3, answer_within=0.1)
    with pytest.raises(SamemindError, match=found) as raised:
        list(executor.map(print, [0, 1]))
    message = str(raised.value)
    assert message.startswith("Whether 2 jobs are still queued or running was asked of `squeue ")
    assert "for 0.005 minutes nobody could say and no result came" in message
    assert "Nothing is lost" in message
    assert "Run the same command again" in message
    assert cluster.n_submissions == 1

    cluster.answers(ALIVE, f"{ALIVE}; {cluster.ends(0)}; {cluster.ends(1)}")
    assert items_done(cluster.executor().map(print, [0, 1])) == [0, 1]
    assert cluster.n_submissions == 1


def test_an_outage_that_ends_changes_nothing(cluster):
    cluster.answers(
        ALIVE,
        *[UNREACHABLE] * 3,
        HANGS,
        ALIVE,
        UNREACHABLE,
        f"{ALIVE}; {cluster.ends(0)}; {cluster.ends(1)}",
    )
    outcomes = cluster.executor(answer_within=0.3).map(print, [0, 1])
    assert items_done(outcomes) == [0, 1]
    assert cluster.n_submissions == 1


def test_an_outage_at_the_start_submits_no_job_a_second_time(cluster):
    cluster.answers(UNREACHABLE)
    for _ in range(2):  # the second time nothing is known of the jobs of the first
        with pytest.raises(SamemindError, match="submits none of them twice"):
            list(cluster.executor(silent_seconds=0.2).map(print, [0, 1]))
        assert cluster.n_submissions == 1
    cluster.answers(*[UNREACHABLE] * 3, ALIVE, f"{ALIVE}; {cluster.ends(0)}; {cluster.ends(1)}")
    assert items_done(cluster.executor().map(print, [0, 1])) == [0, 1]
    assert cluster.n_submissions == 1


def test_waiting_goes_on_while_results_come_though_nobody_answers(cluster):
    # Each takes a share of the time of silence; all together take more of it than there is.
    ends = [f"sleep 0.2; {cluster.ends(n)}; {UNREACHABLE}" for n in range(MANY)]
    cluster.answers(*ends)
    executor = cluster.executor(silent_seconds=1.5, at_most=MANY)
    assert items_done(executor.map(print, range(MANY))) == list(range(MANY))


def test_a_job_that_ends_without_a_result_is_still_submitted_once_more(cluster):
    cluster.answers(ALIVE, "exit 0")
    (first, second) = cluster.executor().map(print, [0, 1])
    for outcome in (first, second):
        assert "SLURM ended the job of" in str(outcome.error)
    assert cluster.n_submissions == 2


def test_without_squeue_the_message_says_where_to_run(cluster):
    (cluster.commands / "squeue").unlink()
    with pytest.raises(InvalidInput, match=r"no `squeue` on this machine\. Run on a login node"):
        list(cluster.executor().map(print, [1]))
    assert cluster.n_submissions == 0
