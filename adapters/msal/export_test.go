package msal

// Known is how many caches of MSAL an accessor knows.
func Known(a *Accessor) int {
	n := 0
	a.caches.Range(func(any, any) bool { n++; return true })
	return n
}
