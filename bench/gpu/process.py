"""Runs one command within a time limit and says how it ended: a driver may crash, or never come back."""
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

PATIENCE = 5  # seconds that a killed process has to go; one that its driver holds does not
MOST_OUTPUT = 4 << 20


@dataclass
class Outcome:
    """`ended`: exited, crashed (by a signal), overtime (killed), stuck (not even that), or absent."""
    ended: str
    status: int  # the exit status, or the signal; None where there is none
    stdout: str
    stderr: str
    seconds: float


def text_of(file):
    file.seek(0)
    return file.read(MOST_OUTPUT).decode("utf-8", "replace")


def kill(process):
    """Whether it, and all that it started, is gone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return False
    return True


def run(command, environment, folder, limit):
    """Output goes to files, so that what was said before the end is there, however it came."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                       env=environment, cwd=str(folder), start_new_session=True)
        except OSError as error:
            return Outcome("absent", None, "", f"{command[0]}: {error.strerror}", 0.0)
        try:
            status = process.wait(limit)
            ended = "exited" if status >= 0 else "crashed"
        except subprocess.TimeoutExpired:
            status = None
            ended = "overtime" if kill(process) else "stuck"
        except BaseException:  # Ctrl-C: it does not reach a session of its own
            kill(process)
            raise
        return Outcome(ended, abs(status) if status is not None else None, text_of(out),
                       text_of(err), time.monotonic() - begun)
