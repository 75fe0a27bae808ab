package main

import (
	"errors"
	"io/fs"

	"github.com/graphtoken/graphtoken/crypto"
)

type keygenCommand struct {
	File string `arg:"" help:"The file to make. It must not be there: a key that is lost can't be made again."`
}

func (k *keygenCommand) Run(c *console) error {
	if redact(k.File) != k.File {
		return usageError("keygen takes the name of the file to make, and was given a secret")
	}
	key, err := crypto.CreateKeyFile(k.File)
	if errors.Is(err, fs.ErrExist) {
		return usageError(k.File + " is there already, and a key is never overwritten: name another file")
	}
	if err != nil {
		return usageError(err.Error() + ": name a file in a directory of your own")
	}
	c.say("Made key %s in %s. Name it with --key-file, and keep a copy: without it the store can't be read.", key.ID(), k.File)
	return nil
}
