# Sourced by scripts/quickstart and scripts/test: makes .venv and installs what pyproject.toml and
# constraints.txt ask for. Does nothing when that was done before at this state of both files.

needed_mib=2000     # of the core
needed_dev_mib=4000 # of [dev], which has PyTorch

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [[ -n $candidate ]] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer was not found." \
        "On Debian or Ubuntu: sudo apt-get install python3 python3-venv" \
        "Elsewhere, or where that is older than 3.11: install it and name it, as in PYTHON=python3.12 $0"
}

check_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null || fail \
        "$1 comes without the modules that make virtual environments." \
        "On Debian or Ubuntu: sudo apt-get install python3-venv" \
        "(for a Python beside the system's own, such as python3.12: sudo apt-get install python3.12-venv)"
}

check_disk() { # core | dev
    local free_mib needed_mib=$needed_mib
    [[ $1 == core ]] || needed_mib=$needed_dev_mib
    free_mib=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
    ((free_mib >= needed_mib)) || fail \
        "$free_mib MiB are free in $PWD; the environment and the report need $needed_mib MiB."
}

state() { # the folder belongs to it: a virtual environment does not survive being moved
    .venv/bin/python - "$PWD" "$1" <<'PYTHON'
import hashlib, pathlib, platform, sys

parts = [*sys.argv[1:], platform.python_version()]
parts += [pathlib.Path(name).read_text() for name in ("pyproject.toml", "constraints.txt")]
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
PYTHON
}

installed() { # NAME: whether .venv holds that set of packages at this state
    [[ -f .venv/installed-$1 ]] && [[ $(cat ".venv/installed-$1") == "$(state "$1")" ]]
}

ensure_environment() { # core | dev; dev holds everything of core
    local set=$1 target=. python
    if .venv/bin/python -c '' 2>/dev/null && { installed "$set" || installed dev; }; then
        return
    fi
    python=$(find_python)
    check_venv_module "$python"
    check_disk "$set"
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "== making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    [[ $set == core ]] || target=".[$set]"
    echo "== installing into .venv (a minute or two, the first time only)"
    .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e "$target" ||
        fail "pip could not install the packages; its message stands above." \
            "It needs the network, or a package index that pip's own configuration names."
    state "$set" >".venv/installed-$set"
}
