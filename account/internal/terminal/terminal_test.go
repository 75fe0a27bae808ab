package terminal_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/graphtoken/graphtoken/account/internal/terminal"
)

func silent(bool) error { return nil }

func TestALineEndsAtItsLineEndOrWithTheInput(t *testing.T) {
	long := "https://localhost/?code=" + strings.Repeat("x", 6000)
	for what, row := range map[string]struct {
		in, want string
		err      error
	}{
		"ends with a line feed":                {in: "address\nrest", want: "address"},
		"ends with a carriage return":          {in: "address\rrest", want: "address"},
		"ends with the input":                  {in: "address", want: "address"},
		"comes after empty and blank ones":     {in: "\n  \r\n\taddress\n", want: "\taddress"},
		"may be long":                          {in: long + "\n", want: long},
		"keeps characters that terminals obey": {in: "a\x04\x15\x7fb\n", want: "a\x04\x15\x7fb"},
		"is missing where the input ends":      {in: "\n \n", err: io.ErrUnexpectedEOF},
		"is missing in no input":               {in: "", err: io.ErrUnexpectedEOF},
	} {
		for how, in := range map[string]io.Reader{
			"at once": strings.NewReader(row.in), "slowly": iotest.OneByteReader(strings.NewReader(row.in)), "with its end": iotest.DataErrReader(strings.NewReader(row.in)),
		} {
			got, err := terminal.ReadLine(t.Context(), in, silent)
			if got != row.want || !errors.Is(err, row.err) {
				t.Errorf("a line that %s, %s: %d bytes %.40q and the error %v", what, how, len(got), got, err)
			}
		}
	}
}

func TestABlankLineWithoutASuccessorIsAnError(t *testing.T) {
	in, theirs := io.Pipe()
	defer func() { _ = theirs.Close() }()
	_, err := terminal.ReadLine(t.Context(), in, func(bool) error {
		go func() { _, _ = io.WriteString(theirs, " \r\n\n") }()
		return nil
	})
	if !errors.Is(err, terminal.ErrBlank) {
		t.Errorf("the error is %v", err)
	}
}

func TestTheBytesAfterTheLineAreNotRead(t *testing.T) {
	in := strings.NewReader("address\nthe next question's answer\n")
	if _, err := terminal.ReadLine(t.Context(), in, silent); err != nil {
		t.Fatal(err)
	}
	if left, err := io.ReadAll(in); err != nil || string(left) != "the next question's answer\n" {
		t.Errorf("left is %q: %v", left, err)
	}
}

func TestAnErrorOfTheReaderIsReturned(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", "half an addr"} {
		in := io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken))
		if line, err := terminal.ReadLine(t.Context(), in, silent); !errors.Is(err, broken) || line != "" {
			t.Errorf("after %q: the line %q, and the error %v", before, line, err)
		}
	}
	if _, err := terminal.ReadLine(t.Context(), strings.NewReader("x\n"), func(bool) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("what could not be asked: the error is %v", err)
	}
}

func TestAReadEndsWithItsContext(t *testing.T) {
	in, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = in.Close(), theirs.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = terminal.ReadLine(ctx, in, func(hidden bool) error {
		if hidden {
			t.Error("a pipe is taken for a terminal")
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
