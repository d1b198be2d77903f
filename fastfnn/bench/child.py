"""A child process that answers requests: lines of JSON through its standard input and output.

`Child` is the parent's end of the pipes and `serve` the child's. runner.py and worker.py use them, and so do the tools
of a checkout, whose children hold other versions of fastfnn. They load this file by its path (tools/child.py), so it
must import nothing but Python's standard library.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

# Lines of the child's standard error that are quoted if it ends before it has answered.
LAST_LINES = 3


class ChildEnded(Exception):
    """The child ended before it answered; the message says how."""


class Child:
    """A Python process and the pipes to it. Close it after use.

    title      what messages call it
    arguments  of the Python interpreter: what to run
    variables  environment variables to set, beside those of this process
    folder     the child's working directory; default: that of this process
    """

    def __init__(
        self,
        title: str,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.title = title
        self.errors: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed by close)
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer; ChildEnded if the child has ended."""
        assert self.process.stdin and self.process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        if not line:
            raise ChildEnded(f"{self.title} ended with {self.process.wait()}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return " / ".join(lines[-LAST_LINES:]) or "nothing on standard error"


def serve(prepare: Callable[[], Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
    """Answer each line of standard input with a line on standard output, until the input ends.

    `prepare` is called first and returns the function that answers a request. From then on whatever else the process
    prints, libraries included, goes to standard error, so that it cannot be mistaken for an answer.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        answer = prepare()
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
