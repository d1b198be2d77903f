"""Run a Python program on an emulated 64-bit ARM processor, with fastfnn from this checkout:

    make test-aarch64
    python tools/aarch64.py [PROGRAM | -m MODULE] [ARGUMENT ...]
    python tools/aarch64.py -m pytest tests/kernels/workers

Without a program it runs aarch64_smoke.py twice: the second process must load what the first has compiled. The emulator
is QEMU. What runs in it, a root of Debian and the packages for it, is installed once into the folder that
FASTFNN_AARCH64 names, by default the user's cache; compiled kernels are kept there, too. A program gets the extras and
pytest as well.

The emulated processor computes what a real one does, 10 to 20 times as slowly. It does not show what depends on how a
real one orders accesses to memory: an x86-64 processor orders them more strictly than an ARM one may.

The exit status is the program's. A machine that cannot emulate, since it is no Linux or does not let this program
install QEMU, is no failure: a line that begins with SKIPPED says why. A 64-bit ARM machine runs the program itself.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMOKE = ROOT / "tools/aarch64_smoke.py"
LONGEST = 1800  # seconds for the smoke run: threads that wait for each other for ever shall not stop the checks

# The release of Debian whose files are the root, and its Python.
RELEASE, PYTHON = "trixie", "3.13"
DEBIAN_PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libgomp1")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")

# A processor without SVE: with it, the BLAS inside NumPy computes wrong products under emulation.
PROCESSOR = "neoverse-n1"

# What tests import beside the extras.
EXTRAS = ("sklearn", "tables")
TOOLS = ("pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "mpmath>=1.3", "threadpoolctl>=3.2")


class CannotEmulate(Exception):
    """This machine cannot emulate another processor; the message says why."""


def home() -> pathlib.Path:
    """The folder of everything that is installed."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("FASTFNN_AARCH64") or pathlib.Path(cache, "fastfnn-aarch64")).absolute()


def run(*command: str | pathlib.Path) -> None:
    """Run a command that installs something; raise CannotEmulate, with the end of what it says, if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or ["no output"]
        raise CannotEmulate(f"{command[0]} failed with exit status {done.returncode}: {last[0]}")


def command_of(*names: str) -> str | None:
    """The path of the first of these commands that exists."""
    return next((path for name in names if (path := shutil.which(name))), None)


def emulator() -> str:
    """The command that emulates the processor, installed if it is missing."""
    if sys.platform != "linux":
        raise CannotEmulate(f"QEMU emulates programs on Linux only, and this is {platform.system()}")
    names = ("qemu-aarch64-static", "qemu-aarch64")
    if not command_of(*names):
        install("qemu-user-static")
    if not (found := command_of(*names)):
        raise CannotEmulate(f"there is no {names[0]}")
    return found


def install(*packages: str) -> None:
    """Install packages of Debian on this machine."""
    if os.geteuid() or not shutil.which("apt-get"):
        raise CannotEmulate(f"{', '.join(packages)} is missing, and only root can install it, with apt-get")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


@contextlib.contextmanager
def filled_once(folder: pathlib.Path) -> Iterator[pathlib.Path | None]:
    """A new folder to fill, which becomes `folder` if nothing fails; None if that exists."""
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as temporary:
        new = pathlib.Path(temporary, "new")
        new.mkdir()
        yield new
        with contextlib.suppress(OSError):  # another process was first
            new.rename(folder)


def make_root(folder: pathlib.Path) -> None:
    """Put Debian's Python for the processor, and the libraries that it needs, into a folder, unless they are there."""
    with filled_once(folder) as new:
        if new is None:
            return
        if not shutil.which("debootstrap"):
            install("debootstrap")
        options = ("--arch=arm64", "--foreign", "--variant=minbase", f"--include={','.join(DEBIAN_PACKAGES)}")
        run("debootstrap", *options, RELEASE, new)
        archives = new / "var/cache/apt/archives"
        for package in sorted(archives.glob("*.deb")):
            run("dpkg-deb", "-x", package, new)
        shutil.rmtree(archives)


def make_site(folder: pathlib.Path, needed: Sequence[str], command: pathlib.Path) -> None:
    """Install packages for the processor into a folder, unless they are there."""
    with filled_once(folder) as new:
        if new is None:
            return
        platforms = [option for name in PLATFORMS for option in ("--platform", name)]
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
        run(*pip, "--only-binary=:all:", "--python-version", PYTHON, *platforms, "--target", new, *needed)
        # Python starts further processes, which this machine runs through the emulator only.
        (new / "sitecustomize.py").write_text(
            f"import sys\n\nsys.executable = sys._base_executable = {str(command)!r}\n"
        )


def requirements(with_tools: bool) -> list[str]:
    """What fastfnn needs; with the extras and the tools that tests need, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = list(project["dependencies"])
    if with_tools:
        needed += [each for name in EXTRAS for each in project["optional-dependencies"][name]] + list(TOOLS)
    return [each for each in needed if not each.startswith("fastfnn")]


def interpreter(with_tools: bool) -> pathlib.Path:
    """A command that is Python on the emulated processor, made if it does not exist."""
    folder, qemu, needed = home(), emulator(), requirements(with_tools)
    name = hashlib.sha256("\n".join(needed).encode()).hexdigest()[:8]
    root, site, command = folder / f"{RELEASE}-root", folder / f"site-{name}", folder / f"python-{name}"
    make_root(root)
    make_site(site, needed, command)
    lines = (
        "#!/bin/sh",
        "unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE LD_LIBRARY_PATH",  # they describe this machine
        f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{site}" PYTHONPYCACHEPREFIX="{folder}/pycache"',
        f'export NUMBA_CACHE_DIR="${{NUMBA_CACHE_DIR:-{folder}/kernels}}"',
        f'exec "{qemu}" -cpu {PROCESSOR} -L "{root}" "{root}/usr/bin/python{PYTHON}" "$@"',
    )
    command.write_text("\n".join(lines) + "\n")
    command.chmod(0o755)
    return command


def main(arguments: list[str]) -> int:
    """Run the program that the arguments name, or the smoke run; returns the exit status."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        python = pathlib.Path(sys.executable)
    else:
        try:
            python = interpreter(with_tools=bool(arguments))
        except CannotEmulate as reason:
            print(f"SKIPPED: nothing was tested on 64-bit ARM: {reason}", file=sys.stderr)
            return 0
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    if arguments:
        return subprocess.run([python, *arguments], env=environment).returncode
    with tempfile.TemporaryDirectory() as folder:
        for _ in ("compile", "load"):
            status = subprocess.run([python, SMOKE, folder], env=environment, timeout=LONGEST).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
