"""Compilers and drivers that are not installed: Debian's packages of newer releases, PyPI's, and Mesa's
drm-shims and v3dv, built. All in a folder of their own: the system and its package lists stay as they are."""
import functools
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

from . import shims, v3dv
from .tools import Missing

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def once(method):
    """Done, or failed, once for all targets."""
    @functools.wraps(method)
    def wrapped(self, *words):
        kept = self.done.setdefault((method.__name__, *words), [])
        if not kept:
            try:
                kept.append(method(self, *words))
            except Missing as why:
                kept.append(why)
        if isinstance(kept[0], Missing):
            raise kept[0]
        return kept[0]
    return wrapped


def run(command, log, **more):
    """Its output goes to a log; a command that fails is why something is missing."""
    with open(log, "ab") as file:
        file.write(f"$ {' '.join(map(str, command))}\n".encode())
        file.flush()
        code = subprocess.run([str(word) for word in command], stdout=file,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more).returncode
    if code != 0:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in said if re.search(r"^E: |error", line, re.I)]
        raise Missing(f"{pathlib.Path(str(command[0])).name} failed, see {log}: {(errors or said)[-1]}")


class Root:
    """Packages with all that they need, down to the C library, by whose own loader they run."""

    def __init__(self, folder):
        self.folder = folder
        libraries = [folder / "usr/lib/x86_64-linux-gnu", *sorted(folder.glob("usr/lib/llvm-*/lib"))]
        start = next(iter([*folder.glob("usr/lib64/ld-linux-x86-64.so.2"),
                           *folder.glob("lib64/ld-linux-x86-64.so.2"),
                           *folder.glob("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")]), None)
        if not start:
            raise Missing("Debian's packages hold no ld-linux-x86-64.so.2")
        self.loader = [str(start), "--library-path", ":".join(map(str, libraries))]

    def find(self, pattern):
        found = sorted(path for path in self.folder.glob(pattern) if path.is_file())
        if not found:
            raise Missing(f"Debian's packages hold no {pattern}")
        return found[-1]

    def icd(self, name):
        """A driver's file for Vulkan's loader, with the library where it lies here."""
        listed = self.find(f"usr/share/vulkan/icd.d/{name}_icd*.json")
        text = listed.read_text()
        library = re.search(r'"library_path": *"([^"]*)"', text)[1]
        here = self.find(f"usr/lib/x86_64-linux-gnu/{pathlib.Path(library).name}")
        moved = self.folder / f"{name}.json"
        moved.write_text(text.replace(library, str(here)))
        return str(moved)


