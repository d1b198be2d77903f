"""What the tests of the programs share: the modules of tools/, and the commands, folders and repositories they need."""

import importlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"


def tool(name):
    """The module of that name in tools/, imported as the programs there import each other; None without tools/."""
    if not TOOLS.is_dir():
        return None
    if str(TOOLS) not in sys.path:
        sys.path.insert(0, str(TOOLS))
    return importlib.import_module(name)


def run(*command, cwd, environment=None, timeout=300):
    """What a command prints; an AssertionError with all its output if it fails. `timeout` is in seconds."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment_without(*prefixes, **variables):
    """The environment of this process without the variables that begin with one of the prefixes, and with others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | variables


def git(folder, *arguments):
    """Run git in a folder, with an identity and without the user's configuration; what it prints."""
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    environment = environment_without("GIT_", GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    return run("git", *identity, *arguments, cwd=folder, environment=environment).strip()


def write(folder, files):
    """Write text files below a folder, given by their paths; returns the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def checkout(folder, package="def work(count):\n    return count"):
    """A folder that looks like a checkout; fastfnn/__init__.py has the text `package`."""
    return write(folder, {"fastfnn/__init__.py": package, "kernels/__init__.py": ""})
