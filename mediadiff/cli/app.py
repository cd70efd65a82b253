"""What all commands share: the application, exit codes, and how results are said."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mediadiff.errors import MediadiffError, ModelError, RecipeError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on each line, for programs.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code.

    0 for success, 1 for a mistake in how it was called, 2 when some or all of it failed, 3 when a proof found that
    something differs.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    code: object = None
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that are no text.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=[word for word in given if word != "--debug"], prog_name="mediadiff", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:
            print("mediadiff: stopped", file=sys.stderr)
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        mistake: Any = error
        mistake.show()
        return 1
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has had enough of it; typer then exits. Python flushes stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code if isinstance(code, int) else 0
    except MediadiffError as error:
        if debug:
            raise
        return _fail(str(error), 1 if isinstance(error, UsageError | RecipeError | ModelError) else 2, given)
    except Exception as error:
        if debug:
            raise
        text = (
            f"{type(error).__name__}: {error}\nThis is a fault of mediadiff; the same command with --debug shows where."
        )
        return _fail(text, 2, given)


def _fail(text: str, code: int, given: Sequence[str]) -> int:
    if "--json" in given:
        from mediadiff.console import write_json

        write_json({"event": "error", "text": text, "exit_code": code})
    print(f"mediadiff: {text}", file=sys.stderr)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        from mediadiff import __version__

        print(f"mediadiff {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 all done, 1 a mistake in the command or the recipe, 2 some of it failed, 3 something differs "
    "(verify, replay), 130 stopped by Ctrl-C."
)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error came from.")] = False,
) -> None:
    """Short clips of sound, of picture and of both, from a model trained on a folder of your own media."""


def say(json: bool, value: Any, lines: Sequence[str] = (), fault: str = "") -> None:
    """A result: one JSON value, or lines for people; `fault` goes to where errors go."""
    if json:
        from mediadiff.console import write_json

        write_json(value)
        return
    for line in lines:
        print(line)
    if fault:
        print(fault, file=sys.stderr)
