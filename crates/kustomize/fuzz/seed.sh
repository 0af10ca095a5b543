#!/bin/sh
# Fills fuzz/corpus with what the tests already have: the texts of the YAML tables, and the files of the cases.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for target in yaml kustomization patches replacements; do
	mkdir -p "$here/corpus/$target"
done
python3 - "$here" <<'PYTHON'
import base64, hashlib, json, pathlib, sys

here = pathlib.Path(sys.argv[1])


def seed(target, content):
    (here / "corpus" / target / hashlib.sha1(content).hexdigest()).write_bytes(content)


for table in ("scalars", "documents"):
    for entry in json.loads((here.parent / "src/yaml/tables" / f"{table}.json").read_text()):
        content = base64.b64decode(entry["base64"]) if "base64" in entry else entry.get("text", "").encode()
        seed("yaml", b"v: " + content if table == "scalars" else content)
# A case is a run of files, each behind a line `@@ PATH`; what begins with `@@>` is an expectation.
for path in sorted((here.parent / "tests/cases").glob("*.txt")):
    for section in path.read_text().split("\n@@ ")[1:]:
        name, _, content = section.partition("\n")
        content = content.split("\n@@")[0].encode() + b"\n"
        seed("yaml", content)
        if "kustomization" in name.lower():
            seed("kustomization", content)
        elif b"source" in content and b"targets" in content or b"apiVersion: builtin" in content or b"fieldSpecs" in content:
            seed("replacements", content)
        else:
            seed("patches", content)
PYTHON
