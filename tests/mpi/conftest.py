import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / "cli"))  # for what both programs' tests share


def pytest_addoption(parser):
    parser.addoption("--ranks", default="1,2,3,4,7", help="how many the bits are compared with")
