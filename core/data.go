package core

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// Data is the stored bytes of a record. The bytes may be tokens in the clear. So Data
// prints its length and nothing else: with package fmt, with log/slog, and with every
// encoding that asks a value for its text. A conversion to []byte or string gives the
// bytes. A backend needs that conversion if its SDK takes any value, because the SDK
// would ask the value for its text, too.
//
// A program that reads memory by reflection, and doesn't ask a type for a method, still
// finds the bytes. Package fmt does so for struct fields that aren't exported: such a
// struct needs a Format method of its own.
type Data []byte

// String returns the length of the data in words.
func (d Data) String() string { return "[record, " + strconv.Itoa(len(d)) + " bytes]" }

// Format prints String, whatever the verb.
func (d Data) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue returns String.
func (d Data) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText returns String; encoding/json and encoding/xml call it.
func (d Data) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Equal reports whether both are the same bytes. Without this method package go-cmp would
// print the difference.
func (d Data) Equal(o Data) bool { return bytes.Equal(d, o) }

// GobEncode returns String.
func (d Data) GobEncode() ([]byte, error) { return []byte(d.String()), nil }
