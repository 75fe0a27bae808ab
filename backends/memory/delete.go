package memory

import "context"

// Check implements [core.TokenBackend].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	if err := origin.Admit(ctx, "check", key); err != nil {
		return false, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	_, ok := b.records[key]
	return ok, nil
}

// Delete implements [core.TokenBackend].
func (b *Backend) Delete(ctx context.Context, key string) error {
	if err := origin.Admit(ctx, "delete", key); err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.records, key)
	b.mu.Unlock()
	b.leases.Touch(key)
	return nil
}
