#!/bin/sh
# Installs the Node peers of the tests:
#
#	internal/testkit/node-peers.sh .cache/node-peers
#
# Does nothing, quickly, when the directory already holds what package-lock.json asks for.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: $0 DIRECTORY" >&2
	exit 2
fi
peers=$1
packages=$(dirname "$0")/node
stamp=$peers/.graphtoken-peers

node -e 'if (parseInt(process.versions.node) < 20) { console.error("MSAL Node needs Node 20 or later, this is " + process.version); process.exit(1) }'
if cmp -s "$packages/package-lock.json" "$stamp"; then
	exit 0
fi
mkdir -p "$peers"
cp "$packages/package.json" "$packages/package-lock.json" "$peers"
(cd "$peers" && npm ci --ignore-scripts --no-audit --no-fund)
NODE_PATH=$peers/node_modules node -e 'require("@azure/msal-node"); require("@azure/identity")'
# Last, so that a half-made directory is made again.
cp "$packages/package-lock.json" "$stamp"
