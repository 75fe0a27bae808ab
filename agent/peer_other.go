//go:build !linux && !darwin && !freebsd

package agent

import "errors"

// credentials are not known here: the socket's mode keeps other users out.
func credentials(int) (uid, pid int, err error) { return -1, 0, errors.ErrUnsupported }
