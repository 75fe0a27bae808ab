// Command release makes the commit that a release tags, and proves that
// strangers can use what it publishes:
//
//	release check              compares versions.txt with go.work and the go.mod files
//	release set VERSION        writes VERSION into versions.txt and the go.mod files
//	release make [--tag] VERSION
//	release consumer           uses every published module as a stranger would
//	release binaries [--check] [--only SYSTEM/PROCESSOR] VERSION
//
// scripts/release, scripts/consumer and scripts/binaries call it; docs/releasing.md says when.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "!!! %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: scripts/release [--tag] VERSION | scripts/release --set VERSION | scripts/consumer | scripts/binaries [--check] [--only SYSTEM/PROCESSOR] VERSION")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	root, err := output(ctx, command{}, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	tag := flags.Bool("tag", false, "make the tags in this repository")
	check := flags.Bool("check", false, "make each binary twice, and compare")
	only := flags.String("only", "", "the one target to make a binary for")
	if err := flags.Parse(args[1:]); err != nil {
		return errUsage
	}
	version := flags.Arg(0)
	switch {
	case args[0] == "check" && flags.NArg() == 0:
		_, err := readTable(ctx, root)
		return err
	case args[0] == "set" && flags.NArg() == 1:
		return setVersion(ctx, root, version)
	case args[0] == "make" && flags.NArg() == 1:
		return makeRelease(ctx, root, version, *tag)
	case args[0] == "consumer" && flags.NArg() == 0:
		return consume(ctx, root)
	case args[0] == "binaries" && flags.NArg() == 1:
		return makeBinaries(ctx, root, version, *only, *check)
	}
	return errUsage
}

// A command says where and with what environment a program runs.
type command struct {
	dir string
	env []string // in addition to this process's
}

// output runs a program and returns what it printed, without the last line
// breaks. An error contains everything that the program said.
func output(ctx context.Context, c command, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, stderr.Bytes(), stdout.Bytes())
	}
	return strings.TrimRight(stdout.String(), "\n"), nil
}
