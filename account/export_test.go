package account

import "github.com/graphtoken/graphtoken/core"

// NewOverlay returns the backend that keeps in memory what Config.NoStore doesn't store.
func NewOverlay(below *core.Store) core.TokenBackend { return newOverlay(below) }
