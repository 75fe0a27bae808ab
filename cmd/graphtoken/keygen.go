package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/graphtoken/graphtoken/crypto"
)

type keygenCommand struct {
	File string `arg:"" help:"The file to make. It must not be there: a key that is lost can't be made again."`
}

func (k *keygenCommand) Run(c *console) error {
	if redact(k.File) != k.File {
		return usageError("keygen takes the name of the file to make, and was given a secret")
	}
	f, err := os.OpenFile(k.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usageError(k.File + " is there already; a key is never overwritten")
	}
	if err != nil {
		return err
	}
	key := crypto.NewKey()
	if _, err := f.WriteString("# graphtoken key " + key.ID() + "\n" + key.Reveal() + "\n"); err != nil {
		return errors.Join(err, f.Close(), os.Remove(k.File))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(k.File))
	}
	c.say("Made key %s in %s. Name it with --key-file, and keep a copy: without it the store can't be read.", key.ID(), k.File)
	return nil
}
