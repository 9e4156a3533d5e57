#!/bin/sh
# Installs or upgrades Tarmac out of an unpacked offline bundle; asks nothing of any network.
#   ./install.sh [PREFIX]          PREFIX: where to, /opt/tarmac
# As root on a machine with systemd it also puts the unit and, where there is none, /etc/tarmac/tarmac.toml in place.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=${1:-/opt/tarmac}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; name one: PYTHON=/path/to/python3 ./install.sh" >&2
    exit 1
}
[ -x "$prefix/bin/python" ] || "$python" -m venv "$prefix"
"$prefix/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" \
    --require-hashes -r "$here/requirements.lock"
"$prefix/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$here"/wheels/tarmac-*.whl
mkdir -p "$prefix/share"
cp -r "$here/README.md" "$here/CHANGELOG.md" "$here/LICENSE" "$here/deploy" "$prefix/share/"
echo "$("$prefix/bin/tarmac" version) is in $prefix"

if [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ] && [ "$prefix" = /opt/tarmac ]; then
    install -m 644 "$here/systemd/tarmac.service" /etc/systemd/system/tarmac.service
    [ -e /etc/tarmac/tarmac.toml ] || install -D -m 640 "$here/tarmac.toml" /etc/tarmac/tarmac.toml
    systemctl daemon-reload
    echo "Edit /etc/tarmac/tarmac.toml, then: systemctl enable --now tarmac"
fi
