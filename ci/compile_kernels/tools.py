"""Programs of the system, found and run."""
import glob
import os
import shutil
import subprocess


class Refused(Exception):
    """A compiler's error."""


class Missing(Exception):
    """What cannot be had here, and why."""


def run(command, folder, env=None):
    done = subprocess.run([str(word) for word in command], cwd=folder, text=True, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if "error" in line.lower()]
        raise Refused(f"{os.path.basename(str(command[0]))}: "
                      f"{(lines or done.stdout.splitlines() or ['no word'])[0]}")
    return done.stdout


def first_line(*command):
    told = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout.strip()
    return told.splitlines()[0].strip() if told else ""


def find_program(*names):
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/cuda/bin",
                               *sorted(glob.glob("/usr/local/cuda-*/bin"), reverse=True)])
    return next((path for path in (shutil.which(name, path=folders) for name in names) if path),
                None)


def find_packaged(package, name):
    """The file of that name in an installed package: where it lies is the distribution's choice."""
    if not shutil.which("dpkg-query"):
        return None
    listed = subprocess.run(["dpkg-query", "--listfiles", package], text=True, capture_output=True)
    return next((path for path in listed.stdout.splitlines()
                 if os.path.basename(path) == name and os.path.isfile(path)), None)
