#!/usr/bin/env python3
"""Writes the table of values in the chart's README.md from values.yaml, where the comment above a key says what it is.

With --check it writes nothing, and fails when the table is stale.
"""

import json
import pathlib
import re
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[1] / "charts" / "infra-watch"
MARK = "<!-- From here on by `make chart`, from values.yaml. -->\n"


def comments(text):
    """The comment of each key that has one, by path: ("image", "tag")."""
    found, path, above = {}, [], []
    for line in text.splitlines():
        key = re.match(r"( *)([A-Za-z][\w.-]*):", line)
        if line.strip().startswith("#"):
            above.append(line.strip().lstrip("#").strip())
            continue
        if key:
            path = path[: len(key[1]) // 2] + [key[2]]
            if above:
                found[tuple(path)] = " ".join(above)
        above = []
    return found


def table(text):
    """One row for each key with a comment. What has such keys inside is said by them, and shows no default."""
    values, said = yaml.safe_load(text), comments(text)
    rows = ["| key | default | what |", "|---|---|---|"]
    for path, what in said.items():
        value = values
        for key in path:
            value = value[key]
        is_outer = any(other[: len(path)] == path and other != path for other in said)
        default = "" if is_outer else f"`{json.dumps(value)}`"
        cells = [f"`{'.'.join(path)}`", default, what]
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def main():
    readme = CHART / "README.md"
    old = readme.read_text()
    head, mark, _ = old.partition(MARK)
    if not mark:
        sys.exit(f"{readme} lacks the line {MARK}")
    new = head + mark + "\n" + table((CHART / "values.yaml").read_text())
    if "--check" in sys.argv[1:]:
        if new != old:
            sys.exit(f"{readme} is stale: run make chart and commit it")
    else:
        readme.write_text(new)


if __name__ == "__main__":
    main()
