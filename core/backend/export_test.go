package backend

// Queues is how many queues somebody is in.
func Queues() int {
	queues.mu.Lock()
	defer queues.mu.Unlock()
	return len(queues.of)
}