class Downloads:
    def __init__(self):
        cache = os.environ.get("ANYNORM_CI_CACHE") or ROOT / "build/ci-devices"
        self.folder = pathlib.Path(cache).resolve() / "compilers"
        self.done = {}

    def optional(self, method):
        """What a target can do without."""
        try:
            return method()
        except Missing as why:
            print(f"skipped: {method.__name__} ({why})", flush=True)
            return None

    def place(self, name):
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name, self.folder / f"{name}.log"

    # ---- Debian ----

    @once
    def apt(self, suite):
        """apt-get for a release of Debian beside the system's, from the mirror that the system uses."""
        if not shutil.which("apt-get") or platform.machine() != "x86_64":
            raise Missing("needs Debian on x86-64")
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(ORIGIN)",
             "Created-By: Packages"], text=True, capture_output=True).stdout.splitlines()
        site = next((line.split()[0] for line in listed if line.endswith("/debian main Debian")), None)
        if not site:
            raise Missing("the system knows no mirror of Debian")
        folder, log = self.place(f"apt-{suite}")
        for part in ("lists/partial", "archives/partial", "etc"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        signed = f"[signed-by={key}] " if os.path.exists(key) else ""
        (folder / "sources.list").write_text(
            "".join(f"{kind} {signed}{site} {suite} main\n" for kind in ("deb", "deb-src")))
        options = {"Dir::State": folder, "Dir::State::lists": folder / "lists",
                   "Dir::State::status": folder / "status", "Dir::Cache": folder,
                   "Dir::Cache::archives": folder / "archives", "Dir::Etc": folder / "etc",
                   "Dir::Etc::sourcelist": folder / "sources.list", "Dir::Log": folder,
                   "Dir::Etc::sourceparts": "/dev/null", "APT::Sandbox::User": "root",
                   "Debug::NoLocking": "true"}
        command = ["apt-get", "-q", "-y"]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        run([*command, "update"], log, timeout=900)
        return command

    @once
    def packages(self, suite, *names):
        folder, log = self.place(f"{suite}-{names[0]}")
        if not (folder / "done").exists():
            print(f"downloading Debian {suite}'s {' '.join(names)} ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            command = self.apt(suite)
            archives = folder / "archives"
            (archives / "partial").mkdir(parents=True)
            run([*command, "-o", f"Dir::Cache::archives={archives}", "install", "--download-only",
                 "--no-install-recommends", *names], log, timeout=1800)
            for package in sorted(archives.glob("*.deb")):
                run(["dpkg-deb", "-x", package, folder], log)
            shutil.rmtree(archives)
            (folder / "done").touch()
        return Root(folder)

    # ---- Compilers of OpenCL ----

    @once
    def ocloc(self):
        root = self.packages("forky", "intel-ocloc", "libigc2", "libigdfcl2")
        return [*root.loader, str(root.find("usr/bin/ocloc*"))]

    @once
    def clang(self):
        """The command, and a file of AMD's device libraries."""
        root = self.packages("forky", "clang-22", "rocm-device-libs-21")
        resources = root.find("usr/lib/llvm-22/lib/clang/*/include/opencl-c-base.h").parents[1]
        return ([*root.loader, str(root.find("usr/lib/llvm-22/bin/clang")), "-resource-dir",
                 str(resources)], root.find("usr/lib/**/opencl.bc"))

    @once
    def wheel(self, *names):
        folder, log = self.place(names[0])
        if not (folder / "done").exists():
            print(f"downloading {' '.join(names)} ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            run([PYTHON, "-m", "venv", folder], log)
            run([folder / "bin/pip", "install", "-q", "--no-cache-dir", *names], log,
                timeout=900)
            (folder / "done").touch()
        return folder

    def in_wheel(self, name, program):
        found = sorted(self.wheel(name).glob(f"lib/**/bin/{program}"))
        if not found:
            raise Missing(f"PyPI's {name} holds no {program}")
        return str(found[0])

    def ptxas(self):
        return self.in_wheel("nvidia-cuda-nvcc", "ptxas")

    def nvdisasm(self):
        return self.in_wheel("nvidia-cuda-nvdisasm", "nvdisasm")

    # ---- Drivers of Vulkan ----

    @once
    def drivers(self, suite):
        return self.packages(suite, "mesa-vulkan-drivers", "libvulkan1")

    @once
    def mesa(self):
        """Mesa's source, as Debian has it for the suite that the shims are for."""
        folder, log = self.place("mesa-source")
        if not (folder / "done").exists():
            print("downloading Mesa's source ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            run([*self.apt(shims.SUITE), "source", "--download-only", "mesa"], log, cwd=folder,
                timeout=1800)
            for archive in folder.glob("mesa_*.orig.tar.xz"):
                run(["tar", "-xf", archive, "--strip-components=1"], log, cwd=folder)
            (folder / "done").touch()
        return folder

    @once
    def shim(self, kind):
        folder, log = self.place(f"shim-{kind}")
        library = folder / "shim.so"
        if not library.exists():
            source = self.mesa()
            print(f"building Mesa's shim of {kind} ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            python = PYTHON
            if shims.KINDS[kind].generated:
                python = self.wheel("mako") / "bin/python3"
            shims.build(kind, source, folder, python,
                        lambda command, **more: run(command, log, **more))
        return str(library)

    @once
    def v3dv(self):
        """A file that names it to Vulkan's loader."""
        folder, log = self.place("v3dv")
        named = folder / "icd.json"
        if not named.exists():
            source = self.mesa()
            headers = self.packages(shims.SUITE, "libdrm-dev").folder
            programs = self.wheel(*v3dv.TOOLS) / "bin"
            print("building Mesa's v3dv, some minutes of a processor ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            v3dv.build(source, headers, folder, programs,
                       lambda command, **more: run(command, log, **more))
        return str(named)
