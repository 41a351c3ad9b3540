"""docs/metrics.md and docs/logs.md name what backend and agent really say, all of it and nothing else."""

import re

from conftest import ROOT, wait_until

METRICS = (ROOT / "docs/metrics.md").read_text()
# A family's line: name, and its labels in the third or fourth column.
FAMILIES = re.findall(r"^\| `(infra_watch_\w+)` \|(.*)$", METRICS, re.MULTILINE)


def sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder / "src").rglob("*.rs")):
            if "tests" not in path.stem and "tests" not in path.parts:
                # Without what a module tests itself with.
                yield re.split(r"^#\[cfg\(test\)\]\nmod ", path.read_text(), maxsplit=1, flags=re.MULTILINE)[0]


def test_what_is_exposed_is_documented(start_backend, start_agent):
    backend = start_backend().login()
    start_agent(backend.url)
    backend.wait_for_host()
    text = wait_until("the first evaluation", lambda: has_evaluated(backend))
    documented = dict(FAMILIES)
    exposed = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert len(exposed) > 25
    for family, kind in exposed.items():
        assert family in documented, f"{family} is not documented"
        if not family.startswith("infra_watch_host_"):
            assert documented[family].split("|")[0].strip() == kind, family
    for series, labels in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.MULTILINE):
        family = series if series in exposed else re.sub(r"_(bucket|sum|count)$", "", series)
        if family.startswith("infra_watch_host_"):
            continue
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            if label == "le":
                continue
            assert f"`{label}`" in documented[family], f"{family}: {label}"
            # Bounded sets are written out.
            if label in {"outcome", "state", "tier", "figure", "transition", "kind"}:
                assert f"`{value}`" in documented[family], f"{family}: {label}={value}"


def has_evaluated(backend):
    _, _, text = backend.call("/metrics")
    return text if 'figure="lag_seconds"' in text else None


def test_what_is_documented_exists():
    code = "\n".join(sources("backend"))
    registered = set(re.findall(r'"(infra_watch_\w+)",', code))
    assert len(registered) > 20
    catalog = (ROOT / "backend/src/domain/metric.rs").read_text().split("#[cfg(test)]")[0]
    measured = {f"infra_watch_host_{name}" for name in re.findall(r'metric\(\s*"(\w+)"', catalog)}
    documented = [name for name, _ in FAMILIES]
    assert len(documented) == len(set(documented))
    assert set(documented) == {name for name in registered if name != "infra_watch_refresh"} | measured


def messages(code):
    """Level and message of each event: the last literal of its macro, with … for what is put in."""
    for found in re.finditer(r"\b(?:tracing::)?(info|warn|error)!\(", code):
        literals = re.findall(r'"((?:[^"\\]|\\.)*)"', body(code, found.end()))
        assert literals, code[found.start():found.end() + 200]
        yield found.group(1), literals[-1]
    # The two places where the message is an argument.
    if "warn_failure(" in code:
        for literal in re.findall(r'(?:warn_failure\(\s*|let message = )"([^"]+)"', code):
            yield "warn", literal
    for literal in re.findall(r'=> \("\w+", "(alert [^"]+)"\)', code):
        yield "info", literal


def body(code, start):
    """What stands in the parentheses that are open at start."""
    depth, at, in_text = 1, start, False
    while depth:
        character = code[at]
        if in_text:
            at += character == "\\"
            in_text = character != '"'
        elif character == '"':
            in_text = True
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
        at += 1
    return code[start:at - 1]


def events(*folders):
    found = {event for code in sources(*folders) for event in messages(code)}
    return {(level, message) for level, message in found if message != "{message}"}


def as_pattern(message):
    """{what} and {AGENT_VERSION} stand for anything."""
    return re.sub(r"\\\{\w+\\\}", ".+", re.escape(message))


def test_every_log_line_is_documented():
    text = (ROOT / "docs/logs.md").read_text()
    lines = [(level, message.removesuffix(" ¹")) for level, message in
             re.findall(r"^\| (info|warn|error) \| ([^|]+?) \|", text, re.MULTILINE)]
    said = events("backend", "agent")
    assert len(said) > 90
    missing = [event for event in sorted(said)
               if not any(level == event[0] and re.fullmatch(as_pattern(event[1]), message)
                          for level, message in lines)]
    assert not missing, "\n".join(map(str, missing))
    unknown = [line for line in lines
               if not any(event[0] == line[0] and re.fullmatch(as_pattern(event[1]), line[1]) for event in said)]
    assert not unknown, "\n".join(map(str, unknown))
