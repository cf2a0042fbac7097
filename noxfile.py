#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.10.14"]
# ///
"""Tests, style, docs and the demo on any system, also on Windows.

uv run noxfile.py -s test-3.13
"""

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"


def install(session: nox.Session, group: str) -> None:
    """Install the package, napari and a dependency group, with the tested versions."""
    arguments = ["--constraint", "constraints.txt", "--group", group, "--editable", ".[all]"]
    session.install(*arguments)


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def test(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    install(session, "test")
    session.run("pytest", "-n", "logical", "--dist", "loadfile", *session.posargs)


@nox.session
def style(session: nox.Session) -> None:
    """Check style, types and import contracts."""
    install(session, "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Open the demo; arguments after -- go to napari-cryoet demo."""
    install(session, "test")
    session.run("napari-cryoet", "demo", *session.posargs)


if __name__ == "__main__":
    nox.main()
