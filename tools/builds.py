"""Versions of fastfnn, each laid out in a folder as it would be installed, for regress.py and digest.py.

A version is a commit of the repository or a folder with fastfnn/ and kernels/ in it. Its folder is named by a hash of
its files, so that the compiled code in it is used again for as long as the files stay the same.
"""

import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Where builds lie, in a folder that Git ignores.
HOME = ROOT / ".asv/regress"

# Builds that are kept for later runs: 10 to 20 MB each, with their compiled code.
KEPT = 10


class BuildError(Exception):
    """There is no such version, or it is not fastfnn; the message says why."""


@dataclass(frozen=True)
class Build:
    """A version of fastfnn in its folder."""

    title: str
    folder: pathlib.Path

    @property
    def site(self) -> pathlib.Path:
        """The folder to import it from, for PYTHONPATH."""
        return self.folder / "site"

    @property
    def cache(self) -> pathlib.Path:
        """The folder of its compiled code, for NUMBA_CACHE_DIR."""
        return self.folder / "cache"

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of a process that imports this version, with at most this number of threads."""
        path = os.pathsep.join([str(self.site), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(self.cache), "NUMBA_NUM_THREADS": str(threads)}


def check_origin(site: pathlib.Path) -> None:
    """Raise ImportError unless this process imports fastfnn from the folder `site`."""
    import fastfnn

    path = pathlib.Path(fastfnn.__file__).resolve()
    if not path.is_relative_to(site.resolve()):
        raise ImportError(f"fastfnn was imported from {path}, expected from {site.resolve()}")


def build(version: str, home: pathlib.Path = HOME, root: pathlib.Path = ROOT) -> Build:
    """Lay a version out in a folder below `home`, unless it lies there already.

    version  a commit of the repository `root`, or a folder
    """
    files = sources(version, root)
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    folder = home / digest.hexdigest()[:16]
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as unfinished:
            for name, content in files.items():
                path = pathlib.Path(unfinished, "whole/site", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            pathlib.Path(unfinished, "whole/cache").mkdir()
            pathlib.Path(unfinished, "whole").rename(folder)
    os.utime(folder)
    return Build("the working tree" if pathlib.Path(version) == root else version, folder)


def remove_old_builds(home: pathlib.Path = HOME) -> None:
    """Remove all builds but the KEPT ones that were used last."""
    for folder in sorted(home.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(folder)


def sources(version: str, root: pathlib.Path) -> dict[str, bytes]:
    """The files of a version, by their paths in an installation."""
    folder = pathlib.Path(version)
    is_folder = (folder / "fastfnn").is_dir() and (folder / "kernels").is_dir()
    found = dict(_installed(_files(folder) if is_folder else _committed(version, root)))
    for name in ("fastfnn/__init__.py", "fastfnn/kernels/__init__.py"):
        if name not in found:
            missing = name.replace("fastfnn/kernels", "kernels")
            raise BuildError(f"{version} has no {missing}, expected all of fastfnn")
    return found


def _files(folder: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    for top in ("fastfnn", "kernels"):
        for path in (folder / top).rglob("*"):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def _committed(revision: str, root: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)

    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").stdout.decode()
    if not commit:
        raise BuildError(f"the version is {revision!r}, expected a commit or a folder with fastfnn/ and kernels/ in it")
    done = git("archive", commit.strip(), "fastfnn", "kernels")
    if done.returncode:
        raise BuildError(f"{revision} cannot be exported: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content
                yield member.name, content.read()


def _installed(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Rename kernels/ to fastfnn/kernels/, and leave out what Python or an editor keeps beside the sources."""
    for name, content in files:
        parts = name.split("/")
        if "__pycache__" in parts or any(part.startswith(".") for part in parts):
            continue
        # In a checkout fastfnn/kernels is a symlink to kernels/. Where Git cannot make links it is a file, and some
        # ways of copying turn it into a second copy of the folder. The files come from kernels/ in every case.
        if parts[:2] != ["fastfnn", "kernels"]:
            yield ("fastfnn/" if parts[0] == "kernels" else "") + name, content
