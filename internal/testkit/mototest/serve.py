# Runs moto_server on a free port until standard input ends.
import os
import sys
import threading

try:
    from moto.server import main
except ImportError as e:
    print(e, file=sys.stderr)
    sys.exit(3)


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
main(["-H", "127.0.0.1", "-p", "0"])
