"""The fixtures that the public test files name."""

import pytest


@pytest.fixture
def str_fixture():
    return "a fixture"


@pytest.fixture
def yield_str_fixture():
    yield "a fixture"


@pytest.fixture
def yielder():
    yield "a fixture"


@pytest.fixture(autouse=True)
def autouse_thing():
    return "abc"


@pytest.fixture(autouse=True, name="autouse_thing_named")
def named():
    return "abc"


@pytest.fixture(autouse=True)
def fixture_echo_url():
    return "http://localhost:5003/echo"
