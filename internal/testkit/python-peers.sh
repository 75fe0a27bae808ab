#!/bin/sh
# Makes a virtual environment with the Python peers of the tests:
#
#	internal/testkit/python-peers.sh .cache/venv
#
# In the environment, the directory before-2.1 has python-o365 2.0, for PYTHONPATH.
#
# Does nothing, quickly, when the environment already holds what requirements.txt and
# requirements-before-2.1.txt ask for.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: $0 DIRECTORY" >&2
	exit 2
fi
venv=$1
requirements=$(dirname "$0")/requirements.txt
stamp=$venv/.graphtoken-peers

if ! [ -x "$venv/bin/python" ] || ! cmp -s "$requirements" "$stamp"; then
	"${PYTHON:-python3}" -m venv "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
	"$venv/bin/python" -c 'import msal, O365, cryptography, azure.identity, msgraph_core'
	# Last, so that a half-made environment is made again.
	cp "$requirements" "$stamp"
fi

requirements=$(dirname "$0")/requirements-before-2.1.txt
before=$venv/before-2.1
stamp=$before/.graphtoken-peers
if ! cmp -s "$requirements" "$stamp"; then
	rm -rf "$before"
	# What else python-o365 2.0 needs, 2.1 has brought.
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$before" -r "$requirements"
	PYTHONPATH=$before "$venv/bin/python" -c 'from O365.utils.token import Token'
	cp "$requirements" "$stamp"
fi
