//go:build unix && !linux

package main

// watchStops says that watch sees a program stop. Here Ctrl-Z stops this process and the
// program, each by itself.
const watchStops = false

func watch(int, chan<- struct{}) {}
