"""ci/gpu as a user meets it: on the reference by the program of $ANYNORM_PROGRAM, and on GPUs that are
not there by a program that only prints what anynorm would (fake_anynorm.py)."""
import os
import pathlib
import subprocess
import sys

import pytest
from gpu_support import ROOT, make_fake_build, make_program

NO_DEVICES = {"OCL_ICD_VENDORS": "/nonexistent", "VK_DRIVER_FILES": "/nonexistent",
              "VK_ICD_FILENAMES": "/nonexistent"}


@pytest.fixture(scope="session")
def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANYNORM_")}
    return dict(kept, **NO_DEVICES)


@pytest.fixture(scope="session")
def build():
    path = os.environ.get("ANYNORM_PROGRAM")
    if not path:
        pytest.fail("ANYNORM_PROGRAM must name the program under test")
    return pathlib.Path(path).resolve().parents[2]


@pytest.fixture(scope="session")
def gpu(environment):
    """gpu(options...) runs ci/gpu; keywords go to the environment."""
    def call(*options, **more):
        return subprocess.run([sys.executable, "-B", ROOT / "ci" / "gpu", *map(str, options)], text=True,
                              env=dict(environment, **more), capture_output=True, timeout=300, check=False)
    return call


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """A Python without a package, whatever this one has."""
    return make_program(tmp_path_factory.mktemp("bare") / "python",
                        f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')


@pytest.fixture
def fake_build(tmp_path):
    return make_fake_build(tmp_path / "fake")
