"""The package: version, command, help."""

import json
import pathlib
import pydoc
import subprocess
import sys

import pytest

import smesec


def test_the_version_is_the_wheels() -> None:
    from importlib.metadata import version

    assert smesec.__version__ == version("smesec")


def test_the_module_is_the_command(tmp_path) -> None:
    told = subprocess.run([sys.executable, "-m", "smesec", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"smesec {smesec.__version__}\n"

    requests = tmp_path / "requests.jsonl"
    line = {"name": "up", "method": "GET", "uri": "/?f=../../../etc/passwd", "headers": [["Host", "a.example"]]}
    requests.write_text(json.dumps(line) + "\n")
    command = [sys.executable, "-m", "smesec", "waf", "check", "--requests", str(requests)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = json.loads(told.stdout)
    assert (told.returncode, answer["name"], answer["verdict"]) == (1, "up", "block")

    told = subprocess.run([sys.executable, "-m", "smesec", "nonsense"], capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "nonsense" in told.stderr


def test_help_tells_of_every_name() -> None:
    page = pydoc.render_doc(smesec, renderer=pydoc.plaintext)
    for name in set(smesec.__all__) - {"__version__"}:
        assert name in page
    for thing in (getattr(smesec, name) for name in smesec.__all__ if name != "__version__"):
        assert thing.__doc__, thing
        if not isinstance(thing, type) or issubclass(thing, Exception):
            continue
        for name, member in vars(thing).items():
            told = member.__doc__ or f"`{name}`" in thing.__doc__
            assert name.startswith("_") or told, f"{thing.__name__}.{name} has no text"


def test_the_snippets_of_the_readmes_run() -> None:
    folder = pathlib.Path(__file__).resolve().parents[1]
    for page in (folder / "README.md", folder.parent / "README.md"):
        snippets = page.read_text().split("```python\n")[1:]
        assert snippets, page
        for snippet in snippets:
            exec(compile(snippet.split("```")[0], str(page), "exec"), {})


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["--version", "--help", "config example"])
def test_what_could_not_be_written_is_told(command: str) -> None:
    with open("/dev/full", "w") as full:
        args = [sys.executable, "-m", "smesec", *command.split()]
        told = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert told.returncode == 2 and told.stderr.startswith("smesec: standard output: ")
