// Package firestoretest starts Firestores for tests.
package firestoretest
