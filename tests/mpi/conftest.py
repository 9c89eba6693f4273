def pytest_addoption(parser):
    parser.addoption("--ranks", default="1,2,3,4,7", help="how many the bits are compared with")
