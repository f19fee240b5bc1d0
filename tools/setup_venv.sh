#!/bin/sh
# Makes a virtual environment with skep's dependencies and tools: setup_venv.sh PYTHON VENV
set -eu
python=$1 venv=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "skep needs Python 3.11 or later; $python is older" >&2; exit 1; }
if ! [ -x "$venv/bin/pip" ]; then
    echo "skep: making $venv"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" 2>/dev/null; then
        rm -rf "$venv"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -q >/dev/null && apt-get install -y -q python3-venv >/dev/null
            "$python" -m venv "$venv"
        else
            echo "skep: $python has no venv module; on Debian: apt install python3-venv" >&2
            exit 1
        fi
    fi
fi
echo "skep: installing dependencies and tools"
"$venv/bin/python" -m pip install -q --disable-pip-version-check -r /dev/stdin <<EOF
$("$venv/bin/python" - <<'PY'
import tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
names = project["build-system"]["requires"] + project["project"]["dependencies"]
names += project["project"]["optional-dependencies"]["dev"]
print("\n".join(names))
PY
)
EOF
