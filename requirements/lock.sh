#!/usr/bin/env bash
# Write the hashed locks, three for each Python minor version: what runs tusi, what tests it, and everything.
# `make lock` calls this; `UPGRADE=1 make lock` moves to the newest versions. The smaller locks are constrained by the
# largest, so that the same versions run everywhere. Addresses of indexes and paths are left out on purpose.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    local minor=$1 output=$2
    shift 2
    uv pip compile pyproject.toml --quiet --universal --fork-strategy fewest --python-version "3.$minor" \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --group build \
        "$@" --output-file "$output"
}

for minor in ${MINORS:-11 12 13 14}; do
    all=requirements/py3$minor-all.txt
    compile "$minor" "$all" --group test --group lint --group docs ${UPGRADE:+--upgrade}
    compile "$minor" "requirements/py3$minor-test.txt" --group test --constraint "$all"
    compile "$minor" "requirements/py3$minor.txt" --constraint "$all"
done
