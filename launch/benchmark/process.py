"""Running programs."""

import subprocess


class CommandError(Exception):
    """A program that ended with an error; as text, all that it said."""

    def __init__(self, command: list[str], status: int, output: str):
        super().__init__(f"{output.rstrip()}\nstatus {status} of: {' '.join(command)}")
        self.reason = (output.strip() or f"status {status}").splitlines()[-1]


def run(command: list[str]) -> str:
    """The command's output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stdout + done.stderr)
    return done.stdout
