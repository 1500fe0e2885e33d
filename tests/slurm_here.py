"""A SLURM cluster of this one machine, on loopback, without accounting; needs root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")

CONFIGURATION = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={port}
SlurmdPort={next_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=60 State=UP
"""


def is_possible() -> bool:
    """Whether this user may start it and its programs are installed."""
    found = all(shutil.which(p) or Path("/usr/sbin", p).exists() for p in PROGRAMS)
    return os.geteuid() == 0 and found


@contextmanager
def slurm(folder: Path) -> Iterator[str]:
    """Starts the cluster; gives the path of its configuration, for SLURM_CONF."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = CONFIGURATION.format(
        host=socket.gethostname().split(".")[0], folder=folder, port=port, next_port=port + 1
    )
    configuration = folder / "slurm.conf"
    configuration.write_text(text)
    environment = os.environ | {
        "SLURM_CONF": str(configuration),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    munge = ["munged", "--foreground", "--force", f"--key-file={key}"]
    munge += [f"--{n}-file={folder}/munge.{n}" for n in ("pid", "log", "seed")]
    munge += [f"--socket={folder}/munge.socket"]
    started: list[subprocess.Popen] = []

    def start(*command: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, env=environment, **quiet))

    try:
        start(*munge)
        _wait(lambda: (folder / "munge.socket").exists(), "munged")
        start("slurmctld", "-D", "-f", str(configuration))
        start("slurmd", "-D", "-f", str(configuration))
        _wait(lambda: "idle" in _told("sinfo", "-h", "-o", "%T", env=environment), "slurmd")
        yield str(configuration)
    finally:
        with suppress(OSError):
            subprocess.run(["scancel", "--user=root"], env=environment, check=False)
            time.sleep(1)
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _told(*command: str, env: dict[str, str]) -> str:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout


def _wait(is_there, what: str) -> None:
    deadline = time.monotonic() + 600
    while not is_there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start")
        time.sleep(0.2)
