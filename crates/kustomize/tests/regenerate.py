#!/usr/bin/env python3
"""Writes what the real kustomize prints into the cases beside this file, or compares another renderer with it.

usage: regenerate.py ORACLE                     rewrite the expectations in cases/*.txt
       regenerate.py ORACLE --check BINARY      compare BINARY with the expectations as they stand

A case begins with `@@@ name`. Lines `@ flags: ...` and `@ dir: ...` may follow. `@@ path` begins a file, `@@link path target` is a
symbolic link, `@@> output` and `@@> error` begin what the real kustomize answers. Every case also sees the files of shared.txt.
"""
import pathlib, shutil, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent / "cases"


class Case:
    def __init__(self, name):
        self.name, self.flags, self.dir, self.files, self.links = name, [], ".", {}, {}
        self.kind = self.expected = None
        self.text = []


def parse(path):
    cases, sink = [], None
    for line in path.read_text().splitlines(keepends=True):
        if line.startswith("@@@ "):
            cases.append(Case(line[4:].strip()))
            sink = None
        elif line.startswith("@ flags: "):
            cases[-1].flags = line[9:].split()
        elif line.startswith("@ dir: "):
            cases[-1].dir = line[7:].strip()
        elif line.startswith("@@link "):
            _, name, target = line.split()
            cases[-1].links[name] = target
        elif line.startswith("@@> "):
            cases[-1].kind, sink = line[4:].strip(), "expected"
            cases[-1].expected = ""
            continue
        elif line.startswith("@@ "):
            sink = line[3:].strip()
            cases[-1].files[sink] = ""
        elif sink == "expected":
            cases[-1].expected += line
            continue
        elif sink:
            cases[-1].files[sink] += line
        if cases:
            cases[-1].text.append(line)
    return cases


def run(case, shared, words):
    root = pathlib.Path(tempfile.mkdtemp(prefix="case"))
    try:
        for name, content in {**shared, **case.files}.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content.replace("␍", "\r").replace("␀", "\0").replace("⇥", "\t"), newline="")
        for name, target in case.links.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(target)
        result = subprocess.run(words + case.flags + [str(root / case.dir)], capture_output=True, text=True, timeout=60)
        return ("output", result.stdout) if result.returncode == 0 else ("error", result.stderr)
    finally:
        shutil.rmtree(root)


def main():
    oracle = sys.argv[1]
    shared = {name: content for case in parse(HERE / "shared.txt") for name, content in case.files.items()}
    total = bad = 0
    for path in sorted(HERE.glob("*.txt")):
        if path.name == "shared.txt":
            continue
        cases = parse(path)
        for case in cases:
            total += 1
            if "--check" in sys.argv:
                kind, output = run(case, shared, [sys.argv[3], "build"])
                if kind != case.kind or (kind == "output" and output != case.expected):
                    bad += 1
                    print(f"=== {path.name}: {case.name}: {kind}, want {case.kind}")
                    if kind == case.kind or kind == "output" or "-v" in sys.argv:
                        import difflib
                        sys.stdout.writelines(difflib.unified_diff((case.expected or "").splitlines(True), output.splitlines(True), "upstream", "ours", n=2))
                    else:
                        print(output[:300], "--- upstream:", (case.expected or "")[:600])
            else:
                case.kind, output = run(case, shared, [oracle, "build"])
                # The words of an error are not compared; that there is one is.
                case.expected = output if case.kind == "output" else ""
        if "--check" not in sys.argv:
            text = []
            for case in cases:
                text += case.text
                text.append(f"@@> {case.kind}\n")
                text.append(case.expected)
            path.write_text("".join(text))
    print(f"{total} cases, {bad} differ" if "--check" in sys.argv else f"{total} cases")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
