//go:build unix && !(darwin || linux)

package atomicfile

import "os"

func freeSpace(*os.File) (bytes int64, known bool) { return 0, false }
