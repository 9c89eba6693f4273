"""A terminal for the tests of both programs."""
import os
import pty
import subprocess

import pytest


def on_terminal(command, environment, folder=None):
    """What a command wrote to a terminal as its stderr."""
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine gives out no terminals: {error}")
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:
        pass  # how Linux tells that the other end was closed
    os.close(ours)
    assert process.wait() == 0
    return text
