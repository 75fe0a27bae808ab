//go:build !unix

package storm

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
