// Package firestore keeps token records in Firestore.
package firestore
