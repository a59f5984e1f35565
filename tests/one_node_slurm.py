"""A real SLURM of one node, brought up for a test and taken down after it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'sinfo')

CONFIGURATION = """\
ClusterName=raki
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

PATIENCE = 30.0
"""How long the daemons may take to come up [s]."""


def require_slurm() -> None:
    """Skip a test where SLURM cannot be brought up."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f'needs the Debian packages slurmctld, slurmd, slurm-client and munge: no {", ".join(missing)}')
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons can be started by root only")


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment in which SLURM's commands find a cluster of this machine alone."""
    (folder / 'munge').mkdir(parents=True)
    folder.chmod(0o755)
    for name in ('state', 'spool'):
        (folder / name).mkdir()
    configuration = folder / 'slurm.conf'
    host = socket.gethostname().partition('.')[0]
    ports = {'controller': _free_port(), 'daemon': _free_port()}
    configuration.write_text(
        CONFIGURATION.format(host=host, folder=folder, n_cpus=len(os.sched_getaffinity(0)), **ports)
    )
    environment = {**os.environ, 'SLURM_CONF': str(configuration)}
    try:
        _start_munge(folder)
        for daemon in ('slurmctld', 'slurmd'):
            subprocess.run([daemon, '-f', str(configuration)], check=True, env=environment, capture_output=True)
        _wait_for_the_node(environment)
        yield environment
    finally:
        _end_jobs(environment)
        for name in ('slurmd.pid', 'slurmctld.pid', 'munge/pid'):
            _stop(folder / name)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


def _start_munge(folder: Path) -> None:
    key = folder / 'munge.key'
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    files = {'key-file': key, 'socket': 'munge/socket', 'pid-file': 'munge/pid', 'log-file': 'munge/log'}
    files |= {'seed-file': 'munge/seed'}
    options = [f'--{option}={folder / name}' for option, name in files.items()]
    subprocess.run(['munged', '--force', *options], check=True, capture_output=True)


def _wait_for_the_node(environment: dict[str, str]) -> None:
    end, told = time.monotonic() + PATIENCE, ''
    while time.monotonic() < end:
        found = subprocess.run(
            ['sinfo', '--noheader', '--format=%T'], env=environment, capture_output=True, text=True, check=False
        )
        told = f'{found.stdout} {found.stderr}'.strip()
        if told == 'idle':
            return
        time.sleep(0.2)
    pytest.skip(f'the daemons of SLURM do not come up here: {told}')


def _end_jobs(environment: dict[str, str]) -> None:
    """Leave no process of a job behind: without daemons none would end."""
    end = time.monotonic() + PATIENCE
    for command in (['scancel', f'--user={os.getuid()}'], ['squeue', '--noheader']):
        while time.monotonic() < end:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode == 0 and not done.stdout.strip():
                break
            time.sleep(0.2)


def _stop(pid_file: Path) -> None:
    """End a daemon, and wait until it is gone."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and _is_alive(pid):
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    """Whether a process is there and not only waits for its parent to ask how it ended."""
    status = Path(f'/proc/{pid}/stat')
    return status.exists() and status.read_text().rpartition(') ')[2][0] != 'Z'
