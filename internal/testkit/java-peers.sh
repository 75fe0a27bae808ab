#!/bin/sh
# Copies the Java peers of the tests, as jars:
#
#	internal/testkit/java-peers.sh .cache/java-peers
#
# Does nothing, quickly, when the directory already holds what pom.xml asks for.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: $0 DIRECTORY" >&2
	exit 2
fi
peers=$1
pom=$(dirname "$0")/java/pom.xml
stamp=$peers/.graphtoken-peers

javac -version # a Java without its compiler can't run the tests
if cmp -s "$pom" "$stamp"; then
	exit 0
fi
mkdir -p "$peers"
rm -f "$peers"/*.jar # of another version
output=$(cd "$peers" && pwd)
mvn --quiet --batch-mode --file "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$output"
ls "$peers"/msal4j-*.jar "$peers"/azure-identity-*.jar
# Last, so that a half-made directory is made again.
cp "$pom" "$stamp"
