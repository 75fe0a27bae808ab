#!/bin/sh
# Makes a virtual environment with the Python peers of the tests:
#
#	internal/testkit/python-peers.sh .cache/venv
#
# Does nothing, quickly, when the environment already holds what requirements.txt asks for.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: $0 DIRECTORY" >&2
	exit 2
fi
venv=$1
requirements=$(dirname "$0")/requirements.txt
stamp=$venv/.graphtoken-peers

if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$stamp"; then
	exit 0
fi
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
"$venv/bin/python" -c 'import msal, O365, cryptography, azure.identity, msgraph_core'
# Last, so that a half-made environment is made again.
cp "$requirements" "$stamp"
