// Package page has the code of docs/pairing.md: each Go block of the page is one file
// here, without its package clause. A test of package pairing compares the two.
package page
