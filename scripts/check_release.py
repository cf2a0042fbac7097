"""Check that version, date and address of a release agree; print its part of the changelog.

python3 scripts/check_release.py v0.1.0 https://github.com/OWNER/napari-cryoet

Needs Python 3.11, and no packages.
"""

import re
import sys
import tomllib
from pathlib import Path


def problems(root: Path, version: str, address: str) -> list[str]:
    """What keeps a checkout from being released, in words."""
    found = []
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    repository = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    if not repository:
        found.append('pyproject.toml: "repository" is empty. Set it to the repository\'s address.')
    elif repository != address:
        found.append(f'pyproject.toml: "repository" is {repository}, but this is {address}.')

    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", citation, re.MULTILINE))
    if cited.get("version") != version:
        found.append(f"CITATION.cff: the version is {cited.get('version')}, not {version}.")
    date = cited.get("date-released")
    if f"\n## {version} ({date})\n" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        found.append(f"CHANGELOG.md: the heading ## {version} ({date}) of CITATION.cff is missing.")
    return found


def notes(root: Path, version: str) -> str:
    """The changelog's section of a version, without its heading."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    _before, _heading, section = text.partition(f"\n## {version} (")
    body = section.partition("\n")[2]
    return body.partition("\n## ")[0].strip()


def main(tag: str, address: str) -> int:
    """Print the notes, or the problems."""
    root = Path(__file__).resolve().parent.parent
    version = tag.removeprefix("v")
    found = problems(root, version, address)
    if found:
        print(*found, sep="\n", file=sys.stderr)
        return 1
    print(notes(root, version))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
