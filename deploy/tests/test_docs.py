"""README and docs: links lead somewhere, command lines are ones that exist, and every setting is named."""

import functools
import os
import re
import shlex
import subprocess

import pytest

from conftest import ROOT, binary

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```[^`\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(`+)(.+?)\1", re.DOTALL)


def names(path):
    return str(path.relative_to(ROOT))


@functools.cache
def prose(path):
    """A document without its code."""
    return INLINE.sub("`…`", FENCE.sub("", path.read_text()))


@functools.cache
def anchors(path):
    """The anchors of a document's headings, as they are made on GitHub."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(path):
    """Lines of blocks, continued ones joined, and what stands in backquotes."""
    text = path.read_text()
    for block in FENCE.findall(text):
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    for _, code in INLINE.findall(FENCE.sub("", text)):
        yield " ".join(code.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(path), f"{target}: no such heading"


@functools.cache
def help_of(*command):
    return subprocess.run([binary(command[0]), *command[1:], "--help"], capture_output=True, text=True, check=True).stdout


def subcommands(text):
    """The names under Commands: of a help text."""
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
    return re.findall(r"^  ([a-z-]+)", listed.group(1), re.MULTILINE) if listed else []


def words_of(line):
    line = re.sub(r"[…]", "", line)
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def commands(line):
    """Each call of our binaries in a line, as words."""
    words = words_of(line)
    if words and words[0] in ("kubectl", "helm"):
        # To these it is a name, unless it is run in a pod.
        words = words[words.index("--") + 1:] if "--" in words else []
    for word in words:
        # The forced command of a key.
        if re.search(r'[= ]infra-watch(-agent)? ', word):
            yield from commands(word.partition("command=")[2] or word)
    for at, word in enumerate(words):
        program = os.path.basename(word)
        if program in ("infra-watch", "infra-watch-agent") and at + 1 < len(words):
            call = [program]
            for word in words[at + 1:]:
                if word in ("|", "&&", "||", ";", ">", "&"):
                    break
                call.append(word)
            # Elsewhere it is a user, a service or a host.
            if re.fullmatch(r"[a-z][a-z|-]*", call[1]) and call[1] not in ("infra-watch", "infra-watch-agent"):
                yield call


def check(call):
    """Nothing, or what is wrong with a call."""
    command, words = [call[0]], call[1:]
    while words and subcommands(help_of(*command)):
        known = subcommands(help_of(*command))
        if words[0].startswith("-"):
            break
        if words[0] not in known:
            return f"{' '.join(command)} has no {words[0]}"
        command.append(words.pop(0))
    known = set(re.findall(r"--[a-z][a-z-]*", help_of(*command))) | {"--help", "--version"}
    for word in words:
        flag = re.match(r"\[?(--[a-z][a-z-]*)", word)
        if flag and flag.group(1) not in known:
            return f"{' '.join(command)} has no {flag.group(1)}"
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_command_lines_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for line in command_lines(document):
        for call in commands(line):
            problem = check(call)
            if problem:
                wrong.append(f"{problem}: {line}")
        made = re.match(r"\s*make ([a-z-]+)", line)
        if made and made.group(1) not in targets:
            wrong.append(f"make has no {made.group(1)}: {line}")
    assert not wrong, "\n".join(wrong)


def test_the_readme_names_every_setting():
    readme = (ROOT / "README.md").read_text()
    # `--a-password[-file]` is two, and after `--retention-raw` comes `-hour`.
    readme = re.sub(r"(--[a-z-]+)\[(-[a-z]+)\]", r"\1 \1\2", readme)
    named = set(re.findall(r"--[a-z][a-z-]*", readme))
    for first, rest in re.findall(r"`(--[a-z]+)-[a-z-]+`((?:,(?: and)? `-[a-z][a-z-]*`)+)", readme):
        named |= {first + short for short in re.findall(r"`(-[a-z][a-z-]*)`", rest)}
    for command in (("infra-watch", "serve"), ("infra-watch-agent", "run")):
        known = set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]*)", help_of(*command), re.MULTILINE)) - {"--help"}
        assert len(known) > 15
        missing = known - named
        assert not missing, f"{' '.join(command)}: README.md says nothing of {sorted(missing)}"
